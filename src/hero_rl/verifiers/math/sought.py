r"""What a question asks for by name, ``Find $x+y$``, ``the area and the perimeter``; whether a label names another thing."""

from __future__ import annotations

import re
from functools import lru_cache

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
    ("area",), ("perimeter",), ("volume",), ("circumference",), ("radius",), ("diameter",), ("length",), ("width",),
    ("height",),
    ("mean", "average"), ("median",), ("mode",),
    ("maximum", "max", "largest", "larger", "greatest", "greater", "biggest", "bigger", "highest", "higher"),
    ("minimum", "min", "smallest", "smaller", "least", "lesser", "lowest", "lower"),
    ("sum",), ("product",), ("difference",), ("quotient",), ("remainder",),
    ("numerator",), ("denominator",), ("slope",), ("intercept",), ("speed",), ("distance",), ("time",), ("first",), ("second",),
)  # fmt: skip
_CLASS = {word: index for index, words in enumerate(_EXCLUSIVE) for word in words}
_ORDINAL = re.compile(r"\b(?:second|third|next|other|another)\b", re.IGNORECASE)
_EXTREMES = frozenset((_CLASS["maximum"], _CLASS["minimum"]))
"""Which of two values is the larger one, the values say."""
_TWO_BLANKS = re.compile(r"_{2,}.*_{2,}", re.DOTALL)
_NEXT_TERMS = re.compile(
    r"\b(?:next|first|last) (?:two|three|four|five|six|\d+) (?:terms|numbers|digits|elements)", re.IGNORECASE
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
        for part in _BETWEEN.split(_VALUE_OF.sub("", _CONDITION.sub("", match["what"]))):
            if _is_symbolic(part):
                found.add(squeezed(part))
    return frozenset(found)


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
    return any(re.search(r"\band\b", part) and (len(_kinds(part) - _EXTREMES) > 1 or _lists_symbols(part)) for part in asked)


def _lists_symbols(part: str) -> bool:
    parts = [one.strip() for one in _BETWEEN.split(_VALUE_OF.sub("", part)) if one.strip()]
    return len(parts) > 1 and all(map(_is_symbolic, parts))


def _is_symbolic(part: str) -> bool:
    """Return whether a part of a question is a formula: letters, and no word of prose."""
    text = part.strip()
    return text not in _ARTICLES and re.search(r"[A-Za-z]", text) is not None and not _PROSE.search(text)


def squeezed(text: str) -> str:
    """Return a formula without spaces, delimiters and other dressing, for looking it up in another text."""
    return _DRESSING.sub("", text)


def _kinds(text: str) -> frozenset[int]:
    return frozenset(_CLASS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _CLASS)
