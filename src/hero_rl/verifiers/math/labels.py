r"""Labels of answers, ``AB``, ``f(x)``, ``Area``: what stands before ``=`` or ``:``, and when two of them name one thing."""

from __future__ import annotations

import re

from hero_rl.verifiers.latex import brackets, split_list
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.words import TEXT, words_in

FUNCTION_LABEL = re.compile(r"^[A-Za-z](?:_\{?\w+\}?|'|\^\s*\{-1\})*\s*\(\s*[^()=]*\)$")
_NAMED = re.compile(
    r"\\text\{[^{}]*\}\s*|[A-Za-z_{}\\ ]*\\text\{[^{}]*\}[A-Za-z_{}\\ ]*|[A-Za-z]+(?: [A-Za-z]+)+|[A-Z][a-z]{2,}|[A-Z]{2,4}|"
    r"\\angle(?:\s*[A-Z](?:_\{?\d\}?|')*)+|\\(?:triangle|overline|widehat)\s*\{?[A-Z]+\}?|\|?[A-Z]{1,3}\|?(?:\^\\circ)?|"
    r"d[a-z]/d[a-z]|\\frac\s*\{d[^{}]*\}\s*\{d[^{}]*\}"
)
_MARKS = re.compile(
    r"\\(?:text|mathrm|overline|widehat|vec|triangle|angle|measuredangle)(?![A-Za-z])|[{}|$\s]|\^\\circ|\bm(?=\\angle)"
)
_DERIVATIVE = re.compile(r"\\frac\s*\{\s*d\s*([A-Za-z])\s*\}\s*\{\s*d\s*[A-Za-z]\s*\}|d([a-z])/d[a-z]")
_NUMBER = re.compile(r"_?\d+$")
_SEGMENT = re.compile(r"[A-Z]{2}")
_NAMES = re.compile(r"[A-Z]{2,3}")
"""Letters side by side: names of points or factors, and no word."""
_PER = re.compile(r"[/{]\s*d\s*([A-Za-z])\s*\}?$")
"""The letter of a derivative with respect to it."""
_OF_WORDS = re.compile(r"[a-z]+(?: [a-z]+)*", re.IGNORECASE)
_SHORT_FOR = {"max": "maximum", "min": "minimum", "avg": "average", "prob": "probability", "vol": "volume", "vel": "velocity"}
_DENIES = words_in("not never neither nor without except wrong incorrect false")
_OPEN_ENDED = re.compile(r"\b(?:than|at least|at most|of|minus|plus|(?<!of )(?<!many )times|about)$")
"""Words at the end of a label that go on with what stands behind it: ``more than``."""
_MULTIPLIES = words_in("twice thrice double triple half")
_CHANGES = _MULTIPLIES | words_in(
    """reciprocal inverse opposite negation negated complement square squared cube cubed bound extraneous rejected reject
    invalid inadmissible discarded excluded eliminated impossible spurious mistake mistaken error guess unlike candidate
    attempt sqrt"""
)
"""Words that make of a name another thing, or say that it is no answer; a question may ask for that thing."""
_ROOT = re.compile(r"(?:square|cube) root")
_EXTREME_BOUND = re.compile(
    r"\b(?:least|smallest|greatest|largest|best)\b.{1,60}\b(?:such that|so that|for which)\b", re.DOTALL
)
_FILLERS = words_in("the a an is value of answer total final")


def is_label(text: str) -> bool:
    r"""Return whether a text names a value: ``x``, ``f(x)``, ``\angle ABC``, ``(x, y)``, ``Area``."""
    if is_denied(text) or not _MULTIPLIES.isdisjoint(_all_words(text)):
        return False
    if FUNCTION_LABEL.match(text) or _NAMED.fullmatch(text):
        return True
    enclosed = brackets(text)
    if enclosed is not None and enclosed[0] == "(":
        return all(is_label(part) for part in split_list(enclosed[1]))
    try:
        tree = parse(text)
    except Unreadable:
        return False
    return tree.op == "sym" and tree.name not in ("i",)


def is_denied(label: str) -> bool:
    r"""Return whether a label says that what it stands before is not the answer: ``wrong``."""
    words = _all_words(label)
    return not _DENIES.isdisjoint(words) or _OPEN_ENDED.search(" ".join(words)) is not None


