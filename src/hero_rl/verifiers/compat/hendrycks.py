r"""The grader ``hendrycks``: string equality after the normalisation of the MATH benchmark, as verl's ``math_reward`` does it.

The last box of the response and the reference go through the same rewriting of LaTeX text; equal strings are correct. No
mathematics.
"""

from __future__ import annotations

import re

from hero_rl.cache import code_identity
from hero_rl.types import Rollout, RowVerifier, Verdict
from hero_rl.verifiers.boxes import MAX_RESPONSE_CHARS

MAX_DETAIL_CHARS = 200
_REMOVED = ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$")
_UNIT = "\\text{ "


class HendrycksVerifier(RowVerifier):
    """Correct where the last box and the reference are the same string after normalisation; never abstains on a response."""

    name = "hendrycks"

    @property
    def identity(self) -> str:
        """Return everything that decides a verdict besides the rollout."""
        return f"hendrycks({code_identity('compat/hendrycks.py', 'boxes.py')})"

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""
        return _judge(rollout.reference, rollout.response)


def _judge(reference: object, response: object) -> Verdict:
    expected = "" if reference is None else str(reference)
    if not expected.strip():
        return Verdict("abstain", "reference_missing")
    answer = last_box(response) if isinstance(response, str) else None
    if answer is None:
        return Verdict("incorrect", "no_answer")
    left, right = _safely_normalized(answer, expected)
    detail = f"{left[:MAX_DETAIL_CHARS]} | {right[:MAX_DETAIL_CHARS]}"
    return Verdict("correct", "equal", detail=detail) if left == right else Verdict("incorrect", "different", detail=detail)


def last_box(response: str) -> str | None:
    r"""The content of the last ``\boxed{...}`` or ``\fbox{...}``, or what follows ``\boxed `` up to the next ``$``."""
    text = response[-MAX_RESPONSE_CHARS:]
    if "\\boxed " in text:
        return text.rpartition("\\boxed ")[2].partition("$")[0]
    begin = text.rfind("\\boxed")
    if begin < 0:
        begin = text.rfind("\\fbox")
    if begin < 0:
        return None
    depth = 0
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if text[at] == "}" and depth == 0:
            opening = text.index("{", begin)
            return text[opening + 1 : at]
    return None


def _safely_normalized(answer: str, reference: str) -> tuple[str, str]:
    """Both normalised; both as they are where one of them is malformed, which then leaves literal equality."""
    try:
        return normalize(answer), normalize(reference)
    except (ValueError, IndexError):
        return answer, reference


def normalize(text: str) -> str:
    r"""The MATH benchmark's normal form of an answer.

    >>> normalize(r"\dfrac12"), normalize("x = 0.5"), normalize(r"3 \text{ cm}")
    ('\\frac{1}{2}', '\\frac{1}{2}', '3')

    Raises:
        ValueError: a unit stands where none can.
    """
    text = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for removed in _REMOVED:
        text = text.replace(removed, "")
    text = _without_unit(text)
    text = text.replace("\\%", "").replace("%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    if text[0] == ".":
        text = "0" + text
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        text = value
    text = _braced_roots(text).replace(" ", "")
    text = _braced_fractions(text)
    if text == "0.5":
        text = "\\frac{1}{2}"
    return _slash_as_fraction(text)


def _without_unit(text: str) -> str:
    if _UNIT not in text:
        return text
    parts = text.split(_UNIT)
    if len(parts) != 2:
        raise ValueError("more than one unit")
    return parts[0]


def _braced_roots(text: str) -> str:
    if "\\sqrt" not in text:
        return text
    first, *rest = text.split("\\sqrt")
    found = first
    for part in rest:
        found += "\\sqrt" + (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}")
    return found


def _braced_fractions(text: str) -> str:
    parts = text.split("\\frac")
    found = parts[0]
    for part in parts[1:]:
        found += "\\frac"
        if part[:1] == "{":
            found += part
            continue
        if len(part) < 2:
            return text
        top, bottom, rest = part[0], part[1], part[2:]
        found += f"{{{top}}}{bottom}{rest}" if bottom == "{" else f"{{{top}}}{{{bottom}}}{rest}"
    return found


def _slash_as_fraction(text: str) -> str:
    match = re.fullmatch(r"(-?\d+)/(-?\d+)", text)
    if match is None or str(int(match[1])) != match[1] or str(int(match[2])) != match[2]:
        return text
    return f"\\frac{{{match[1]}}}{{{match[2]}}}"
