r"""Units of measure: finding them after a number, and converting between them with pint.

Only names go to pint, one at a time, never an expression: its parser sees nothing that a response wrote.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

UnitKind: TypeAlias = Literal["measure", "currency", "degree", "noun"]

MAX_FACTORS = 6


class Unit(NamedTuple):
    """What stands beside a number."""

    kind: UnitKind
    """``noun``: words that are no unit of measure, such as ``apples``."""
    name: str
    """The normal form; equal names are equal units."""
    factors: tuple[tuple[str, int], ...] = ()
    """For a measure: the names of its factors and their exponents."""


DEGREE = Unit("degree", "degree")
DOLLAR = Unit("currency", "dollar")

_CURRENCIES = {
    "dollar": ("dollar", 1), "dollars": ("dollar", 1), "usd": ("dollar", 1), "$": ("dollar", 1), "us dollars": ("dollar", 1),
    "cent": ("dollar", 100), "cents": ("dollar", 100), "€": ("euro", 1), "euro": ("euro", 1), "euros": ("euro", 1),
    "£": ("pound sterling", 1), "¥": ("yen", 1), "yen": ("yen", 1), "yuan": ("yuan", 1), "rupees": ("rupee", 1),
    "₹": ("rupee", 1),
}  # fmt: skip
_DEGREES = frozenset(("degree", "degrees", "deg", "degs"))
_EMPTY = frozenset(
    ("unit", "units", "square unit", "square units", "cubic unit", "cubic units", "sq units", "in total", "total")
)
_ALIASES = {
    "sec": "second", "secs": "second", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "km/h": "kph",
    "kmph": "kph",
    "ft": "foot", "in": "inch", "yd": "yard", "yds": "yard", "lb": "pound", "lbs": "pound", "oz": "ounce", "mi": "mile",
    "cc": "cm^3",
    "gm": "gram", "gms": "gram", "litres": "liter", "metres": "meter", "kilometres": "kilometer", "centimetres": "centimeter",
    "millimetres": "millimeter", "L": "liter", "amps": "ampere", "nt": "newton", "c": "coulomb", "feet": "foot",
    "inches": "inch",
}  # fmt: skip
_SINGLE = frozenset("mgsNJWVAKCLhFTl")
_SHORT = frozenset(
    ["cm", "mm", "km", "nm", "um", "kg", "mg", "mL", "ml", "cl", "Hz", "kHz", "MHz", "GHz", "kW", "MW", "kJ", "MJ", "eV",
    "keV", "MeV", "GeV", "Pa", "kPa", "MPa", "atm", "mol", "ms", "ns", "us", "min", "hr", "hrs", "sec", "ft", "in", "yd",
    "mi", "lb", "lbs", "oz", "mph", "kph", "dm", "pm", "fm", "mA", "kV", "mV", "mW", "rad", "rpm", "bar", "gal", "deg",
    "kcal", "cal", "mmol", "mT", "dB", "erg", "AU", "pc", "Mpc", "kpc", "ly", "yr"]
)  # fmt: skip
_NEVER = frozenset(
    ("a", "x", "e", "i", "k", "t", "n", "u", "b", "d", "y", "z", "degree", "c", "count", "percent", "pi", "number")
)
_FACTOR = re.compile(r"([A-Za-zµΩ]+)(?:\^(-?\d))?")
_EXPONENT = re.compile(r"\s*\^\s*\{?\s*(-?\d)\s*\}?")
_TAIL = re.compile(
    r"^(?P<number>.*?[\d})\]ie!a-z])\s*"
    r"(?P<unit>(?:(?:\\cdot|\*|/|\s|\()*\\text\{[^{}]*\}(?:\s*\^\s*\{?\s*-?\d\s*\}?|\))*)+)$"
)
_BARE_TAIL = re.compile(
    r"^(?P<number>[-+]?[\d./ ]*\d(?:\s*\\times\s*10\s*\^\s*\{?-?\d+\}?)?|.*\})\s*(?P<unit>[A-Za-z]+(?:[ /*^-]+[A-Za-z0-9]+)*)$"
)


def split_unit(text: str) -> tuple[str, Unit | None]:
    r"""A cleaned text without the unit at its end, and the unit.

    >>> split_unit(r"5 \text{cm}")
    ('5', Unit(kind='measure', name='centimeter^1', factors=(('centimeter', 1),)))
    """
    money = re.match(r"^([-+]?)\s*(?:\\\$|€|£|¥|₹)\s*(?=[\d.\\(])", text)
    if money:
        rest, further = split_unit(money.group(1) + text[money.end() :])
        sign = text[money.end(1) : money.end()].strip().lstrip("\\")
        return rest, _scaled_currency(sign) if further is None or further.kind != "currency" else further
    temperature = re.fullmatch(r"(.*\S)\s*\^\\circ\s*(?:\\text\{)?\s*([CF])\s*\}?", text)
    if temperature:
        return temperature.group(1), Unit("noun", f"degree {temperature.group(2)}")
    match = _TAIL.match(text)
    if (
        match is None
        and (match := _BARE_TAIL.match(text)) is not None
        and not _may_be_bare_unit(match["unit"], match["number"])
    ):
        match = None
    if match is None:
        return text, None
    unit = read_unit(match["unit"])
    return match["number"].strip(), unit


def _may_be_bare_unit(text: str, before: str) -> bool:
    """A lone letter is a unit after a decimal only: ``0.64N``; after an integer it is more likely a variable."""
    first = re.split(r"[ /*^-]", text)[0]
    if len(first) == 1:
        return first in _SINGLE and "." in before and before[-1].isdigit()
    return first in _SHORT or (len(first) >= 4 and first.isalpha())


@lru_cache(maxsize=1024)
def read_unit(text: str) -> Unit | None:
    r"""The unit that words or ``\text{...}`` spell; None for words that say nothing, such as ``units``."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).replace(r"\cdot", "*").strip(" .,")
    plain = " ".join(plain.split())
    lowered = plain.lower()
    if not plain or lowered in _EMPTY:
        return None
    if lowered in _DEGREES:
        return DEGREE
    if lowered in ("radian", "radians", "rad", "rads"):
        return None  # the unit of a number without a unit
    if lowered in _CURRENCIES:
        return _scaled_currency(lowered)
    factors = _factors(plain)
    if factors is not None:
        return Unit("measure", " ".join(f"{name}^{power}" for name, power in sorted(factors)), factors)
    return Unit("noun", " ".join(_singular(word) for word in re.findall(r"\w+", lowered)))


