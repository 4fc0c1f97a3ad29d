"""Fields of a row that decide how its answers are compared: ``unit``, ``tolerance``, ``ordered``, ``answer_type``, ``options``.

They come from ``Rollout.extra`` and go before what the question's text says. A field of null or "" is not given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.choices import options_of_field
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.findings import Finding, unsure
from hero_rl.verifiers.math.problem import Hints, Tolerance, read_problem
from hero_rl.verifiers.math.reading import read

COLUMNS = ("answer_type", "error", "options", "ordered", "reference", "tolerance", "unit")
"""The columns that are read, besides those of ``Rollout`` itself."""
MAX_CHARS = 200
MAX_RELATIVE = Fraction(1, 10)
"""A larger tolerance has to say whether it is relative: 0.5 may mean half a unit or half of the value."""

_ORDERED = frozenset(("tuple", "ordered list", "ordered tuple", "ordered", "sequence", "vector", "point"))
_UNORDERED = frozenset(("set", "unordered list", "unordered"))
_WHOLE = frozenset(("integer", "int", "whole number", "natural number", "count"))
_BOOLEAN = frozenset(("boolean", "bool", "true false", "true/false", "yes no", "yes/no"))
_FOR_PEOPLE = frozenset(("need human evaluate", "proof", "essay", "open ended", "open"))
_TRUTH = {"t": "true", "f": "false", "y": "yes", "n": "no"}
_NUMBER = re.compile(r"\d{0,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?")


class Fields(NamedTuple):
    """The fields of a row; the defaults say nothing."""

    answer_type: str = ""
    unit: str = ""
    tolerance: Tolerance | None = None
    ordered: bool | None = None
    options: tuple[tuple[str, str], ...] = ()
    several: bool = False
    """The reference was given as a list."""


NO_FIELDS = Fields()


def read_fields(extra: Mapping[str, object]) -> Fields | str:
    """Return what the columns of a row say about its answers, or name and value of the first that cannot be used."""
    if not any(name in extra for name in COLUMNS):
        return NO_FIELDS
    found: dict[str, object] = {}
    readers = {"answer_type": _text, "unit": _text, "tolerance": _tolerance, "ordered": _flag, "options": options_of_field}
    for name, reader in readers.items():
        value = extra.get(name)
        if not _is_absent(value):
            found[name] = reader(value)
            if found[name] is None:
                return f"{name}: {repr(value)[:MAX_CHARS]}"
    if "tolerance" not in found and (error := _size(extra.get("error"))):  # as OlympiadBench has it
        found["tolerance"] = Tolerance(error, False)
    reference = extra.get("reference")
    found["several"] = isinstance(reference, Sequence) and not isinstance(reference, str) and len(reference) > 1
    if isinstance(options := found.get("options"), Mapping):
        found["options"] = tuple(options.items())
    return Fields(**found)  # type: ignore[arg-type]  # each by its reader


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def _text(value: object) -> str | None:
    return " ".join(value.split()) if isinstance(value, str) and len(value) <= MAX_CHARS else None


def _flag(value: object) -> bool | None:
    spelled = value.strip().lower() if isinstance(value, str) else value
    if isinstance(spelled, bool) or spelled in (0, 1):
        return bool(spelled)
    return {"true": True, "false": False, "yes": True, "no": False}.get(spelled) if isinstance(spelled, str) else None


def _tolerance(value: object) -> Tolerance | None:
    if isinstance(value, Mapping):
        given = {str(key): one for key, one in value.items() if not _is_absent(one)}
        if len(given) != 1:
            return None
        kind, one = next(iter(given.items()))
        size = _size(one)
        proper = size is not None and (kind == "absolute" or (kind == "relative" and size < 1))
        return Tolerance(size, kind == "relative") if proper and size is not None else None
    if isinstance(value, str) and value.strip().endswith("%"):
        size = _size(value.strip().removesuffix(r"%").removesuffix("\\"))
        return Tolerance(size / 100, True) if size is not None and size < 100 else None
    size = _size(value)
    return Tolerance(size, True) if size is not None and size <= MAX_RELATIVE else None


def _size(value: object) -> Fraction | None:
    """Return a number that is not negative; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        text = value.strip()
        return Fraction(text) if text and _NUMBER.fullmatch(text) and text[-1].isdigit() and text[0] not in "eE" else None
    if not math.isfinite(value) or not 0 <= value <= 10**20:
        return None
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


