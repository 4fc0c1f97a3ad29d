"""The health of signals over a run, by hand-worked numbers and by simulated runs."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.measures.health import SIGNS, WINDOW, Health
from hero_rl.rewards.groups import Groups

NAN = math.nan
PAIRS = Groups(np.array([0, 0, 1, 1]), 2)


def after(*batches, chars=None, groups=PAIRS):
    """The health after batches of four scores."""
    health = Health()
    for scores in batches:
        health = health.after(np.array(scores, dtype=float), groups, None if chars is None else np.full(4, chars))
    return health


def usual(count=8):
    """Batches with the mean 0 and the standard deviation 1, in turn (-1, 1, -1, 1) and (1, -1, 1, -1)."""
    return [[-1.0, 1.0, -1.0, 1.0], [1.0, -1.0, 1.0, -1.0]] * (count // 2)


def test_the_measures_are_those_worked_out_by_hand():
    two = [[5.0, 7.0, 5.0, 7.0], [4.0, NAN, 8.0, 4.0]]  # means 6 and 16/3, spreads 1 and sqrt(32/9)
    found = after(*usual(), *two).measures()
    assert found == pytest.approx({
        "missing": 1 / 8, "flat": 0.0, "shift": 16 / 3, "scale": 1.0, "clipped": NAN, "length": NAN,
    }, nan_ok=True)  # fmt: skip
    wide = after(*usual(), [-5, 5, -5, 5], [8, -8, 8, -8]).measures()
    assert (wide["scale"], wide["shift"]) == (pytest.approx(5.0), 0.0)  # the less striking of the two
    assert math.isnan(after(*usual(6), *two).measures()["shift"])  # too few before
    assert after([0, 1, 2, 3]).measures().keys() == SIGNS.keys()


def test_one_odd_batch_is_no_sign_and_two_are():
    jump, constant, lost = [9.0, 11.0, 9.0, 11.0], [0.5] * 4, [NAN, NAN, 1.0, 0.0]
    for batch, name in ((jump, "shift"), (constant, "flat"), (lost, "missing")):
        before = usual(WINDOW)
        assert after(*before, batch).findings() == {}
        assert name in after(*before, batch, batch).findings()
        assert after(*before, batch, before[0]).findings() == {}


def test_a_reward_model_that_is_constant_from_the_start_is_found_and_a_coarse_one_is_not():
    prompt_only = [3.0, 3.0, 1.0, 1.0]  # differs between prompts and never within one
    assert after(*[prompt_only] * 6).findings() == {}  # 0.5**12 > 1e-4
    assert "in 7 batches in a row" in after(*[prompt_only] * 7).findings()["flat"]
    half = [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]] * 16
    assert after(*half, [1.0] * 4, [1.0] * 4).findings() == {}


def test_scores_at_a_bound_are_clipped_and_those_of_few_values_are_not():
    eight = Groups(np.repeat([0, 1], 4), 2)
    raw = np.random.default_rng(0).normal(size=(6, 8))
    assert after(*raw, groups=eight).measures()["clipped"] == pytest.approx(0.0)
    found = after(*np.minimum(raw, 0.1), groups=eight)
    assert found.measures()["clipped"] == pytest.approx((raw[-2:] >= 0.1).mean())
    assert "are exactly 0.1, the highest of all" in found.findings()["clipped"]
    assert math.isnan(after(*np.round(raw), groups=eight).measures()["clipped"])


def test_responses_that_become_short_are_found_and_longer_ones_are_not():
    health = after(*usual(), chars=400.0)
    short, long = health, health
    for scores in usual(2):
        short = short.after(np.array(scores), PAIRS, np.full(4, 40.0))
        long = long.after(np.array(scores), PAIRS, np.full(4, 4000.0))
    assert short.findings() == {"length": "40 characters after 400. Read some: does the policy stop at once?"}
    assert (short.measures()["length"], long.measures()["length"]) == (pytest.approx(0.1), pytest.approx(10.0))
    assert long.findings() == {}


def runs(fault, *, seeds, batches, rows):
    """The findings after each batch of runs whose scores rise and whose prompts differ; from batch 60 on with a fault."""
    groups = Groups(np.repeat(np.arange(rows // 8), 8), rows // 8)
    for seed in range(seeds):
        rng, health = np.random.default_rng([seed, rows]), Health()
        for step in range(batches):
            hard = rng.normal(size=groups.size).repeat(8)
            scores = step / 100 + 0.8 * hard + np.exp(rng.normal(-0.5, 0.4, groups.size)).repeat(8) * rng.normal(size=rows)
            scores[rng.random(rows) < 0.01] = NAN
            health = health.after(fault(scores) if step >= 60 else scores, groups, np.exp(6 - 0.4 * hard))
            yield step, health.findings()


@pytest.mark.parametrize("rows", [8, 64])
def test_honest_runs_raise_no_alarm_and_faults_are_found_within_two_batches(rows):
    assert sum(bool(found) for _, found in runs(lambda scores: scores, seeds=4, batches=250, rows=rows)) < 2
    faults = {"flat": lambda s: 0.0 * np.nan_to_num(s), "shift": lambda s: s + 5, "scale": lambda s: 10 * s}
    for name, fault in faults.items():
        last = [found for step, found in runs(fault, seeds=10, batches=62, rows=rows) if step == 61]
        assert sum(name in found for found in last) >= 9, name


numbers = st.floats(-1e150, 1e150) | st.sampled_from([NAN, 0.0, 1.0, 1e-300])


@given(st.lists(st.lists(numbers, min_size=4, max_size=4), max_size=40), st.integers(0, 40))
def test_a_restored_state_goes_on_bit_for_bit_and_no_scores_break_it(batches, cut):
    whole, health = after(*batches), after(*batches[:cut])
    restored = Health.restore(json.loads(json.dumps(health.state_dict(), allow_nan=False)))
    for scores in batches[cut:]:
        restored = restored.after(np.array(scores), PAIRS, None)
    assert json.dumps(restored.state_dict()) == json.dumps(whole.state_dict())
    assert restored.findings() == whole.findings()
    assert all(math.isnan(value) or math.isfinite(value) for value in whole.measures().values())


@pytest.mark.parametrize("state", [
    None, [], {}, {"version": 2, "batches": []}, {"version": 1, "batches": [[1.0]]}, {"version": 1, "batches": [["x"] * 11]},
    {"version": 1, "batches": [[1e308] * 11]}, {"version": 1, "batches": [[0.0] * 11]},
    {"version": 1, "batches": [[4.0] * 11] * 35},
])  # fmt: skip
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(InputError, match="not the state of a run's health"):
        Health.restore(state)
