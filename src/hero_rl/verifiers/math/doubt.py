r"""Which differences are beyond doubt: the rules by which "not equal" becomes "different" or "cannot tell"."""

from __future__ import annotations

import math
import re

CLOSE = 0.02
"""Two numbers nearer than this, relative to the larger, may be one number rounded differently."""

_EXACT = 1e-9
_NUMERIC_COMMANDS = re.compile(
    r"\\(?:[dtc]?frac|sqrt|pi|cdot|times|div|left|right|ln|log|exp|sin|cos|tan|pm|mp|displaystyle)(?![A-Za-z])|\\[,;:! ()\[\]]"
)
_LONE_CONSTANT = re.compile(r"(?<![A-Za-z])[ei](?![A-Za-z])")
_UNIT = re.compile(r"[^\W\d_]|[%°$€£¥′″]")
_WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{3,}")
_MARKED_WORDS = re.compile(r"\\(?:begin|end|text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{[^{}]*\}")
_FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "exp", "max")
) | frozenset(("min", "gcd", "lcm", "mod", "det"))


def carries_unit(text: str) -> bool:
    """Whether a number's source text has anything beside the number: letters, a percent, degree or currency sign."""
    text = text.strip().strip("$")
    return _UNIT.search(_LONE_CONSTANT.sub("", _NUMERIC_COMMANDS.sub("", text)).replace("π", "")) is not None


def words(text: str) -> int:
    r"""How many bare words of a natural language the text has; functions, environments and ``\text{...}`` are none."""
    return sum(word.lower() not in _FUNCTIONS for word in _WORD.findall(_MARKED_WORDS.sub(" ", text)))


def is_prose(text: str) -> bool:
    """Whether the text is words rather than mathematics: a parser would read its letters as a product of variables."""
    count = words(text)
    return count >= 2 or (count == 1 and not re.search(r"[\d\\=<>^+*/]", text))


def may_be_one_number(ratio: complex, *, integers: bool) -> bool:
    """Whether two unequal numbers could be one answer: rounded, in percent or another unit, in degrees or radians.

    Args:
        ratio: of the one number to the other; neither is zero.
        integers: both are integers, so that neither is the other one rounded.
    """
    if not integers and abs(ratio - 1) <= CLOSE:
        return True
    size = abs(ratio)
    return any(math.isclose(size, factor, rel_tol=_EXACT) for factor in (100.0, 0.01)) or any(
        math.isclose(size, factor, rel_tol=CLOSE) for factor in (180 / math.pi, math.pi / 180)
    )
