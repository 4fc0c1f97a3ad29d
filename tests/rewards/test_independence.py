"""What a prompt's responses get depends on that prompt and on the rule's state, never on what else is in the batch."""

import numpy as np
import pytest
from hypothesis import example, given

from helpers.strategies import batches, examples
from hero_rl.rewards import RULES, Scale, group_advantages, hero, make_rule, naive_sum, rm_only
from hero_rl.rewards.rules import RewardRule
from hero_rl.types import LEARNED_YES

BREAKS = {
    "hero calibrated": "the tolerance for ties is a share of the mean spread of the batch's scores",
}
VARIANTS = {
    **{name: make_rule(name, {}) for name in RULES},
    "hero calibrated": hero(sigma="calibrated"),
    "hero weight on reward": hero(weight_on="reward", singleton="center"),
    "hero drop verdicts": hero(drop="verdicts"),
    "hero drop rewards": hero(drop="rewards", learned_credit=0.5),
    "rm_only minmax": rm_only(normalize="minmax"),
    "naive_sum minmax": naive_sum(normalize="minmax"),
}
RULES_TO_TRY = [
    pytest.param(rule, id=name, marks=[pytest.mark.xfail(strict=True, reason=BREAKS[name])] if name in BREAKS else [])
    for name, rule in VARIANTS.items()
]
SEEN = ([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], [3.0, 1.0, 2.0, -1.0, 4.0, 0.5], [0, 0, 0, 1, 1, 1])
"""The batch before: the first one of all has only itself to go by."""
CLOSE_AND_WIDE = (np.zeros(4), np.array([0.0, 1e-3, 0.0, 100.0]), np.array([0, 0, 1, 1]))
MISSED = (np.array([0.0, 0.0, 1.0, 0.0]), np.array([4.0, 3.0, 0.0, 4.0]), np.array([1, 0, 1, 0]))
"""Broke the first hero_adaptive, whose rewards were brought to a mean over the batch."""
UNEQUAL = (np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]), np.array([2.0, 1.0, 0.0, 4.0, 3.0, 1.0]), np.array([0, 0, 0, 1, 1, 1]))


def paid(rule: RewardRule, verdicts, scores, groups, scale: Scale):
    """Shape (B, 3): reward, weight and advantage of each response."""
    state = rule.apply(*SEEN, rule.init()).state
    rewards, weights, _, _ = rule.apply(verdicts, scores, groups, state)
    return np.stack([rewards, weights, group_advantages(rewards, groups, scale=scale, weights_B=weights)], axis=1)


@pytest.mark.parametrize("rule", RULES_TO_TRY)
@examples(60)
@given(batches(verdicts=(0.0, 1.0, LEARNED_YES, np.nan)))
@example(CLOSE_AND_WIDE)
@example(UNEQUAL)
@example(MISSED)
def test_every_prompt_gets_what_it_would_get_alone(rule: RewardRule, batch) -> None:
    verdicts, scores, groups = batch
    # gdpo asks for scale="batch", of which the test below speaks; its rewards are judged here with all others
    scale: Scale = "none" if rule.scale == "batch" else rule.scale
    together = paid(rule, verdicts, scores, groups, scale)
    for prompt in np.unique(groups):
        own = groups == prompt
        alone = paid(rule, verdicts[own], scores[own], groups[own], scale)
        np.testing.assert_allclose(together[own], alone, rtol=1e-9, atol=1e-9)


def test_a_z_score_and_the_scale_batch_divide_all_prompts_by_one_number_of_the_batch() -> None:
    """They are statistics of the batch by definition (an RM-only baseline of the paper, and what GDPO and TRL's "batch" are).

    So they are not among the rules above. What they may do is stretch the advantages of all prompts alike: how those of two
    prompts compare does not depend on what else is in the batch.
    """
    verdicts, scores, groups = UNEQUAL
    more = (np.append(verdicts, [1.0, 0.0]), np.append(scores, [90.0, -30.0]), np.append(groups, [2, 2]))
    cases: list[tuple[RewardRule, RewardRule, Scale]] = [
        (rm_only(normalize="zscore"), rm_only(), "none"),
        (rm_only(), rm_only(), "batch"),
        (naive_sum(), naive_sum(), "batch"),
        (hero(), hero(), "batch"),
    ]
    for rule, plain, scale in cases:
        stretched, longer = (paid(rule, *batch, scale)[:6, 2] for batch in (UNEQUAL, more))
        want = paid(plain, verdicts, scores, groups, "none")[:, 2]
        for got in (stretched, longer):
            moved = want != 0.0
            np.testing.assert_allclose(got[moved] / want[moved], got[moved][0] / want[moved][0], rtol=1e-9)
        assert np.abs(stretched - longer).max() > 1e-3  # and the number itself is the batch's


def test_a_sum_with_a_z_score_is_no_function_of_prompt_and_state() -> None:
    """The verdict is not divided and the score is: how much of a reward is score depends on the batch."""
    verdicts, scores, groups = UNEQUAL
    rule = naive_sum(normalize="zscore")
    more = (np.append(verdicts, [1.0, 0.0]), np.append(scores, [90.0, -30.0]), np.append(groups, [2, 2]))
    ratio = paid(rule, *more, "none")[:6, 2] / paid(rule, verdicts, scores, groups, "none")[:, 2]
    assert np.ptp(ratio) > 0.1
