r"""Stage 3: comparison by math-verify and sympy. Runs in a sandbox worker only: anything here may hang.

Nothing parsed is ever turned into text: ``str()`` of a power tower does not come back.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Literal, TypeAlias

from hero_rl.verifiers.math.decoys import decoys_of_text
from hero_rl.verifiers.math.rounding import may_be_one_number
from hero_rl.verifiers.math.words import count_words

Finding: TypeAlias = Literal[
    "equal",
    "different",
    "numbers_close",
    "unit_or_percent",
    "not_comparable",
    "not_discriminating",
    "answer_unparsable",
    "reference_unparsable",
]

_ROUNDING = 1e-5
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_KNOWN = frozenset(
    ("frac", "sqrt", "int", "iint", "sum", "prod", "lim", "to", "infty", "cdot", "times", "div", "pi", "sin", "cos",
     "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "lg", "exp",
     "binom", "begin", "end", "det", "gcd", "lcm", "max", "min", "le", "ge", "cup", "pm", "zeta", "Gamma", "lfloor",
     "rfloor", "lceil", "rceil", "alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "nu", "rho",
     "sigma", "tau", "phi", "omega")
)  # fmt: skip
"""Commands that math-verify reads in full; what it does not know it drops, and then calls the rest equal."""
_LOST = re.compile(
    r"(?<![\d.])0\s*\^\s*\{?\s*0|\^\s*(?:\{\s*[-+]\s*\}|[-+](?![\w({\\]))|'|:|"
    r"![\s{}]*\d|\d\.[\s.]|_\{?-|[\d})]\s*_|\{\s*\}|\*\s*\*|\^\s*(?:\{[^{}]*\}|\w)\s*\^|\\begin\{(?:cases|array|aligned)"
)
_LIMIT = re.compile(r"\\lim\s*_\s*\{[^{}]*\}")
_FOREIGN = re.compile(r"[|#&;$\[\]\"?@~]|\^\s*\{?\s*\*|\\to(?![A-Za-z])")
_NO_PRODUCT = re.compile(r"\\d?frac\s*\{\s*d[^{}]*\}\s*\{\s*d[^{}]*\}|(?<![A-Za-z\\])(?:d[a-z]/d[a-z]|[fgh]\s*\()")
"""Derivatives and functions, which math-verify reads as fractions and products."""
_DIFFERENTIAL = re.compile(r"\bd([a-z])\b")
_LETTER = re.compile(r"[A-Za-z]")
_NUMERIC = re.compile(
    r"\\(?:[dtc]?frac|sqrt|pi|cdot|times|div|left|right|ln|log|exp|sin|cos|tan|pm|mp|displaystyle)(?![A-Za-z])|\\[,;:! ()\[\]]"
    r"|(?<![A-Za-z])[ei](?![A-Za-z])|π"
)
_UNIT = re.compile(r"[^\W\d_]|[%°$€£¥′″]")
_MARKED_AS_MATH = re.compile(r"\$|\\\(|\\\[|\\boxed|\\fbox")


def compare(reference: str, answer: str) -> Finding:
    """Return how the answer relates to the reference.

    ``equal`` is math-verify's word, where it read every symbol of both sides and does not say the same of a near miss of the
    reference. ``different`` is said of two numbers without unit that are no rounding, percentage or angle of each other.
    """
    from math_verify import verify

    expected = _parse(reference)
    if not expected:
        return "reference_unparsable"
    given = _parse(answer)
    if not given:
        return "not_comparable" if is_prose(answer) else "answer_unparsable"
    # timeouts off: math-verify's are SIGALRM, which a C loop ignores; the sandbox's kill is the deadline
    united = carries_unit(reference) or carries_unit(answer)
    if verify(expected, given, timeout_seconds=None):
        if not united and _differ_relatively(expected[0], given[0]):
            return "different"
        if not (_kept(reference, expected[0]) and _kept(answer, given[0])):
            return "not_comparable"
        passes = any(
            verify(decoy, given, timeout_seconds=None) for text in decoys_of_text(reference) if (decoy := _parse(text))
        )
        return "not_discriminating" if passes else "equal"
    a, b = _number(expected[0]), _number(given[0])
    if a is None or b is None:
        return "not_comparable"
    if united:
        return "unit_or_percent"
    integers = bool(expected[0].is_Integer and given[0].is_Integer)
    near = a != 0 and b != 0 and may_be_one_number(complex(a / b), integers=integers)
    return "numbers_close" if near else "different"


def warm_up() -> None:
    """Import math-verify and build its regular expressions and parser tables."""
    for logger in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    for reference, answer in ((r"\frac{1}{2}", "0.25"), ("x^2+1", "1+x^2"), ("(1,2)", r"\{1,2\}"), ("$y=3$", "x>3")):
        compare(reference, answer)


def _parse(text: str) -> list[Any]:
    """Return what math-verify reads in a reference or an extracted answer, which may be bare LaTeX or delimited."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    text = " ".join(text.split())
    as_given, delimited = text, f"${text}$"
    marked = _MARKED_AS_MATH.search(text) is not None
    if is_prose(text) and not marked:
        return []
    latex = LatexExtractionConfig(boxed_match_priority=0)
    for form in (as_given, delimited) if marked else (delimited, as_given):
        configs = [latex, ExprExtractionConfig()] if form is as_given else [latex]
        found = parse(form, configs, fallback_mode="no_fallback", parsing_timeout=0)
        if found:
            return found
    return []


