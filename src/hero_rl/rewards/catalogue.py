"""The rules by name, for commands, files and the lab."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from hero_rl.errors import HeroError, InputError, first_line
from hero_rl.imports import import_object, is_factory, settings_of
from hero_rl.rewards.adaptive import hero_adaptive
from hero_rl.rewards.baselines import gdpo, naive_sum, prof, rm_only, verifier_only
from hero_rl.rewards.function import as_rule
from hero_rl.rewards.hybrid import gated, hero
from hero_rl.rewards.rules import RewardRule
from hero_rl.rewards.stepwise import process

RULES: Mapping[str, Callable[..., RewardRule]] = {
    constructor.__name__: constructor
    for constructor in (hero, hero_adaptive, verifier_only, rm_only, naive_sum, gdpo, gated, prof, process)
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
    constructor, known = find_rule(name), rule_settings(name)
    foreign = [key for key in settings if key not in known]
    if foreign:
        raise InputError(f"rule {name!r} has no setting {', '.join(map(repr, foreign))}; it has {', '.join(known) or 'none'}")
    try:
        return as_rule(constructor(**settings)) if is_factory(constructor) else as_rule(constructor, **settings)
    except (TypeError, OverflowError) as error:  # text or a list in the place of a number; an integer of hundreds of digits
        raise InputError(f"rule {name!r} cannot take {dict(settings)}: {error}") from error
    except Exception as error:
        if name in RULES or isinstance(error, HeroError):
            raise
        raise InputError(f"rule {name!r} raised {type(error).__name__}: {first_line(error)}") from error
