"""The primary claim of a study: pooled over tables, judged by a margin, the others corrected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hero_lab.study.collect import Entry
from hero_lab.study.plan import Plan, read_plan
from hero_lab.study.primary import at_entropy, collapses, judge, pooled_verdict
from hero_lab.study.words import primary_sentence
from hero_rl.errors import InputError
from hero_rl.measures.intervals import Estimate, crossed_interval, mean_of_clusters, p_value, t_quantile
from hero_rl.measures.paired import holm

PLAN = """
[primary]
claim = "HERO beats the verifier alone"
tables = ["one", "two"]
candidate = "hero"
baseline = "verifier_only"

[[table]]
name = "one"
claim = "a"
seeds = "0-1"
rules = ["verifier_only", "naive_sum", "hero"]

[[table]]
name = "two"
claim = "b"
seeds = "0-2"
tier = "robust"
rules = ["verifier_only", "naive_sum", "hero"]
"""


def plan_of(text: str, folder: Path) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path)


def look(warm: list[int], cool: list[int], *, entropy: float = 0.4, cool_entropy: float = 0.2) -> dict[str, Any]:
    return {
        "samples": 4, "correct_P": warm, "cool_P": cool, "greedy_P": [int(count >= 2) for count in warm], "entropy": entropy,
        "cool_entropy": cool_entropy,
    }  # fmt: skip


def entry(table: str, arm: str, seed: int, end: dict[str, Any], *, start: tuple[int, ...] = (2, 2)) -> Entry:
    held_out = {"start": {"step": 0, "H": look(list(start), [2, 2])}, "end": {"step": 100, "H": end}}
    return Entry(table, (), arm, seed, {"settings": {"regime": "hard"}, "held_out": held_out})


def test_the_pooled_difference_is_the_mean_of_the_tables_and_their_half_widths_add_in_squares(tmp_path: Path) -> None:
    rows = [entry(table, "verifier_only", seed, look([1, 1], [1, 1])) for table in ("one", "two") for seed in range(3)]
    rows += [entry("one", "hero", 0, look([2, 2], [2, 2])), entry("one", "hero", 1, look([4, 2], [2, 2]))]
    rows += [entry("two", "hero", seed, look([1 + seed, 1], [1, 1])) for seed in range(3)]
    found = judge(plan_of(PLAN, tmp_path), rows)
    assert [(row.baseline, row.reading) for row in found] == [
        ("verifier_only", reading) for reading in ("T = 1", "T = .6", "greedy", "matched entropy")
    ]  # the naive sum has no runs
    one = crossed_interval([[0.25, 0.25], [0.75, 0.25]])
    two = crossed_interval([[0.0, 0.0], [0.25, 0.0], [0.5, 0.0]])
    half = math.hypot(one.high - one.value, two.high - two.value) / 2
    assert found[0].difference.value == pytest.approx((0.375 + 0.125) / 2)
    assert found[0].difference.high - found[0].difference.value == pytest.approx(half)
    assert found[0].seeds == 5
    # T = .6: .25 in both seeds of one, 0 in all of two; greedy: 1 and 1 of both problems, then 0, .5 and .5 of two
    assert [row.difference.value for row in found[1:3]] == pytest.approx([0.125, (1.0 + 1 / 3) / 2])
    assert "+0.250" in primary_sentence(plan_of(PLAN, tmp_path).primary, found)  # pyright: ignore[reportArgumentType]


def test_without_two_seeds_of_every_table_nothing_is_claimed(tmp_path: Path) -> None:
    rows = [entry("one", arm, seed, look([1, 1], [1, 1])) for arm in ("verifier_only", "hero") for seed in (0, 1)]
    rows += [entry("two", arm, 0, look([1, 1], [1, 1])) for arm in ("verifier_only", "hero")]
    plan = plan_of(PLAN, tmp_path)
    assert judge(plan, rows) == []
    assert plan.primary is not None
    assert primary_sentence(plan.primary, []).endswith("no two seeds have all of its runs.")


@pytest.mark.parametrize(
    ("difference", "narrow", "p", "said"),
    [
        (0.025, (0.005, 0.045), 0.04, "ahead"),
        (0.025, (0.005, 0.045), 0.16, "not worse"),  # its own interval is clear of 0, but it is one of many
        (-0.025, (-0.045, -0.005), 0.04, "behind"),
        (0.0, (-0.015, 0.014), 0.9, "equivalent"),
        (0.01, (-0.005, 0.025), 0.3, "not worse"),
        (0.0, (-0.025, 0.025), 0.9, "cannot be told"),  # its interval holds zero, and that is all
    ],
)
def test_equivalence_is_shown_by_a_margin_and_not_by_an_interval_that_holds_zero(
    difference: float, narrow: tuple[float, float], p: float, said: str
) -> None:
    assert pooled_verdict(difference, Estimate(difference, *narrow), p, 0.02) == said


def test_accuracy_at_an_entropy_lies_between_the_two_temperatures() -> None:
    one = look([0, 4], [2, 4], entropy=0.4, cool_entropy=0.2)
    assert at_entropy(one, 0.4).tolist() == [0.0, 1.0]
    assert at_entropy(one, 0.3) == pytest.approx([0.25, 1.0])
    assert at_entropy(one, 0.1).tolist() == [0.5, 1.0]
    assert at_entropy(look([1, 1], [2, 2], entropy=0.1, cool_entropy=0.1), 0.05).tolist() == [0.25, 0.25]


def test_results_of_an_earlier_release_are_read_at_the_temperatures_that_they_have(tmp_path: Path) -> None:
    old = look([1, 1], [1, 1])
    del old["cool_P"], old["cool_entropy"]
    rows = [entry(table, arm, seed, old) for table in ("one", "two") for arm in ("hero", "verifier_only") for seed in (0, 1)]
    assert [row.reading for row in judge(plan_of(PLAN, tmp_path), rows)] == ["T = 1", "greedy"]


def test_a_run_that_ends_below_half_of_its_start_has_collapsed(tmp_path: Path) -> None:
    rows = [entry("one", "hero", 0, look([1, 0], [0, 0])), entry("one", "hero", 1, look([1, 1], [0, 0]))]
    assert [tuple(one) for one in collapses(plan_of(PLAN, tmp_path), rows)] == [("hero", 1, 2)]


def test_the_p_value_is_that_of_students_t_and_holm_corrects_it() -> None:
    values = [0.1, 0.2, 0.4, -0.1, 0.3]
    t = np.mean(values) / (np.std(values, ddof=1) / math.sqrt(5))
    p = p_value(lambda level: mean_of_clusters(values, level=level))
    assert t_quantile(4, 1 - p) == pytest.approx(t, rel=1e-6)
    assert math.isnan(p_value(lambda level: mean_of_clusters([1.0], level=level)))
    # ascending .01, .02, .04 times 3, 2, 1: .03, .04, .04
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('baseline = "verifier_only"', 'baseline = "rm_only"', "'rm_only' is not among the rules of the table"),
        ('tables = ["one", "two"]', 'tables = ["three"]', "unknown key 'three'; known: one, two"),
        ('tables = ["one", "two"]', "tables = []", "tables: "),
        ('tables = ["one", "two"]', 'tables = ["one", "one"]', "share runs, which would count twice"),
        ('tier = "robust"', 'tier = "hackable"', "share runs, which would count twice"),
        ('candidate = "hero"', 'candidate = "hero"\nmargin = 2', "margin: "),
    ],
)
def test_a_wrong_primary_claim_is_one_message(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[primary\]") as caught:
        plan_of(PLAN.replace(old, new, 1), tmp_path)
    assert message in str(caught.value)


def test_a_part_of_the_plan_keeps_the_claim_only_with_all_of_its_tables(tmp_path: Path) -> None:
    plan = plan_of(PLAN, tmp_path)
    assert plan.only(["one"]).primary is None
    assert plan.only(["two", "one"]).primary == plan.primary
