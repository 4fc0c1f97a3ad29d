"""Paired differences: equal to scipy's t-test for one run a side, honest about chance for several."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_rel

from helpers.strategies import examples
from hero_rl.errors import InputError
from hero_rl.measures import holm, paired_difference

SHARES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])


@examples(60)
@given(arrays(np.float64, (2, 12), elements=SHARES))
def test_one_run_a_side_is_the_paired_t_test(values: np.ndarray) -> None:
    difference = values[1] - values[0]
    found = paired_difference(values[0], values[1])
    assert found.value == pytest.approx(difference.mean())
    if difference.std() > 0:
        scipy = ttest_rel(values[1], values[0])
        assert found.p_value == pytest.approx(scipy.pvalue)
        interval = scipy.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_p_and_interval_agree_on_what_is_told_from_chance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = rng.binomial(8, 0.5, 30) / 8, rng.binomial(8, 0.56, 30) / 8
        found = paired_difference(first, second)
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_sides_swapped_give_the_opposite() -> None:
    one, other = [0.1, 0.4, 0.9, 0.3], [0.3, 0.4, 0.8, 0.9]
    forth, back = paired_difference(one, other), paired_difference(other, one)
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert forth.p_value == pytest.approx(back.p_value)


def test_strata_count_the_same_whatever_their_size() -> None:
    # ten problems all gained, two of which one is gained: (1 + 0.5) / 2, not 11 / 12
    second = [1.0] * 10 + [1.0, 0.0]
    found = paired_difference([0.0] * 12, second, strata_P=[0] * 10 + [1] * 2)
    assert found.value == pytest.approx(0.75)
    # only the small stratum varies: SE = sqrt((2/1) * 2 * 0.25^2 * (1/2)^2) of a mean with weight 1/2 each
    assert found.standard_error == pytest.approx(0.5 * math.sqrt(2 * (0.5**2 + 0.5**2) / 4))


def test_where_nothing_varies_the_sign_test_speaks() -> None:
    assert paired_difference([0.0] * 5, [1.0] * 5).p_value == pytest.approx(2.0**-4)
    same = paired_difference([0.5] * 5, [0.5] * 5)
    assert (same.value, same.p_value, same.standard_error) == (0.0, 1.0, 0.0)


def test_a_single_problem_says_nothing() -> None:
    found = paired_difference([0.0], [1.0])
    assert found.value == 1.0
    assert math.isnan(found.p_value)
    assert math.isnan(found.low)


def simulated(problems: int, runs: int, run_spread: float, *, effect: float = 0.0, draws: int = 800) -> tuple[float, float]:
    """Shares of false alarms (or findings) and of intervals that cover the true difference (zero effect alone)."""
    rng = np.random.default_rng(1)
    alarms = covered = 0
    for _ in range(draws):
        hardness = rng.normal(0, 1.5, problems)
        sides = []
        for shift in (0.0, effect):
            luck = rng.normal(0, run_spread, (runs, 1))
            p = 1 / (1 + np.exp(-(hardness + luck + shift)))
            sides.append(rng.binomial(8, p) / 8)
        found = paired_difference(sides[0], sides[1])
        alarms += found.p_value < 0.05
        covered += found.low <= 0.0 <= found.high
    return alarms / draws, covered / draws


def test_false_alarms_are_as_rare_as_claimed() -> None:
    # 800 draws: a true 5% shows as 3.5% to 6.6%
    for problems in (40, 250):
        alarms, covered = simulated(problems, 1, 0.0)
        assert 0.03 < alarms < 0.07
        assert 0.93 <= covered <= 0.97


def test_luck_between_training_runs_is_no_finding() -> None:
    alarms, _ = simulated(100, 3, 0.3)
    assert alarms < 0.08
    # pairing the same rows over problems alone would call luck a finding most of the time
    rng = np.random.default_rng(2)
    naive = 0
    for _ in range(200):
        hardness = rng.normal(0, 1.5, 100)
        p = [1 / (1 + np.exp(-(hardness + rng.normal(0, 0.3, (3, 1))))) for _ in range(2)]
        sides = [(rng.binomial(8, one) / 8).mean(axis=0) for one in p]
        naive += paired_difference(sides[0], sides[1]).p_value < 0.05
    assert naive / 200 > 0.2


def test_a_real_gain_is_found() -> None:
    found, _ = simulated(250, 1, 0.0, effect=0.4, draws=100)
    assert found > 0.95


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    with_gap = holm([0.02, math.nan])
    assert with_gap[0] == pytest.approx(0.02)
    assert math.isnan(with_gap[1])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [([0.0, 1.0], [0.0], "2 problems against 1"), ([[0.0, 1.0]], [[0.0, 1.0]] * 2, "1 runs against 2"),
     ([0.0, math.nan], [0.0, 1.0], "finite"), ([], [], "finite")],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(first: object, second: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        paired_difference(first, second)  # type: ignore[arg-type]