@lru_cache(maxsize=2048)
def hints_for(problem: str, fields: Fields = NO_FIELDS) -> Hints:
    """Return what question and fields say about the answer; the fields go first."""
    hints = read_problem(problem)
    if fields == NO_FIELDS:
        return hints
    kind = _kind(fields)
    ordered = fields.ordered
    if ordered is None and kind in _ORDERED | _UNORDERED:
        ordered = kind in _ORDERED
    return hints.knowing(
        tolerance=fields.tolerance,
        unit_is_given=bool(fields.unit),
        exact=hints.exact or kind in _WHOLE,
        ordered=hints.ordered if ordered is None else ordered,
        choices=dict(fields.options) or hints.choices,
    )


def order_is_open(hints: Hints, fields: Fields) -> bool:
    """Return whether a reference has several parts, and neither field nor question says whether their order matters."""
    return fields.several and fields.ordered is None and not hints.ordered and _kind(fields) not in _UNORDERED


def _kind(fields: Fields) -> str:
    return fields.answer_type.lower().replace("_", " ").replace("-", " ")


def check_fields(fields: Fields) -> Finding | None:
    """Return an abstention where the fields say that no rule can compare the answers; None elsewhere."""
    if _kind(fields) in _FOR_PEOPLE:
        return unsure("answer_type_unsupported")
    # a unit with a number before it, 10^{-31} kg: an answer without a unit may mean it or not
    return unsure("unit_or_percent") if fields.unit and clean(fields.unit)[:1].isdigit() else None


def with_fields(reference: str, answer: str, fields: Fields) -> tuple[str, str]:
    """Return a cleaned reference and answer, with what the fields add: the unit, or truth values written out."""
    if _kind(fields) in _BOOLEAN:
        return _truth(reference), _truth(answer)
    if not fields.unit:
        return reference, answer
    if _spelled(fields.unit) == r"\%" and "%" not in answer:
        return reference, answer  # 5 and 0.05 are not the same number of percent
    return _with_unit(_spelled_out(reference, fields.unit), fields.unit), _spelled_out(answer, fields.unit)


def _truth(text: str) -> str:
    bare = text.removeprefix(r"\text{").removesuffix("}").strip().lower()
    return _TRUTH.get(bare, text)


def _with_unit(reference: str, unit: str) -> str:
    """Return the reference with the unit, unless it has one of its own or is no single value."""
    reading = read(reference)
    if reading.kind != "value" or reading.unit is not None or (reading.tree is not None and reading.tree.op == "pct"):
        return reference
    united = f"{reference} {_spelled(unit)}".strip()
    return united if read(united).kind == "value" else reference


def _spelled_out(text: str, unit: str) -> str:
    r"""``5 m`` as ``5 \text{m}`` where the unit is ``m``: without the field the letter may be a variable."""
    bare = _spelled(unit).removeprefix(r"\text{").removesuffix("}")
    number = text.removesuffix(bare).rstrip()
    return f"{number} \\text{{{bare}}}" if bare[:1].isalpha() and number != text and number[-1:].isdigit() else text


@lru_cache(maxsize=512)
def _spelled(unit: str) -> str:
    r"""Return a unit in the spelling of cleaned texts: ``\text{cm}``."""
    if unit.lower() in ("%", "percent", "percentage", r"\%", r"$\%$"):
        return r"\%"
    cleaned = clean(unit)
    return cleaned if "\\" in cleaned else f"\\text{{{cleaned}}}"
