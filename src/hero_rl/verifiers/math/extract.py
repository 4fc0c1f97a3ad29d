r"""Extraction: where in a response its final answer is, and whether it is one answer."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.boxes import MAX_RESPONSE_CHARS, last_boxed

Source: TypeAlias = Literal["box", "boxes", "tag", "hashes", "phrase", "whole", "none"]

MAX_BARE_CHARS = 300
"""A response without any mark is taken to *be* the answer up to this length; a longer one has no answer."""
MAX_JOINED_BOXES = 20

_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_TAG = re.compile(r"<answer>\s*([^<]{1,2000}?)\s*</answer>", re.IGNORECASE)
_PHRASE = re.compile(r"\banswer\b[*_\s]*(?:is\b|:|=)[*_:\s]*([^\n]+)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.\s+(?=[A-Z])")
_BETWEEN_BOXES = re.compile(
    r"[\s$.,;&*]*(?:\\q?quad|\\[,;])?[\s$]*(?:(?:\\text\{)?\s*\b(?:and|or)\b\s*\}?)?[\s$,;]*(?:\\q?quad)?"
    r"(?:[A-Za-z](?:_\{?\w\}?)?\s*=)?[\s$]*(?:\\\(|\\\[)?[\s$]*"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_CLOSING = re.compile(r"^[\s$]*(?:\\\)|\\\])")


class FoundAnswer(NamedTuple):
    """The final answer of a response as it stands there."""

    text: str
    source: Source
    """``boxes``: several different boxes that stand side by side, joined by commas; ``none``: there is no answer."""


def find_answer(response: str) -> str:
    """The text of ``extract_answer``."""
    return extract_answer(response).text


def extract_answer(response: str) -> FoundAnswer:
    r"""The final answer of a response, or "" where there is none.

    Looked for, after the last ``</think>`` only, in this order: the last ``\boxed{...}``; the last ``<answer>``; the last
    ``#### answer``; the last "answer is ..." or "answer: ..."; the whole response when it is short. Different boxes
    with nothing but a
    connective between them are one answer of several parts: a list where the reference is a list, a hedge where it is not.
    """
    text = _after_thinking(response[-MAX_RESPONSE_CHARS:])
    boxes = _last_boxes(text)
    if boxes:
        return FoundAnswer(", ".join(boxes), "boxes" if len(boxes) > 1 else "box")
    for pattern, source in ((_TAG, "tag"), (_HASHES, "hashes")):
        found = _last(pattern, text)
        if found is not None:
            return FoundAnswer(found.strip(), source)  # type: ignore[arg-type]
    phrase = _last(_PHRASE, text)
    if phrase is not None:
        return FoundAnswer(_SENTENCE_END.split(phrase)[0].strip(" \t*_").removesuffix("."), "phrase")
    text = text.strip()
    return FoundAnswer(text, "whole") if 0 < len(text) <= MAX_BARE_CHARS else FoundAnswer("", "none")


def _last_boxes(text: str) -> list[str]:
    """The contents of the last run of boxes that stand side by side, each different content once."""
    begins = [match.start() for match in _BOX.finditer(text)]
    last = last_boxed(text[begins[0] :]) if begins else None
    if last is None:
        return []
    if len(begins) < 2:
        return [last]
    contents = [last]
    for previous, following in zip(reversed(begins[:-1]), reversed(begins[1:]), strict=True):
        stretch = text[previous:following]
        content = last_boxed(stretch)
        if content is None or len(contents) >= MAX_JOINED_BOXES:
            break
        between = _CLOSING.sub("", stretch[_end_of_box(stretch) :])
        if len(between) > 40 or not _BETWEEN_BOXES.fullmatch(between):
            break
        contents.append(content)
    return list(dict.fromkeys(reversed(contents)))


def _end_of_box(stretch: str) -> int:
    depth = 0
    for token in re.finditer(r"\\.|[{}]", stretch, re.DOTALL):
        if token.group() == "{":
            depth += 1
        elif token.group() == "}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(stretch)


def _after_thinking(text: str) -> str:
    text = text.rpartition("</think>")[2]
    return text.partition("<think>")[0]  # still open: nothing in it was meant for the reader


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match.group(1)
    return found
