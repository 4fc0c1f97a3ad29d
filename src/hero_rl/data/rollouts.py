"""Rollouts in: one row at a time, in any of the formats of ``data.formats``, checked, with the row that is written back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hero_rl.data.formats import TEXTS, Layout, find_layout, translated
from hero_rl.data.tables import Record, first_records, is_csv, listed, read_records
from hero_rl.errors import InputError, shown
from hero_rl.types import MAX_MAGNITUDE, Rollout, is_score

MAX_REFERENCES = 100
"""Sub-answers of one reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How a source is read, and the columns that it must have."""

    group_by: str | None = "prompt_id"
    """Rows with the same value here are one group; without `prompt_id`, those of one problem and step. None: no groups."""
    scores: tuple[str, ...] = ()
    """Columns that every row must have, with a number or null."""
    labels: tuple[str, ...] = ()
    """Columns that every row must have, with 0, 1, true, false or null."""
    needs_reference: bool = True
    format: str = "auto"
    """One of ``formats.NAMES``."""
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    """By column of our format, its place in the source, such as ``reward_model.ground_truth``."""


class Row(NamedTuple):
    """One row of a rollouts file, checked."""

    rollout: Rollout
    record: Record


def read_rollouts(source: Path, columns: Columns | None = None) -> Iterator[Row]:
    """Yield the rollouts of a file, folder or pattern, in order, each checked to have these columns.

    Raises:
        InputError: a broken row (the message has file and line), or no rows.
        MissingDependencyError: a package that the kind of file needs is not installed.
    """
    columns = columns or Columns()
    for record in rollout_records(source, columns):
        yield Row(_rollout(record, columns), record)


def rollout_records(source: Path, columns: Columns | None = None) -> Iterator[Record]:
    """Yield the rollouts of a source with the columns of our format, unchecked; raises as ``read_rollouts``.

    Rows that are in our format already keep their text.
    """
    columns = columns or Columns()
    keep = {name for name in (columns.group_by, *columns.scores, *columns.labels) if name is not None}
    layout: Layout | None = None
    own = cells = False
    for record in read_records(source):
        if layout is None:
            layout, cells = layout_of(record, columns), is_csv(record)
            own = layout.is_own and not cells
        if own and _is_plain(record.values):
            yield record
            continue
        try:
            for values in translated(record.values, layout, keep=keep, cells=cells):
                yield record._replace(values=values, text=None)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # lists and objects where there are none as a rule
            raise InputError(f"{record.where}: cannot be read as {layout.format} ({type(error).__name__}: {error})") from error


def layout_of(first: Record, columns: Columns) -> Layout:
    """Return how a source is read, from its first row; raises InputError if the row is not in the format."""
    try:
        return find_layout(first.values, columns.format, columns.places)
    except InputError as error:
        raise InputError(f"{first.where}: {error}") from None


def is_as_it_stands(source: Path, columns: Columns) -> bool:
    """Return whether the rows of a source are in our format already."""
    (first,) = first_records(source)
    return layout_of(first, columns).is_own and not is_csv(first) and _is_plain(first.values)


def _is_plain(values: Mapping[str, object]) -> bool:
    return not isinstance(values.get("response"), list | dict) and not isinstance(values.get("problem"), list)


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

    >>> read_reference(["3", 0.5]).text, read_reference("7").text, read_reference(7).text
    ('3, 0.5', '7', '7')
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return Reference(str(value), (str(value),))
    if not isinstance(value, Sequence) or isinstance(value, bytes) or not 1 <= len(value) <= MAX_REFERENCES:
        return None
    if not all(isinstance(part, str | int | float) and not isinstance(part, bool) and str(part).strip() for part in value):
        return None
    parts = tuple(str(part).strip() for part in value)
    return Reference(", ".join(parts), parts)


def _rollout(record: Record, columns: Columns) -> Rollout:
    """Return the row as a ``Rollout``; raises ``InputError`` that names file, line and column."""
    # Parquet writers use NaN for a missing number; in JSON a NaN was refused before this
    values = record.values if record.text is not None else {n: None if v != v else v for n, v in record.values.items()}
    try:
        _require_texts(values, reference=columns.needs_reference)
        prompt_id = _prompt_id(values, columns.group_by, record.number)
        for name in columns.scores:
            _required(values, name)
            _check(values, name, is_score, _SCORE)
        for name in columns.labels:
            _required(values, name)
            _check(values, name, _is_label, "0, 1, true, false or null")
        _check(values, "rm_score", is_score, _SCORE)
        _check(values, "finished", lambda value: isinstance(value, bool), "true, false or null")
        _check(values, "steps", _is_steps, "a list of strings or null")
        reference = _reference(values, needed=columns.needs_reference)
        return Rollout(
            prompt_id=prompt_id,
            problem=_text(values, "problem"),
            reference=reference.text,
            response=_text(values, "response"),
            messages=_messages(values.get("prompt")),
            finished=values.get("finished"),  # type: ignore[arg-type]  # checked above
            steps=tuple(values.get("steps") or ()),  # type: ignore[arg-type]  # checked above
            extra={name: value for name, value in values.items() if name not in _OWN_FIELDS} | reference.columns,
        )
    except _BadColumn as error:
        raise InputError(f"{record.where}: {error}") from None


_OWN_FIELDS = frozenset({"prompt_id", "problem", "reference", "response", "finished", "steps"})
_SCORE = f"a finite number (at most {MAX_MAGNITUDE:g}) or null"


class _BadColumn(ValueError):
    """The fault of one column, without file and line."""


def _prompt_id(values: Mapping[str, object], group_by: str | None, number: int) -> str:
    if group_by is None:
        return str(values.get("prompt_id", number))
    if group_by == "prompt_id" and group_by not in values:
        step = values.get("step")
        return _text(values, "problem") if step is None else f"{step}: {_text(values, 'problem')}"
    value = _required(values, group_by)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _BadColumn(f"column {group_by!r} must be a string or an integer, got {shown(value)}")


def _reference(values: Mapping[str, object], *, needed: bool) -> Reference:
    value = values.get("reference")
    if value is None and not needed:
        return Reference("", ())
    if (reference := read_reference(value)) is None:
        wanted = "a list of strings and numbers" if isinstance(value, list) else "a string"
        raise _BadColumn(f"column 'reference' must be {wanted}, got {shown(value)}")
    return reference


def _messages(prompt: object) -> tuple[Mapping[str, str], ...]:
    """Return the prompt as a conversation, if it is one of texts that ends with the user's turn."""
    if not isinstance(prompt, list) or not prompt:
        return ()
    texts = all(isinstance(turn, Mapping) and isinstance(turn.get("content"), str) and "role" in turn for turn in prompt)
    return tuple(prompt) if texts and prompt[-1]["role"] == "user" else ()


