"""Rollouts in: one row at a time from `.jsonl`, `.jsonl.gz` or `.parquet`, checked, with the untouched original row.

Not a data-frame library: it reads rows in order and never holds more than a few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from hero_rl.data import jsonl
from hero_rl.errors import InputError
from hero_rl.rewards.groups import MAX_MAGNITUDE
from hero_rl.types import Rollout

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
MAX_SHOWN_CHARS = 60
MAX_REFERENCES = 100
"""Sub-answers of one reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns that a file must have."""

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
    """Return the suffix in ``SUFFIXES`` that the file's name ends in; raises InputError if none does."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise InputError(f"{path}: unknown kind of file; the name must end in {', '.join(SUFFIXES)}")


def check_readable(path: Path) -> None:
    """Raise InputError unless the path is a file of rows that can be read more than once."""
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
    """Return file and row, as messages name them: `rollouts.jsonl:12` or `rollouts.parquet, row 12`."""
    return f"{path}, row {number}" if path.suffix == ".parquet" else f"{path}:{number}"


def read_rollouts(path: Path, columns: Columns | None = None) -> Iterator[Row]:
    """Yield the rows of a `.jsonl`, `.jsonl.gz` or `.parquet` file, in order, each checked to have these columns.

    Raises:
        InputError: a broken row (the message has file and line), or a file without rows.
        MissingDependencyError: Parquet without pyarrow.
    """
    columns = columns or Columns()
    for record in read_records(path):
        yield Row(_rollout(record, columns, path), record)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the rows of a file as they stand, unchecked but for being JSON objects; raises as ``read_rollouts``."""
    check_readable(path)
    record = None
    if file_format(path) == ".parquet":
        from hero_rl.data import parquet  # pyarrow is optional

        for number, values in parquet.read_rows(path):
            yield (record := Record(number, values, None))
    else:
        for number, text in jsonl.read_lines(path):
            yield (record := Record(number, jsonl.parse_line(text, f"{path}:{number}"), text))
    if record is None:
        raise InputError(f"{path}: has no rows; expected one JSON object per line")


def read_values(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield place and columns of every row of a file; raises as ``read_records``."""
    for record in read_records(path):
        yield place(path, record.number), record.values


def value_at(row: Mapping[str, object], path: str) -> object:
    """Return the value of a column, or of a place inside one: ``reward_model.ground_truth``, ``messages.0.content``.

    Raises:
        InputError: there is none; the message has no file and line.

    >>> value_at({"prompt": [{"role": "user", "content": "1+1?"}], "a.b": 2}, "prompt.0.content")
    '1+1?'
    """
    if path in row:
        return row[path]
    value: object = row
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            inside = f"; {part!r} is not in {_shown(value)}" if value is not row else ""
            raise InputError(f"missing column {path!r} (this row has: {_names(row)}{inside})")
    return value


def last_user_turn(value: object) -> object:
    """Return the text of the last user turn of a conversation; any other value as it is.

    >>> last_user_turn([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}])
    '1+1?'
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    turns = [turn.get("content") for turn in value if isinstance(turn, Mapping) and turn.get("role") == "user"]
    return turns[-1] if turns else value


def group_column(source: Path, asked: str | None) -> str:
    """Return the column that tells prompts apart: as asked, else `prompt_id` if the first row has it, else `problem`."""
    if asked is not None:
        return asked
    first = next(islice(read_records(source), 1))
    return "prompt_id" if "prompt_id" in first.values else "problem"


class Reference(NamedTuple):
    """A reference answer: one text for every verifier, and the parts if there are several."""

    text: str
    """The parts joined by commas."""
    parts: tuple[str, ...]

    @property
    def columns(self) -> dict[str, object]:
        """For ``Rollout.extra``: the list, which says that its order may matter; nothing for a single answer."""
        return {"reference": list(self.parts)} if len(self.parts) > 1 else {}


def read_reference(value: object) -> Reference | None:
    """Return the reference of a row; None for a value that is none: null, an object, an empty list, a list in a list.

    >>> read_reference(["3", 0.5]).text, read_reference("7").text
    ('3, 0.5', '7')
    """
    if isinstance(value, str):
        return Reference(value, (value,))
    if not isinstance(value, Sequence) or isinstance(value, bytes) or not 1 <= len(value) <= MAX_REFERENCES:
        return None
    if not all(isinstance(part, str | int | float) and not isinstance(part, bool) and str(part).strip() for part in value):
        return None
    parts = tuple(str(part).strip() for part in value)
    return Reference(", ".join(parts), parts)


def _rollout(record: Record, columns: Columns, path: Path) -> Rollout:
    """Return the row as a ``Rollout``; raises ``InputError`` that names file, line and column."""
    # Parquet writers use NaN for a missing number; in JSON a NaN was refused before this
    values = record.values if record.text is not None else {n: None if v != v else v for n, v in record.values.items()}
    try:
        prompt_id = _prompt_id(values, columns.group_by, record.number)
        for name in columns.scores:
            _required(values, name)
            _check(values, name, _is_score, _SCORE)
        for name in columns.labels:
            _required(values, name)
            _check(values, name, _is_label, "0, 1, true, false or null")
        _check(values, "rm_score", _is_score, _SCORE)
        _check(values, "finished", lambda value: isinstance(value, bool), "true, false or null")
        _check(values, "steps", _is_steps, "a list of strings or null")
        if (reference := read_reference(value := _required(values, "reference"))) is None:
            wanted = "a list of strings and numbers" if isinstance(value, list) else "a string"
            raise _BadColumn(f"column 'reference' must be {wanted}, got {_shown(value)}")
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
    """The fault of one column, without file and line."""


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


def _is_steps(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(step, str) for step in value)


def _names(values: Mapping[str, object]) -> str:
    return ", ".join(values) or "no columns"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value)
    kind = {dict: "an object", list: "a list", str: "the string", bool: "the flag"}.get(type(value), "the number")
    return f"{kind} {text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 3] + '...'}"