def _scaled_currency(sign: str) -> Unit:
    name, parts = _CURRENCIES[sign]
    return Unit("currency", name, ((name, parts),))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _factors(text: str) -> tuple[tuple[str, int], ...] | None:
    text = re.sub(r"\bper\b", "/", _EXPONENT.sub(r"^\1", text))
    found: list[tuple[str, int]] = []
    sign, scale = 1, 1
    for part in re.findall(r"[/*]|[^\s/*()^-]+(?:\^-?\d)?|-", text):
        if part == "/":
            sign = -1
        elif part in ("*", "-"):
            continue
        elif part.lower() in ("square", "sq", "cubic", "cu"):
            scale = 3 if part.lower().startswith("cu") else 2
        else:
            match = _FACTOR.fullmatch(part)
            name = _measure(match[1]) if match else None
            if match is None or name is None or len(found) >= MAX_FACTORS:
                return None
            found.append((name, sign * scale * int(match[2] or 1)))
            scale = 1
    return tuple(found) or None


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@lru_cache(maxsize=1024)
def _measure(name: str) -> str | None:
    """The full name that pint has for a unit; None where it has none, or where the word is more likely a variable."""
    if name in _NEVER or len(name) > 25:
        return None
    name = _ALIASES.get(name, _ALIASES.get(name.lower(), name))
    for spelling in (name, name.lower()):
        parsed = _registry().parse_unit_name(spelling)
        if parsed:
            prefix, unit, _ = parsed[0]
            return f"{prefix}{unit}"
    return None


@lru_cache(maxsize=1024)
def factor(of: Unit, to: Unit) -> Fraction | None:
    """How many of the one unit make one of the other; None where they measure different things."""
    if of.name == to.name and of.factors == to.factors:
        return Fraction(1)
    if of.kind == to.kind == "currency" and of.name == to.name:
        return Fraction(to.factors[0][1], of.factors[0][1])
    if of.kind != "measure" or to.kind != "measure":
        return None
    try:
        ratio = (_as_pint(of) / _as_pint(to)).to_base_units()
    except Exception:  # noqa: BLE001 - pint's errors have no common base; no conversion means not comparable
        return None
    if not ratio.dimensionless:
        return None
    return Fraction(ratio.magnitude).limit_denominator(10**9) if 1e-6 < ratio.magnitude < 1e6 else Fraction(ratio.magnitude)


def _as_pint(unit: Unit) -> Any:
    registry = _registry()
    product = registry.Quantity(1)
    for name, power in unit.factors:
        product = product * registry.Quantity(1, name) ** power
    return product
