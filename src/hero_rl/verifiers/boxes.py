r"""Finding the boxed answer, ``\boxed{...}``, in a response."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_RESPONSE_CHARS = 1_000_000
"""Of a longer text only this much of its end is looked at."""

_MAX_LAYERS = 3
_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BOX_NAMES = (r"\boxed", r"\fbox", r"\framebox")
_ANY_BOX = re.compile(
    r"(?P<open>\\(?:boxed|fbox|framebox)\s*(?:\[[^\[\]{}]{0,20}\]\s*){0,2}\{)|\\(?:boxed|"
    r"fbox)\s*(?P<bare>-?\d+(?:[.,/]\d+)*\s?%?|\\frac\s*(?:\d\s*\d|\{\d+\}\s*\{\d+\})|\\(?:pi|infty)|[A-Za-z](?![A-Za-z]))|\\.|"
    r"[{}]",
    re.DOTALL,
)


_LABEL = re.compile(r"[\s$]*[A-Za-z](?:_\{?\w\}?)?\s*=[\s$]*")


class Box(NamedTuple):
    """One box of a text."""

    content: str
    start: int
    end: int
    """One past its closing brace."""


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}`` or ``\fbox{...}``, stripped; None where there is none.

    Braces are matched (``\{`` and ``\}`` are not braces). A box that is never closed, as in a response that was cut off,
    does not count. Of boxes inside one another the outermost is taken, and what it wraps is unwrapped. Takes time
    proportional to the text's length.

    >>> last_boxed(r"First \boxed{1}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    text = text[-MAX_RESPONSE_CHARS:]
    content = _last_box(text)
    for _ in range(_MAX_LAYERS):
        inner = _last_box(content) if content else None
        if inner is None:
            break
        content = inner
    return content


def _last_box(text: str) -> str | None:
    open_braces: list[int | None] = []  # for each open brace: where a box's content begins, or None
    last: tuple[int, int] | None = None
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark == "{":
            open_braces.append(None)
        elif mark == "}":
            begin = open_braces.pop() if open_braces else None
            if begin is not None:
                last = begin, token.start()
        elif mark.endswith("{") and mark != r"\{":
            open_braces.append(token.end())
    return None if last is None else text[last[0] : last[1]].strip()


def find_boxes(text: str) -> tuple[list[Box], int]:
    r"""Return all complete boxes in order, outermost only, and where a box begins that is never closed (-1: none).

    Beside ``\boxed{...}`` and ``\fbox{...}`` this reads ``\framebox[width]{...}`` and boxes without braces, as in
    ``\boxed7``. Of a box in another only the content is kept. Takes time proportional to the text's length.
    """
    if "box" not in text:
        return [], -1
    open_braces: list[tuple[int, int] | None] = []
    boxes: list[Box] = []
    first = min((at for name in _BOX_NAMES if (at := text.find(name)) >= 0), default=len(text))
    for token in _ANY_BOX.finditer(text, first):
        mark = token.group()
        if token.lastgroup == "open":
            open_braces.append((token.start(), token.end()))
        elif token.lastgroup == "bare":
            boxes.append(Box(token["bare"].strip(), token.start(), token.end()))
        elif mark == "{":
            open_braces.append(None)
        elif mark == "}" and open_braces and (begin := open_braces.pop()) is not None:
            content, stop = "", token.start()
            while boxes and boxes[-1].start >= begin[0]:
                inner = boxes.pop()
                content, stop = f"{inner.content}{text[inner.end : stop]}{content}", inner.start
            lead = text[begin[1] : stop]
            content = content if content and _LABEL.fullmatch(lead) else f"{lead}{content}"
            boxes.append(Box(content.strip(), begin[0], token.end()))
    cut_off = max((begin[0] for begin in open_braces if begin is not None), default=-1)
    return boxes, cut_off
