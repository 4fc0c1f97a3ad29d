r"""Members of a family of numbers: expressions in an integer parameter, ``\pi/4 + k\pi`` or ``8p`` for a prime p."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from hero_rl.verifiers.math.domains import INTEGERS, Domain
from hero_rl.verifiers.math.evaluate import walk
from hero_rl.verifiers.math.syntax import Node, number

HIDDEN = "#"
"""The parameter of congruences and words, which show no letter."""


class Member(NamedTuple):
    """An expression in one integer parameter; without a letter, one number."""

    tree: Node
    letter: str = ""
    domain: Domain | None = None
    """None: not said."""


class Family(NamedTuple):
    """Members, and what bounds the numbers themselves."""

    members: tuple[Member, ...]
    label: str = ""
    """The letter that stands for the numbers."""
    certain: bool = False
    """The text says that it is a family: by a domain, a congruence or in words."""
    low: Fraction | None = None
    high: Fraction | None = None
    without: tuple[Fraction, ...] = ()
    of_integers: bool = False
    """Read from an inequality such as ``n \\ge 3``: a family only where the question asks for integers."""

    @property
    def letters(self) -> frozenset[str]:
        """The parameters whose letters the text shows."""
        return frozenset(one.letter for one in self.members if one.letter.isalpha())

    @property
    def has_parameter(self) -> bool:
        """Whether the family is more than a list of numbers."""
        return any(one.letter for one in self.members)

    @property
    def periodic(self) -> bool:
        """Whether the members are angles: a multiple of pi or of degrees for each integer."""
        return any(node.op == "deg" or node.name == "pi" for one in self.members for node in walk(one.tree))


def every(period: int, start: Node, domain: Domain | None = INTEGERS) -> Member:
    """Return the numbers that leave the remainder of ``start``: ``start + period k``."""
    return Member(Node("add", (start, Node("mul", (number(period), Node("sym", (), None, HIDDEN))))), HIDDEN, domain)


def is_trigonometric(family: Family) -> bool:
    r"""``\pi/4 + k\pi``: no formula has this shape unless it solves an equation of angles."""
    shown = [one for one in family.members if one.letter.isalpha()]
    if not shown or not family.periodic or any(one.letter not in "nklmjtN" for one in shown):
        return False
    if family.label:
        return family.label.startswith("\\") or family.label[0] in "xtuzw"
    return all(one.tree.op in ("add", "pm") for one in shown) or len(family.members) > 1
