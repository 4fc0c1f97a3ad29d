r"""Statements: those that begin with quantifiers, and those in words of which one says no more than the other and the question.

"Which clock is right more often: a slow one or a stopped one?" is answered by "A stopped clock is right more often" and by
"stopped" alike; a word that the question offers beside others, or one that it has not, has to be in both.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hero_rl.verifiers.math.findings import EQUAL, Finding
from hero_rl.verifiers.math.words import COMPARING, LOADED

MAX_CHARS = 200
MAX_PROBLEM_CHARS = 2_000


def words_in(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_QUANTIFIER = re.compile(
    r"\\(?:forall|exists)(?![A-Za-z])|\b(?:for (?:all|every|each|any)|(?:there )?(?:exists?|is|are)(?: an?| some)?)\b",
    re.IGNORECASE,
)
_STARTS = re.compile(
    r"\s*(?:\\text\s*\{\s*)?(?:\\(?:forall|exists)(?![A-Za-z])|(?:for (?:all|every|each|any)|there (?:exists?|is|are))\b)",
    re.IGNORECASE,
)
_SUCH_THAT = re.compile(
    r"\b(?:such that|with|we have|it holds that|so that|satisfying|s\.?t\.?)(?![a-z])|[,:;]|\\mid(?![A-Za-z])|\\quad"
)
_DRESSING = re.compile(r"\\text\s*\{([^{}]*)\}")
_SET = re.compile(r"(?<=\\in)([RNZQC])(?![A-Za-z])")

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_NAME = re.compile(r"(?<![.?!:] )(?<!^)\b([A-Z][a-z]{2,})\b")
_FUNCTION_WORDS = words_in(
    """a an the is are was were be been it its this that these those they he she we there will would does do did has have had
    in on of at to for by from with as which who whom whose what when where how one ones so"""
)
_OFFERED = re.compile(r"([^.?!:;()]{1,120}?),?\s+or\s+([^.?!;()]{1,120})")
_UNLIKE = LOADED | COMPARING - frozenset(("more", "less", "most", "least", "over", "out", "up", "down", "at", "point"))
_HARMLESS = frozenset(("was", "were", "would", "will"))


def compare_quantified(reference: str, answer: str) -> Finding | None:
    r"""Return "equal" for one statement with quantifiers in signs and in words; None elsewhere.

    >>> compare_quantified(r"\exists x, x^2<0", r"\text{There exists } x \text{ such that } x^2<0").relation
    'equal'
    """
    if not _STARTS.match(reference) or not _STARTS.match(answer) or max(len(reference), len(answer)) > MAX_CHARS:
        return None
    return EQUAL if _in_signs(reference) == _in_signs(answer) else None


def _in_signs(text: str) -> str:
    plain = _DRESSING.sub(r" \1 ", text)
    plain = _QUANTIFIER.sub(lambda found: r"\forall " if re.match(r"\\forall|for", found.group(), re.I) else r"\exists ", plain)
    plain = re.sub(r"\\mathbb\s*\{?\s*([RNZQC])\s*\}?", r"\1", _SUCH_THAT.sub(" ", plain))
    plain = re.sub(r"\b(?:real numbers?|integers?|numbers?)\b", " ", plain)
    return re.sub(r"[\s$.()]", "", plain.replace(r"\geq", r"\ge").replace(r"\leq", r"\le"))


def says_no_more(reference: str, answer: str, problem: str) -> bool:
    """Return whether one of two texts in words is the other without words that the question says itself.

    >>> question = "Which clock is right more often: a slow one or a stopped one?"
    >>> says_no_more("A stopped clock is right more often", "stopped", question)
    True
    >>> says_no_more("A stopped clock is right more often", "clock", question)
    False
    """
    expected, given = _content(reference), _content(answer)
    if expected is None or given is None or not expected or not given:
        return False
    shorter, longer = (expected, given) if len(expected) <= len(given) else (given, expected)
    rest = longer - shorter
    if not shorter.isdisjoint(("yes", "no")) and not rest.isdisjoint(("true", "correct", "right", "false", "wrong")):
        return False
    if not shorter <= longer or not rest <= _words_of(problem) or not rest.isdisjoint(_UNLIKE - _HARMLESS):
        return False
    if not rest:
        return _order(reference) == _order(answer)
    offered = _offered(problem)
    if offered:
        chosen = [{at for at, words in enumerate(offered) if words & text} for text in (shorter, longer)]
        return len(chosen[0]) == 1 and chosen[0] == chosen[1]
    return not shorter <= _words_of(problem)


def _content(text: str) -> frozenset[str] | None:
    """Return the words of a text that say something; None where it has anything else."""
    plain = _DRESSING.sub(r" \1 ", text).replace("’", "'")
    if len(plain) > MAX_CHARS or not plain.isascii() or re.search(r"[\d\\$=<>^+*/(){}\[\]-]", plain):
        return None
    words = [_stem(word) for word in _WORD.findall(plain.lower()) if word not in _FUNCTION_WORDS]
    return frozenset(words)


def _order(text: str) -> list[str]:
    return [_stem(word) for word in _WORD.findall(_DRESSING.sub(r" \1 ", text).lower()) if word not in _FUNCTION_WORDS]


@lru_cache(maxsize=512)
def _words_of(problem: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(problem[-MAX_PROBLEM_CHARS:].lower()))


@lru_cache(maxsize=512)
def _offered(problem: str) -> tuple[frozenset[str], ...]:
    """Return what a question offers to choose from, each by the words that the others have not; or the people it names."""
    text = problem[-MAX_PROBLEM_CHARS:]
    question = text[max(text.rfind(". ", 0, -1), text.rfind(": ", 0, -1), -1) + 1 :]
    found = _OFFERED.search(question)
    if found is not None:
        parts = [*found[1].split(","), found[2]]
        words = [
            frozenset(_stem(word) for word in _WORD.findall(part.lower()) if word not in _FUNCTION_WORDS) for part in parts
        ]
        own = [part - frozenset().union(*(other for other in words if other is not part)) for part in words]
        return tuple(part for part in own if part)
    names = dict.fromkeys(name.lower() for name in _NAME.findall(text))
    return tuple(frozenset((_stem(name),)) for name in names) if re.search(r"\bwho\b|\bwhom\b|\bwhose\b", text.lower()) else ()


def _stem(word: str) -> str:
    if word in ("wins", "winning", "winner"):
        return "win"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
