r"""Size guards: what must not be handed to sympy, told from the text alone, before anything is parsed or evaluated.

The sandbox would survive it, at the price of a deadline and a new worker for each such answer.
"""

from __future__ import annotations

import re
from itertools import accumulate

MAX_CHARS = 800
MAX_NESTING = 24
MAX_DIGITS = 60
MAX_EXPONENT = 400
MAX_FACTORIAL = 400
MAX_BOUND = 400
MAX_TERMS = 120

_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS + 1},}}")
_FACTORIAL = re.compile(r"!\s*!|(\d+)\s*!|\)\s*!|\}\s*!")
_EXPONENT = re.compile(r"\^\s*(?:\{\s*-?\s*(\d+)|-?(\d+))")
_INTEGRAL_ENDS = re.compile(r"\\int\s*_\s*(?:\{[^{}]*\}|\w)\s*\^\s*(?:\{[^{}]*\}|\w)")
_BOUND = re.compile(r"\\(?:sum|prod)(?![A-Za-z])[^^]{0,80}\^\s*(\{[^{}]*\}|\w+)")
_DANGEROUS = re.compile(
    r"\\(?:def|let|input|include|write|catcode|csname|zeta|Gamma|boxed|ldots)(?![A-Za-z])|__|\\begin\{[a-z]*\}.*\\begin\{",
    re.DOTALL,
)
_CUT_OFF = re.compile(r"(?:[-+*/^_=<>&]|\\(?:cdot|times|frac|sqrt|div))\s*$")


def too_heavy(text: str) -> str | None:
    """Why a cleaned text must not go to sympy, as a reason code; None where it may."""
    depths = accumulate((sign in "({[") - (sign in ")}]") for sign in text)
    if len(text) > MAX_CHARS or len(re.findall(r"[-+*]|\\cdot|\\times", text)) > MAX_TERMS:
        return "answer_too_large"
    if max(depths, default=0) > MAX_NESTING or _tower(text) > 1:
        return "answer_too_large"
    if _DANGEROUS.search(text) or is_cut_off(text):
        return "answer_not_understood"
    exponents = [int(match[1] or match[2]) for match in _EXPONENT.finditer(_INTEGRAL_ENDS.sub(" ", text))]
    factorials = [int(match[1] or MAX_FACTORIAL + 1) for match in _FACTORIAL.finditer(text)]
    bounds = [match[1].strip("{} ") for match in _BOUND.finditer(text)]
    too_large = (
        _LONG_NUMBER.search(text)
        or max(exponents, default=0) > MAX_EXPONENT
        or max(factorials, default=0) > MAX_FACTORIAL
        or any("^" in bound or (bound.isdecimal() and int(bound) > MAX_BOUND) for bound in bounds)
    )
    return "answer_too_large" if too_large else None


def is_cut_off(text: str) -> bool:
    """Whether a text ends in an operator or leaves a brace open: no mathematics, whatever a forgiving parser makes of it."""
    return (
        _CUT_OFF.search(text) is not None
        or text.replace(r"\{", "").count("{") != text.replace(r"\}", "").count("}")
        or any(text.count(f"\\l{end}") != text.count(f"\\r{end}") for end in ("floor", "ceil"))
    )


def _tower(text: str) -> int:
    """Return how many powers stand in each other's exponents: 1 for ``x^2``, 2 for ``x^{y^2}``."""
    depth, deepest = 0, 0
    opened: list[bool] = []
    for at, sign in enumerate(text):
        if sign == "^":
            deepest = max(deepest, depth + 1)
        elif sign == "{":
            is_exponent = text[:at].rstrip().endswith("^")
            opened.append(is_exponent)
            depth += is_exponent
        elif sign == "}" and opened:
            depth -= opened.pop()
    return deepest
