r"""Taking a cleaned answer apart at its top level: lists, brackets, relations, qualifiers. Text only."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

MAX_ITEMS = 200
MAX_NESTING = 60

_OPEN = frozenset(("(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"))
_CLOSE = frozenset((")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"))
_PIECE = re.compile(r"\\begin\{[a-z*]+\}|\\end\{[a-z*]+\}|\\text\{[^{}]*\}|\\[A-Za-z]+|\\.|.", re.DOTALL)
_CLOSES_WHAT = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle"}


class Piece(NamedTuple):
    """One sign or command, and how deep in brackets it stands."""

    text: str
    begin: int
    end: int
    depth: int


@lru_cache(maxsize=1024)
def pieces(text: str) -> tuple[Piece, ...]:
    """The signs and commands of a text with their depth; a bracket itself counts as outside of what it encloses."""
    found: list[Piece] = []
    depth = 0
    for match in _PIECE.finditer(text):
        piece = match.group()
        if piece in _CLOSE or piece.startswith(r"\end{"):
            depth = max(0, depth - 1)
        found.append(Piece(piece, match.start(), match.end(), depth))
        if piece in _OPEN or piece.startswith(r"\begin{"):
            depth += 1
    return tuple(found)


def split_at(text: str, is_separator: Callable[[str], bool]) -> list[str]:
    """The parts between the separators that stand outside of all brackets, stripped."""
    parts: list[str] = []
    begin = 0
    for piece in pieces(text):
        if piece.depth == 0 and is_separator(piece.text):
            parts.append(text[begin : piece.begin].strip())
            begin = piece.end
    parts.append(text[begin:].strip())
    return parts


_WORD_SEPARATOR = re.compile(r"\\text\{\s*(?:,\s*)?(?:and|or|und|et)\s*,?\s*\}")
_BARE_WORDS = re.compile(r"(?<![A-Za-z\\{])(and|or)(?![A-Za-z}])")
_OXFORD = re.compile(r",\s*(\\text\{(?:and|or)\})")
_IN_TEXT = re.compile(r"\\text\{([^{}]*?)\b(and|or)\b([^{}]*)\}")


def split_list(text: str) -> list[str]:
    r"""The elements of a list: separated by commas, semicolons, ``and`` or ``or``; one element where there is no list.

    >>> split_list(r"7, -2, \text{and} -5")
    ['7', '-2', '-5']
    """
    text = words_apart(text)
    parts = split_at(text, lambda piece: piece in (",", ";", r"\\") or _WORD_SEPARATOR.fullmatch(piece) is not None)
    return [part for part in parts if part][:MAX_ITEMS]


def words_apart(text: str) -> str:
    r"""The text with each ``and`` and ``or`` in a ``\text`` of its own, and none beside a comma."""
    text = _BARE_WORDS.sub(r"\\text{\1}", text) if "\\text{" not in text or re.search(r"[\d)] (?:and|or) ", text) else text
    text = _IN_TEXT.sub(lambda m: _texted(m[1]) + f"\\text{{{m[2]}}}" + _texted(m[3]), text)
    return _OXFORD.sub(r"\1", text)


def _texted(content: str) -> str:
    content = content.strip(" ,")
    if not re.search("[A-Za-z]", content):
        return f" {content} "
    return f" \\text{{{content}}} " if content else " "


def brackets(text: str) -> tuple[str, str, str] | None:
    """Opening bracket, content and closing bracket of a text that one pair of brackets encloses; None for other texts.

    Half-open intervals count: ``[0, 1)`` is enclosed.
    """
    found = pieces(text)
    if len(found) < 2 or found[0].text not in _CLOSES_WHAT or found[-1].text not in _CLOSES_WHAT.values():
        return None
    if any(piece.depth == 0 for piece in found[1:-1]) or found[-1].depth != 0:
        return None
    opening, closing = found[0].text, found[-1].text
    mixed = {opening, closing} <= {"(", ")", "[", "]"}
    if closing != _CLOSES_WHAT[opening] and not mixed:
        return None
    return opening, text[found[0].end : found[-1].begin].strip(), closing


RELATIONS = frozenset(
    ("=", "<", ">", r"\le", r"\ge", r"\ne", r"\in", r"\approx", r"\equiv", r"\subset", r"\subseteq", r"\to", r"\notin")
)


class Chain(NamedTuple):
    """Sides and the relations between them: one side more than relations."""

    sides: list[str]
    relations: list[str]


def relation_chain(text: str) -> Chain:
    """The text taken apart at the relations that stand outside of all brackets."""
    relations: list[str] = []

    def separates(piece: str) -> bool:
        if piece in RELATIONS:
            relations.append(piece)
            return True
        return False

    return Chain(split_at(text, separates), relations)


_SET_NAME = r"(?:\\mathbb\{[A-Z]\}|[A-Z])(?:\s*[_^]\s*(?:\{[^{}]*\}|[-+*\d>0]+))*(?:_?\{?[^{},\s]*\}?)?"
_DOMAIN_TAIL = re.compile(
    r"\s*(?:[,;(\[]|\\quad|\\text\{\s*(?:,\s*)?(?:for|where|with|for (?:all|any|every|each|some)(?: integers?)?)\s*\}|for|"
    r"where)*\s*"
    rf"(?:\\forall)?\s*(?<![A-Za-z\\])(?:[A-Za-z](?:\s*,\s*[A-Za-z])*)\s*\\in\s*{_SET_NAME}\s*[)\]]?$"
)
_QUALIFIER = re.compile(
    r"[,;(]?\s*(?:\\text\{\s*[,(]?\s*(?:for (?:all|any|every|each|some)|where|with|for|if|when|as long as|such that)\b[^{}]*\}|"
    r"\b(?:for (?:all|any|every|each|some)|where)\b|\\forall)(?P<rest>.*)$",
    re.DOTALL,
)
_QUALIFIER_TOKEN = re.compile(r"\\mathbb\{[A-Z]\}|\\?[A-Za-z]+|[^\s\w]|\d+")
_HARMLESS = frozenset(
    ["all", "any", "some", "every", "each", "is", "are", "a", "an", "the", "where", "for", "with", "real", "reals",
    "positive", "nonnegative", "non", "negative", "integer", "integers", "number", "numbers", "arbitrary", "constant",
    "constants", "natural", "rational", "whole", "of", "integration", "complex", "in", "be", "can", "\\in", "\\ge",
    "\\ldots", "\\forall", "\\quad", "-", ",", ".", "(", ")", ">", "+", "*", "^", "_", "=", "{", "}", "$", "0"]
)  # fmt: skip
_TAIL_CHARS = 120


class Qualified(NamedTuple):
    """A statement, and what was said about it at its end."""

    core: str
    qualifier: str
    harmless: bool
    """The qualifier only names a domain (``for all real x``), and may be left out."""


def split_qualifier(text: str) -> Qualified:
    r"""The text without what it says at its end about its variables.

    >>> split_qualifier(r"k\pi, k \in \mathbb{Z}").core
    'k\\pi'
    """
    match = _QUALIFIER.search(text)
    begin = match.start() if match else -1
    if match is None and r"\in" in text:
        cut = max(0, len(text) - _TAIL_CHARS)
        match = _DOMAIN_TAIL.search(text[cut:])
        begin = cut + match.start() if match else -1
    if match is None or not match.group().strip() or begin <= 0:
        return Qualified(text, "", True)
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text[begin:])
    harmless = all(_is_harmless(token) for token in _QUALIFIER_TOKEN.findall(words))
    return Qualified(text[:begin].rstrip(" ,;("), text[begin:], harmless)


def _is_harmless(token: str) -> bool:
    return (len(token) == 1 and token.isalpha()) or token.startswith(r"\mathbb") or token.lower() in _HARMLESS
