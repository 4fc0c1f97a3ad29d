"""Intervals whose unit is the prompt: against a published formula, and by how often they cover the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.measures import bootstrap, clustered_standard_error, mean_interval
from hero_rl.types import FloatArray


@given(st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 4)), min_size=2, max_size=25))
def test_the_clustered_standard_error_is_millers_double_sum(rows):
    """Miller 2024 (arXiv 2411.00640), eq. 4: SE^2 = (sum_i d_i^2 + sum over clusters, i != j, of d_i d_j) / n^2."""
    values, clusters = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(clusters.tolist())) < 2:
        assert math.isnan(clustered_standard_error(values, clusters))
        return
    d, n = values - values.mean(), len(values)
    across = sum(d[i] * d[j] for i in range(n) for j in range(n) if i != j and clusters[i] == clusters[j])
    squared = ((d**2).sum() + across) / n**2
    assert clustered_standard_error(values, clusters) ** 2 == pytest.approx(squared, abs=1e-9)


def test_a_worked_standard_error():
    # d = -1, -1, 1, 1 in two clusters: sqrt(4 + 4) / 4; each row its own cluster: sqrt(4) / 4
    assert clustered_standard_error([0, 0, 2, 2], ["a", "a", "b", "b"]) == pytest.approx(math.sqrt(8) / 4)
    assert clustered_standard_error([0, 0, 2, 2], [1, 2, 3, 4]) == pytest.approx(0.5)
    # with one row a cluster and the small-sample correction it is the textbook standard error
    x = np.random.default_rng(0).normal(size=50)
    assert clustered_standard_error(x, np.arange(50), small_sample=True) == pytest.approx(x.std(ddof=1) / math.sqrt(50))


def clustered_values(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """40 prompts of 5 responses with a strong prompt effect; the true mean is 0."""
    prompts = np.repeat(np.arange(40), 5)
    return rng.normal(size=40)[prompts] + 0.3 * rng.normal(size=200), prompts.astype(np.float64)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    covered = {"bootstrap": 0, "formula": 0, "rows as if independent": 0}
    rounds = 200
    for _ in range(rounds):
        values, prompts = clustered_values(rng)

        def mean(weights_B: FloatArray, values: FloatArray = values) -> float:
            return float((weights_B * values).sum() / weights_B.sum())

        for name, estimate in (
            ("bootstrap", bootstrap(mean, prompts, draws=200, seed=int(rng.integers(2**31)))),
            ("formula", mean_interval(values, prompts)),
            ("rows as if independent", mean_interval(values, np.arange(len(values)))),
        ):
            covered[name] += estimate.low <= 0.0 <= estimate.high
    # four standard errors of a share of 0.95 over 200 rounds are 0.06
    assert covered["bootstrap"] / rounds >= 0.88
    assert covered["formula"] / rounds >= 0.88
    assert covered["rows as if independent"] / rounds < 0.75


def test_the_bootstrap_draws_whole_prompts():
    def spread_inside_prompts(weights_B: FloatArray) -> float:
        assert weights_B[0] == weights_B[1]
        assert weights_B[2] == weights_B[3]
        assert weights_B.sum() == 4
        return float(weights_B[0])

    estimate = bootstrap(spread_inside_prompts, ["a", "a", "b", "b"], draws=50)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 0.0, 2.0)


def test_the_bootstrap_is_the_same_for_the_same_seed():
    values = np.random.default_rng(1).normal(size=30)

    def run(seed: int) -> tuple[float, ...]:
        return bootstrap(lambda w: float((w * values).sum() / w.sum()), np.arange(30) // 3, draws=100, seed=seed)

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_one_prompt_gives_no_interval_and_no_rows_are_refused():
    estimate = bootstrap(lambda w: float(w.sum()), ["a", "a"])
    assert estimate.value == 2.0
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    with pytest.raises(InputError, match="need rows"):
        bootstrap(lambda w: 0.0, [])