def changes_value(label: str, problem: str) -> bool:
    """Return whether a label is of something made from the answer, ``twice the answer``, which the question does not name.

    >>> changes_value("Reciprocal", "Find the number."), changes_value("Reciprocal", "Find the reciprocal of 2.")
    (True, False)
    """
    words, asked = (_ROOT.sub("sqrt", text.lower()) for text in (" ".join(_all_words(label)), problem))
    asked += " inverse" * ("^{-1}" in asked) + " bound" * (_EXTREME_BOUND.search(asked) is not None)
    return any(word not in asked for word in _CHANGES.intersection(words.split()))


def _all_words(text: str) -> list[str]:
    return TEXT.sub(r" \1 ", text).lower().split()


def labels_agree(one: str, other: str, letters: frozenset[str] = frozenset()) -> bool:
    """Return whether two labels may name the same thing; ``letters`` are those that the question uses.

    >>> labels_agree("AB", "BA"), labels_agree("f(x)", "y"), labels_agree("Area", "A"), labels_agree("AB", "AC")
    (True, True, True, False)
    """
    a, b = _plain(one), _plain(other)
    per = [_PER.search(label) for label in (one, other)]
    if per[0] and per[1] and per[0][1] != per[1][1]:
        return False
    if a == b:
        return True
    if a.count("'") != b.count("'") or (_NUMBER.search(a) and _NUMBER.search(b) and a[0] in letters):
        return False
    a, b = _NUMBER.sub("", a), _NUMBER.sub("", b)
    if a == b:
        return True
    if _SEGMENT.fullmatch(a) and _SEGMENT.fullmatch(b):
        return a[::-1] == b
    head, tail = a.partition("("), b.partition("(")
    if (head[1] or tail[1]) and head[0] == tail[0]:
        events = head[2].lower() != tail[2].lower() and not (head[2] + tail[2]).islower()  # P(A) and P(B)
        return not (head[1] and tail[1]) or (is_function_label(a) and is_function_label(b) and not events)
    if is_function_label(a) != is_function_label(b):
        function, name = (head[0], b) if is_function_label(a) else (tail[0], a)
        return name == "y" and len(function) == 1
    if _is_symbol(a) != _is_symbol(b) and (_words(one) or _words(other)):
        symbol, name = (a, b) if _is_symbol(a) else (b, a)
        if symbol.isupper() and _NAMES.fullmatch(name):
            return False
        return symbol.partition("_")[0] not in letters or _words_agree(one, other)
    return _words_agree(one, other)


def is_function_label(label: str) -> bool:
    """Return whether a label is a function of letters, as ``f(x)`` or ``g(s,t)``."""
    letters = arguments(label)
    return label[:1].isalpha() and bool(letters) and all(len(one) == 1 and one.isalpha() for one in letters)


def is_product(name: str, letter: str) -> bool:
    """Return whether a name in capitals is rather a product with a letter in it.

    >>> is_product("PV", "P"), is_product("AB", "C"), is_product("V", "V")
    (True, False, False)
    """
    return len(letter) == 1 < len(name) and letter in name and name.isalpha() and name.isupper()


def arguments(label: str) -> tuple[str, ...]:
    """Return the letters in the brackets of a function label; none where there are no brackets."""
    inner = label.partition("(")[2].removesuffix(")").strip()
    return tuple(part.strip() for part in inner.split(",")) if inner else ()


def _is_symbol(label: str) -> bool:
    return re.fullmatch(r"\\?[A-Za-z]|\\[A-Za-z]+", label.partition("_")[0]) is not None


def _plain(label: str) -> str:
    return _MARKS.sub("", _DERIVATIVE.sub(lambda match: f"{match[1] or match[2]}'", label))


def _words_agree(one: str, other: str) -> bool:
    """Return whether a word and its initial, a word and its short form, or two phrases of the same words stand there."""
    a, b = sorted((_words(one), _words(other)), key=lambda words: sum(map(len, words)))
    initial = len(a) == len(b) == 1 and len(a[0]) == 1 and len(b[0]) > 2 and b[0].startswith(a[0])
    return bool(a and b) and (set(a) == set(b) or initial)


def _words(label: str) -> list[str]:
    text = TEXT.sub(r" \1 ", label).strip().lower()
    words = text.split() if _OF_WORDS.fullmatch(text) else []
    return [_SHORT_FOR.get(word, word) for word in words if word not in _FILLERS]
