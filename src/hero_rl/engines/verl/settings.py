"""The table ``hero`` in verl's configuration, and checks of verl's settings that would undo the rule.

    hero:
      reward: reward.toml                             # a reward file; what follows is stronger
      rule: {name: hero, alpha: 0.05, beta: 0.05}
      verifier: {name: math, policy: binary}
      reward_model: {name: "vllm:MODEL@http://rm:8000", tokenizer: MODEL}
      max_failure_rate: 0.1
      on_unhealthy: warn
      problem_key: problem                            # the key of extra_info with the bare problem
      allow_group_std: false
      rollouts: 8                                     # prompts per step whose rollouts are kept
      kl_unit: reward                                 # oracle: kl_loss_coef counts in true reward
      verifier_recall: 0.4                            # for the estimate of that, where it is known

Reward workers get the same table: reward.custom_reward_function.reward_kwargs.hero=${hero}

Works on plain mappings; verl is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from hero_rl.config import read_table
from hero_rl.config_checks import combined, name_in
from hero_rl.engines.rollout_files import PROMPTS
from hero_rl.errors import InputError, check_choice
from hero_rl.part_names import REMOTE
from hero_rl.pipeline import OnUnhealthy
from hero_rl.rewards import RewardRule, Scale, check_scale
from hero_rl.rewards.scale import KlUnit, ScaleEstimate

GROUP_STD = ("grpo_vectorized", "grpo_passk")
"""Estimators that always divide by the group's standard deviation: V1 does not pass them ``norm_adv_by_std_in_grpo``."""
BATCH_STD = ("gae", "reinforce_plus_plus", "reinforce_plus_plus_baseline")
"""Estimators that whiten advantages over the batch."""
UNGROUPED = ("gae", "reinforce_plus_plus")
"""Estimators without a baseline from the group: for them a lone response has an advantage."""
OWN: Mapping[str, Any] = {
    "problem_key": "problem", "allow_group_std": False, "rollouts": PROMPTS, "kl_unit": "reward", "verifier_recall": None,
}  # fmt: skip
"""Keys of the table that no other engine has, with their defaults."""


class HeroSettings(NamedTuple):
    """The trainer's part of the table ``hero``."""

    rule: RewardRule
    max_failure_rate: float
    on_unhealthy: OnUnhealthy
    allow_group_std: bool
    reward_model: str
    """Its name in the table or its file; else ""."""
    rollouts: int
    """Prompts per step whose rollouts are kept."""
    problem_key: str
    kl_unit: KlUnit
    scale: ScaleEstimate
    """Before the first batch."""


def read_settings(table: Mapping[str, Any] | None) -> HeroSettings:
    """Return the settings in the table ``hero``; HERO with its defaults where there is none.

    Raises:
        InputError: an unknown key, rule or argument.
    """
    config, own = read_table(table, OWN, only=("rule", "max_failure_rate", "on_unhealthy"))
    model = name_in(combined([[layer] for layer in config.layers]), "reward_model")
    check_choice("hero.kl_unit", own["kl_unit"], get_args(KlUnit))
    recall = own["verifier_recall"]
    return HeroSettings(
        config.rule,
        config.max_failure_rate,
        config.on_unhealthy,
        bool(own["allow_group_std"]),
        str(model or ""),
        int(own["rollouts"]),
        str(own["problem_key"]),
        own["kl_unit"],
        ScaleEstimate.of(config.rule, recall=None if recall is None else float(recall)),
    )


def check_config(config: Mapping[str, Any], settings: HeroSettings) -> list[str]:
    """Return warnings about settings of verl that work against the rule.

    Args:
        config: verl's whole configuration as plain mappings.
        settings: of the table ``hero``.

    Raises:
        InputError: a setting under which the rule cannot work, or whose damage is certain.
    """
    _check_reward_path(config)
    _check_kl(config, settings)
    warnings = [*_check_estimator(config, settings), *_check_filter(config, settings.rule), *_check_steps(config, settings)]
    n = _at(config, "actor_rollout_ref.rollout.n")
    if isinstance(n, int) and n < 2:
        raise InputError(
            f"actor_rollout_ref.rollout.n={n}: a group needs at least 2 responses, or there is nothing to compare; the paper "
            "uses 8 and 16"
        )
    return warnings


def scale_of(config: Mapping[str, Any]) -> Scale:
    """Return the normalisation of advantages that verl's configuration asks for."""
    estimator = estimator_of(config)
    if estimator in GROUP_STD:
        return "group"
    if estimator in BATCH_STD:
        return "batch"
    by_std = _at(config, "algorithm.norm_adv_by_std_in_grpo")
    return "group" if estimator == "grpo" and (by_std is None or by_std) else "none"


