r"""Units of measure: finding them after a number, and converting between them with pint.

Only names go to pint, one at a time, never an expression: its parser sees nothing that a response wrote.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.latex import pieces

UnitKind: TypeAlias = Literal["measure", "currency", "degree", "radian", "noun"]

MAX_FACTORS = 6


class Unit(NamedTuple):
    """A unit, or words, beside a number."""

    kind: UnitKind
    """``noun``: words that are no unit of measure, such as ``apples``."""
    name: str
    """The normal form; equal names are equal units."""
    factors: tuple[tuple[str, int], ...] = ()
    """For a measure: the names of its factors and their exponents."""
    rate: str = ""
    """For money: what it is paid for each of, ``month`` in ``$20 per month``."""


DEGREE = Unit("degree", "degree")
RADIAN = Unit("radian", "radian")
EMPTY = frozenset(("unit", "units", "in total", "total", "in all", "altogether", "units of length"))
"""Words after a number that say nothing about it."""

SIZES = {"unit^2": 2, "unit^3": 3}
"""Units without a name and their dimension: they say no more than area or volume."""
_NAMELESS = re.compile(r"(?:(square|sq\.?|cubic|cu\.?) units?|units? (squared|cubed)|units?\s?\^\s?\{?\s?([23])\s?\}?)")

_CURRENCIES = {
    "dollar": ("dollar", 1), "dollars": ("dollar", 1), "usd": ("dollar", 1), "us$": ("dollar", 1), "eur": ("euro", 1),
    "gbp": ("pound sterling", 1), "rs": ("rupee", 1), "rs.": ("rupee", 1), "inr": ("rupee", 1), "cny": ("yuan", 1),
    "rmb": ("yuan", 1), "$": ("dollar", 1), "us dollars": ("dollar", 1),
    "cent": ("dollar", 100), "cents": ("dollar", 100), "€": ("euro", 1), "euro": ("euro", 1), "euros": ("euro", 1),
    "£": ("pound sterling", 1), "¥": ("yen", 1), "yen": ("yen", 1), "yuan": ("yuan", 1), "rupees": ("rupee", 1),
    "₹": ("rupee", 1), "元": ("yuan", 1), "jiao": ("yuan", 10), "角": ("yuan", 10), "fen": ("yuan", 100), "分": ("yuan", 100),
}  # fmt: skip
_DEGREES = frozenset(("degree", "degrees", "deg", "degs", "度"))
_RADIANS = frozenset(("radian", "radians", "rad", "rads", "弧度"))
_ALIASES = {
    "sec": "second", "secs": "second", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "kmph": "kph",
    "ft": "foot", "in": "inch", "yd": "yard", "yds": "yard", "lb": "pound", "lbs": "pound", "oz": "ounce", "mi": "mile",
    "gm": "gram", "gms": "gram", "kilohm": "kiloohm", "kilohms": "kiloohm", "megohm": "megaohm", "megohms": "megaohm",
    "amp": "ampere", "amps": "ampere", "nt": "newton", "KM": "kilometer", "Km": "kilometer", "KG": "kilogram",
    "Kg": "kilogram", "CM": "centimeter", "MM": "millimeter",
    "米": "meter", "厘米": "centimeter", "分米": "decimeter", "毫米": "millimeter",
    "千米": "kilometer", "公里": "kilometer", "克": "gram", "千克": "kilogram", "公斤": "kilogram", "吨": "metric_ton",
    "秒": "second", "分钟": "minute", "小时": "hour", "天": "day", "升": "liter", "毫升": "milliliter",
    "м": "meter", "см": "centimeter", "мм": "millimeter", "км": "kilometer", "кг": "kilogram", "г": "gram", "с": "second",
    "ч": "hour", "мин": "minute",
}  # fmt: skip
_WHOLE = (
    (re.compile(r"\bN\s*[-.]?\s*m\b"), "N*m"), (re.compile(r"\bkN\s*[-.]?\s*m\b"), "kN*m"), (re.compile(r"\bNs\b"), "N*s"),
    (re.compile(r"\bcc\b"), "cm^3"), (re.compile(r"\bmps\b"), "m/s"), (re.compile(r"\bfps\b"), "foot/s"),
    (re.compile(r"\bpsf\b"), "pound/foot^2"), (re.compile("平方"), "square "), (re.compile("立方"), "cubic "),
    (re.compile(r"\b(?:a|an|each|every)\s+(?=(?:second|minute|hour|day|week|month|year)\b)"), "per "),
)  # fmt: skip
_LONG = re.compile(r"(?<=\w)\s+(?:long|wide|tall|high|deep|away|apart|in (?:length|width|height|area|volume))$", re.IGNORECASE)
_SINGLE = frozenset("mgsNJWVAKCLhFTlHS")
SHORT_UNITS = frozenset(
    ["cm", "mm", "km", "nm", "um", "kg", "mg", "mL", "ml", "cl", "Hz", "kHz", "MHz", "GHz", "kW", "MW", "kJ", "MJ", "eV",
    "keV", "MeV", "GeV", "Pa", "kPa", "MPa", "atm", "mol", "ms", "ns", "us", "min", "hr", "hrs", "sec", "ft", "in", "yd",
    "mi", "lb", "lbs", "oz", "mph", "kph", "dm", "pm", "fm", "mA", "kV", "mV", "mW", "rad", "rpm", "bar", "gal", "deg",
    "kcal", "cal", "mmol", "mT", "dB", "erg", "AU", "pc", "Mpc", "kpc", "ly", "yr"]
)  # fmt: skip
_NEVER = frozenset(
    ("a", "x", "e", "i", "k", "t", "n", "u", "b", "d", "y", "z", "degree", "c", "count", "percent", "pi", "number", "as", "at",
     "dot", "point", "hand", "turn", "link", "case", "to", "are", "dozen", "ppm", "box", "rod", "stone")
)  # fmt: skip
_MONEY_BEFORE = re.compile(
    r"^([-+]?)\s*(?:\\\$|€|£|¥|₹|\\text\{\s*(?:USD|US\\?\$|EUR|GBP|INR|CNY|RMB|Rs\.?)\s*\}|"
    r"(?:USD|EUR|GBP|INR|CNY|RMB|Rs\.?)(?=[ \d]))"
    r"\s*(?=[-\d.\\(])"
)
EACH = "each"
"""A rate of which nothing says for what: ``$5 each``."""
_RATE = re.compile(r"(?:per|each|a|an|every|/) (.+)|([a-z_]+)\^-1|each|apiece")
_TEMPERATURE = re.compile(r"(.*\S)\s*\^\\circ\s*(?:\\text\{)?\s*([CF])\s*\}?")
_FACTOR = re.compile(r"([^\W\d_]+)(?:\^(-?\d))?")
_EXPONENT = re.compile(r"\s*\^\s*\{?\s*(-?\d)\s*\}?")
_TAIL = re.compile(
    r"(?:\\text\{[^{}]*\}|\\(?:mu|Omega|AA|cdot|times)(?![A-Za-z])|[*/()\s.-]|\^\s*(?:-?\d|\{\s*-?\d\s*\})|[A-Za-z](?![A-Za-z]))+"
)
_STARTS_UNIT = frozenset((r"\mu", r"\Omega", r"\AA"))
_NUMBERS = re.compile(r"(?:[-+*/^(){}\[\].,=\d\s]|\\(?:frac|sqrt|pi|cdot|times|pm)(?![A-Za-z]))*", re.ASCII)
"""Numbers and what is made of them, which have no unit."""
_ENDS_NUMBER = re.compile(r"[\d})\]ie!a-z\w]$")
_BARE_TAIL = re.compile(
    r"^(?P<number>[-+]?[\d./ ]*\d(?:\s*\\times\s*10\s*\^\s*\{?-?\d+\}?)?|.*\})\s*"
    r"(?P<unit>[A-Za-z]+(?:(?:[ /*^()-]|\\cdot )+[A-Za-z0-9]+)*\)?)$"
)
_OTHER_SCRIPT = re.compile(r"^(?P<number>.*\d|.*\})\s*(?P<unit>[\u0400-\u04ff\u3040-\u30ff\u4e00-\u9fff]{1,12})$")


def split_unit(text: str, *, loose: bool = False) -> tuple[str, Unit | None]:
    r"""Return a cleaned text without the unit at its end, and the unit; ``loose``: bare letters may be one, as in ``310 K``.

    >>> split_unit(r"5 \text{cm}")
    ('5', Unit(kind='measure', name='centimeter^1', factors=(('centimeter', 1),), rate=''))
    """
    if _NUMBERS.fullmatch(text):
        return text, None
    money = _MONEY_BEFORE.match(text)
    if money:
        rest, further = split_unit(money.group(1) + text[money.end() :])
        sign = _scaled_currency(text[money.end(1) : money.end()].strip().lstrip("\\").removeprefix("text{").strip(" }").lower())
        if further is None or further.kind == "currency":
            return rest, further or sign
        each = _RATE.fullmatch(further.name)
        return rest, sign._replace(rate=each[1] or each[2] or EACH) if each else Unit("noun", f"$ {further.name}")
    temperature = _TEMPERATURE.fullmatch(text) if r"\circ" in text else None
    if temperature:
        return temperature.group(1), Unit("noun", f"degree {temperature.group(2)}")
    found = _texted_tail(text)
    if found is None:
        match = _BARE_TAIL.match(text) or _OTHER_SCRIPT.match(text)
        if match is None or not _may_be_bare_unit(match["unit"], match["number"], loose=loose):
            return text, None
        found = match["number"].strip(), match["unit"]
    unit = read_unit("tonne" if loose and found[1] == "t" else found[1])
    if unit is not None and found[0].endswith(r"^\circ"):
        return found[0], Unit("noun", f"° {unit.name}")
    return found[0], unit


def _texted_tail(text: str) -> tuple[str, str] | None:
    r"""Number and unit of a text that ends in ``\text{...}``, products and powers of such; None for other texts."""
    for piece in pieces(text):
        if piece.depth == 0 and (piece.text.startswith(r"\text{") or piece.text in _STARTS_UNIT):
            before = text[: piece.begin].rstrip()
            number = re.sub(r"(?:/|\\cdot)$", "", before).rstrip()
            if piece.text == r"\Omega":
                number = re.sub(r"(?<=[\d} ])[kMGm]$", "", number).rstrip()
            tail = before[len(number) :] + text[piece.begin :]
            is_unit = r"\text{" in tail or r"\Omega" in tail or r"\AA" in tail
            whole = is_unit and _TAIL.fullmatch(tail) is not None and _ENDS_NUMBER.search(number) is not None
            return (number, tail) if whole else None
    return None


def _may_be_bare_unit(text: str, before: str, *, loose: bool) -> bool:
    """Return whether letters may be a unit: a lone one after a decimal only, ``0.64N``; after an integer it is a variable."""
    if loose:
        return all(
            len(name) > 1 or name in _SINGLE or name == "t" for name in re.findall(r"[^\W\d_]+", text.replace(r"\cdot", " "))
        )
    first = re.split(r"[ /*^-]", text)[0]
    if len(first) == 1 and first.isascii():
        return first in _SINGLE and "." in before and before[-1].isdigit()
    return first in SHORT_UNITS or not first.isascii() or (len(first) >= 4 and first.isalpha())


@lru_cache(maxsize=1024)
def read_unit(text: str) -> Unit | None:
    r"""Return the unit that words or ``\text{...}`` spell; None for words that say nothing, such as ``units``."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).replace(r"\cdot", "*").replace(r"\times", "*").strip(" .,")
    plain = re.sub(r"([kMGmnpµ])?\s*\\Omega\b", r" \1ohm ", re.sub(r"\\mu\s*", "µ", plain)).replace(r"\AA", "angstrom")
    plain = _LONG.sub("", " ".join(re.sub(r"µ\s+", "µ", plain).split()))
    lowered = plain.lower()
    if not plain or lowered in EMPTY:
        return None
    if nameless := _NAMELESS.fullmatch(lowered):
        said = nameless[1] or nameless[2] or nameless[3]
        return Unit("noun", "unit^3" if said[0] in "c3" else "unit^2")
    if lowered in _DEGREES or lowered in _RADIANS:
        return DEGREE if lowered in _DEGREES else RADIAN
    if lowered in _CURRENCIES:
        return _scaled_currency(lowered)
    temperature = re.fullmatch(r"(?:degrees? )?(celsius|fahrenheit)|degrees? ([cf])", lowered)
    if temperature:
        return Unit("noun", f"degree {(temperature[1] or temperature[2])[0].upper()}")
    factors = _factors(plain)
    if factors is not None:
        return Unit("measure", " ".join(f"{name}^{power}" for name, power in sorted(factors)), factors)
    singular = re.sub(r"(?<=\w\w[^\Ws])s\b", "", lowered)
    return Unit("noun", " ".join(re.findall(r"\w+|[^\w\s.,()]", singular)))


