"""The learned verifier's limits keep their promised error rates on data they were not chosen on."""

from __future__ import annotations

import numpy as np
import pytest

from hero_rl.errors import InputError
from hero_rl.learning.thresholds import choose_thresholds


def test_limits_of_a_worked_example():
    # 19 negatives 1..19 and p_fpr 0.1: the ceil(20 * 0.9) = 18th smallest is 18, accepted above it
    # 9 positives 11..19 and p_fnr 0.2: ceil(10 * 0.8) = 8th largest is 12, rejected below it
    logits = [*range(1, 20), *range(11, 20)]
    chosen = choose_thresholds(logits, [0] * 19 + [1] * 9, p_fpr=0.1, p_fnr=0.2)
    assert 18 < chosen.thresholds.accept_above < 18.001
    assert 11.999 < chosen.thresholds.reject_below < 12
    assert chosen.p_false_accept == pytest.approx(1 / 19)
    assert chosen.p_false_reject == pytest.approx(1 / 9)
    assert chosen.enough


def test_separate_classes_are_split_in_the_middle_without_a_gap():
    chosen = choose_thresholds([0.0] * 100 + [10.0] * 100, [0] * 100 + [1] * 100, p_fpr=0.05, p_fnr=0.05)
    assert chosen.thresholds.accept_above == chosen.thresholds.reject_below == pytest.approx(5.0)
    assert (chosen.p_false_accept, chosen.p_false_reject, chosen.p_unsure) == (0.0, 0.0, 0.0)


def test_the_promised_rates_hold_on_new_data():
    rng = np.random.default_rng(0)
    accepted, rejected = [], []
    for _ in range(300):
        logits = np.concatenate([rng.normal(-1, 1, 60), rng.normal(1, 1, 60)])
        limits = choose_thresholds(logits, [0] * 60 + [1] * 60, p_fpr=0.05, p_fnr=0.1).thresholds
        accepted.append((rng.normal(-1, 1, 50) >= limits.accept_above).mean())
        rejected.append((rng.normal(1, 1, 50) < limits.reject_below).mean())
    # expected at most 0.05 and 0.1; a standard error of these means is about 0.002
    assert 0.03 < np.mean(accepted) < 0.058
    assert 0.07 < np.mean(rejected) < 0.11


def test_too_few_examples_for_a_rate_are_said_to_be_too_few():
    chosen = choose_thresholds([0, 1, 2, 3], [0, 0, 1, 1], p_fpr=0.01, p_fnr=0.01)
    assert not chosen.enough
    assert chosen.p_false_accept == 0.0


def test_one_class_and_impossible_rates_are_refused():
    with pytest.raises(InputError, match="0 equivalent and 2 different"):
        choose_thresholds([0, 1], [0, 0], p_fpr=0.1, p_fnr=0.1)
    with pytest.raises(InputError, match="cannot be asked for"):
        choose_thresholds([0, 1], [0, 1], p_fpr=0.0, p_fnr=0.1)
