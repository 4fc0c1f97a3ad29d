"""A plain function as a rule: verdicts, scores and prompts in, rewards out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hero_rl.errors import InputError
from hero_rl.imports import refuse_settings
from hero_rl.rewards.groups import Groups
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState, unweighted
from hero_rl.types import FloatArray


def as_rule(rule: RewardRule | Callable[..., Any], **settings: Any) -> RewardRule:
    """Return a rule that calls a function; a rule as it is.

    >>> def with_bonus(verdicts_B, scores_B, groups_B, *, bonus=0.1):
    ...     return verdicts_B + bonus * (scores_B > 0)
    >>> rule = as_rule(with_bonus, bonus=0.2)
    >>> rule.apply([1, 0], [0.3, -0.3], ["a", "a"], rule.init()).rewards.tolist()
    [1.2, 0.0]

    Args:
        rule: called with three arrays of shape (B,): verdicts in [0, 1] (an abstention is 0), reward-model scores (NaN where
            missing), and prompts as numbers from 0. It returns rewards of shape (B,); NaN leaves a response out. What it says
            of a prompt must not depend on the other prompts. The weights are 1, advantages are centred and not divided.
        settings: its keyword arguments.

    Raises:
        InputError: not callable, or arguments that it does not take.
    """
    if isinstance(rule, RewardRule):
        refuse_settings(f"the rule {rule.name!r}", settings)
        return rule
    if not callable(rule):
        raise InputError(f"a rule is a RewardRule or a function of verdicts, scores and groups, not {type(rule).__name__}")
    name = getattr(rule, "__name__", type(rule).__name__)
    return RewardRule(
        name=name, settings=settings, scale="none", needs_verdicts=True, needs_scores=True,
        apply_checked=partial(_apply_function, function=rule, name=name, settings=settings),
    )  # fmt: skip


def _apply_function(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    function: Callable[..., Any],
    name: str,
    settings: dict[str, Any],
) -> RuleOutput:
    try:
        result = function(verdicts.copy(), scores.copy(), groups.index_B.copy(), **settings)
        rewards = np.asarray(result, dtype=np.float64)
    except (Exception, SystemExit) as error:
        raise InputError(f"the rule {name!r} raised {type(error).__name__}: {error}") from error
    if rewards.shape != verdicts.shape:
        raise InputError(
            f"the rule {name!r} gave rewards of shape {rewards.shape} for {verdicts.size} responses; return one number each"
        )
    if np.isinf(rewards).any():
        raise InputError(f"the rule {name!r} gave an infinite reward; return finite numbers, or NaN to leave a response out")
    return unweighted(rewards.copy(), state)
