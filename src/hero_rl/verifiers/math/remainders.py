r"""Remainders as congruences: ``3^{45} \equiv 43 \pmod{100}`` where the question asks for the last two digits of ``3^{45}``."""

from __future__ import annotations

import re

from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.split import relation_chain

_ASKS = re.compile(r"\bremainder|\bresidue|\b(?:last|final|units?|ones)\b[^.?]{0,12}\bdigits?\b|\bmod|余数|末", re.IGNORECASE)
_LAST = re.compile(r"\blast (two|three|four|2|3|4) digits|\b(?:last|units?|ones|final) digit\b", re.IGNORECASE)
_POWERS = {"two": 100, "2": 100, "three": 1_000, "3": 1_000, "four": 10_000, "4": 10_000, "": 10}
_MODULUS = re.compile(r"\s*\(?\s*\\text\{\s*mod\s+(\d{1,9})\s*\}\s*\)?$")


def remainder(answer: str, problem: str) -> str | None:
    r"""Return the remainder that a cleaned congruence states; None where the question asks for no such remainder.

    >>> remainder(r"7^{100} \equiv 1 \text{mod 5}", "Find the remainder when $7^{100}$ is divided by $5$.")
    '1'
    """
    modulus = _MODULUS.search(answer) if r"\text{" in answer and _ASKS.search(problem) else None
    if modulus is None or not _is_modulus_of(int(modulus[1]), problem):
        return None
    chain = relation_chain(answer[: modulus.start()])
    stated = chain.sides[-1].strip()
    if not re.fullmatch(r"\d{1,9}", stated) or int(stated) >= int(modulus[1]):
        return None
    if not chain.relations:
        return stated
    known = _squeezed(chain.sides[0]) in _squeezed(clean(problem)) or re.fullmatch("[A-Za-z]", chain.sides[0]) is not None
    return stated if known and set(chain.relations) <= {r"\equiv", "="} and chain.relations[-1] == r"\equiv" else None


def _is_modulus_of(modulus: int, problem: str) -> bool:
    """Return whether a question asks for remainders by this number."""
    last = _LAST.search(problem)
    if last is not None:
        return _POWERS[(last[1] or "").lower()] == modulus
    return re.search(rf"(?<![\d.^]){modulus}(?!\d|\.\d)", problem.replace(",", "")) is not None


def _squeezed(text: str) -> str:
    return re.sub(r"[\s{}]", "", text)
