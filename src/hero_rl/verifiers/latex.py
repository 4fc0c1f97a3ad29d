r"""LaTeX taken apart at its top level: brackets, lists, relations. Text only."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

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
    """Return the signs and commands of a text with their depth; a bracket itself counts as outside of what it encloses."""
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


def split_at(text: str, *separators: str) -> list[str]:
    """Return the parts between the separators that stand outside of all brackets, stripped."""
    if not any(separator in text for separator in separators):
        return [text.strip()]
    return taken_apart(text, separators)[0]


def taken_apart(text: str, separators: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the parts between the separators that stand outside of all brackets, stripped, and these separators."""
    parts: list[str] = []
    found: list[str] = []
    begin = 0
    for piece in pieces(text):
        if piece.depth == 0 and piece.text in separators:
            found.append(piece.text)
            parts.append(text[begin : piece.begin].strip())
            begin = piece.end
    parts.append(text[begin:].strip())
    return parts, found


_WORD_SEPARATOR = re.compile(r"\\text\{\s*(?:,\s*)?(?:and|or|und|et)\s*,?\s*\}")
_BARE_WORDS = re.compile(r"(?<![A-Za-z\\{])(and|or)(?![A-Za-z}])")
_OXFORD = re.compile(r",\s*(\\text\{(?:and|or)\})")
_IN_TEXT = re.compile(r"\\text\{([^{}]*?)\b(and|or)\b([^{}]*)\}")


def split_list(text: str) -> list[str]:
    r"""Return the elements of a list: separated by commas, semicolons, ``and`` or ``or``; one element where there is no list.

    >>> split_list(r"7, -2, \text{and} -5")
    ['7', '-2', '-5']
    """
    text = words_apart(text)
    words = _WORD_SEPARATOR.findall(text) if r"\text{" in text else ()
    parts = split_at(text, ",", ";", r"\\", *words)
    return [part for part in parts if part]


def words_apart(text: str) -> str:
    r"""Return the text with each ``and`` and ``or`` in a ``\text`` of its own, and none beside a comma."""
    if "and" not in text and "or" not in text:
        return text
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


def builder_halves(content: str) -> tuple[str, str] | None:
    r"""Return what stands before and after "such that" in a set-builder; None where the content of the braces has none.

    >>> builder_halves(r"x | |x|<1"), builder_halves("|a|, |b|")
    (('x', '|x|<1'), None)
    """
    sign = next((sign for sign in (":", "|") if len(split_at(content, sign)) % 2 == 0), "")
    if not sign:
        return None
    head, *rest = split_at(content, sign)
    return (head, sign.join(rest)) if head and rest[0] + rest[-1] else None


_RELATIONS = frozenset(
    ("=", "<", ">", r"\le", r"\ge", r"\ne", r"\in", r"\approx", r"\equiv", r"\subset", r"\subseteq", r"\to", r"\notin")
)
TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}
"""Relations, and what they are from right to left."""
_RELATION = re.compile(r"[=<>]|\\(?:[lgn]e|in|approx|equiv|subset|to|notin)")


class Chain(NamedTuple):
    """Sides and the relations between them: one side more than relations."""

    sides: list[str]
    relations: list[str]


def relation_chain(text: str) -> Chain:
    """Return the text taken apart at the relations that stand outside of all brackets."""
    if not _RELATION.search(text):
        return Chain([text.strip()], [])
    return Chain(*taken_apart(text, _RELATIONS))


_OPEN_ENDS = re.compile(r"([\[\]])([^\[\]]{1,60}[,;][^\[\],;]{1,60})([\[\]])")


def round_brackets(text: str) -> str:
    """Return a text with open ends of intervals written round: ``]1, 2]`` as ``(1, 2]``."""
    if len(text) > 200 or not re.search(r"^[^\[]*\]|\[[^\]]*$", text):
        return text
    spelled = _OPEN_ENDS.sub(lambda m: f"{'(' if m[1] == ']' else '['}{m[2]}{')' if m[3] == '[' else ']'}", text)
    return text if re.search(r"^[^\[]*\][^(]*\[", spelled) else spelled


def ungrouped(text: str) -> str:
    """Return the text without braces around the whole of it."""
    text = text.strip()
    while text.startswith("{") and (enclosed := brackets(text)):
        text = enclosed[1]
    return text
