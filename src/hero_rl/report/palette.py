"""Colours of figures: one for each reward rule, the same in every figure, in one shade for light pages and one for dark pages.

Every shade has a contrast of 4.5:1 with its page and stays apart from the others for readers with any form of colour
blindness (``tests/report/test_palette.py``). Markers and dashes say the same once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Ink(NamedTuple):
    """A colour on a light page, in print and as PNG; and on a dark page."""

    light: str
    dark: str


class Look(NamedTuple):
    """How a curve is drawn."""

    colour: str
    marker: str
    dashes: str = "-"


PAGE = Ink("#ffffff", "#14171b")
TEXT = Ink("#1b1f24", "#e6e9ed")
SOFT = Ink("#59636e", "#9aa4af")
"""Of ticks, axes and grids."""
RULES: Mapping[str, tuple[Ink, str]] = {
    "verifier_only": (Ink("#1f6afc", "#3d7dfb"), "o"),
    "rm_only": (Ink("#d8263a", "#fe4f65"), "s"),
    "naive_sum": (Ink("#73360a", "#fe8515"), "^"),
    "hero": (Ink("#137e57", "#39d981"), "D"),
    "hero_group_std": (Ink("#8e30bb", "#e39efe"), "v"),
    "hero_adaptive": (Ink("#085a72", "#11f0de"), "P"),
    "process": (Ink("#5c474b", "#b7aabc"), "X"),
    "gated": (Ink("#616907", "#c9d90a"), "<"),
    "gdpo": (Ink("#a70d88", "#d74fc0"), ">"),
    "prof": (Ink("#3648e2", "#a18dfd"), "*"),
}
"""Colour and marker of each rule, and of the lab's arm with another normalisation."""
SAME = {"cascade": "verifier_only", "learned_verifier": "verifier_only", "hero_cascade": "hero"}
"""Arms of the lab that are a rule with another verifier."""
DASHES = ("-", "--", ":", "-.")


def rule_of(label: str) -> str | None:
    """Return the rule that a label such as ``hero:alpha=0.2`` or ``hero − rm_only`` begins with; None if there is none."""
    name = (re.match(r"\w*", label) or [""])[0]
    name = SAME.get(name, name)
    return name if name in RULES else None


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return how to draw each label of a figure.

    A rule has its own colour. Up to three variants share it and differ in dashes. More variants, and what is no rule, take the
    colours of rules that this figure does not have.
    """
    names = list(dict.fromkeys(labels))
    families = {label: rule_of(label) for label in names}
    crowded = {rule for rule in families.values() if sum(own == rule for own in families.values()) > len(DASHES)}
    rules = {label: rule for label, rule in families.items() if label == rule or rule not in crowded}
    free = [rule for rule in RULES if rule not in rules.values()] or list(RULES)
    found: dict[str, Look] = {}
    for label in names:
        rule = rules.get(label)
        alike = [one for one in names if rules.get(one) == rule]
        alike.sort(key=lambda one: one != rules.get(one))  # the rule itself is solid
        turn, place = (alike.index(label), rule) if rule else divmod(alike.index(label), len(free))
        ink, marker = RULES[place if isinstance(place, str) else free[place]]
        found[label] = Look(ink.light, marker, DASHES[turn % len(DASHES)])
    return found


def dark_style(svg: str) -> str:
    """Return a ``<style>`` element with the page of an SVG, and its colours' dark shades where the reader's page is dark."""
    inks = [PAGE, TEXT, SOFT, *(ink for ink, _ in RULES.values())]
    rules = "".join(
        f'[style*="{what}: {ink.light}"]{{{what}:{ink.dark} !important}}'
        for ink in inks
        for what in ("fill", "stroke")
        if f"{what}: {ink.light}" in svg
    )
    page = [f"svg{{background:{shade}}}" for shade in PAGE]
    return f"<style>{page[0]}@media (prefers-color-scheme: dark){{{page[1]}{rules}}}</style>"