def _scaled_currency(sign: str) -> Unit:
    name, parts = _CURRENCIES[sign]
    return Unit("currency", name, ((name, parts),))


def _factors(text: str) -> tuple[tuple[str, int], ...] | None:
    for pattern, spelling in _WHOLE:
        text = pattern.sub(spelling, text)
    text = re.sub(r"\bper\b", "/", _EXPONENT.sub(r"^\1", text))
    found: list[tuple[str, int]] = []
    sign, scale = 1, 1
    for part in re.findall(r"[/*()]|[^\s/*()^.-]+(?:\^-?\d)?|[-.]|\^", text):
        if part == "/":
            sign = -1
        elif part in ("*", "-", ".", "(", ")"):
            continue
        elif part.lower() in ("square", "sq", "cubic", "cu"):
            scale = 3 if part.lower().startswith("cu") else 2
        elif part.lower() in ("squared", "cubed") and found:
            name, power = found[-1]
            found[-1] = (name, power * (3 if part.lower() == "cubed" else 2))
        else:
            match = _FACTOR.fullmatch(part)
            name = measure_name(match[1]) if match else None
            if match is None or name is None or len(found) >= MAX_FACTORS:
                return None
            found.append((name, sign * scale * int(match[2] or 1)))
            scale = 1
    powers = {name: sum(power for other, power in found if other == name) for name, _ in found}
    return tuple((name, power) for name, power in powers.items() if power) or None


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@lru_cache(maxsize=8192)
def measure_name(name: str) -> str | None:
    """Return the full name that pint has for a unit; None where it has none, or where the word is more likely a variable."""
    if name in _NEVER or len(name) > 25:
        return None
    name = _ALIASES.get(name, _ALIASES.get(name.lower(), name) if len(name) > 1 else name)
    for spelling in (name, name.lower()) if len(name) > 3 else (name,):
        parsed = _registry().parse_unit_name(spelling)
        if parsed:
            prefix, unit, _ = parsed[0]
            return f"{prefix}{unit}"
    return None


@lru_cache(maxsize=1024)
def factor(of: Unit, to: Unit) -> Fraction | None:
    """Return how many of the one unit make one of the other; None where they measure different things."""
    if of.name == to.name and of.factors == to.factors:
        return Fraction(1)
    if of.kind == to.kind == "currency" and of.name == to.name:
        return Fraction(to.factors[0][1], of.factors[0][1])
    if of.kind != "measure" or to.kind != "measure" or ("radian" in of.name) != ("radian" in to.name):
        return None
    try:
        quotient = (_as_pint(of) / _as_pint(to)).to_base_units()
    except Exception:  # noqa: BLE001 - pint's errors have no common base; no conversion means not comparable
        return None
    ratio = quotient.magnitude
    if not quotient.dimensionless or not 1e-30 < ratio < 1e30:
        return None
    exact = Fraction(f"{ratio:.12g}")  # ten to twelve digits of the binary number are meant
    near = exact.limit_denominator(10**6) if ratio >= 1 else 1 / (1 / exact).limit_denominator(10**6)
    return near if abs(near / exact - 1) < Fraction(1, 10**11) else exact


def _as_pint(unit: Unit) -> Any:
    return math.prod(_registry().Quantity(1, name) ** power for name, power in unit.factors)
