r"""Stage 1: where in a response its final answer is."""

from __future__ import annotations

import re

from hero_rl.verifiers.boxes import MAX_RESPONSE_CHARS, last_boxed

MAX_BARE_CHARS = 300
"""A response without any mark is taken to *be* the answer up to this length; a longer one has no answer."""

_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_PHRASE = re.compile(r"\banswer\b[*_\s]*(?:is\b|:|=)[*_:\s]*([^\n]+)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.\s+(?=[A-Z])")


def find_answer(response: str) -> str:
    r"""The final answer as it stands in the response, or "" where there is none.

    Looked for, after the last ``</think>`` only, in this order: the last ``\boxed{...}``; the last ``#### answer``; the
    last "answer is ..." or "answer: ..."; the whole response when it is short. The last one wins each time.
    """
    text = _after_thinking(response[-MAX_RESPONSE_CHARS:])
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    hashes = _last(_HASHES, text)
    if hashes is not None:
        return hashes.strip()
    phrase = _last(_PHRASE, text)
    if phrase is not None:
        return _SENTENCE_END.split(phrase)[0].strip(" \t*_").removesuffix(".")
    text = text.strip()
    return text if len(text) <= MAX_BARE_CHARS else ""


def _after_thinking(text: str) -> str:
    text = text.rpartition("</think>")[2]
    return text.partition("<think>")[0]  # still open: nothing in it was meant for the reader


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match.group(1)
    return found
