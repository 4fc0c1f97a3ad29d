"""Colours of figures: one for each reward rule, the same in every figure, in one shade for light pages and one for dark pages.

Every shade has a contrast of 4.5:1 with its page and stays apart from the others for readers with any form of colour
blindness (``tests/report/test_palette.py``). Markers and dashes say the same once more.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
    colours of rules that this figure does not have. Which dashes and which colour, a hash of the label says, so that they are
    the same in other figures, too, unless another label of the figure has them: then the next are taken.
    """
    names = list(dict.fromkeys(labels))
    families = {label: rule_of(label) for label in names}
    variants = Counter(rule for label, rule in families.items() if label != rule)
    rules = {label: rule for label, rule in families.items() if rule and (label == rule or variants[rule] < len(DASHES))}
    # rules of this figure are the last to be taken by others, and never as solid lines
    turns = Counter({rule: len(DASHES) * len(names) + 1 for rule in rules.values()})
    used, found = {rule: Counter[str]() for rule in RULES}, dict[str, Look]()
    for label in sorted(names):
        if (rule := rules.get(label)) is None:
            rule = _nearest(label, list(RULES), turns)
            dashes = DASHES[turns[rule] % len(DASHES)]
            turns[rule] += 1
        else:
            dashes = DASHES[0] if label == rule else _nearest(label, DASHES[1:], used[rule])
            used[rule][dashes] += 1
        ink, marker = RULES[rule]
        found[label] = Look(ink.light, marker, dashes)
    return {label: found[label] for label in names}


def _nearest(label: str, places: Sequence[str], taken: Mapping[str, int]) -> str:
    """Return the place that the label's hash names, or the next after it that is taken less often."""
    start = zlib.crc32(label.encode("utf-8", "surrogatepass")) % len(places)
    return min([*places[start:], *places[:start]], key=lambda place: taken[place])


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
