"""The rule ``process``: step scores move the advantages of steps, and neither the response's own nor the verdict's order."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.contrib.process import NO_STEPS, Steps, spread_over_tokens, step_advantages
from hero_rl.errors import BandOverlapError, InputError
from hero_rl.rewards import (
    StepShaping,
    group_advantages,
    hero,
    make_rule,
    process,
    rm_only,
)
from hero_rl.types import LEARNED_YES, FloatArray

NAN = float("nan")
SCALES = st.sampled_from(["none", "group", "batch"])


def steps(*pairs: tuple[float, int]) -> Steps:
    """From (score, tokens) of each step."""
    scores, lengths = zip(*pairs, strict=True)
    return Steps(np.array(scores, dtype=np.float64), np.array(lengths, dtype=np.intp))


def shaped(advantages, steps_B, verdicts, groups, gamma=0.1, **options) -> list[list[float]]:
    keywords = {name: options.pop(name) for name in ("weights_B", "learned_credit") if name in options}
    found = step_advantages(advantages, steps_B, verdicts, groups, StepShaping(gamma=gamma, **options), **keywords)
    return [row.round(6).tolist() for row in found.steps]


# --- hand-worked ---


def test_steps_are_stretched_over_their_stratum_and_centred_by_tokens() -> None:
    # stratum of the incorrect: scores 0.2 .. 0.6, so z = 0, 1 and z = 1/2; the first response's mean is (3 * 0 + 1 * 1) / 4
    wrong, other = steps((0.2, 3), (0.6, 1)), steps((0.4, 5))
    assert shaped([-0.1, 0.1], [wrong, other], [0, 0], [7, 7]) == [[-0.125, -0.025], [0.1]]


def test_the_shape_is_in_units_of_the_prompts_weight() -> None:
    wrong, other = steps((0.2, 3), (0.6, 1)), steps((0.4, 5))
    assert shaped([-0.1, 0.1], [wrong, other], [0, 0], [7, 7], weights_B=[2.0, 2.0]) == [[-0.15, 0.05], [0.1]]


def test_strata_do_not_see_one_another() -> None:
    # each response spans its own stratum, 0.1 .. 0.2 and 0.8 .. 0.9
    wrong, right = steps((0.1, 1), (0.2, 1)), steps((0.9, 1), (0.8, 1))
    assert shaped([-0.5, 0.5], [wrong, right], [0, 1], [0, 0]) == [[-0.55, -0.45], [0.55, 0.45]]


def test_between_strata_that_lie_close_the_shape_is_cut_to_half_their_distance() -> None:
    # the distance is 0.1, so c = 0.05 in place of 0.1, and no step crosses the middle, 0
    wrong, right = steps((0.0, 9), (1.0, 1)), steps((0.0, 1), (1.0, 9))
    got = shaped([-0.05, 0.05], [wrong, right], [0, 1], [0, 0])
    assert got == [[-0.055, -0.005], [0.005, 0.055]]


def test_where_a_worse_verdict_has_the_higher_advantage_nothing_is_shaped() -> None:
    wrong, right = steps((0.0, 1), (1.0, 1)), steps((0.0, 1), (1.0, 1))
    assert shaped([0.2, -0.2], [wrong, right], [0, 1], [0, 0]) == [[0.2, 0.2], [-0.2, -0.2]]


def test_a_learned_yes_is_a_stratum_of_its_own_where_the_rule_gives_it_a_band() -> None:
    rows = [steps((0.0, 1), (1.0, 1)), steps((0.0, 1), (3.0, 1)), steps((0.0, 1), (10.0, 1))]
    verdicts, advantages = [0, LEARNED_YES, 1], [-0.5, 0.0, 0.5]
    own = shaped(advantages, rows, verdicts, [0, 0, 0], learned_credit=0.5)
    assert own == [[-0.55, -0.45], [-0.05, 0.05], [0.45, 0.55]]
    as_correct = shaped(advantages, rows, verdicts, [0, 0, 0])  # 3 of 10, and 0.5 is the distance below 0.0
    assert as_correct == [[-0.55, -0.45], [-0.015, 0.015], [0.45, 0.55]]


def test_the_change_of_a_score_blames_the_step_of_the_mistake_and_not_those_after_it() -> None:
    # changes: 0.9 - 0.9, -0.8, 0 for the first, and 0, 0, 0 for the second; z = 1, 0, 1
    wrong, other = steps((0.9, 1), (0.1, 1), (0.1, 1)), steps((0.9, 1), (0.9, 1), (0.9, 1))
    by_change = shaped([0.0, 0.0], [wrong, other], [0, 0], [0, 0], signal="change")
    assert by_change == [[0.033333, -0.066667, 0.033333], [0.0, 0.0, 0.0]]
    by_level = shaped([0.0, 0.0], [wrong, other], [0, 0], [0, 0])
    assert by_level == [[0.066667, -0.033333, -0.033333], [0.0, 0.0, 0.0]]


def test_first_steps_change_from_the_prompts_mean_first_step() -> None:
    # first steps 0.2 and 0.6, mean 0.4: changes -0.2, 0.1 and 0.2, 0.1; z = 0, 3/4 and 1, 3/4
    rows = [steps((0.2, 1), (0.3, 1)), steps((0.6, 1), (0.7, 1))]
    assert shaped([0.0, 0.0], rows, [0, 0], [0, 0], signal="change") == [[-0.0375, 0.0375], [0.0125, -0.0125]]


@pytest.mark.parametrize(
    "rows",
    [
        [steps((0.5, 2)), NO_STEPS],
        [steps((0.5, 2), (0.5, 1)), steps((0.5, 3))],
        [steps((0.5, 2), (NAN, 1)), NO_STEPS],
        [steps((0.5, 2), (float("inf"), 1)), NO_STEPS],
        [steps((0.5, 0), (0.1, 0)), NO_STEPS],
        [NO_STEPS, NO_STEPS],
    ],
    ids=["one_step", "tied", "missing", "infinite", "no_tokens", "no_steps"],
)
def test_a_stratum_that_says_nothing_leaves_the_advantages_alone(rows: list[Steps]) -> None:
    found = step_advantages([0.3, -0.3], rows, [0, 0], [0, 0], StepShaping())
    assert not found.shaped.any()
    assert [values.tolist() for values in found.steps] == [[0.3] * len(rows[0].scores), [-0.3] * len(rows[1].scores)]


def test_a_missing_step_score_leaves_only_its_response_alone() -> None:
    rows = [steps((0.0, 1), (NAN, 1)), steps((0.4, 1), (0.6, 1))]
    found = step_advantages([0.0, 0.0], rows, [0, 0], [0, 0], StepShaping())
    assert found.shaped.tolist() == [False, True]
    assert found.steps[1].round(6).tolist() == [-0.05, 0.05]  # the span is its own, 0.4 .. 0.6


def test_a_response_that_was_left_out_has_no_part_in_its_stratum() -> None:
    rows = [steps((-9.0, 1), (9.0, 1)), steps((0.4, 1), (0.6, 1)), steps((0.1, 1))]
    found = step_advantages([NAN, 0.3, -0.3], rows, [1, 1, 0], [0, 0, 0], StepShaping())
    assert found.steps[0].tolist() == [0.0, 0.0]
    assert found.steps[1].round(6).tolist() == [0.25, 0.35]


def test_a_step_without_tokens_stretches_nothing() -> None:
    rows = [steps((-9.0, 0), (0.4, 1), (0.6, 1))]
    assert shaped([0.0], rows, [0], [0])[0][1:] == [-0.05, 0.05]


def test_tokens_have_the_advantage_of_their_step_and_padding_that_of_the_response() -> None:
    rows = [steps((0.0, 2), (0.0, 1)), NO_STEPS]
    spread = spread_over_tokens([0.2, NAN], [np.array([0.1, 0.4]), np.zeros(0)], rows, width=4)
    assert spread.tolist() == [[0.1, 0.1, 0.4, 0.2], [0.0, 0.0, 0.0, 0.0]]
    with pytest.raises(InputError, match="3 tokens and there is room for 2"):
        spread_over_tokens([0.2, NAN], [np.array([0.1, 0.4]), np.zeros(0)], rows, width=2)


# --- properties ---


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Steps], FloatArray, FloatArray, FloatArray]:
    """Steps, verdicts, scores and groups."""
    size = draw(st.integers(1, 14))
    score = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, NAN]), st.floats(-1e3, 1e3))
    rows = draw(st.lists(st.lists(st.tuples(score, st.integers(0, 9)), max_size=5), min_size=size, max_size=size))
    verdicts = draw(st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=size, max_size=size))
    scores = draw(st.lists(st.floats(-5, 5), min_size=size, max_size=size))
    groups = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    return [steps(*row) if row else NO_STEPS for row in rows], np.array(verdicts), np.array(scores), np.array(groups)


SHAPINGS = st.builds(StepShaping, gamma=st.floats(0, 0.44), signal=st.sampled_from(["level", "change"]))


@given(batches(), SHAPINGS, SCALES)
def test_the_mean_over_a_responses_tokens_is_its_own_advantage(batch, shaping: StepShaping, scale) -> None:
    rows, verdicts, scores, groups = batch
    output = hero().apply(verdicts, scores, groups, hero().init())
    advantages = group_advantages(output.rewards, groups, scale=scale, weights_B=output.weights)
    found = step_advantages(advantages, rows, verdicts, groups, shaping, weights_B=output.weights)
    for advantage, values, row in zip(advantages, found.steps, rows, strict=True):
        if row.lengths.sum() > 0:
            mean = values @ row.lengths / row.lengths.sum()
            assert mean == pytest.approx(advantage, rel=1e-12, abs=1e-13)


@given(batches(), SHAPINGS, SCALES)
def test_no_step_of_a_correct_response_falls_below_one_of_an_incorrect_response(batch, shaping: StepShaping, scale) -> None:
    rows, verdicts, scores, groups = batch
    output = hero().apply(verdicts, scores, groups, hero().init())
    advantages = group_advantages(output.rewards, groups, scale=scale, weights_B=output.weights)
    found = step_advantages(advantages, rows, verdicts, groups, shaping, weights_B=output.weights)
    reached = [np.append(values[row.lengths > 0], a) for values, a, row in zip(found.steps, advantages, rows, strict=True)]
    for group in set(groups.tolist()):
        correct = [v for v, verdict, g in zip(reached, verdicts, groups, strict=True) if g == group and verdict == 1.0]
        others = [v for v, verdict, g in zip(reached, verdicts, groups, strict=True) if g == group and verdict != 1.0]
        if correct and others:
            assert np.concatenate(correct).min() >= np.concatenate(others).max() - 1e-12


@given(batches(), st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0, 1))
def test_hero_s_bands_leave_room_for_the_whole_gamma(batch, alpha: float, beta: float, share: float) -> None:
    """c is gamma times the weight wherever alpha + beta + 2 gamma < 1: the shape does not depend on the outcome."""
    rows, verdicts, scores, groups = batch
    shaping = StepShaping(gamma=share * 0.49 * (1 - alpha - beta))
    rule = hero(alpha=alpha, beta=beta)
    output = rule.apply(verdicts, scores, groups, rule.init())
    advantages = group_advantages(output.rewards, groups, weights_B=output.weights)
    found = step_advantages(advantages, rows, verdicts, groups, shaping, weights_B=output.weights)
    far = step_advantages(1e3 * (verdicts == 1.0), rows, np.nan_to_num(verdicts), groups, shaping, weights_B=output.weights)
    for a, values, b, wide in zip(advantages, found.steps, 1e3 * (verdicts == 1.0), far.steps, strict=True):
        np.testing.assert_allclose(values - a, wide - b, rtol=0, atol=1e-9)


@given(batches(), SHAPINGS, st.randoms(use_true_random=False))
def test_the_order_of_responses_does_not_matter(batch, shaping: StepShaping, random) -> None:
    rows, verdicts, scores, groups = batch
    order = list(range(len(rows)))
    random.shuffle(order)
    found = step_advantages(scores, rows, verdicts, groups, shaping)
    moved = step_advantages(scores[order], [rows[i] for i in order], verdicts[order], groups[order], shaping)
    for place, i in enumerate(order):
        np.testing.assert_allclose(moved.steps[place], found.steps[i], rtol=0, atol=1e-9)


@given(batches(), st.sampled_from(["level", "change"]))
def test_gamma_0_is_the_outcome(batch, signal) -> None:
    rows, verdicts, scores, groups = batch
    found = step_advantages(scores, rows, verdicts, groups, StepShaping(gamma=0.0, signal=signal))
    assert not found.shaped.any()
    for score, values, row in zip(scores, found.steps, rows, strict=True):
        np.testing.assert_array_equal(values, np.full(len(row.scores), score))


@given(batches(), SHAPINGS, st.floats(0.1, 10), st.floats(-10, 10))
def test_the_unit_of_step_scores_does_not_matter(batch, shaping: StepShaping, factor: float, shift: float) -> None:
    rows, verdicts, scores, groups = batch
    exact = dataclasses.replace(shaping, tie_tolerance=1e-2)
    rows = [Steps(np.round(row.scores, 1), row.lengths) for row in rows]
    other = [Steps(factor * row.scores + shift, row.lengths) for row in rows]
    scaled = dataclasses.replace(exact, tie_tolerance=1e-2 * factor)
    first = step_advantages(scores, rows, verdicts, groups, exact)
    second = step_advantages(scores, other, verdicts, groups, scaled)
    for a, b in zip(first.steps, second.steps, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


# --- the rule and its settings ---


@given(batches())
def test_rewards_and_weights_of_the_rule_are_heros(batch) -> None:
    _, verdicts, scores, groups = batch
    got, want = (rule.apply(verdicts, scores, groups, rule.init()) for rule in (process(alpha=0.1), hero(alpha=0.1)))
    np.testing.assert_array_equal(got.rewards, want.rewards)
    np.testing.assert_array_equal(got.weights, want.weights)


def test_the_rule_is_found_by_name_and_says_what_it_is() -> None:
    rule = make_rule("process", {"gamma": 0.2, "signal": "change", "beta": 0.1})
    assert rule.name == "process"
    assert rule.steps == StepShaping(gamma=0.2, signal="change")
    assert make_rule("process", dict(rule.settings)).settings == rule.settings
    assert pickle.loads(pickle.dumps(rule)).steps == rule.steps
    assert hero().steps is None


def test_any_rule_can_be_shaped() -> None:
    rule = dataclasses.replace(rm_only(), steps=StepShaping(gamma=0.3))
    assert rule.steps is not None
    assert rule.steps.gamma == 0.3


def test_bands_and_steps_that_overlap_are_refused() -> None:
    process(alpha=0.2, beta=0.2, gamma=0.29)
    with pytest.raises(BandOverlapError, match=r"\(0.5 and 0.5\); need alpha \+ beta \+ 2 gamma < 1"):
        process(alpha=0.2, beta=0.2, gamma=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 0.5}, "gamma=0.5 must lie in"),
        ({"gamma": -0.1}, "gamma=-0.1 must lie in"),
        ({"gamma": NAN}, "gamma=nan must lie in"),
        ({"signal": "slope"}, "signal='slope' is unknown; choose one of level, change"),
        ({"tie_tolerance": -1.0}, "tie_tolerance=-1 must not be negative"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        StepShaping(**options)


def test_rows_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="steps of 1 responses"):
        step_advantages([0.0, 0.0], [NO_STEPS], [0, 0], [0, 0], StepShaping())
    odd = Steps(np.zeros(2), np.ones(1, dtype=np.intp))
    with pytest.raises(InputError, match="response 0: "):
        step_advantages([0.0], [odd], [0], [0], StepShaping())
