"""The arms of a comparison: rules with the settings that suit each, and the little language that changes them.

The table is the choice of ``results/lab/tune.py``: oracle accuracy on development prompts, one seed that is not reported,
normalisations none and group, learning rates 1.5e-4 and 3e-4, bands 0.05, 0.1 and 0.2, rule weights 0.5 and 0.9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, get_args

from hero_rl import rewards
from hero_rl.errors import InputError
from hero_rl.lab.task import Regime
from hero_rl.rewards import Scale

RuleSettings: TypeAlias = Mapping[str, float | int | str | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A rule with everything that a run of it needs to know."""

    rule: str
    """A constructor of ``hero_rl.rewards``."""
    scale: Scale
    """How advantages are normalised."""
    learning_rate: float
    settings: RuleSettings = field(default_factory=dict)
    """Arguments of the constructor."""


ARMS: Mapping[str, str] = {
    "verifier_only": "verifier_only",
    "rm_only": "rm_only",
    "naive_sum": "naive_sum",
    "hero": "hero",
    "hero_group_std": "hero",
}
"""Names of the tuned arms, and the rule of each."""

_WIDE = {"alpha": 0.1, "beta": 0.1}
_RULE_FIRST = {"rule_weight": 0.9}
_TUNED: Mapping[tuple[str, Regime, bool], tuple[Scale, float, RuleSettings]] = {
    # arm, regime, with KL: normalisation, learning rate, settings (else alpha = beta = 0.05, rule weight 0.5)
    ("verifier_only", "hard", False): ("none", 1.5e-4, {}),
    ("verifier_only", "verifiable", False): ("none", 3e-4, {}),
    ("verifier_only", "mixed", False): ("group", 3e-4, {}),
    ("rm_only", "hard", False): ("none", 1.5e-4, {}),
    ("rm_only", "verifiable", False): ("none", 1.5e-4, {}),
    ("rm_only", "mixed", False): ("none", 1.5e-4, {}),
    ("naive_sum", "hard", False): ("none", 1.5e-4, _RULE_FIRST),
    ("naive_sum", "verifiable", False): ("none", 3e-4, _RULE_FIRST),
    ("naive_sum", "mixed", False): ("none", 1.5e-4, _RULE_FIRST),
    ("hero", "hard", False): ("none", 1.5e-4, {}),
    ("hero", "verifiable", False): ("none", 3e-4, _WIDE),
    ("hero", "mixed", False): ("none", 1.5e-4, {}),
    ("hero_group_std", "hard", False): ("group", 1.5e-4, {}),
    ("hero_group_std", "verifiable", False): ("group", 3e-4, {}),
    ("hero_group_std", "mixed", False): ("group", 3e-4, {}),
    ("verifier_only", "hard", True): ("group", 1.5e-4, {}),
    ("verifier_only", "verifiable", True): ("group", 3e-4, {}),
    ("verifier_only", "mixed", True): ("group", 3e-4, {}),
    ("rm_only", "hard", True): ("none", 1.5e-4, {}),
    ("rm_only", "verifiable", True): ("none", 1.5e-4, {}),
    ("rm_only", "mixed", True): ("none", 1.5e-4, {}),
    ("naive_sum", "hard", True): ("none", 3e-4, {}),
    ("naive_sum", "verifiable", True): ("none", 3e-4, {}),
    ("naive_sum", "mixed", True): ("none", 3e-4, {}),
    ("hero", "hard", True): ("none", 1.5e-4, {}),
    ("hero", "verifiable", True): ("none", 3e-4, _WIDE),
    ("hero", "mixed", True): ("none", 3e-4, _WIDE),
    ("hero_group_std", "hard", True): ("group", 1.5e-4, {}),
    ("hero_group_std", "verifiable", True): ("group", 3e-4, {}),
    ("hero_group_std", "mixed", True): ("group", 1.5e-4, {}),
}


def find_arm(text: str, *, regime: Regime, kl: bool) -> Arm:
    """The arm that a name stands for, with ``:key=value,...`` changing rule settings, scale or learning rate.

    Args:
        text: an arm, or any rule of ``hero_rl.rewards``, which is given the learning rate that suits HERO and its own
            normalisation.
        regime: what is trained on.
        kl: whether there is a KL penalty.

    Raises:
        InputError: unknown rule, key or value.
    """
    name, _, tail = text.partition(":")
    if name in ARMS:
        scale, learning_rate, settings = _TUNED[name, regime, kl]
        arm = Arm(rule=ARMS[name], scale=scale, learning_rate=learning_rate, settings=settings)
    elif name in rewards.RULES:
        learning_rate = _TUNED["hero", regime, kl][1]
        arm = Arm(rule=name, scale=rewards.make_rule(name, {}).scale, learning_rate=learning_rate)
    else:
        known = ", ".join(dict.fromkeys([*ARMS, *rewards.RULES]))
        raise InputError(f"rule {name!r} is unknown; choose from {known}, with settings as in hero:alpha=0.2")
    for part in filter(None, tail.split(",")):
        arm = _changed(arm, part, text)
    rewards.make_rule(arm.rule, arm.settings)
    return arm


def _changed(arm: Arm, part: str, text: str) -> Arm:
    key, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals:
        raise InputError(f"rule {text!r}: {part!r} is not key=value")
    if key == "scale":
        if value not in get_args(Scale):
            raise InputError(f"rule {text!r}: scale must be one of {', '.join(get_args(Scale))}, not {value!r}")
        return replace(arm, scale=value)  # type: ignore[arg-type]
    if key == "learning_rate":
        try:
            return replace(arm, learning_rate=float(value))
        except ValueError:
            raise InputError(f"rule {text!r}: {value!r} is not a number") from None
    return replace(arm, settings={**arm.settings, key: _value(value)})


def _value(text: str) -> float | str | bool | None:
    """JSON where it is JSON (numbers, true, false, null), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