def _kept(text: str, parsed: Any) -> bool:
    """Return whether the parsed expression still has every letter of the text, and the text only what is read in full."""
    from sympy import Symbol
    from sympy.core.function import AppliedUndef

    bare = _LIMIT.sub(" ", text)
    if _FOREIGN.search(bare) or any(bare.count(one) != bare.count(other) for one, other in ("()", "{}")):
        return False
    if _LOST.search(text) or _NO_PRODUCT.search(text) or not _KNOWN.issuperset(_COMMAND.findall(text)):
        return False
    atoms = parsed.atoms(Symbol, AppliedUndef) if hasattr(parsed, "atoms") else ()
    names = {str(getattr(atom, "name", "")) for atom in atoms}
    kept = set(_LETTER.findall("".join(names))) | {"e", "i"}
    bare = _COMMAND.sub(" ", text.replace("matrix}", "}"))
    if bare.count("d") < sum(1 + (name == "iint") for name in _COMMAND.findall(text) if name in ("int", "iint")):
        return False
    bare = _DIFFERENTIAL.sub(r"\1", bare)
    return kept.issuperset(_LETTER.findall(re.sub(r"\{[pbBvV]?\}", " ", bare)))


def _differ_relatively(expected: Any, given: Any) -> bool:
    """Return whether two numbers that math-verify calls equal are not: it rounds to six decimals, which hides tiny numbers."""
    a, b = _number(expected), _number(given)
    if a is None or b is None or a == b:
        return False
    return a == 0 or b == 0 or abs(complex(a / b) - 1) > _ROUNDING


def carries_unit(text: str) -> bool:
    """Return whether a number's source has anything beside the number: letters, a percent, degree or currency sign."""
    return _UNIT.search(_NUMERIC.sub("", text.strip().strip("$"))) is not None


def is_prose(text: str) -> bool:
    """Return whether a text is words rather than mathematics: a parser would read its letters as a product of variables."""
    count = count_words(text)
    return count >= 2 or (count == 1 and not re.search(r"[\d\\=<>^+*/]", text))


def _number(expression: Any) -> Any:
    """Return the value of a constant expression as a sympy number, whose exponent has no bounds; None for anything else."""
    if not getattr(expression, "is_number", False):
        return None
    try:
        value = expression.doit().evalf(15)  # doit: a percentage is kept unevaluated
        complex(value)
    except (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError):
        return None
    return value
