"""Difficulty weights (Eq. 4) and the running mean of sigma."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.rewards import APPENDIX, MAIN_TEXT, check_weights, difficulty_weight, gated, hero, running_mean, saturated_share
from hero_rl.rewards.groups import group_moments, index_groups

sigmas = st.lists(st.floats(0, 50), max_size=6)
decays = st.sampled_from([0.5, 0.9, 0.99, None])


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (APPENDIX, [0.406, 0.523, 1.321, 1.700, 2.079, 2.877, 2.994]),
        (MAIN_TEXT, [0.510, 0.614, 1.066, 1.250, 1.434, 1.886, 1.990]),
    ],
)
def test_worked_values_of_equation_4(preset, expected):
    sigma = 3.0 + np.array([-1, -0.5, -0.1, 0, 0.1, 0.5, 1])
    assert difficulty_weight(sigma, 3.0, **preset) == pytest.approx(expected, abs=6e-4)


@given(st.lists(st.floats(0, 1e6), min_size=2), st.floats(0, 1e6), st.floats(0, 100))
def test_weights_stay_within_limits_and_rise_with_sigma(sigma, mean, k):
    weights = difficulty_weight(np.sort(sigma), mean, w_min=0.4, w_max=3.0, k=k)
    assert ((weights >= 0.4) & (weights <= 3.0)).all()
    assert (np.diff(weights) >= 0).all()


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 100), st.floats(1e-3, 1e3))
def test_weights_by_ratio_do_not_depend_on_the_unit(sigma, mean, unit):
    weights = difficulty_weight(sigma, mean, k=2.0, by="ratio")
    assert difficulty_weight(unit * np.array(sigma), unit * mean, k=2.0, by="ratio") == pytest.approx(weights, abs=1e-9)


def test_weights_by_ratio_by_hand():
    # sigma / mean - 1 = -1/2, 0, 1; w = .4 + 2.6 / (1 + exp(-2 x)): 1 + e = 3.718282, 2, 1 + e^-2 = 1.135335
    weights = difficulty_weight([5.0, 10.0, 20.0], 10.0, k=2.0, by="ratio")
    assert weights == pytest.approx([0.4 + 2.6 / 3.718282, 1.7, 0.4 + 2.6 / 1.135335], abs=1e-6)
    assert difficulty_weight([0.0, 0.0], 0.0, by="ratio") == pytest.approx([1.7, 1.7])  # no spread anywhere: average
    with pytest.raises(InputError, match="weight_by"):
        hero(weight_by="share")  # type: ignore[arg-type]


def test_the_share_of_weights_at_a_limit_by_hand():
    # limits .4 and 3, 5% of the range is .13: .4, .52, 2.88 and 3 are at one
    assert saturated_share([0.4, 0.52, 0.54, 1.7, 2.86, 2.88, 3.0], w_min=0.4, w_max=3.0) == pytest.approx(4 / 7)
    assert np.isnan(saturated_share([1.0, 1.0], w_min=1.0, w_max=1.0))


def test_weights_at_their_limits_are_warned_of_for_hero_alone():
    at_limit = np.array([0.4, 3.0] * 32)
    assert "weight_by='ratio'" in (check_weights(hero(), at_limit) or "")
    assert check_weights(hero(), np.linspace(0.4, 3.0, 64)) is None
    assert check_weights(hero(), at_limit[:60]) is None  # too few to say
    assert check_weights(hero(weighting=False), at_limit) is None
    assert check_weights(gated(), at_limit) is None


def test_an_unknown_spread_counts_as_average():
    assert difficulty_weight([np.nan, 2.0], np.nan) == pytest.approx([1.7, 1.7])


def test_limits_out_of_order_are_refused():
    with pytest.raises(InputError, match="w_min=3 and w_max=0.4"):
        difficulty_weight([1.0], 1.0, w_min=3.0, w_max=0.4)
    with pytest.raises(InputError, match="k=-1"):
        difficulty_weight([1.0], 1.0, k=-1)


def spread(scores, labels):
    return group_moments(np.asarray(scores, dtype=np.float64), index_groups(labels)).std_P


def test_sigma_is_the_population_one_over_all_responses_with_a_score():
    # a: 1, 3 -> 1;  b: 2, 4, 9 and a missing one -> mean 5, squares 9 + 1 + 16 = 26, sqrt(26 / 3);  c: nothing known
    sigma = spread([1, 2, 3, 4, 9, np.nan, np.nan], [*"abab", "b", "b", "c"])
    assert sigma[:2] == pytest.approx([1.0, (26 / 3) ** 0.5])
    assert np.isnan(sigma[2])


def test_a_large_offset_does_not_swallow_a_small_spread():
    assert spread(1e8 + np.array([0.0, 0.5, 1.0]), [0, 0, 0]) == pytest.approx([(1 / 6) ** 0.5], rel=1e-6)


def test_the_first_batch_sets_the_mean():
    assert running_mean().update([1.0, 3.0]).value == 2.0


def test_exponential_mean_by_hand():
    # batch means 2 and 4, decay .5: (.5 * 2 + 4) / (.5 + 1) = 10 / 3
    assert running_mean(0.5).update([1.0, 3.0]).update([4.0]).value == pytest.approx(10 / 3)


def test_cumulative_mean_is_the_plain_mean():
    assert running_mean(None).update([1.0, 3.0]).update([]).update([8.0]).value == 4.0


def test_nothing_known_changes_nothing():
    state = running_mean().update([2.0])
    assert state.update([np.nan]) == state
    assert np.isnan(running_mean().value)


@given(decays, st.lists(sigmas, max_size=5), st.lists(sigmas, max_size=5))
def test_state_through_json_continues_bit_for_bit(decay, before, after):
    state = running_mean(decay)
    for batch in before:
        state = state.update(batch)
    restored = running_mean(decay).restore(json.loads(json.dumps(state.state_dict())))
    for batch in after:
        state, restored = state.update(batch), restored.update(batch)
    assert restored == state


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": -1.0},
        {"total": -5.0},
        {"total": 1e308},
        {"total": [1]},
        {"total": 10**400},
        {"updates": 1.5},
        {"updates": True},
        {"decay": "0.9"},
    ],
)
def test_values_that_no_running_mean_has_are_refused(wrong):
    state = running_mean().update([1.0]).state_dict()
    with pytest.raises(InputError, match="not the state of a running mean"):
        running_mean().restore({**state, **wrong})


def test_a_running_mean_is_continued_only_by_one_of_the_same_decay():
    state = running_mean(0.9).update([1.0])
    assert running_mean(0.9).restore(state.state_dict()) == state
    with pytest.raises(InputError, match=r"decays by 0\.9, the rule by None"):
        running_mean(None).restore(state.state_dict())


def test_bad_states_and_decays_are_refused():
    with pytest.raises(InputError, match="version 1"):
        running_mean().restore({"version": 2, "total": 1.0})
    with pytest.raises(InputError, match="decay=1.5"):
        running_mean(1.5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64, np.uint64, str])
def test_labels_of_any_integer_type_are_groups(dtype):
    low = -128 if np.issubdtype(dtype, np.signedinteger) else 0
    labels = np.repeat(np.arange(low, low + 256), 3).astype(dtype)
    assert spread(np.tile([1.0, 2.0, 3.0], 256), labels) == pytest.approx(np.full(256, np.sqrt(2 / 3)))


def test_a_missing_label_is_named():
    with pytest.raises(InputError, match="all integers or all strings"):
        spread([1.0, 2.0], ["a", None])
