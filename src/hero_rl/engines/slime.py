"""HERO in slime: a reward function for the raw signals, and the hook that turns whole groups into advantages.

    --custom-rm-path hero_rl.engines.slime.score                                judges responses, wherever they are
    --custom-reward-post-process-path hero_rl.engines.slime.post_process        sees the whole batch, in place of slime's own
    --reward-key acc                                                            what slime logs and evaluates: the bare verdict
    --custom-config-path hero.yaml                                              the table `hero`, below
    --dynamic-sampling-filter-path hero_rl.engines.slime.keep_group             if groups are to be filtered at all

    hero:
      reward: reward.toml                  # a reward file; what follows is stronger
      rule: {name: hero, alpha: 0.05, beta: 0.05}
      verifier: {name: math, workers: 4}
      reward_model: {name: "vllm:http://rm:8000"}
      max_failure_rate: 0.1
      problem_key: problem                 # the key of the metadata with the bare problem

No ``--group-rm`` (then ``score_group``): it forbids evaluation, and the hook has the groups anyway. Written against slime of
2026-08 (miles, its fork, has the same hooks), which tests the names of the parameters; it is imported by ``keep_group`` alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np

from hero_rl.config import plain, read_table
from hero_rl.engines.wire import Judges, Row, column_reward, read_rows, refuse_steps
from hero_rl.errors import InputError, SettingsWarning
from hero_rl.files import write_text
from hero_rl.pipeline import HybridReward, assemble
from hero_rl.rewards import Scale, check_scale
from hero_rl.types import Rollout

logger = logging.getLogger(__name__)

STATE_FILE = "hero_rl.json"
"""In slime's ``--save`` folder."""
_OWN: Mapping[str, Any] = {"problem_key": "problem"}
_NORMALIZED = ("grpo", "gspo", "cispo", "reinforce_plus_plus_baseline")
"""Estimators for which slime's own hook centres rewards; the others take rewards unchanged."""
_BY_STD = ("grpo", "gspo", "cispo")


class Sample(Protocol):
    """The used attributes of slime's samples."""

    prompt: str | Sequence[Mapping[str, str]]
    response: str
    label: str | None
    reward: Any
    index: int | None
    group_index: int | None
    metadata: Mapping[str, Any]


Nested: TypeAlias = "Sample | Sequence[Nested]"


class PostProcessed(NamedTuple):
    """The lists that slime unpacks, with one entry per sample."""

    raw_rewards: list[float]
    """The bare verdicts; for slime's logs."""
    rewards: list[float]
    """Advantages, weights included; for estimators that take rewards unchanged, shaped rewards times weights."""


async def score(args: object, sample: Nested, **_: object) -> Any:
    """Return the raw signals of one sample, or of all in a list of any depth, in the same shape.

    Each is a mapping with the keys of ``engines.wire.KEYS``. slime calls this with one sample, in evaluation too, and with the
    list of samples into which one rollout was split. A sample that has such a mapping keeps it.

    Args:
        args: slime's arguments; ``args.hero`` is the table in this module's docstring.
        sample: a sample, or samples.

    Raises:
        InputError: wrong settings, or a sample without label.
    """
    if isinstance(sample, Sequence):
        return list(await asyncio.gather(*(score(args, each) for each in sample)))
    table = _table(args)
    _check_filter(table, str(getattr(args, "dynamic_sampling_filter_path", None)))
    if isinstance(sample.reward, Mapping) and "acc" in sample.reward:
        return sample.reward
    judges, problem_key = _judges(table)
    return await judges.judge(_rollout(sample, problem_key, judges.scorer is not None))


async def score_group(args: object, samples: Sequence[Nested], **_: object) -> Any:
    """Return what ``score`` does, for ``--group-rm``."""
    return await score(args, samples)


def keep_group(args: object, samples: Sequence[Nested], **_: object) -> Any:
    """Return slime's ``DynamicFilterOutput``: drop a group only if the rule gives its policy gradient nothing.

    So HERO keeps a group of equal verdicts as long as the reward model's scores differ. A group with a missing or failed
    signal is kept, for ``post_process`` to count or to refuse; so is every group where slime takes rewards unchanged. The state
    does not move.

    Args:
        args: slime's arguments.
        samples: of one prompt, flat or nested, with the results of ``score`` in ``sample.reward``.
    """
    flat, scale, keep = list(_flatten(samples)), _scale(args), True
    if scale is not None and all(isinstance(sample.reward, Mapping) for sample in flat):
        reward = _reward(args, scale)
        found = read_rows([_row(number, sample) for number, sample in enumerate(flat)])
        if found is not None and not reward.failures(found.signals).any():
            made = assemble(reward.rule, found.signals, found.groups, reward.state, scale=scale)
            keep = bool(made.advantages.any())
    try:
        from slime.rollout.filter_hub.base_types import DynamicFilterOutput  # pyright: ignore[reportMissingImports]
    except ImportError:  # miles, which takes the bare answer as well
        return keep
    return DynamicFilterOutput(keep=keep, reason=None if keep else "no_gradient")