def estimator_of(config: Mapping[str, Any]) -> str:
    """Return the name of the advantage estimator."""
    value = _at(config, "algorithm.adv_estimator")
    return str(getattr(value, "value", value))


def _check_estimator(config: Mapping[str, Any], settings: HeroSettings) -> Iterator[str]:
    estimator = estimator_of(config)
    if estimator == "gdpo":
        raise InputError(
            "algorithm.adv_estimator=gdpo cannot work in verl's V1 trainers, which do not hand it the signals; use "
            "hero.rule.name=gdpo with algorithm.adv_estimator=reinforce_plus_plus_baseline"
        )
    problem = check_scale(settings.rule, scale_of(config))
    if problem is None:
        return
    if estimator == "grpo":
        problem += " In verl: algorithm.norm_adv_by_std_in_grpo=False (verl's default is True)."
    else:
        problem += (
            f" In verl: algorithm.adv_estimator=rloo, or grpo with norm_adv_by_std_in_grpo=False, instead of {estimator}."
        )
    if not settings.allow_group_std:
        raise InputError(problem + " To run it all the same, for a comparison: hero.allow_group_std=True.")
    yield problem


def _check_kl(config: Mapping[str, Any], settings: HeroSettings) -> None:
    in_reward, in_loss = _at(config, "algorithm.use_kl_in_reward"), _at(config, "actor_rollout_ref.actor.use_kl_loss")
    if settings.kl_unit == "oracle" and (in_reward or not in_loss):
        raise InputError(
            f"hero.kl_unit=oracle is a unit of the KL term in the loss, and algorithm.use_kl_in_reward={bool(in_reward)}, "
            f"actor_rollout_ref.actor.use_kl_loss={bool(in_loss)}: set the first to False and the second to True"
        )


def _check_filter(config: Mapping[str, Any], rule: RewardRule) -> Iterator[str]:
    if not _at(config, "algorithm.filter_groups.enable"):
        return
    metric = _at(config, "algorithm.filter_groups.metric")
    if metric not in ("acc", "reward", "score"):
        yield (
            f"algorithm.filter_groups.metric={metric}: filter on the verdict (acc); raw scores of a reward model are never all "
            "equal"
        )
    if rule.needs_scores and rule.needs_verdicts:
        yield (
            "algorithm.filter_groups drops the prompts whose verdicts are all equal, which are those where "
            f"{rule.name} learns from the reward model; leave it off unless that is what you want"
        )


def _check_steps(config: Mapping[str, Any], settings: HeroSettings) -> Iterator[str]:
    rule = settings.rule
    if rule.steps is None:
        return
    estimator = estimator_of(config)
    if estimator in UNGROUPED:
        raise InputError(
            f"algorithm.adv_estimator={estimator} gives each token an advantage of its own, and the rule {rule.name!r} shares "
            "out that of the response; use grpo or rloo"
        )
    if settings.reward_model.partition(":")[0] in ("", "local", *REMOTE):
        raise InputError(
            f"the rule {rule.name!r} shapes the advantages of steps, and hero.reward_model.name={settings.reward_model!r} "
            "scores none: name a process reward model that each worker loads, such as hero.reward_model.name=process:PATH"
        )
    if _at(config, "actor_rollout_ref.actor.policy_loss.loss_mode") == "gspo":
        yield (
            "actor_rollout_ref.actor.policy_loss.loss_mode=gspo has one ratio per response, which takes the difference between "
            f"its steps out of the gradient again: gamma={rule.steps.gamma:g} has no effect. Use vanilla"
        )


def _check_reward_path(config: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for settings under which the two signals would not arrive."""
    if not _at(config, "reward.custom_reward_function.path"):
        raise InputError(
            "reward.custom_reward_function.path is not set, so no reward function returns both signals; set "
            "reward.custom_reward_function.path=pkg://hero_rl.engines.verl.reward"
        )
    if _at(config, "reward.reward_model.enable") and not _at(config, "reward.reward_model.enable_resource_pool"):
        raise InputError(
            "reward.reward_model.enable_resource_pool=False: with a reward model that shares the policy's GPUs, verl gives the "
            "reward function neither problem nor reference; set it to True, or run the reward model as a server and name it in "
            "hero.reward_model.name"
        )
    manager = _at(config, "reward.reward_manager.name")
    if _at(config, "reward.reward_manager.source") == "register" and manager not in (None, "naive"):
        raise InputError(
            f"reward.reward_manager.name={manager}: what it adds to the verdict would be lost when the rule shapes the "
            "rewards, and not all of them keep the keys of every row equal; use naive"
        )


def _at(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
