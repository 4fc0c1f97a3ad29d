"""Intervals in closed form: hand-worked, equal to known formulas where rows are independent, and right 95 times in 100."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy.stats import t

from hero_rl.measures import auroc, auroc_interval, clustered_standard_error, mean_of_clusters, share_interval


def test_independent_rows_give_wilsons_interval() -> None:
    # 8 of 40, each row its own cluster: SE^2 = p(1-p)/40 * 40/39, so the rows are worth 39
    flags = np.arange(40) < 8
    found = share_interval(flags, np.ones(40), np.arange(40))
    z, n, p = float(t.ppf(0.975, 39)), 39.0, 0.2
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert found == pytest.approx((0.2, centre - half, centre + half))


def test_rows_of_one_cluster_that_agree_are_worth_one_row() -> None:
    flags = np.repeat([1, 0, 1, 0, 1, 1], 50)
    by_cluster = share_interval(flags, np.ones(300), np.repeat(np.arange(6), 50))
    alone = share_interval([1, 0, 1, 0, 1, 1], np.ones(6), np.arange(6))
    assert by_cluster == pytest.approx(alone)


def test_the_worth_follows_the_published_clustered_standard_error() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), 7)
    flags = rng.random(210) < np.repeat(rng.random(30), 7)
    se = clustered_standard_error(flags.astype(float), clusters, small_sample=True)
    p, z = flags.mean(), float(t.ppf(0.975, 29))
    n = p * (1 - p) / se**2
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    found = share_interval(flags, np.ones(210), clusters)
    assert (found.high - found.low) / 2 == pytest.approx(half)


def test_a_share_of_nothing_or_of_everything_still_has_a_width() -> None:
    assert share_interval(np.zeros(20), np.ones(20), np.arange(20)).high > 0.1
    assert share_interval(np.ones(20), np.ones(20), np.arange(20)).low < 0.9
    assert math.isnan(share_interval([1, 0], [1, 1], [0, 0]).low)
    assert math.isnan(share_interval([1, 0], [0, 0], [0, 1]).value)


def test_the_auroc_interval_is_that_of_delong_where_rows_are_independent() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(80) < 0.4
    scores = rng.normal(size=80) + labels
    found = auroc_interval(scores, labels, np.arange(80))
    positive, negative = scores[labels], scores[~labels]
    wins = (positive[:, None] > negative[None, :]).astype(float)
    m, n = wins.shape
    v10, v01, value = wins.mean(axis=1), wins.mean(axis=0), wins.mean()
    # sums of squares over the class sizes, and one small-sample factor 80/79, in place of DeLong's m/(m-1) and n/(n-1)
    variance = 80 / 79 * (((v10 - value) ** 2).sum() / m**2 + ((v01 - value) ** 2).sum() / n**2)
    assert found.value == pytest.approx(auroc(scores, labels))
    assert found.high - found.value == pytest.approx(float(t.ppf(0.975, 79)) * math.sqrt(variance))


def test_a_mean_of_clusters_has_students_interval() -> None:
    found = mean_of_clusters([1.0, 2.0, 3.0, math.nan])
    assert found == pytest.approx((2.0, 2.0 - 4.302653 / math.sqrt(3), 2.0 + 4.302653 / math.sqrt(3)), abs=1e-5)
    assert math.isnan(mean_of_clusters([1.0]).low)


SIMULATIONS = 1500


def covered(draw, measure, truth: float) -> float:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(SIMULATIONS):
        _, low, high = measure(*draw(rng))
        hits += low <= truth <= high
    return hits / SIMULATIONS


@pytest.mark.parametrize(("prompts", "size", "p"), [(60, 8, 0.5), (100, 4, 0.2), (150, 8, 0.9)])
def test_intervals_of_shares_cover_the_truth_95_times_in_100(prompts: int, size: int, p: float) -> None:
    def draw(rng: np.random.Generator):
        of_prompt = rng.beta(2 * p, 2 * (1 - p), size=prompts)  # prompts differ: rows of one are alike
        flags = rng.random((prompts, size)) < of_prompt[:, None]
        return flags.ravel(), np.ones(prompts * size), np.repeat(np.arange(prompts), size)

    assert 0.93 <= covered(draw, share_interval, p) <= 0.97


def test_intervals_of_the_auroc_cover_the_truth_95_times_in_100() -> None:
    def draw(rng: np.random.Generator):
        easy = rng.normal(size=(80, 1))
        labels = rng.random((80, 6)) < 0.5
        scores = 0.5 * easy + rng.normal(size=(80, 6)) + labels
        return scores.ravel(), labels.ravel(), np.repeat(np.arange(80), 6)

    # the difference of two independent scores is normal with variance 2 (1 + 0.25) and mean 1; pairs of one prompt (1 in 96)
    # share its ease and have variance 2
    def phi(x: float) -> float:
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    truth = phi(1 / math.sqrt(2.5)) * (1 - 1 / 96) + phi(1 / math.sqrt(2)) / 96
    assert 0.93 <= covered(draw, auroc_interval, truth) <= 0.97


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30, 999, 1000, 1001, 100_000])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_quantiles_of_students_t_are_scipys(degrees: int, level: float) -> None:
    from hero_rl.measures.intervals import t_quantile

    assert t_quantile(degrees, level) == pytest.approx(float(t.ppf((1 + level) / 2, degrees)), rel=1e-7)
