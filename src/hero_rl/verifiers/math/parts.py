r"""Answers in labelled parts: ``mean 5, median 4``, ``(a) 1 (b) 2``, ``local min at (1,0); saddle point at (-1,0)``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from hero_rl.verifiers.latex import relation_chain, split_list
from hero_rl.verifiers.math.findings import Finding, all_of, equal, unsure

CompareTexts: TypeAlias = Callable[[str, str], Finding]

MAX_PARTS = 12
_MAX_CHARS = 400
_WORDS = re.compile(
    r"\\text\{([^{}]*)\}|\\(max|min)(?![A-Za-z]|\s*(?:[(_]|\\\{))|(?<![A-Za-z\\])((?:[A-Za-z]{3,}\.?|at|is|on|up|or|pt\.?)(?![A-Za-z(]))"
)
_ENUMERATED = re.compile(
    r"(?:\\text\{\s*)?(?:(?:part\s*)?\((?P<open>[a-h]|[1-9]|i{1,3}|iv|vi{0,3})\)|(?P<close>[a-h]|[1-9]|i{1,3}|iv|vi{0,3})\))\s*:?\s*\}?\s*:?",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"[+*/^]|\\(?:cdot|times|div)(?![A-Za-z])")
"""Signs that begin no part of an answer: ``(1)+5`` is a sum."""
_COUNTERS = ("abcdefgh", "123456789", ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii"))
_LINKS = frozenset(
    ("at", "on", "for", "is", "are", "when", "if", "of", "the", "a", "an", "and", "equals", "equal", "be", "has", "have",
    "occur", "occurs", "in", "with", "as", "value", "values")
)  # fmt: skip
_BETWEEN = frozenset(("or", "to", "and"))
_SYNONYMS = {
    "maximum": "max", "maxima": "max", "minimum": "min", "minima": "min", "pt": "point", "centre": "center", "radius": "r",
    "diameter": "d", "largest": "max", "greatest": "max", "smallest": "min", "relative": "local", "prob": "probability",
    "eigenvalues": "eigenvalue", "points": "point",
}  # fmt: skip
_DROPPED = frozenset(("point", "number"))
_NO_LABELS = frozenset(
    ("not", "no", "never", "less", "more", "than", "least", "most", "about", "approximately", "except", "minus", "plus",
    "times", "divided", "over", "negative", "positive", "half", "twice", "either", "neither", "both", "square", "root",
    "otherwise", "because", "since", "therefore", "but", "only", "wrong", "correct", "maybe", "possibly", "let")
)  # fmt: skip
"""Words that change what follows, and do not name it."""


class Part(NamedTuple):
    """One labelled part of an answer."""

    label: tuple[str, ...]
    text: str


@lru_cache(maxsize=1024)
def read_parts(text: str) -> tuple[Part, ...] | None:
    r"""Return the labelled parts of a cleaned text; None where it has none, or something without a label.

    >>> [part.label for part in read_parts(r"\text{mean} 5, \text{median} 4")]
    [('mean',), ('median',)]
    """
    if len(text) > _MAX_CHARS:
        return None
    enumerated = _enumerated(text)
    found = enumerated if enumerated is not None else _worded(text)
    if not found or len(found) > MAX_PARTS or len({part.label for part in found}) != len(found):
        return None
    return tuple(found) if all(_NO_LABELS.isdisjoint(part.label) for part in found) else None


def _enumerated(text: str) -> list[Part] | None:
    """``(a) 1 (b) 2``: two parts or more, counted from the first letter or number on, in whatever order they stand."""
    marks = list(_ENUMERATED.finditer(text))
    if len(marks) < 2 or text[: marks[0].start()].strip():
        return None
    names = [(mark["open"] or mark["close"]).lower() for mark in marks]
    counter = next((one for one in _COUNTERS if sorted(names) == sorted(one[: len(names)])), None)
    if counter is None:
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    contents = [_stripped(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    if not all(contents) or any(map(_OPERATOR.match, contents)):
        return None
    return [Part((f"#{counter.index(name)}",), content) for name, content in zip(names, contents, strict=True)]


def are_labelled(reference: str, answer: str) -> bool:
    """Return whether both texts have labelled parts, or one of them counts its parts, ``(a) 1 (b) 2``."""
    a, b = read_parts(reference), read_parts(answer)
    return (a is not None and b is not None) or any(one is not None and one[0].label[0].startswith("#") for one in (a, b))


def _worded(text: str) -> list[Part] | None:
    """Words and then what they name, again and again."""
    if _WORDS.search(text) is None:
        return None
    parts: list[Part] = []
    label: list[str] = []
    content = ""
    at = 0
    for match in (*_WORDS.finditer(text), None):
        between = text[at : match.start()] if match else text[at:]
        content += between
        at = match.end() if match else at
        words = _label_words(match[1] or match[2] or match[3]) if match else None
        if words is not None and not words:
            joins = match and (match[1] or match[3] or "").strip() in _BETWEEN and content
            content += f" {match.group() if match and joins else ''} "
            continue
        if _stripped(content):
            found = _labelled(label, content)
            if found is None:
                return None
            parts += found
            label, content = [], ""
        label += words or []
    return parts if parts and not label else None


def _labelled(label: list[str], content: str) -> list[Part] | None:
    """Return the parts in what follows a label: more than one where a letter labels the second, ``center (1,2), r = 3``."""
    label = [word for word in label if word not in _DROPPED] or label
    pieces = split_list(_stripped(content))
    own = [at for at, piece in enumerate(pieces) if _own_label(piece)]
    if label and len(pieces) == len(own) == 1:  # a word and its letter, as in "radius r = 3"
        return [Part(tuple(label), relation_chain(pieces[0]).sides[1])]
    if not own:
        return [Part(tuple(label), _stripped(content))] if label else None
    first = own[0]
    parts = [Part(tuple(label), ", ".join(pieces[:first]))] if first else []
    if bool(parts) != bool(label):
        return None
    for at in own:
        chain = relation_chain(pieces[at])
        parts.append(Part((_own_label(pieces[at]),), chain.sides[1]))
    return parts if len(own) == len(pieces) - first else None


def _own_label(piece: str) -> str:
    chain = relation_chain(piece)
    return chain.sides[0] if chain.relations == ["="] and re.fullmatch("[A-Za-z]", chain.sides[0]) else ""


def _label_words(text: str) -> list[str]:
    words = [word.strip(".:;,()=").lower() for word in text.split()]
    return [_SYNONYMS.get(word, word) for word in words if word and word not in _LINKS and word not in _BETWEEN]


def _stripped(text: str) -> str:
    text = re.sub(r"^\s*\\text\{\s*(?:and|or)\s*\}|\\text\{\s*(?:and|or)\s*\}\s*$|(?<=[\s\d),])\s+and$", "", text.strip())
    return text.strip(" ,;:=.").strip()


def compare_parts(reference: str, answer: str, compare: CompareTexts) -> Finding | None:
    """Return how two texts relate of which at least one has labelled parts; None where neither has, or nothing can be said."""
    a, b = read_parts(reference), read_parts(answer)
    if a is not None and b is not None:
        named = {part.label: part.text for part in b}
        same = {part.label for part in a} == named.keys()
        return all_of([compare(part.text, named[part.label]) for part in a]) if same else unsure("labels_differ")
    labelled = sorted(a or b or (), key=lambda part: part.label if part.label[0].startswith("#") else ())
    if len(labelled) < 2:
        return None
    bare = answer if a is not None else reference
    pieces = split_list(bare)
    if len(pieces) != len(labelled) or any(relation_chain(piece).relations == ["="] for piece in pieces):
        return None
    pairs = [(part.text, piece) if a is not None else (piece, part.text) for part, piece in zip(labelled, pieces, strict=True)]
    found = all_of([compare(one, other) for one, other in pairs])
    return equal("equal_labels_left_out") if found.relation == "equal" else unsure("labels_differ")
