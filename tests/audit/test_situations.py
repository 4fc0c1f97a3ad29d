"""The audit looks one's own figures up among the lab's measured situations."""

from __future__ import annotations

import pytest

from hero_rl.audit.situations import FAR, RuleResult, Situation, advised_rule, alike, sentence, situations


def made_up(name: str, **rules: tuple[float, float, bool]) -> Situation:
    return Situation(name, 0.1, 0.75, 5, {rule: RuleResult(*result) for rule, result in rules.items()})


def test_every_measured_situation_is_one() -> None:
    found = situations()
    assert len(found) >= 6
    for one in found:
        assert 0.0 < one.recall <= 1.0
        assert 0.3 < one.auroc <= 1.0
        assert one.seeds >= 2
        assert one.rules[one.best].behind == 0.0
        assert not one.rules[one.best].clearly
        for result in one.rules.values():
            assert result.behind == pytest.approx(one.rules[one.best].accuracy - result.accuracy, abs=2e-4)
    assert len({one.name + str(one.recall) for one in found}) == len(found)


def test_the_nearest_come_first_and_what_is_too_far_not_at_all() -> None:
    first = situations()[0]
    near = alike(first.recall, first.auroc)
    assert near[0].distance(first.recall, first.auroc) == 0.0
    distances = [one.distance(first.recall, first.auroc) for one in near]
    assert distances == sorted(distances)
    assert max(distances) <= FAR
    assert alike(0.1, 0.05) == []  # a reward model that ranks upside down is in no study


def test_distance_by_hand() -> None:
    assert made_up("x", hero=(0.5, 0.0, False)).distance(0.4, 0.85) == pytest.approx(2**0.5)


def test_the_advised_rule_is_the_one_that_is_clearly_behind_least_often() -> None:
    first = made_up("a", hero=(0.6, 0.0, False), naive_sum=(0.59, 0.01, False), rm_only=(0.2, 0.4, True))
    second = made_up("b", hero=(0.5, 0.1, True), naive_sum=(0.58, 0.02, False), rm_only=(0.6, 0.0, False))
    assert advised_rule([first]) == "hero"
    assert advised_rule([second]) == "rm_only"
    assert advised_rule([first, second]) == "naive_sum"


def test_the_sentence_says_what_was_seen_where() -> None:
    one = made_up("units, hard prompts", hero=(0.6, 0.0, False), rm_only=(0.2, 0.4, True))
    text = sentence([one], 0.12, 0.8)
    assert "verifier recall 0.12 and reward-model AUROC 0.80" in text
    assert "units, hard prompts (recall 0.10, AUROC 0.75, 5 seeds): hero 0.600, rm_only 0.200" in text
