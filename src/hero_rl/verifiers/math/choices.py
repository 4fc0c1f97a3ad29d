r"""Multiple-choice letters: ``B``, ``(B)``, ``B. 12``, ``A, C and D``."""

from __future__ import annotations

import re

_LETTERS = re.compile(r"^\(?\s*(?:\\text\{\s*)?\(?\s*([A-J])\s*\)?\s*(?:\}\s*)?\)?$")
_SEVERAL = re.compile(r"^[A-J](?:\s*(?:,|\\text\{and\}|and|&|;)?\s*[A-J])+$")
_WITH_TEXT = re.compile(
    r"^(?:\\text\{\s*)?(?:(?:option|choice|answer)\s*)?\(?\s*([A-J])\s*(?:\)|\.|:|\}\s*[.:)]?|\s-\s)\s*(?P<rest>.*?)\}?$",
    re.IGNORECASE | re.DOTALL,
)
_NAMED = re.compile(r"^(?:\\text\{\s*)?(?:option|choice)\s*\(?([A-J])\)?\s*\}?$", re.IGNORECASE)


def choice_letters(text: str) -> str | None:
    r"""The letters that a cleaned text consists of, sorted: ``B``, or ``ABD``; None for anything else.

    >>> choice_letters("(B)"), choice_letters("D, A"), choice_letters("BE+1")
    ('B', 'AD', None)
    """
    match = _LETTERS.match(text) or _NAMED.match(text)
    if match:
        return match.group(1).upper()
    bare = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).strip()
    if _SEVERAL.match(bare):
        letters = re.findall(r"[A-J]", bare)
        return "".join(sorted(letters)) if len(set(letters)) == len(letters) else None
    return None


def leading_letter(text: str) -> tuple[str, str] | None:
    """Letter and text of an answer such as ``B. 12``; None where no letter leads."""
    match = _WITH_TEXT.match(text)
    if match is None or not match.group("rest").strip():
        return None
    return match.group(1).upper(), match.group("rest").strip()
