r"""Formulas, reactions and electron configurations: ``\ce{2H2 + O2 -> 2H2O}``. No mathematics: arrows keep their direction."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.findings import EQUAL, Finding, different, unsure

MAX_CHARS = 200

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc "
    "Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi "
    "Po At Rn Fr Ra Ac Th Pa U Np Pu"
)
_ELEMENTS = frozenset(_SYMBOLS.split())
_ARROW = re.compile(r"\s*(?:\\(?:to|longrightarrow|Rightarrow|rightleftharpoons|leftrightarrow)(?![A-Za-z])|<=>|=>|⇌|→)\s*")
_BOTH_WAYS = re.compile(r"\\(?:rightleftharpoons|leftrightarrow)|<=>|⇌")
_MARKED = re.compile(r"\\(?:ce|mathrm|text)\s*\{")
_DRESSING = re.compile(r"\\(?:ce|mathrm|text|rm)(?![A-Za-z])|[{}\s_]|\\[,;: ]")
_STATE = re.compile(r"\((?:s|l|g|aq)\)$")
_ATOM = re.compile(r"([A-Z][a-z]?)(\d*)|([(\[])|([)\]])(\d*)")
_SPECIES = re.compile(r"(\d*)((?:[A-Z][a-z]?\d*|[()\[\]]\d*)+)(\^\d*[+-]|\^[+-]\d*|[+-])?")
_SHELL = re.compile(r"([1-7])([spdf])\^?(\d{1,2})")


class Reaction(NamedTuple):
    """Species with their numbers: those before the arrow, and those after it."""

    before: tuple[tuple[str, int], ...]
    after: tuple[tuple[str, int], ...]
    both_ways: bool


def compare_chemistry(reference: str, answer: str) -> Finding | None:
    """Return how two formulas, reactions or electron configurations relate; None where the reference is none."""
    if len(reference) > MAX_CHARS or len(answer) > MAX_CHARS:
        return None
    shells = read_shells(reference), read_shells(answer)
    if shells[0] is not None:
        return unsure("not_comparable") if shells[1] is None else EQUAL if shells[0] == shells[1] else different("different")
    reactions = read_reaction(reference), read_reaction(answer)
    if None in reactions and reactions != (None, None):
        return unsure("not_comparable")
    if reactions[0] is not None:
        return EQUAL if reactions[0] == reactions[1] else different("different")
    if not (_MARKED.search(reference) or r"\ce" in answer):
        return None
    formulas = read_species(reference), read_species(answer)
    if formulas[0] is None or formulas[1] is None or not _is_compound(formulas[0]):
        return None
    if formulas[0] == formulas[1]:
        return EQUAL
    return unsure("not_comparable") if _atoms(formulas[0][0]) == _atoms(formulas[1][0]) else different("different")


@lru_cache(maxsize=512)
def read_reaction(text: str) -> Reaction | None:
    """Return the reaction that a text is, each side sorted; None for anything else."""
    parts = _ARROW.split(text)
    if len(parts) != 2:
        return None
    sides: list[tuple[tuple[str, int], ...]] = []
    for part in parts:
        species = re.split(r"(?<!\^)(?<!\^\{)(?<!\d)\+(?![\d}])|\s\+\s", part)
        found = [one for one in map(read_species, species) if one is not None]
        if len(found) < len(species):
            return None
        sides.append(tuple(sorted(found)))
    if not any(_is_compound(one) for side in sides for one in side):
        return None
    return Reaction(sides[0], sides[1], _BOTH_WAYS.search(text) is not None)


def read_species(text: str) -> tuple[str, int] | None:
    """Return the formula and the number of one species: ``2H_2O`` is ``("H2O", 2)``; None for anything else."""
    plain = _STATE.sub("", _DRESSING.sub("", text))
    match = _SPECIES.fullmatch(plain)
    if match is None or not all(atom[0] in _ELEMENTS for atom in _ATOM.findall(match[2]) if atom[0]):
        return None
    charge = re.sub(r"\D", "", match[3] or "") + re.sub(r"[^+-]", "", match[3] or "")
    return match[2] + (f"^{charge}" if charge else ""), int(match[1] or 1)


def _is_compound(species: tuple[str, int]) -> bool:
    """Return whether a formula can hardly be anything but a formula: digits after letters, or two letters of one element."""
    return re.search(r"[A-Za-z)]\d|[A-Z][a-z]", species[0]) is not None


def _atoms(formula: str) -> Counter[str]:
    return Counter({name: int(count or 1) for name, count, *_ in _ATOM.findall(formula) if name})


@lru_cache(maxsize=512)
def read_shells(text: str) -> frozenset[str] | None:
    """Return the core and the shells of an electron configuration, ``[Ar] 3d^5 4s^1``; None for anything else."""
    plain = _DRESSING.sub("", text)
    core = re.match(r"\[([A-Z][a-z])\]", plain)
    rest = plain[core.end() :] if core else plain
    found = _SHELL.findall(rest)
    if not found or "".join("".join(shell) for shell in found) != rest.replace("^", "") or (core is None and len(found) < 2):
        return None
    return frozenset([*("".join((*shell[:2], "^", shell[2])) for shell in found), *([core[1]] if core else [])])
