"""Colours of figures: read by everyone, told apart by everyone, and the same for a rule everywhere."""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

from hero_lab.presets import ARMS, VERIFIER_ARMS
from hero_rl.report.palette import PAGE, RULES, SOFT, TEXT, dark_style, looks, rule_of
from hero_rl.rewards.catalogue import RULES as REWARD_RULES

INKS = {rule: ink for rule, (ink, _) in RULES.items()}
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
SIGHT = {
    "full": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
# Ottosson (2020): linear RGB -> cone responses -> OKLab
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colour):
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Of WCAG 2: 1 to 21."""
    dark, light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) + 0.05 for colour in (one, other))
    return light / dark


def distance(one, other, sight):
    """In OKLab, as a reader with this sight sees the colours; black and white are 1 apart."""
    seen = [np.cbrt(np.clip(SIGHT[sight] @ linear(colour), 0, 1) @ TO_CONES.T) @ TO_LAB.T for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_contrast_and_distance_are_those_of_their_definitions():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the usual example of a grey that just fails
    assert distance("#ffffff", "#000000", "full") == pytest.approx(1, abs=1e-3)
    assert distance("#9e8200", "#ff0000", "protan") < 0.5 * distance("#9e8200", "#ff0000", "full")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_lines_have_a_contrast_of_four_and_a_half_with_the_page(mode):
    pages = re.findall(r"--page: (#\w{6})", resources.files("hero_rl.report").joinpath("page.html.j2").read_text())
    page = getattr(PAGE, mode)
    assert page == pages[mode == "dark"]
    for name, ink in {"text": TEXT, "soft": SOFT, **INKS}.items():
        assert contrast(getattr(ink, mode), page) >= 4.5, name


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_any_two_rules_are_told_apart_with_any_sight(mode, sight):
    for one, other in combinations(INKS, 2):
        often = {one, other} <= {*ARMS, "hero_adaptive"}
        apart = distance(getattr(INKS[one], mode), getattr(INKS[other], mode), sight)
        assert apart >= (0.085 if often else 0.06), (one, other)


def test_every_rule_and_every_arm_of_the_lab_has_a_colour_and_a_marker_of_its_own():
    assert {*REWARD_RULES, *ARMS} == set(RULES)
    assert {rule_of(arm) for arm in VERIFIER_ARMS} <= set(RULES)
    assert len({marker for _, marker in RULES.values()}) == len(RULES)


def test_variants_share_the_colour_of_their_rule_and_differ_in_dashes():
    found = looks(["naive_sum:rule_weight=0.5", "hero, refreshed", "hero", "cascade", "mine:rule"])
    assert found["hero"].colour == found["hero, refreshed"].colour == INKS["hero"].light
    assert found["hero"].dashes == "-" != found["hero, refreshed"].dashes
    assert found["naive_sum:rule_weight=0.5"].colour == INKS["naive_sum"].light
    assert found["cascade"].colour == INKS["verifier_only"].light
    assert found["mine:rule"].colour not in {found[label].colour for label in list(found)[:4]}


def test_what_is_drawn_beside_it_changes_no_look_but_where_two_want_the_same() -> None:
    found = looks(["mine", "hero:alpha=0.2"])
    for more in (["verifier_only", "naive_sum"], ["hero", "hero_adaptive:gain=1.0"], ["naive_sum:rule_weight=0.5"]):
        assert {label: looks([*more, "hero:alpha=0.2", "mine"])[label] for label in found} == found
    taken = next(rule for rule in RULES if INKS[rule].light == found["mine"].colour)
    assert looks(["mine", taken])["mine"].colour != INKS[taken].light


def test_no_two_curves_of_a_figure_look_the_same():
    for labels in (
        ["hero", *(f"hero:alpha={n}" for n in range(8))],
        [f"benchmark {n}" for n in range(30)],
        ["hero − a", "b"],
        [*RULES, "mine"],
    ):
        assert len(set(looks(labels).values())) == len(labels)


def test_a_dark_page_gets_the_dark_shade_of_the_colours_that_are_used():
    style = dark_style('<path style="fill: none; stroke: #137e57"/>')
    assert '[style*="stroke: #137e57"]{stroke:#39d981 !important}' in style
    assert "fill" not in style
