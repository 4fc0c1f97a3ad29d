"""Rollouts in: one row at a time from `.jsonl`, `.jsonl.gz` or `.parquet`, checked, with the untouched original row.

Not a data-frame library: it reads rows in order and never holds more than a few of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hero_rl.data import jsonl
from hero_rl.data.references import Reference, read_reference
from hero_rl.errors import InputError
from hero_rl.rewards.groups import MAX_MAGNITUDE
from hero_rl.types import Rollout

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
MAX_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns a file must have for what is asked of it."""

    group_by: str | None = "prompt_id"
    """Rows with the same value here are one group. None: groups are not needed."""
    scores: tuple[str, ...] = ()
    """Columns that every row must have, with a number or null."""
    labels: tuple[str, ...] = ()
    """Columns that every row must have, with 0, 1, true, false or null."""


class Record(NamedTuple):
    """One row as it stands in the file."""

    number: int
    """Line number in a JSON Lines file, row number in a Parquet file; both from 1."""
    values: Mapping[str, object]
    """Every column, in the file's order."""
    text: str | None
    """The line of a JSON Lines file; None for Parquet."""


class Row(NamedTuple):
    """One row of a rollouts file, checked."""

    rollout: Rollout
    record: Record


def file_format(path: Path) -> str:
    """The suffix in ``SUFFIXES`` that the file's name ends in.

    Raises:
        InputError: none does.
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise InputError(f"{path}: unknown kind of file; the name must end in {', '.join(SUFFIXES)}")


def check_readable(path: Path) -> None:
    """Nothing, where the path is a rollouts file that can be read more than once.

    Raises:
        InputError: no such file, a folder, a pipe, no permission, or an unknown suffix.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give one rollouts file")
    if not path.is_file():
        raise InputError(f"{path}: is a pipe or a device; give a regular file, because it is read more than once")
    file_format(path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def place(path: Path, number: int) -> str:
    """File and row, as messages name them: `rollouts.jsonl:12` or `rollouts.parquet, row 12`."""
    return f"{path}, row {number}" if path.suffix == ".parquet" else f"{path}:{number}"


def read_rollouts(path: Path, columns: Columns | None = None) -> Iterator[Row]:
    """The rows of a rollouts file, in order, each checked.

    Args:
        path: a `.jsonl`, `.jsonl.gz` or `.parquet` file.
        columns: what to demand of the rows; the format's own columns by default.

    Raises:
        InputError: a broken row (the message has file and line), or a file without rows.
        MissingDependencyError: Parquet without pyarrow.
    """
    columns = columns or Columns()
    for record in read_records(path):
        yield Row(_rollout(record, columns, path), record)


def read_records(path: Path) -> Iterator[Record]:
    """The rows of a file as they stand, unchecked but for being JSON objects.

    Raises:
        InputError: a line that is no JSON object, or a file without rows.
        MissingDependencyError: Parquet without pyarrow.
    """
    check_readable(path)
    empty = True
    for record in _read_parquet(path) if file_format(path) == ".parquet" else _read_json(path):
        empty = False
        yield record
    if empty:
        raise InputError(f"{path}: has no rows; expected one rollout a line")


def _read_json(path: Path) -> Iterator[Record]:
    for number, text in jsonl.read_lines(path):
        yield Record(number, jsonl.parse_line(text, f"{path}:{number}"), text)


def _read_parquet(path: Path) -> Iterator[Record]:
    from hero_rl.data import parquet  # pyarrow is optional

    for number, values in parquet.read_rows(path):
        yield Record(number, values, None)


def _none_for_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _rollout(record: Record, columns: Columns, path: Path) -> Rollout:
    """The row as a ``Rollout``; raises ``InputError`` that names file, line and column."""
    values = record.values
    if record.text is None:
        # Parquet writers use NaN for a missing number; in JSON a NaN was refused before this
        values = {name: _none_for_nan(value) for name, value in values.items()}
    try:
        prompt_id = _prompt_id(values, columns.group_by, record.number)
        for name in columns.scores:
            _required(values, name)
            _check(values, name, _is_score, _SCORE)
        for name in columns.labels:
            _required(values, name)
            _check(values, name, _is_label, "0, 1, true, false or null")
        _check(values, "rm_score", _is_score, _SCORE)
        _check(values, "finished", _is_flag, "true, false or null")
        _check(values, "steps", _is_steps, "a list of strings or null")
        reference = _reference(values)
        return Rollout(
            prompt_id=prompt_id,
            problem=_text(values, "problem"),
            reference=reference.text,
            response=_text(values, "response"),
            finished=values.get("finished"),  # type: ignore[arg-type]  # checked above
            steps=tuple(values.get("steps") or ()),  # type: ignore[arg-type]  # checked above
            extra={name: value for name, value in values.items() if name not in _OWN_FIELDS} | reference.columns,
        )
    except _BadColumn as error:
        raise InputError(f"{place(path, record.number)}: {error}") from None


_OWN_FIELDS = frozenset({"prompt_id", "problem", "reference", "response", "finished", "steps"})


_SCORE = f"a finite number (at most {MAX_MAGNITUDE:g}) or null"


class _BadColumn(ValueError):
    """What is wrong with one column, without file and line."""


def _prompt_id(values: Mapping[str, object], group_by: str | None, number: int) -> str:
    if group_by is None:
        return str(values.get("prompt_id", number))
    if group_by == "prompt_id" and group_by not in values:
        raise _BadColumn(
            f"missing column 'prompt_id' (this row has: {_names(values)}); rows of one prompt are a group: "
            "add the column, or name the one that tells prompts apart with --group-by, such as --group-by problem"
        )
    value = _required(values, group_by)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _BadColumn(f"column {group_by!r} must be a string or an integer, got {_shown(value)}")


def _required(values: Mapping[str, object], name: str) -> object:
    if name not in values:
        raise _BadColumn(f"missing column {name!r} (this row has: {_names(values)})")
    return values[name]


def _text(values: Mapping[str, object], name: str) -> str:
    value = _required(values, name)
    if not isinstance(value, str):
        raise _BadColumn(f"column {name!r} must be a string, got {_shown(value)}")
    return value


def _reference(values: Mapping[str, object]) -> Reference:
    value = _required(values, "reference")
    reference = read_reference(value)
    if reference is None:
        wanted = "a list of strings and numbers" if isinstance(value, list) else "a string"
        raise _BadColumn(f"column 'reference' must be {wanted}, got {_shown(value)}")
    return reference


def _check(values: Mapping[str, object], name: str, holds: Callable[[object], bool], expected: str) -> None:
    value = values.get(name)
    if value is not None and not holds(value):
        raise _BadColumn(f"column {name!r} must be {expected}, got {_shown(value)}")


def _is_score(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return abs(float(value)) <= MAX_MAGNITUDE  # False for NaN
    except OverflowError:
        return False


def _is_label(value: object) -> bool:
    return isinstance(value, bool | int | float) and value in (0, 1)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_steps(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(step, str) for step in value)


def _names(values: Mapping[str, object]) -> str:
    return ", ".join(values) or "no columns"


def _shown(value: object) -> str:
    text = repr(value)
    kind = {dict: "an object", list: "a list", str: "the string", bool: "the flag", type(None): "null"}
    short = text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 3] + "..."
    if value is None:
        return "null"
    return f"{kind.get(type(value), 'the number')} {short}"
