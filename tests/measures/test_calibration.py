"""Calibration curves and correlations: hand-worked, and against scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hero_rl.errors import InputError
from hero_rl.measures import calibration_curve, expected_calibration_error, rank_correlation, within_correlation


def test_ece_of_a_worked_example():
    p, labels = [0.1, 0.1, 0.9, 0.7], [0, 1, 1, 0]
    # bins of a half: [.1, .1] mean .1, half correct, distance .4; [.9, .7] mean .8, half correct, distance .3
    assert expected_calibration_error(p, labels, bins=2) == pytest.approx(0.35)
    low, high = calibration_curve(p, labels, bins=2)
    assert (low.low, low.high, low.rows, low.share) == (0.0, 0.5, 2, 0.5)
    assert high.mean_p == pytest.approx(0.8)


def test_the_curve_equals_scikit_learn():
    module = pytest.importorskip("sklearn.calibration", reason="scikit-learn is not installed")
    rng = np.random.default_rng(1)
    p = rng.random(400)
    labels = (rng.random(400) < p**2).astype(int)
    share, mean_p = module.calibration_curve(labels, p, n_bins=10)
    curve = calibration_curve(p, labels, bins=10)
    np.testing.assert_allclose([one.share for one in curve], share, atol=1e-12)
    np.testing.assert_allclose([one.mean_p for one in curve], mean_p, atol=1e-12)
    weighted = sum(one.rows * abs(one.mean_p - one.share) for one in curve) / 400
    assert expected_calibration_error(p, labels) == pytest.approx(weighted)


def test_a_calibrated_probability_has_a_small_error_and_an_overconfident_one_has_not():
    rng = np.random.default_rng(2)
    p = rng.random(20_000)
    labels = rng.random(20_000) < p
    assert expected_calibration_error(p, labels) < 0.02
    assert expected_calibration_error((p > 0.5) * 0.98 + 0.01, labels) > 0.2


def test_probability_one_is_in_the_last_bin_and_raw_scores_are_refused():
    assert calibration_curve([1.0], [1], bins=4)[0].low == 0.75
    with pytest.raises(InputError, match="sigmoid"):
        calibration_curve([1.7], [1])
    with pytest.raises(InputError, match="at least 1"):
        calibration_curve([0.5], [1], bins=0)


def test_the_range_may_begin_at_a_half():
    assert [one.low for one in calibration_curve([0.5, 0.99], [1, 1], bins=5, low=0.5)] == [0.5, 0.9]


def test_rank_correlation_equals_scipy_with_ties_and_weights():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 8, 200), rng.integers(0, 30, 200)
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    weights = rng.integers(0, 4, 200)
    twice = np.repeat(np.arange(200), weights)
    assert rank_correlation(x, y, weights_B=weights) == pytest.approx(stats.spearmanr(x[twice], y[twice]).statistic, abs=1e-12)


def test_constant_sides_have_no_correlation():
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert math.isnan(within_correlation([1.1, 1.1, 5.3], [1, 2, 3], ["a", "a", "b"]))


def test_what_differs_between_prompts_alone_is_no_bias():
    # prompt b is longer and scored lower throughout; inside each prompt the longer response scores higher
    length, score = [1, 2, 3, 11, 12, 13], [5, 6, 7, 1, 2, 3]
    assert rank_correlation(length, score) < 0
    assert within_correlation(length, score, ["a"] * 3 + ["b"] * 3) == pytest.approx(1.0)
