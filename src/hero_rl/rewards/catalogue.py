"""The rules by name, for commands, recipes and the lab."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hero_rl.errors import InputError
from hero_rl.rewards.adaptive import hero_adaptive, noise_aware
from hero_rl.rewards.baselines import gdpo, naive_sum, prof, rm_only, verifier_only
from hero_rl.rewards.hybrid import gated, hero
from hero_rl.rewards.rules import RewardRule
from hero_rl.rewards.stepwise import process

RULES: Mapping[str, Callable[..., RewardRule]] = {
    constructor.__name__: constructor
    for constructor in (hero, hero_adaptive, verifier_only, rm_only, naive_sum, noise_aware, gdpo, gated, prof, process)
}
"""Every constructor of a rule under its own name."""


def rule_settings(name: str) -> tuple[str, ...]:
    """The names of the settings that ``RULES[name]`` takes.

    Raises:
        InputError: an unknown name.
    """
    if name not in RULES:
        raise InputError(f"rule {name!r} is unknown; choose one of {', '.join(RULES)}")
    return tuple(inspect.signature(RULES[name]).parameters)


def make_rule(name: str, settings: Mapping[str, Any]) -> RewardRule:
    """The rule that ``RULES[name](**settings)`` makes.

    Raises:
        InputError: an unknown name, a setting that the rule does not have, or a value of the wrong type or out of range.
    """
    known = rule_settings(name)
    foreign = [key for key in settings if key not in known]
    if foreign:
        raise InputError(f"rule {name!r} has no setting {', '.join(map(repr, foreign))}; it has {', '.join(known) or 'none'}")
    try:
        return RULES[name](**settings)
    except TypeError as error:  # text or a list in the place of a number
        raise InputError(f"rule {name!r} cannot take {dict(settings)}: {error}") from error
