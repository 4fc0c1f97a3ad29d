r"""The things that a question asks for by name, ``Find $x+y$``, ``the area and the perimeter``; its remainders and commas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from hero_rl.verifiers.latex import relation_chain
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.words import words_in

MAX_CHARS = 2_000
_ASKS = re.compile(
    r"\b(?:find|compute|determine|calculate|evaluate|what (?:is|are)|give|state|express|solve for)\b(?P<what>[^.?!;:]{1,160})",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(?:if|given|such that|where|when|so that|for which|in terms of|with|in (?:the )?(?:triangle|figure))\b.*", re.IGNORECASE
)
_VALUE_OF = re.compile(
    r"^\s*(?:(?:all|the|exact|possible|numerical|integer|real)\s+)*(?:values?\s+(?:of|for)\s+)?", re.IGNORECASE
)
_BETWEEN = re.compile(r",|\band\b|\bor\b")
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]?[a-z]{2,}")
_DRESSING = re.compile(r"\\[()\[\],;:! ]|\\(?:left|right|displaystyle|overline|text|mathrm)(?![A-Za-z])|[${}\s]|\\cdot|\*")
_ARTICLES = frozenset(("a", "A", "I"))
_EXCLUSIVE = (
    "area|perimeter|volume|circumference|radius|diameter|length|width|height|mean average|median|mode|"
    "maximum max largest larger greatest greater biggest bigger highest higher|"
    "minimum min smallest smaller least lesser lowest lower|"
    "sum|product|difference|quotient|remainder|numerator|denominator|slope|intercept|speed|distance|time|first|second"
)
_CLASS = {word: index for index, words in enumerate(_EXCLUSIVE.split("|")) for word in words.split()}
AXES = frozenset("xyz")
"""Letters of coordinates."""
_SYMBOLS = {"m": "slope", "b": "intercept"}
_ORDINAL = re.compile(r"\b(?:second|third|next|other|another)\b", re.IGNORECASE)
_EXTREMES = frozenset((_CLASS["maximum"], _CLASS["minimum"]))
"""Which of two values is the larger one, the values say."""
_TWO_BLANKS = re.compile(r"_{2,}.*_{2,}", re.DOTALL)
_NEXT_TERMS = re.compile(
    r"\b(?:next|first|last) (?:two|three|four|five|six|\d+) (?:terms|numbers|digits|elements)", re.IGNORECASE
)
_LISTED_TERMS = re.compile(rf"\b(?:write|list)\b[^.?!]{{0,40}}{_NEXT_TERMS.pattern}", re.IGNORECASE)
_HOW_MANY_EACH = re.compile(r"\bhow many\b[^.?!;]{1,60}\band how many\b[^.?!;]{1,60}\?", re.IGNORECASE)
_THAT_ORDER = re.compile(r"\bin (?:that|this) order\b", re.IGNORECASE)
_EQUATION = re.compile(
    r"\b(?:equations? (?:of|for|that|which|represent\w*|describ\w*|model\w*|relating|in)|(?:cartesian|implicit) form|"
    r"relation(?:ship)?s? (?:between|among|of|that)|loc(?:us|i)|(?:which|an?) equation|law|identity|constraint|condition)\b",
    re.IGNORECASE,
)
_NUMBERED_TASKS = re.compile(r"\(1\)\s+[A-Z][a-z]+.*\(2\)\s+[A-Z][a-z]+", re.DOTALL)


@lru_cache(maxsize=2048)
def quantities(problem: str) -> frozenset[str]:
    """Return the quantities in symbols that a question asks for, squeezed; none where it asks in words.

    >>> sorted(quantities("Let $a$ and $b$ be primes. Find $a+b$."))
    ['a+b']
    """
    found: set[str] = set()
    for match in _ASKS.finditer(problem[-MAX_CHARS:]):
        parts = _BETWEEN.split(_VALUE_OF.sub("", _CONDITION.sub("", match["what"])))
        symbolic = [part for part in parts if _is_symbolic(part)]
        letters = [part for part in parts if part.strip() in _ARTICLES] if symbolic else []  # of "a, b and c" all are letters
        found.update(map(squeezed, symbolic + letters))
    return frozenset(found)


def places_asked(names: Sequence[str], problem: str) -> list[int]:
    """Return where a question asks for each of some letters, by itself or by its word; none where not for all.

    >>> places_asked(["r", "h"], "Find the height $h$ and the radius $r$.")
    [32, 13]
    >>> places_asked(["P", "A"], "Find the area and the perimeter.")
    [18, 5]
    """
    for match in reversed(list(_ASKS.finditer(problem[-MAX_CHARS:]))):
        found = [re.search(rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])", match["what"]) for name in names]
        if all(found):
            return [one.start() for one in found if one]
        kinds = {word[0]: word.start() for word in re.finditer("[a-z]+", match["what"]) if word[0] in _CLASS}
        places = [next((at for word, at in kinds.items() if _stands_for(name, word)), -1) for name in names]
        if -1 not in places and len(set(places)) == len(names):
            return places
    return []


def places_counted(nouns: Sequence[str], problem: str) -> list[int]:
    """Return where a question counts each of some things; none where it does not count all of them.

    >>> places_counted(["girl", "boy"], "How many boys and how many girls came?")
    [27, 9]
    """
    asked = _HOW_MANY_EACH.search(problem[-MAX_CHARS:])
    found = [re.search(rf"\b{re.escape(noun)}", asked[0], re.IGNORECASE) for noun in nouns] if asked else []
    return [one.start() for one in found if one] if all(found) else []


def _stands_for(letter: str, word: str) -> bool:
    return _SYMBOLS.get(letter, letter.lower()) in (word, word[0])


def names_another(label: str, problem: str, letters: frozenset[str]) -> bool:
    """Return whether a label names something of the question other than what it asks for.

    >>> names_another("a_3", "Let $a_n$ be as above. Find $a_4$.", frozenset("an"))
    True
    >>> names_another("perimeter", "Find the area.", frozenset())
    True
    """
    asked, name = quantities(problem), squeezed(label)
    if _is_of_another_person(label, problem) or (
        (ordinal := _ORDINAL.search(label)) and ordinal[0].lower() not in problem.lower()
    ):
        return True
    if asked and name not in asked and re.match(r"\\?[A-Za-z]+", name) and not _kinds(label):
        reversed_segment = len(name) == 2 and name.isupper() and name[::-1] in asked
        used = name[0] in letters or re.sub(r"\W", "", name) in re.sub(r"[^\w ]", "", problem).split() or "'" in name
        return (
            used or (name.isupper() and any(one.isupper() and len(one) == len(name) for one in asked))
        ) and not reversed_segment
    kinds = _kinds(label)
    wanted = _kinds(" ".join(match["what"] for match in _ASKS.finditer(problem[-MAX_CHARS:])))
    return bool(kinds and wanted and kinds.isdisjoint(wanted))


def _is_of_another_person(label: str, problem: str) -> bool:
    """Return whether a label is the name of somebody in the question who is not the one asked about."""
    name = re.fullmatch(r"(?:\\text\s*\{\s*)?([A-Z][a-z]+)(?:'s [a-z ]+)?\s*\}?", label.strip())
    if name is None or name[1] not in problem:
        return False
    last = _CONDITION.sub("", re.split(r"[.?!]\s", problem.strip(" ?.!"))[-1])
    others = re.findall(r"(?<=\s)[A-Z][a-z]+", last)
    return bool(others) and name[1] not in last


@lru_cache(maxsize=2048)
def asks_in_order(problem: str) -> bool:
    """Return whether a question asks for several things one after the other, so that a bare list has an order.

    >>> asks_in_order("Find the quotient and the remainder."), asks_in_order("Find all roots.")
    (True, False)
    """
    text = problem[-MAX_CHARS:]
    if _TWO_BLANKS.search(text) or _NUMBERED_TASKS.search(text):
        return True
    asked = [_CONDITION.sub("", match["what"]) for match in _ASKS.finditer(text)]
    if any(_NEXT_TERMS.search(part) for part in asked):
        return True
    for part in (part for part in asked if re.search(r"\band\b", part)):
        listed = [one for one in _BETWEEN.split(_VALUE_OF.sub("", part)) if one.strip()]
        if len(_kinds(part) - _EXTREMES) > 1 or (len(listed) > 1 and all(map(_is_symbolic, listed))):
            return True
    return False


@lru_cache(maxsize=2048)
def says_order(problem: str) -> bool:
    """Return whether a question says plainly in which order it wants several things, which nothing else may tell apart.

    >>> says_order("Find a and b, in that order."), says_order("Find x such that A, B and C lie in that order.")
    (True, False)
    """
    text = problem[-MAX_CHARS:]
    if _HOW_MANY_EACH.search(text) or _LISTED_TERMS.search(text):
        return True
    return any(_THAT_ORDER.search(_CONDITION.sub("", match["what"])) for match in _ASKS.finditer(text))


def asks_equation(problem: str) -> bool:
    """Return whether a question asks for an equation as such, in which no letter has to stand alone.

    >>> asks_equation("Find the equation of the line."), asks_equation("Find the mass.")
    (True, False)
    """
    return _EQUATION.search(problem) is not None


def _is_symbolic(part: str) -> bool:
    """Return whether a part of a question is a formula: letters, and no word of prose."""
    text = part.strip()
    return text not in _ARTICLES and re.search(r"[A-Za-z]", text) is not None and not _PROSE.search(text)


def squeezed(text: str) -> str:
    """Return a formula without spaces, delimiters and other dressing, for looking it up in another text."""
    return _DRESSING.sub("", text)


def _kinds(text: str) -> frozenset[int]:
    return frozenset(_CLASS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _CLASS)


# ------------------------------------------------------------------------------------------- remainders, decimal commas

_ASKS_REMAINDER = re.compile(
    r"\bremainder|\bresidue|\b(?:last|final|units?|ones)\b[^.?]{0,12}\bdigits?\b|\bmod|余数|末", re.IGNORECASE
)
_LAST_DIGITS = re.compile(r"\blast (two|three|four|2|3|4) digits|\b(?:last|units?|ones|final) digit\b", re.IGNORECASE)
_POWERS = {"two": 100, "2": 100, "three": 1_000, "3": 1_000, "four": 10_000, "4": 10_000, "": 10}
_MODULUS = re.compile(r"\s*\(?\s*\\text\{\s*mod\s+(\d{1,9})\s*\}\s*\)?$")
_COMMA = re.compile(r"(?<![\d,.])(\d+),(\d+)(?![\d,])")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_FOREIGN_WORDS = words_in(
    """der die das und ist wie viele eine mit von berechne bestimme le la les est combien calculer une des quelle quel el los
    cuántos calcula cuál una por che quanti calcolare della qual quantos calcule uma"""
)
_FOREIGN_TASKS = words_in(
    """calculez calculer déterminez déterminer trouvez trouver arrondir arrondissez arrondi combien résoudre résolvez berechne
    berechnen bestimme bestimmen wieviel wieviele runde gerundet löse calcolare determinare arrotondare quanti"""
)
"""Words of French, German and Italian that no English question has; in Spanish many countries write points."""


def remainder(answer: str, problem: str) -> str | None:
    r"""Return the remainder that a cleaned congruence states; None where the question asks for no such remainder.

    >>> remainder(r"7^{100} \equiv 1 \text{mod 5}", "Find the remainder when $7^{100}$ is divided by $5$.")
    '1'
    """
    modulus = _MODULUS.search(answer) if r"\text{" in answer and _ASKS_REMAINDER.search(problem) else None
    if modulus is None:
        return None
    last = _LAST_DIGITS.search(problem)
    asked = re.search(rf"(?<![\d.^]){int(modulus[1])}(?!\d|\.\d)", problem.replace(",", "")) is not None
    if not (_POWERS[(last[1] or "").lower()] == int(modulus[1]) if last else asked):
        return None
    chain = relation_chain(answer[: modulus.start()])
    first, stated = chain.sides[0], chain.sides[-1].strip()
    if not re.fullmatch(r"\d{1,9}", stated) or int(stated) >= int(modulus[1]):
        return None
    if not chain.relations:
        return stated
    bare, question = (re.sub(r"[\s{}]", "", text) for text in (first, clean(problem)))
    known = bare in question or re.fullmatch("[A-Za-z]", first) is not None
    return stated if known and set(chain.relations) <= {r"\equiv", "="} and chain.relations[-1] == r"\equiv" else None


def with_decimal_points(reference: str, answer: str, problem: str) -> tuple[str, str] | None:
    """Return both texts with decimal points for decimal commas; None where there are none, or nothing says that they are such.

    The question's language says so, or its words; without a question a reference such as ``0,25`` does.
    """
    if "," not in reference and "," not in answer:
        return None
    if not (has_decimal_commas(problem) if problem else re.fullmatch(r"-?0,\d{2,}", reference) and "," not in answer):
        return None
    one, other = (
        text if text.startswith("(") and ";" not in text else _COMMA.sub(r"\1.\2", text) for text in (reference, answer)
    )
    return (one, other) if (one, other) != (reference, answer) else None


@lru_cache(maxsize=1024)
def has_decimal_commas(problem: str) -> bool:
    """Return whether a question is in a language that writes decimal commas, or says that it does."""
    if "decimal comma" in problem.lower() or len(_CYRILLIC.findall(problem[:2000])) >= 10:
        return True
    words = re.findall(r"[^\W\d_]+", problem[:2000].lower())
    return len(_FOREIGN_WORDS.intersection(words)) >= 3 or not _FOREIGN_TASKS.isdisjoint(words)