def post_process(args: object, samples: Sequence[Nested]) -> PostProcessed:
    """Return the advantages of a rollout batch: shaped rewards, normalised by slime's arguments, times the prompt weights.

    ``--disable-rewards-normalization``, ``--disable-grpo-std-normalization`` and ``--advantage-estimator`` keep their meaning.
    slime divides by the group's standard deviation by default, which undoes HERO's bands: that gives a warning.

    A rollout that became several samples counts once in its group; its samples share its advantage. Groups are those of
    ``group_index``, and may differ in size.

    The state is written to ``args.save`` after each batch and read by a run that resumes (``args.load``). slime does not pass
    its checkpoints to this hook, so a resumed run continues the newest state and not that of its checkpoint.

    Args:
        args: slime's arguments.
        samples: of one rollout batch, flat or nested, with the results of ``score`` in ``sample.reward``.

    Raises:
        SignalError: too many signals failed.
        InputError: samples without signals or group.
    """
    rows = [_row(number, sample) for number, sample in enumerate(_flatten(samples))]
    scale = _scale(args)
    reward, found = _reward(args, scale), read_rows(rows)
    if found is None:
        return PostProcessed([], [])
    batch = reward.batch(found.signals, found.groups, scale=scale or "none", eps=1e-6)
    if scale is None:
        batch = batch._replace(advantages=np.nan_to_num(batch.rewards * batch.weights, nan=0.0))
    known = {name: value for name, value in batch.summary.items() if not math.isnan(value)}
    logger.info("hero-rl: %s", ", ".join(f"{name} {value:.4g}" for name, value in known.items()))
    folder = getattr(args, "save", None)
    if folder and reward.rule.stateful:
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text(Path(folder) / STATE_FILE, json.dumps(reward.state_dict()) + "\n")
    numbers = found.by_row(batch.advantages, padding=0.0)
    return PostProcessed([float(cast(Mapping[str, Any], row.info)["acc"]) for row in rows], numbers.tolist())


def _reward(args: object, scale: Scale | None) -> HybridReward:
    """Return the rule with its state, one per process."""
    return _started(_table(args), getattr(args, "save", None), bool(getattr(args, "load", None)), scale or "none")


@lru_cache(maxsize=4)  # one configuration per process; worker processes and connections live as long as it does
def _judges(table: str) -> tuple[Judges, str]:
    config, own = read_table(json.loads(table), _OWN, only=("verifier", "reward_model"))
    return Judges.of(config), own["problem_key"]


@lru_cache(maxsize=4)  # the state: one rule per process
def _started(table: str, folder: str | None, resume: bool, scale: Scale) -> HybridReward:
    config, _ = read_table(json.loads(table), _OWN, only=("rule", "max_failure_rate", "on_unhealthy"))
    refuse_steps(config.rule)
    reward = column_reward(config.rule, max_failure_rate=config.max_failure_rate, on_unhealthy=config.on_unhealthy)
    file = Path(folder) / STATE_FILE if folder else None
    if resume and file is not None and file.is_file():
        reward.load_state_dict(json.loads(file.read_text(encoding="utf-8")))
        logger.info("hero-rl: the state continues from %s", file)
    problem = check_scale(reward.rule, scale)
    if problem is not None:
        _warn(f"{problem} In slime: --disable-grpo-std-normalization.")
    return reward


@lru_cache(maxsize=4)  # once per process
def _check_filter(table: str, path: str) -> None:
    rule = read_table(json.loads(table), _OWN, only=("rule", "max_failure_rate", "on_unhealthy"))[0].rule
    if "nonzero_std" in path and rule.needs_scores and rule.needs_verdicts:
        _warn(
            f"--dynamic-sampling-filter-path {path} drops the groups whose verdicts are all equal, which are those where "
            f"{rule.name} learns from the reward model. Use hero_rl.engines.slime.keep_group, or no filter"
        )


def _warn(problem: str) -> None:
    warnings.warn(problem, SettingsWarning, stacklevel=4)
    logger.warning("hero-rl: %s", problem)  # Ray shows logs of its actors, and not always their warnings


def _table(args: object) -> str:
    return json.dumps(plain(getattr(args, "hero", None)))


def _scale(args: object) -> Scale | None:
    """Return the normalisation in slime's arguments; None: rewards stay unchanged."""
    estimator = getattr(args, "advantage_estimator", "grpo")
    if estimator not in _NORMALIZED or not getattr(args, "rewards_normalization", True):
        return None
    return "group" if estimator in _BY_STD and getattr(args, "grpo_std_normalization", True) else "none"


def _flatten(samples: Sequence[Nested]) -> Iterator[Sample]:
    for sample in samples:
        if isinstance(sample, Sequence):
            yield from _flatten(sample)
        else:
            yield sample


def _row(number: int, sample: Sample) -> Row:
    if not isinstance(sample.reward, Mapping):
        raise InputError(
            f"sample {sample.index} has the reward {sample.reward!r}; the hook needs what score returns: "
            "--custom-rm-path hero_rl.engines.slime.score (and no --rm-type)"
        )
    if sample.group_index is None:
        raise InputError(f"sample {sample.index} has no group_index, so its prompt's other responses cannot be found")
    rollout = next(each for each in (getattr(sample, "rollout_id", None), sample.index, number) if each is not None)
    return Row(str(sample.group_index), f"{sample.group_index}/{rollout}", number, sample.reward)


def _rollout(sample: Sample, problem_key: str, needs_problem: bool) -> Rollout:
    if sample.label is None:
        raise InputError(f"sample {sample.index} has no label, the reference answer: name its column with --label-key")
    metadata = sample.metadata if isinstance(sample.metadata, Mapping) else {}
    messages = () if isinstance(sample.prompt, str) else tuple(sample.prompt)
    problem = metadata.get(problem_key)
    if not isinstance(problem, str):
        users = [message.get("content", "") for message in messages if message.get("role") == "user"]
        problem = users[-1] if users else sample.prompt if isinstance(sample.prompt, str) and not needs_problem else None
    if problem is None:
        raise InputError(
            f"sample {sample.index}: its prompt is text with the chat template applied, from which a reward model cannot be "
            f"given the problem; put the bare problem as {problem_key!r} into the column of --metadata-key"
        )
    return Rollout(
        prompt_id=str(sample.group_index),
        problem=str(problem),
        reference=str(sample.label),
        response=sample.response,
        messages=messages,
        extra=dict(metadata),
    )
