r"""Formulas with one thing changed, each shown to differ at points or by what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hero_rl.attacks.text import Context, Wrong, in_order, letters_of, tidy
from hero_rl.attacks.values import provably_different, value_at

MAX_CHARS = 300
_NOT_ONE_VALUE = re.compile(
    r"[=<>,;:…]|\\(?:leq?|geq?|neq?|in|equiv|approx|sim|pm|mp|infty|ldots|cup|cap|setminus|text|mathrm|mathbb|begin|to|mid|"
    r"operatorname|quad|subset\w*|forall|exists|emptyset|varnothing|vec|mathbf|hat|overline|triangle|angle|circ)(?![A-Za-z])|°|%|&"
)
_USUAL_CONSTANTS = frozenset("CcKknm")
_NUMBER = re.compile(r"(?<![\d.])\d+(?![\d.])")
_TURNED = {"sin": "cos", "cos": "sin", "tan": "sin", "ln": "exp", "log": "sin", "sinh": "cosh", "cosh": "sinh", "exp": "ln"}
_MANY_RIGHT = ("example", "particular solution", "a solution", "a polynomial", "a function", "vector", "up to ", "proportional")
"""Words of problems whose answer may be right in several multiples."""
_LETTERS = re.compile(r"\\[A-Za-z]+|[A-Za-z]")


def is_formula(text: str) -> bool:
    """Return whether a text is one formula with one value: no list, relation, set, words or matrix."""
    text = tidy(text)
    return bool(text) and len(text) <= MAX_CHARS and not _NOT_ONE_VALUE.search(text) and in_order(text) and not _is_word(text)


def free_letters(text: str, context: Context) -> frozenset[str]:
    """Return the letters of a formula that the problem does not use, or calls constants: they may stand for anything."""
    letters = letters_of(text) - {"e", "i", "d"}
    if context.mentions("constant", "general solution", "arbitrary") and letters & _USUAL_CONSTANTS:
        return letters & _USUAL_CONSTANTS
    return letters & _USUAL_CONSTANTS if not context.problem.strip() else letters - context.letters


def formula_changes(text: str, context: Context, pick: int, bound: frozenset[str] = frozenset()) -> Iterator[Wrong]:
    """Yield wrong formulas for one formula; none if a letter may stand for any constant.

    ``pick`` chooses among places to change; ``bound`` letters only name an argument.
    """
    text = tidy(text)
    if free_letters(text, context) - bound:
        return
    sure = value_at(text, {letter: 1.3 + 0.11 * i for i, letter in enumerate(sorted(letters_of(text)))})
    if (sure is None or abs(sure) > 1e-9) and not context.mentions(*_MANY_RIGHT):
        if not (sure is not None and context.mentions("angle", "argument", "polar", "phase") and not letters_of(text)):
            yield Wrong("sign", "the other sign", text[1:] if _is_one_term(text[1:]) and text[0] == "-" else f"-({text})")
        yield Wrong("scaled", "doubled", f"2({text})")
        yield Wrong("scaled", "ten times", rf"10 \cdot ({text})")
    if not context.mentions("antiderivative", "integral", "integrate", "primitive", "potential", "\\int"):
        yield Wrong("off by one", "one more", f"{text} + 1")
        yield Wrong("off by one", "one less", f"{text} - 1")
    proposals = [*_exponents(text), *_numbers(text, pick), *_operators(text, pick), *_functions(text)]
    if letters_of(text) <= context.letters:
        proposals += [*_letters(text, context, bound)]
    for one in proposals:
        if provably_different(one.answer, text):
            yield one


def _is_one_term(text: str) -> bool:
    return not re.search(r"[+-]", text)


def _is_word(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z][a-z]{2,}(?: [A-Za-z]+)*|[A-Z]{3,}", text) is not None


def _exponents(text: str) -> Iterator[Wrong]:
    match = re.search(r"\^\s*(?:\{\s*(\d+)\s*\}|(\d))", text)
    if match:
        number = int(match[1] or match[2])
        yield Wrong("exponent", "one more", f"{text[: match.start()]}^{{{number + 1}}}{text[match.end() :]}")


def _numbers(text: str, pick: int) -> Iterator[Wrong]:
    places = [match for match in _NUMBER.finditer(text) if not re.search(r"_\s*\{?$|\[$", text[: match.start()])]
    for offset in range(min(2, len(places))):
        match = places[(pick + offset) % len(places)]
        before = text[: match.start()] + ("{" if _is_bare_argument(text, match.start()) else "")
        after = ("}" if _is_bare_argument(text, match.start()) else "") + text[match.end() :]
        yield Wrong("number inside", "one more", f"{before}{int(match[0]) + 1}{after}")


def _is_bare_argument(text: str, start: int) -> bool:
    r"""Return whether a number follows `^` or a command without braces, as in `x^2`: only one digit belongs to it."""
    return re.search(r"(?:\^|\\frac|\\sqrt|\\frac\s*\d)\s*$", text[:start]) is not None


def _operators(text: str, pick: int) -> Iterator[Wrong]:
    places = [i for i, char in enumerate(text) if char in "+-" and i and text[:i].rstrip()[-1:] not in tuple("({[^=*/+-")]
    if places:
        i = places[pick % len(places)]
        yield Wrong("operator", "plus and minus exchanged", text[:i] + ("-" if text[i] == "+" else "+") + text[i + 1 :])
        yield Wrong("operator", "a sum turned into a product", rf"{text[:i]}\cdot {text[i + 1 :]}")


def _functions(text: str) -> Iterator[Wrong]:
    for name, other in _TURNED.items():
        if re.search(rf"\\{name}(?![A-Za-z])", text):
            yield Wrong("function", f"{name} to {other}", re.sub(rf"\\{name}(?![A-Za-z])", rf"\\{other} ", text, count=1))
            return


def _letters(text: str, context: Context, bound: frozenset[str]) -> Iterator[Wrong]:
    single = [letter for letter in sorted(letters_of(text) - bound - {"e", "i", "d"}) if len(letter) == 1]
    if len(single) > 1:
        yield Wrong("letters", "two letters exchanged", _renamed(text, {single[0]: single[1], single[1]: single[0]}))
    if single:
        yield Wrong("letters", "in the other case", _renamed(text, {single[0]: single[0].swapcase()}))
    others = sorted(letter for letter in context.letters - letters_of(text) - {"e", "i", "d"} if len(letter) == 1)
    if single and others:
        yield Wrong("letters", "another letter of the problem", _renamed(text, {single[0]: others[0]}))


def _renamed(text: str, names: dict[str, str]) -> str:
    return _LETTERS.sub(lambda match: names.get(match[0], match[0]), text)
