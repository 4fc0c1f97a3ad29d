"""The interval over seeds and problems covers what it says, and is never narrower than either alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the lab extra")

from hero_rl.errors import InputError
from hero_rl.measures import crossed_interval


def test_the_numbers_are_those_of_the_hand() -> None:
    # Seeds' means .5 and 5/6: variance 1/18, V_S = 1/36. Problems' means .25, .5, 1.25: variance 13/48; what is left in a cell
    # is 1/12 off for the outer problems: (4 x (1/12)^2 + 2 x (1/6)^2) / 2 = 1/24. V_P = 13/144 - 1/144 = 1/12.
    found = crossed_interval([[0.0, 0.5, 1.0], [0.5, 0.5, 1.5]])
    t1, t2 = 12.706205, 4.302653
    assert found.value == pytest.approx(2 / 3)
    assert found.high - found.value == pytest.approx(math.sqrt(t1**2 / 36 + t2**2 / 12))
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_one_seed_gives_students_interval_over_problems() -> None:
    found = crossed_interval([[0.0, 1.0, 2.0]])
    assert found == pytest.approx((1.0, 1.0 - 4.302653 / math.sqrt(3), 1.0 + 4.302653 / math.sqrt(3)))


def test_one_problem_gives_students_interval_over_seeds() -> None:
    found = crossed_interval([[0.0], [1.0], [2.0]])
    assert found == pytest.approx((1.0, 1.0 - 4.302653 / math.sqrt(3), 1.0 + 4.302653 / math.sqrt(3)))


def test_a_single_value_has_no_interval() -> None:
    found = crossed_interval([[0.5]])
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("values", [[], [[]], [1.0, 2.0], [[1.0, math.nan]]])
def test_anything_but_finite_values_in_two_dimensions_is_refused(values: object) -> None:
    with pytest.raises(InputError, match="crossed_interval: got shape"):
        crossed_interval(values)  # type: ignore[arg-type]


def test_it_is_never_narrower_than_over_seeds_or_over_problems_alone() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        values = rng.normal(0, 0.02, (5, 1)) + rng.normal(0, 0.2, 40) + rng.normal(0, 0.3, (5, 40))
        low, high = crossed_interval(values)[1:]
        seeds, problems = values.mean(axis=1), values.mean(axis=0)
        assert high - low >= 2 * 2.776445 * seeds.std(ddof=1) / math.sqrt(5) - 1e-6
        assert high - low >= 2 * 2.022691 * problems.std(ddof=1) / math.sqrt(40) - 1e-6


@pytest.mark.parametrize(
    ("seeds", "spread_seeds", "spread_problems"),
    [(5, 0.05, 0.2), (5, 0.02, 0.3), (5, 0.0, 0.2), (5, 0.05, 0.0), (3, 0.02, 0.3), (10, 0.02, 0.3)],
)
def test_it_covers_the_truth_about_95_times_in_100(seeds: int, spread_seeds: float, spread_problems: float) -> None:
    rng = np.random.default_rng(seeds)
    draws, covered, narrow = 500, 0, 0
    for _ in range(draws):
        values = (
            rng.normal(0, spread_seeds, (seeds, 1))
            + rng.normal(0, spread_problems, (1, 100))
            + rng.normal(0, 0.3, (seeds, 100))
        )
        low, high = crossed_interval(values)[1:]
        covered += low <= 0.0 <= high
        plain = values.mean(axis=1)
        narrow += abs(plain.mean()) <= 2.776445 * plain.std(ddof=1) / math.sqrt(seeds) if seeds == 5 else 0
    assert 0.93 <= covered / draws <= 0.995
    if seeds == 5 and spread_problems >= 0.2 and spread_seeds < 0.05:
        assert narrow / draws < 0.9  # Student's interval over the seeds alone is not honest about other problems


def test_it_covers_a_difference_between_shares_of_few_responses() -> None:
    """Two rules, five seeds, 150 problems of different difficulty, eight responses to each; no rule better on the whole."""
    rng = np.random.default_rng(7)
    draws, covered = 400, 0
    for _ in range(draws):
        difficulty = rng.uniform(0.1, 0.9, 150)
        room = np.minimum(difficulty, 1 - difficulty)
        shift = room * rng.uniform(-0.6, 0.6, 150)
        luck = rng.normal(0, 0.02, (5, 1))
        first = rng.binomial(8, np.broadcast_to(difficulty, (5, 150))) / 8
        second = rng.binomial(8, np.clip(difficulty + shift + luck, 0, 1)) / 8
        low, high = crossed_interval(second - first)[1:]
        covered += low <= 0.0 <= high
    assert 0.93 <= covered / draws <= 0.995
