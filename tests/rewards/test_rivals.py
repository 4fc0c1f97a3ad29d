"""benchmarks/rivals.py and several.py against figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.places import load_benchmark
from hero_rl.rewards.groups import index_groups

rivals, several = load_benchmark("rivals"), load_benchmark("several")


def batch(verdicts, scores, groups, *, recall=0.5, judged=None, lengths=None):
    values = [np.array(one, dtype=float) for one in (verdicts, scores, judged or verdicts, lengths or scores)]
    return rivals.Seen(values[0], values[1], index_groups(groups), recall, values[2], 1.0 - values[2], values[3])


def test_forward_correction_expects_nothing_of_a_correct_response_and_minus_recall_of_an_incorrect_one() -> None:
    accepted, rejected = rivals.forward_correction(batch([1, 0], [0, 0], ["a", "b"], recall=0.4))
    assert [accepted, rejected] == pytest.approx([0.6, -0.4])
    assert 0.4 * accepted + 0.6 * rejected == pytest.approx(0.0)


def test_an_appeal_asks_one_rejected_response_of_each_prompt() -> None:
    seen = batch([1, 0, 0, 0, 0], [9, 2, 1, 5, 4], [0, 0, 0, 1, 1], judged=[0, 1, 0, 0, 1], lengths=[1, 1, 2, 1, 3])
    assert rivals.appeals(seen, by_score=True) == pytest.approx([1 / 3, 1 / 3, -2 / 3, 0, 0])
    assert rivals.appeals(seen, by_score=True, fooled=True) == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0.5, -0.5])
    assert rivals.appeals(seen, by_score=False) == pytest.approx([2 / 3, -1 / 3, -1 / 3, -0.5, 0.5])


def test_the_judge_accepts_what_its_rates_say_and_more_of_what_scores_high_if_it_is_fooled() -> None:
    rng = np.random.default_rng(0)
    right, scores = (rng.random(40_000) < 0.5).astype(float), rng.normal(size=40_000)
    seen = rivals.seen(right, scores, np.repeat(np.arange(100), 400), right, recall=1.0, rng=rng)
    assert [seen.judged[right == kind].mean() for kind in (0, 1)] == pytest.approx([0.05, 0.8], abs=0.01)
    wrong = right == 0
    assert seen.fooled[wrong & (scores > 1)].mean() > 3 * seen.fooled[wrong & (scores < -0.5)].mean()
    assert abs(np.corrcoef(seen.judged[wrong], scores[wrong])[0, 1]) < 0.02


def test_verigate_turns_to_scores_where_all_verdicts_are_equal() -> None:
    found = rivals.verigate(batch([1, 0, 0, 0], [1, 8, 3, 1], [0, 0, 1, 1]))
    assert found == pytest.approx([0.7071, -0.7071, 0.7071, -0.7071], abs=2e-4)


def test_papo_orders_the_accepted_alone() -> None:
    found = rivals.papo(batch([1, 1, 0], [4, 2, 9], [0, 0, 0]))
    assert found == pytest.approx([0.5774 + 0.7071, 0.5774 - 0.7071, -1.1547], abs=3e-4)


def test_rl_zvp_pushes_prompts_of_one_verdict_as_a_whole() -> None:
    found = rivals.rl_zvp(batch([1, 1, 0, 0, 1, 0], [0] * 6, [0, 0, 1, 1, 2, 2]))
    assert found == pytest.approx([0.1, 0.1, -0.1, -0.1, 0.7071, -0.7071], abs=2e-4)


def test_gr3_takes_more_from_the_longer_response() -> None:
    found = rivals.gr3(batch([1, 0], [0, 0], [0, 0], lengths=[3, 1]))
    assert found == pytest.approx([0.5 / 1.495, -0.5 / 1.495])


def test_prof_keeps_a_balanced_and_consistent_half() -> None:
    # 8 responses, 6 accepted: 2 of these with the highest scores, and both rejected; then 5 rejected: the 2 with the lowest
    found = rivals.prof(batch([1, 1, 1, 1, 1, 1, 0, 0], [1, 5, 2, 6, 3, 4, 9, 0], [0] * 8))
    assert found == pytest.approx([0, 0.5, 0, 0.5, 0, 0, -0.5, -0.5])
    found = rivals.prof(batch([1, 1, 1, 0, 0, 0, 0, 0], [1, 2, 3, 9, 8, 7, 6, 5], [0] * 8))
    assert found == pytest.approx([0, 0.5, 0.5, 0, 0, 0, -0.5, -0.5])


def test_weights_of_several_models_by_hand() -> None:
    same, apart = np.array([[1.0, 1.0], [-1.0, -1.0]] * 2), np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    verdicts = np.array([0.5, -0.5, 0.5, -0.5])
    assert several.WAYS["joint"](same, verdicts) == pytest.approx([4 / 3, 4 / 3])  # (1 + 1/2) w = 2
    assert several.WAYS["joint"](apart, verdicts) == pytest.approx([2.0, 0.0])
    assert several.WAYS["one"](apart, verdicts).tolist() == [1.0, 0.0]
    assert several.WAYS["verdicts"](-apart, verdicts).tolist() == [0.0, 0.0]


def test_scores_are_compared_inside_prompts_in_units_of_their_spread() -> None:
    scores = np.array([[10.0, 0.0], [30.0, 1.0], [100.0, 5.0], [120.0, 5.0]])
    found = several.excess(scores, index_groups([0, 0, 1, 1]))
    assert found[:, 0] == pytest.approx([-1, 1, -1, 1])
    assert found[:, 1] == pytest.approx([-2, 2, 0, 0])  # the median of spreads .5 and 0