def _required(values: Mapping[str, object], name: str) -> object:
    if name not in values:
        raise _BadColumn(f"missing column {name!r} (this row has: {listed(values)})")
    return values[name]


def _require_texts(values: Mapping[str, object], *, reference: bool) -> None:
    missing = [name for name in TEXTS if name not in values and (reference or name != "reference")]
    if missing:
        names, them = ("columns", "them") if missing[1:] else ("column", "it")
        names += f" {', '.join(map(repr, missing))}"
        hint = f"name {them} with --columns {','.join(f'{name}=COLUMN' for name in missing)}"
        if "reference" in missing:
            hint += "; without references, take verdicts from a column with --verifier column:NAME"
        raise _BadColumn(f"missing {names} (this row has: {listed(values)}); {hint}")


def _text(values: Mapping[str, object], name: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise _BadColumn(f"column {name!r} must be a string, got {shown(value)}")
    return value


def _check(values: Mapping[str, object], name: str, holds: Callable[[object], bool], expected: str) -> None:
    value = values.get(name)
    if value is not None and not holds(value):
        raise _BadColumn(f"column {name!r} must be {expected}, got {shown(value)}")


def _is_label(value: object) -> bool:
    return isinstance(value, bool | int | float) and value in (0, 1)


def _is_steps(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(step, str) for step in value)
