r"""Plain numbers as they are written in references, exactly, and how to write another value in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from hero_rl.attacks.text import Context, tidy

Style = Literal["whole", "decimal", "fraction", "mixed", "scientific"]
MAX_CHARS = 300
MAX_DIGITS = 200
MAX_EXPONENT = 400
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|,\\!|\\!)\d{3})+|\d+)"
_SIGN = r"(?P<sign>[+-]?)\s*"
_FRAC = r"(?:\\frac\s*(?:\{\s*(?P<a>-?\d+)\s*\}|(?P<a1>\d))\s*(?:\{\s*(?P<b>\d+)\s*\}|(?P<b1>\d))|(?P<c>\d+)\s*/\s*(?P<d>\d+))"
_POWER = r"(?:\{\s*(?P<e>-?\d+)\s*\}|(?P<e1>\d))"
_PATTERNS: tuple[tuple[Style, re.Pattern[str]], ...] = (
    ("scientific", re.compile(rf"{_SIGN}(?P<m>\d+(?:\.\d+)?)\s*(?:\\times|\\cdot|\*|×)\s*10\s*\^\s*{_POWER}")),
    ("scientific", re.compile(rf"{_SIGN}(?P<m>\d+(?:\.\d+)?)[eE](?P<e>[+-]?\d+)(?![\w^])(?P<e1>)")),
    ("mixed", re.compile(rf"{_SIGN}(?P<w>\d+)\s*(?=\\frac){_FRAC}")),
    ("fraction", re.compile(rf"{_SIGN}{_FRAC}")),
    ("decimal", re.compile(rf"{_SIGN}(?P<n>{_DIGITS}?\.\d+)")),
    ("whole", re.compile(rf"{_SIGN}(?P<n>{_DIGITS})(?![.\d])")),
)  # fmt: skip
_SUFFIX = re.compile(
    r"(?:\\?%|\^\s*\{?\s*\\circ(?:\s*\})?|\\circ|°|\\(?:text|mathrm|mbox)\s*\{[^{}]*\}(?:\s*\^\s*\{?-?\d\}?)?|[A-Za-z./\s])*"
)
"""The texts that may stand behind a number: percent, degrees, a unit in a text of its own, plain words."""


class Number(NamedTuple):
    """A number with the way it is written."""

    value: Fraction
    style: Style
    unit_in_last_place: Fraction
    """Of a decimal or a number in scientific notation; 0 for exact ones."""
    prefix: str
    suffix: str

    def written(self, value: Fraction) -> str:
        """Write another value as this one is written."""
        return f"{self.prefix}{self._bare(value)}{self.suffix}"

    def _bare(self, value: Fraction) -> str:
        sign, size = "-" if value < 0 else "", abs(value)
        if self.style == "scientific" and size:
            exponent = len(str(int(size))) - 1 if size >= 1 else -len(str(int(1 / size)))
            if size / Fraction(10) ** exponent < 1:
                exponent -= 1
            elif size / Fraction(10) ** exponent >= 10:
                exponent += 1
            mantissa = _decimal(size / Fraction(10) ** exponent)
            if mantissa is not None:
                return rf"{sign}{mantissa} \times 10^{{{exponent}}}"
        if self.style == "decimal" or size.denominator == 1:
            text = _decimal(size)
            if text is not None:
                return sign + text
        return rf"{sign}\frac{{{size.numerator}}}{{{size.denominator}}}"


def read_number(text: str) -> Number | None:
    r"""Read a number with a sign, a currency, a unit, percent or degrees around it; None for anything else.

    >>> read_number(r"137 \frac{1}{2}").value
    Fraction(275, 2)
    >>> read_number(r"5.4 \text{ cents}").written(Fraction(6))
    '6 \\text{ cents}'
    """
    if len(text) > MAX_CHARS:
        return None
    text = tidy(text)
    prefix = ""
    if text[:1] == "$":
        prefix, text = "\\$", text[1:].strip()
    for style, pattern in _PATTERNS:
        match = pattern.match(text)
        if match is None or len(match[0]) > MAX_DIGITS:
            continue
        suffix = text[match.end() :]
        if not _SUFFIX.fullmatch(suffix):
            continue
        if re.match(r"\s?[A-Za-z](?![A-Za-z])", suffix):
            return None  # 3x, 5 m: a letter or a unit
        value, last = _value(style, match)
        if value is None:
            return None
        return Number(-value if match["sign"] == "-" else value, style, last, prefix, suffix)
    return None


def _value(style: Style, match: re.Match[str]) -> tuple[Fraction | None, Fraction]:
    groups = match.groupdict()
    exact = Fraction(0)
    if style in ("fraction", "mixed"):
        below = int(groups["b"] or groups["b1"] or groups["d"])
        if not below:
            return None, exact
        return int(groups.get("w") or 0) + Fraction(int(groups["a"] or groups["a1"] or groups["c"]), below), exact
    if style == "scientific":
        exponent = int(groups["e"] or groups["e1"])
        if abs(exponent) > MAX_EXPONENT:
            return None, exact
        scale = Fraction(10) ** exponent
        return Fraction(groups["m"]) * scale, _last_place(groups["m"]) * scale
    plain = re.sub(r"[^\d.]", "", groups["n"])
    if style == "decimal" and not plain.partition(".")[2].strip("0"):
        return Fraction(int(plain.partition(".")[0] or 0)), exact  # 142.0 is a whole number
    return Fraction(plain if plain[0] != "." else f"0{plain}"), _last_place(plain) if style == "decimal" else exact


def _last_place(decimal: str) -> Fraction:
    return Fraction(1, 10 ** len(decimal.partition(".")[2]))


def _decimal(value: Fraction) -> str | None:
    """Write a value with a finite decimal expansion; None where it has none, or a long one."""
    for places in range(13):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(scaled.numerator).rjust(places + 1, "0")
            return f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}" if places else digits
    return None


def far_apart(number: Number, value: Fraction, context: Context, tolerance: Fraction = Fraction(0)) -> bool:
    """Return whether a value is surely another one than the number, however that may have been rounded.

    Exact numbers (whole ones and fractions) differ from every other value. Rounded ones need more than their last digit and
    one per cent; where the problem speaks of rounding, every number needs five per cent and more
    than one unit of its last digit that is no zero.
    """
    near = tolerance
    if number.unit_in_last_place:
        near = max(near, number.unit_in_last_place * Fraction(3, 2), abs(number.value) / 100)
    if context.approximate:
        near = max(near, abs(number.value) / 20, _rounding_unit(number))
    return abs(value - number.value) > near


def _rounding_unit(number: Number) -> Fraction:
    """Return what the last digit of a number counts, its closing zeros taken for the result of rounding."""
    if number.style == "whole" and number.value.denominator == 1 and number.value:
        digits = str(abs(number.value.numerator))
        return Fraction(10 ** (len(digits) - len(digits.rstrip("0"))))
    return number.unit_in_last_place


def changed_values(number: Number, pick: int) -> Iterator[tuple[str, str, Fraction]]:
    """Yield kind, name and value of every changed number, right ones not yet left out; ``pick`` chooses digits."""
    v = number.value
    yield "sign", "the other sign", -v
    step = number.unit_in_last_place if number.style == "scientific" and number.unit_in_last_place > 1 else Fraction(1)
    if number.style == "scientific":
        step = Fraction(10) ** (len(str(int(abs(v)))) - 1) if abs(v) >= 1 else number.unit_in_last_place * 10
    yield "off by one", "one more", v + step
    yield "off by one", "one less", v - step
    yield "scaled", "doubled", 2 * v
    yield "scaled", "ten times", 10 * v
    yield "scaled", "a tenth", v / 10
    if v:
        yield "scaled", "upside down", 1 / v
        yield "power", "squared", v * v
    unit = number.unit_in_last_place or Fraction(1, v.denominator)
    for name, digits in _digit_changes(str(int(abs(v) / unit)), pick):
        yield "digits", name, int(digits) * unit * (-1 if v < 0 else 1)


def _digit_changes(digits: str, pick: int) -> Iterator[tuple[str, str]]:
    swaps = [i for i in range(len(digits) - 1) if digits[i] != digits[i + 1] and (i or digits[i + 1] != "0")]
    if swaps:
        i = swaps[pick % len(swaps)]
        yield "two digits swapped", digits[:i] + digits[i + 1] + digits[i] + digits[i + 2 :]
    i = pick % len(digits)
    new = str((int(digits[i]) + 1 + pick // 7 % 8) % 10)
    if not (i == 0 and new == "0" and len(digits) > 1):
        yield "one digit changed", digits[:i] + new + digits[i + 1 :]
    if len(digits) > 1:
        yield "the last digit changed", digits[:-1] + str((int(digits[-1]) + 3) % 10)
