r"""Finding the boxed answer, ``\boxed{...}``, in a response."""

from __future__ import annotations

import re

MAX_RESPONSE_CHARS = 1_000_000
"""Of a longer text only this much of its end is looked at."""

_MAX_LAYERS = 3
_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""The content of the last complete ``\boxed{...}`` or ``\fbox{...}``, stripped; None where there is none.

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
