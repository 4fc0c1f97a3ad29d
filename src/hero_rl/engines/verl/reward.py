"""``compute_score``: the reward function that verl's reward workers call for one response at a time.

    reward.custom_reward_function.path=pkg://hero_rl.engines.verl.reward
    reward.custom_reward_function.reward_kwargs.hero=${hero}

It returns both raw signals unshaped, because the members of a group go to different workers.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hero_rl.config import plain, read_table
from hero_rl.engines.verl.settings import OWN
from hero_rl.engines.wire import Info, Judges
from hero_rl.errors import InputError
from hero_rl.parts import verifier_settings
from hero_rl.toml_layers import Layer
from hero_rl.types import Rollout

_WORKERS = 2
"""Processes of the verifier in each reward worker, unless said otherwise: verl starts several workers on a node."""


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    *,
    reward_router_address: str | None = None,
    reward_model_tokenizer: object = None,
    hero: Mapping[str, Any] | None = None,
) -> Info:
    """Return verdict and raw score of one response, under the same keys for every response (``engines.wire.KEYS``).

    ``score`` and ``acc`` are the bare verdict, so that verl's validation and ``algorithm.filter_groups.metric=acc`` see the
    pure verifier. A signal that fails is marked (``failed``, ``rm_ok``); the trainer counts the marks and stops the run when
    there are too many.

    Args:
        data_source: verl's name of the data set.
        solution_str: the response, decoded without special tokens.
        ground_truth: the reference answer: text, a number, or a list with one of these.
        extra_info: the row's ``extra_info``. ``hero.problem_key`` in it (or ``question``) is the bare problem, which the reward
            model needs; all of it becomes ``Rollout.extra``.
        reward_router_address: of verl's own reward-model servers, where ``reward.reward_model.enable`` is set.
        reward_model_tokenizer: given by verl beside the address; not used: servers apply templates themselves.
        hero: the table ``hero`` of verl's configuration (``settings``). Its reward model needs no name where verl serves the
            model. Without the table: the maths verifier and no reward model.

    Raises:
        InputError: wrong settings or rows, which every response would meet.
        MissingDependencyError: a package is not installed.
    """
    judges, problem_key = _judges(json.dumps(plain(hero), sort_keys=True), reward_router_address)
    rollout = read_rollout(data_source, solution_str, ground_truth, extra_info or {}, problem_key, judges.scorer is not None)
    return await judges.judge(rollout)


@functools.lru_cache(maxsize=4)  # a worker has one configuration; its processes and connections live as long as it does
def _judges(table: str, router: str | None) -> tuple[Judges, str]:
    below = [Layer("reward.reward_model", {"reward_model": {"name": f"vllm:http://{router}"}})] if router else []
    config, own = read_table(json.loads(table), OWN, only=("verifier", "reward_model"), below=below)
    if "workers" in verifier_settings(config.verifier["name"]):
        config = config._replace(verifier={"workers": _WORKERS, **config.verifier})
    return Judges.of(config), own["problem_key"]


def read_rollout(
    data_source: str, response: str, ground_truth: object, extra: Mapping[str, Any], problem_key: str, needs_problem: bool
) -> Rollout:
    """Return a rollout from what verl hands to a reward function; raises InputError for what is none."""
    problem = extra.get(problem_key) or extra.get("question")
    if needs_problem and not isinstance(problem, str):
        raise InputError(
            f"a row of {data_source!r} has no {problem_key!r} in extra_info (its keys: {', '.join(sorted(extra)) or 'none'}), "
            "and a reward model cannot score a response without its problem: put the bare problem there when you prepare the "
            "data (`hero recipe verl --problems` does), or name the key with hero.problem_key"
        )
    return Rollout(
        prompt_id=str(extra.get("index", "")),
        problem=problem if isinstance(problem, str) else "",
        reference=_reference(data_source, ground_truth),
        response=response,
        extra={**extra, "data_source": data_source},
    )


def _reference(data_source: str, ground_truth: object) -> str:
    if isinstance(ground_truth, np.ndarray):
        ground_truth = ground_truth.tolist()
    if isinstance(ground_truth, Sequence) and not isinstance(ground_truth, str) and len(ground_truth) == 1:
        ground_truth = ground_truth[0]
    if isinstance(ground_truth, str | int | float | np.number) and not isinstance(ground_truth, bool):
        return str(ground_truth)
    raise InputError(
        f"a row of {data_source!r} has reward_model.ground_truth={ground_truth!r}; a reference answer is text or a number"
    )
