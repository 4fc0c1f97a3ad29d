r"""Statements: with quantifiers, in words, numbered, and lists in words.

"Which clock is right more often: a slow one or a stopped one?" is answered by "A stopped clock is right more often" and by
"stopped" alike; a word that the question offers beside others, or one that it has not, has to be in both.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from hero_rl.verifiers.math.words import COMPARING, LOADED, NEGATIONS, SMALL_NUMBERS, TEXT, singular, words_in

MAX_CHARS = 200
MAX_PROBLEM_CHARS = 2_000
MAX_WORDS = 60

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_NAME = re.compile(r"(?<![.?!:] )(?<!^)\b([A-Z][a-z]{2,})\b")
_FUNCTION_WORDS = words_in(
    """a an the is are was were be been it its this that these those they he she we there will would does do did has have had
    in on of at to for by from with as which who whom whose what when where how one ones so"""
)
_OFFERED = re.compile(r"([^.?!:;()]{1,120}?),?\s+or\s+([^.?!;()]{1,120})")
_UNLIKE = (LOADED | COMPARING - words_in("more less most least over out up down at point")) - words_in("was were would will")
_WINS = dict.fromkeys(("wins", "winning", "winner"), "win")
_SILENT = words_in("a an the is are was were be it its that this there will would so does do did has have and")
_ONE_FORM = {
    "converges": "convergent", "converge": "convergent", "converging": "convergent", "diverges": "divergent",
    "diverge": "divergent", "diverging": "divergent", "increases": "increasing", "decreases": "decreasing",
}  # fmt: skip
_OPPOSITES = {"convergent": "divergent", "divergent": "convergent"}
_SUBJECTS = words_in("serie sequence integral function relation system statement condition answer limit equation graph curve")
"""Subjects of a short statement: the question names them, and one of two statements may leave them out."""
_WORD_OR_SIGN = re.compile(r"\\[A-Za-z]+|[^\W\d_]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[^\s\w.,;:\"“”?]|_")
_ORDER = re.compile(
    r"\b(?:order|first|second|third|last|before|after|respectively|rank|win\w*|then|steps?|sequence|correspond\w*|each|match\w*)\b",
    re.IGNORECASE,
)


def same_statement(reference: str, answer: str) -> bool:
    r"""Return whether two texts say the same in the same words: articles apart, each word, number, sign and operator counts.

    >>> same_statement("The series converges", r"\text{convergent}"), same_statement("at most n-1", "at most n+1")
    (True, False)
    """
    expected, given = _statement(reference), _statement(answer)
    if expected == given:
        return bool(expected)
    here, there = (tuple(word for word in words if word not in _SUBJECTS) for words in (expected, given))
    return bool(here) and here == there and (len(here) == len(expected) or len(there) == len(given))


def same_list(reference: str, answer: str, problem: str) -> bool:
    """Return whether two texts list the same things in words, where nothing in the question speaks of an order.

    >>> same_list("red, blue", "blue and red", "Which colours?"), same_list("Ann, Ben", "Ben, Ann", "Who was first, who last?")
    (True, False)
    """
    here, there = _listed(reference), _listed(answer)
    return len(here) > 1 and here == there and bool(problem) and not _ORDER.search(problem)


def _listed(text: str) -> frozenset[tuple[str, ...]]:
    """Return the things that a text lists; none where something in it is no plain word."""
    parts = [_statement(part) for part in re.split(r",|;|\band\b", TEXT.sub(r" \1 ", text)) if part.strip(" .")]
    plain = all(part and all(word.isalpha() and len(word) > 1 and word not in LOADED for word in part) for part in parts)
    return frozenset(parts) if plain else frozenset()


def _statement(text: str) -> tuple[str, ...]:
    plain = TEXT.sub(r" \1 ", text).replace("’", "'")
    found = _WORD_OR_SIGN.findall(re.sub(r"^\s*A (?=[a-z]{4,}(?<!s)\b)", "", plain))
    if len(found) > MAX_WORDS:
        return ()
    kept = 2 if re.search(r"[_^]\{?\d", plain) else 1  # in SO_4 the case of a letter tells elements apart
    words = [word if len(word) <= kept or word.startswith("\\") else word.lower() for word in found]
    words = [NEGATIONS.get(word) or _ONE_FORM.get(word) or str(SMALL_NUMBERS.get(word, word)) for word in words]
    words = [singular(word) for word in words if word not in _SILENT]
    for at in range(len(words) - 1, 0, -1):
        if words[at - 1] == "not" and words[at] in _OPPOSITES:
            words[at - 1 : at + 1] = [_OPPOSITES[words[at]]]
    return tuple(words)


def says_no_more(reference: str, answer: str, problem: str) -> bool:
    """Return whether one of two texts in words is the other without words that the question says itself.

    >>> question = "Which clock is right more often: a slow one or a stopped one?"
    >>> says_no_more("A stopped clock is right more often", "stopped", question)
    True
    >>> says_no_more("A stopped clock is right more often", "clock", question)
    False
    """
    expected, given = (_stems(_plain(text)) for text in (reference, answer))
    shorter, longer = sorted((frozenset(expected), frozenset(given)), key=len)
    if not shorter or not shorter <= longer:
        return False
    rest, asked = longer - shorter, _asked(problem)
    if not rest <= asked or not rest.isdisjoint(_UNLIKE):
        return False
    if not shorter.isdisjoint(("yes", "no")) and not rest.isdisjoint(("true", "correct", "right", "false", "wrong")):
        return False
    if not rest:
        return expected == given
    offered = _offered(problem)
    if offered:
        chosen = [{at for at, words in enumerate(offered) if words & text} for text in (shorter, longer)]
        return len(chosen[0]) == 1 and chosen[0] == chosen[1]
    return not shorter <= asked


def _plain(text: str) -> str:
    """Return a short text of nothing but words, in lower case; "" for any other text."""
    plain = TEXT.sub(r" \1 ", text).replace("’", "'")
    odd = len(plain) > MAX_CHARS or not plain.isascii() or re.search(r"[\d\\$=<>^+*/(){}\[\]-]", plain)
    return "" if odd else plain.lower()


def _stems(text: str, silent: Collection[str] = _FUNCTION_WORDS) -> list[str]:
    """Return the words of a text that say something, in the singular."""
    return [_WINS.get(word) or singular(word) for word in _WORD.findall(text) if word not in silent]


@lru_cache(maxsize=512)
def _asked(problem: str) -> frozenset[str]:
    return frozenset(_stems(problem[-MAX_PROBLEM_CHARS:].lower(), ()))


@lru_cache(maxsize=512)
def _offered(problem: str) -> tuple[frozenset[str], ...]:
    """Return what a question offers to choose from, each by the words that the others have not; or the people it names."""
    text = problem[-MAX_PROBLEM_CHARS:]
    question = text[max(text.rfind(". ", 0, -1), text.rfind(": ", 0, -1), -1) + 1 :]
    found = _OFFERED.search(question)
    if found is not None:
        words = [frozenset(_stems(part.lower())) for part in (*found[1].split(","), found[2])]
        own = [part - frozenset().union(*(other for other in words if other is not part)) for part in words]
        return tuple(part for part in own if part)
    names = dict.fromkeys(name.lower() for name in _NAME.findall(text))
    return tuple(frozenset(_stems(name, ())) for name in names) if re.search(r"\bwho(?:m|se)?\b", text.lower()) else ()
