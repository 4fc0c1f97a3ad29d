"""How much of the next update would be signal, on a group that is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hero_lab.evaluate import Yardstick, update_numbers
from hero_lab.noise import ChanceScorer
from hero_lab.task import StrictVerifier
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import RewardRule, hero, verifier_only

VERDICTS, RIGHT, SCORES = np.array([1.0, 0.0, 0.0, 0.0]), np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([2.0, 0.0, 1.0, 3.0])


def yardstick(rule: RewardRule) -> Yardstick:
    reward = HybridReward(StrictVerifier(), ChanceScorer() if rule.needs_scores else None, rule)
    return Yardstick(ChanceScorer(), 0.0, StrictVerifier(), reward, "none")


def test_measures_of_the_verifier_alone_are_those_of_the_hand() -> None:
    found = update_numbers(yardstick(verifier_only()), Signals.plain(VERDICTS, SCORES), RIGHT)
    # A = (.75, -.25, -.25, -.25), A* = (.5, .5, -.5, -.5), e = (1, -1, -1, 1): A A* = .5, A A = .75, A e = 1
    assert found.pop("scale_estimate") > 0.0  # of test_scale.py
    assert found == {
        "alignment": pytest.approx(0.5 / 0.75**0.5), "pressure": pytest.approx(1.0 / (0.75 * 4.0) ** 0.5), "scale": 0.5,
    }  # fmt: skip


def test_measuring_leaves_the_state_of_training_as_it_is() -> None:
    measured = yardstick(hero())
    measured.reward.batch(Signals.plain(VERDICTS, SCORES), [0] * 4)
    before = measured.reward.state_dict()
    update_numbers(measured, Signals.plain(VERDICTS, 10.0 * SCORES), RIGHT)
    assert measured.reward.state_dict() == before
