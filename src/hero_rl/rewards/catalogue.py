"""Rules by name, and plain functions as rules."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from hero_rl.errors import InputError
from hero_rl.imports import build, check_settings, import_object, refuse_missing, refuse_settings, settings_of
from hero_rl.rewards.adaptive import hero_adaptive
from hero_rl.rewards.baselines import gdpo, naive_sum, rm_only, verifier_only
from hero_rl.rewards.groups import Groups
from hero_rl.rewards.hybrid import gated, hero, process
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState, unweighted
from hero_rl.types import FloatArray

RULES: Mapping[str, Callable[..., RewardRule]] = {
    constructor.__name__: constructor
    for constructor in (hero, hero_adaptive, verifier_only, rm_only, naive_sum, gdpo, gated, process)
}
"""Every constructor of a rule under its own name."""


def find_rule(name: str) -> Callable[..., Any]:
    """Return the constructor of that name; of ``module:function`` the function itself, or the constructor that it is.

    Raises:
        InputError: unknown name, or a module that cannot be imported.
    """
    if name in RULES:
        return RULES[name]
    if ":" not in name:
        close = difflib.get_close_matches(name, RULES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(RULES)}, module:function"
        raise InputError(f"rule {name!r} is unknown; {hint}")
    found = import_object(name)
    if not callable(found):
        raise InputError(f"rule {name!r} is a {type(found).__name__}; name a function of verdicts, scores and groups")
    return found


def rule_settings(name: str) -> dict[str, Any]:
    """Return the settings of a rule with their defaults, by name.

    Raises:
        InputError: as ``find_rule``.
    """
    return settings_of(find_rule(name))


def make_rule(name: str, settings: Mapping[str, Any]) -> RewardRule:
    """Return the rule of that name with these settings.

    Raises:
        InputError: unknown name, a setting that the rule does not have, or a value of the wrong type or out of range.
    """
    check_settings(f"rule {name!r}", settings, rule_settings(name))
    return build(f"rule {name!r}", find_rule(name), settings, as_rule)


def as_rule(rule: RewardRule | Callable[..., Any], **settings: Any) -> RewardRule:
    """Return a rule that calls a function; a rule unchanged.

    >>> def with_bonus(verdicts_B, scores_B, groups_B, *, bonus=0.1):
    ...     return verdicts_B + bonus * (scores_B > 0)
    >>> rule = as_rule(with_bonus, bonus=0.2)
    >>> rule.apply([1, 0], [0.3, -0.3], ["a", "a"], rule.init()).rewards.tolist()
    [1.2, 0.0]

    Args:
        rule: called with three arrays of shape (B,): verdicts in [0, 1] (an abstention is 0), reward-model scores (NaN where
            missing), and prompts as numbers from 0. It returns rewards of shape (B,); NaN leaves a response out. The rewards
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
    refuse_missing(f"the rule {name!r}", rule, settings)
    apply = partial(_apply_function, function=rule, name=name, settings=settings)
    return RewardRule(name=name, settings=settings, scale="none", apply_checked=apply)


def _apply_function(
    verdicts_B: FloatArray,
    scores_B: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    function: Callable[..., Any],
    name: str,
    settings: dict[str, Any],
) -> RuleOutput:
    try:
        result = function(verdicts_B.copy(), scores_B.copy(), groups.index_B.copy(), **settings)
        rewards_B = np.asarray(result, dtype=np.float64)
    except (Exception, SystemExit) as error:
        raise InputError(f"the rule {name!r} raised {type(error).__name__}: {error}") from error
    if rewards_B.shape != verdicts_B.shape:
        raise InputError(
            f"the rule {name!r} gave rewards of shape {rewards_B.shape} for {verdicts_B.size} responses; return one number each"
        )
    if np.isinf(rewards_B).any():
        raise InputError(f"the rule {name!r} gave an infinite reward; return finite numbers, or NaN to leave a response out")
    return unweighted(rewards_B.copy(), state)
