"""The arms of a comparison: rules with the settings that suit each, and the little language that changes them.

The table is the choice of ``results/lab/tune.py``: oracle accuracy on development prompts, one seed that is not reported,
normalisations none and group, learning rates 1.5e-4 and 3e-4, bands 0.05, 0.1 and 0.2, rule weights 0.5 and 0.9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias, cast

from hero_lab.task import REGIMES, Regime
from hero_rl import rewards
from hero_rl.config import RewardConfig
from hero_rl.errors import InputError
from hero_rl.rewards import Scale

RuleSettings: TypeAlias = Mapping[str, float | int | str | bool | None]
VerifierChoice: TypeAlias = Literal["strict", "abstaining", "learned", "cascade"]
LEARNED: tuple[VerifierChoice, ...] = ("learned", "cascade")
"""Those that need a learned verifier."""


class Arm(NamedTuple):
    """A rule with everything that a run of it needs to know: settings of ``RunSettings``."""

    rule: str
    """A constructor of ``hero_rl.rewards``."""
    scale: Scale
    """How advantages are normalised."""
    learning_rate: float
    rule_settings: RuleSettings
    """Arguments of the constructor."""
    verifier: VerifierChoice = "strict"
    """Who gives the verdicts: the strict verifier, the same but abstaining where it cannot read the reference, the learned one,
    or the learned one behind the strict one."""


ARMS: Mapping[str, str] = {
    "verifier_only": "verifier_only",
    "rm_only": "rm_only",
    "naive_sum": "naive_sum",
    "hero": "hero",
    "hero_group_std": "hero",
}
"""Names of the tuned arms, and the rule of each."""
VERIFIER_ARMS: Mapping[str, tuple[str, VerifierChoice]] = {
    "learned_verifier": ("verifier_only", "learned"),
    "cascade": ("verifier_only", "cascade"),
    "hero_cascade": ("hero", "cascade"),
}
"""Arms with a learned verifier, which is trained for them: the tuned arm whose settings they take, and who gives verdicts.
Not among the arms of a comparison unless asked for."""

_CHOSEN: Mapping[str, tuple[str, str]] = {
    # normalisation and learning rate for hard, verifiable and mixed prompts: without and with a KL penalty
    "verifier_only": ("none 1.5e-4, none 3e-4, group 3e-4", "group 1.5e-4, group 3e-4, group 3e-4"),
    "rm_only": ("none 1.5e-4, none 1.5e-4, none 1.5e-4", "none 1.5e-4, none 1.5e-4, none 1.5e-4"),
    "naive_sum": ("none 1.5e-4, none 3e-4, none 1.5e-4", "none 3e-4, none 3e-4, none 3e-4"),
    "hero": ("none 1.5e-4, none 3e-4, none 1.5e-4", "none 1.5e-4, none 3e-4, none 3e-4"),
    "hero_group_std": ("group 1.5e-4, group 3e-4, group 3e-4", "group 1.5e-4, group 3e-4, group 1.5e-4"),
}
_WIDE = {"alpha": 0.1, "beta": 0.1}
_SETTINGS: Mapping[tuple[str, Regime, bool], RuleSettings] = {
    **{("naive_sum", regime, False): {"rule_weight": 0.9} for regime in REGIMES},
    ("hero", "verifiable", False): _WIDE, ("hero", "verifiable", True): _WIDE, ("hero", "mixed", True): _WIDE,
}  # fmt: skip
"""Arm, regime, with KL: settings other than alpha = beta = 0.05 and a rule weight of 0.5."""


def _tuned(arm: str, regime: Regime, kl: bool) -> tuple[Scale, float]:
    places: tuple[Regime, ...] = ("hard", "verifiable", "mixed")
    scale, rate = _CHOSEN[arm][kl].split(", ")[places.index(regime)].split()
    return cast("Scale", scale), float(rate)


def find_arm(text: str, *, regime: Regime, kl: bool) -> Arm:
    """The arm that a name stands for, with ``:key=value,...`` changing rule settings, scale, learning rate or verifier.

    Args:
        text: an arm, or any rule of ``hero_rl.rewards`` or ``module:function``, which is given the learning rate that suits
            HERO and its own normalisation.
        regime: what is trained on.
        kl: whether there is a KL penalty.

    Raises:
        InputError: unknown rule, or a setting that it does not take.
    """
    name, _, tail = text.partition(":")
    if name not in (*ARMS, *VERIFIER_ARMS, *rewards.RULES) and (function := tail.partition(":")[0]) and "=" not in function:
        name, tail = f"{name}:{function}", tail.partition(":")[2]  # module:function
    tuned, verifier = VERIFIER_ARMS.get(name, (name, "strict"))
    if tuned in ARMS:
        scale, learning_rate = _tuned(tuned, regime, kl)
        settings = _SETTINGS.get((tuned, regime, kl), {})
        arm = Arm(ARMS[tuned], scale, learning_rate, settings, verifier)
    elif name in rewards.RULES or ":" in name.strip(":"):
        learning_rate = _tuned("hero", regime, kl)[1]
        arm = Arm(name, rewards.make_rule(name, {}).scale, learning_rate, {})
    else:
        known = ", ".join(dict.fromkeys([*ARMS, *VERIFIER_ARMS, *rewards.RULES]))
        raise InputError(f"rule {name!r} is unknown; choose from {known}, module:function, with settings as in hero:alpha=0.2")
    for part in filter(None, tail.split(",")):
        arm = _changed(arm, part, text)
    if not rewards.make_rule(arm.rule, arm.rule_settings).needs_verdicts and arm.verifier != "strict":
        raise InputError(f"rule {text!r}: {arm.rule!r} asks no verifier; leave verifier={arm.verifier} out")
    return arm


def _changed(arm: Arm, part: str, text: str) -> Arm:
    key, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals:
        raise InputError(f"rule {text!r}: {part!r} is not key=value")
    if key in ("scale", "learning_rate", "verifier"):
        return arm._replace(**{key: _value(value)})
    return arm._replace(rule_settings={**arm.rule_settings, key: _value(value)})


def arm_of(config: RewardConfig) -> str:
    """Return the arm that trains with the rule of a reward file, as ``find_arm`` reads it."""
    name = config.rule_table["name"]
    # all of them, for the lab has tuned defaults of its own
    said = {**rewards.rule_settings(name), **config.rule_table, "scale": config.rule.scale}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items() if key != "name"}
    return f"{name}:" + ",".join(f"{key}={text}" for key, text in texts.items())


def _value(text: str) -> float | str | bool | None:
    """JSON where it is JSON (numbers, true, false, null), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
