"""HERO in OpenRLHF: an ``AgentExecutor`` whose samples wait for the others of their prompt and are judged together.

    # hero_agent.py, for --train.agent_func_path hero_agent.py --algo.advantage.estimator dr_grpo --data.label_key label
    AgentExecutor = agent_executor(GroupJudge(RewardClient("http://rewards:8000", run_id="run-7")))

Every vLLM engine has an executor of its own. With one engine a HybridReward with a state file will do; with several, the state
must be in one place, the reward service.

A label is an object (or its JSON text) with ``reference`` and the bare ``problem``, because a prompt has the chat template
applied; without a reward model it may be the reference alone. OpenRLHF does not tell an executor that it evaluates: labels of
evaluation data need ``"split": "test"``. Their reward is the bare verdict, and the state stays as it is.

Written against OpenRLHF 0.11.2, which loads in ``agent_executor``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Mapping
from typing import Any

from hero_rl.engines.completions import to_rollout
from hero_rl.engines.groups import GroupJudge, for_log, for_trainer
from hero_rl.engines.service.client import GroupReward
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward
from hero_rl.types import Rollout


class _Group:
    """The samples of one prompt."""

    def __init__(self, params: object) -> None:
        self.params = params  # kept alive: its id is the group's
        self.started = 0
        self.rollouts: list[Rollout] = []
        self.result: asyncio.Future[GroupReward] = asyncio.get_running_loop().create_future()


def agent_executor(judge: GroupJudge) -> type:
    """Return the class that the file of ``--train.agent_func_path`` has to name ``AgentExecutor``."""
    groups: dict[tuple[int, str], _Group] = {}

    class AgentExecutor(importlib.import_module("openrlhf.utils.agent").SingleTurnAgentExecutor):
        """OpenRLHF's executor of one turn, with the reward of HERO."""

        async def execute(self, prompt: str, label: Any, sampling_params: Any, **others: Any) -> dict[str, Any]:
            """Return a sample with its reward; an error in one of the samples ends all of its group."""
            key = id(sampling_params), prompt  # an object of its own in every call for a prompt, also for the same prompt
            group = groups.setdefault(key, _Group(sampling_params))
            group.started += 1
            try:
                output = await super().execute(prompt, label, sampling_params, **others)
                await asyncio.sleep(0)  # an engine may answer at once, before the other samples have started
                tokens = output["observation_tokens"][slice(*output["action_ranges"][-1])]
                response = others["hf_tokenizer"].decode(tokens, skip_special_tokens=True)
                training, rollout = read_label(judge, prompt, label, response, finished=not output["truncated"])
                place = len(group.rollouts)
                group.rollouts.append(rollout)
                if len(group.rollouts) == group.started:
                    del groups[key]
                    group.result.set_result(await judge(group.rollouts, update=training))
                found = await group.result
            except BaseException:
                groups.pop(key, None)
                group.result.cancel()  # or the others would wait for ever
                raise
            logs = {"hero/rm_score": 0.0, "hero/reward": 0.0, **for_log(found, place)}  # every sample needs the same keys
            reward = for_trainer(found, training=training)[place]
            return output | {"reward": reward, "scores": logs["hero/correct"], "extra_logs": logs}

    return AgentExecutor


def read_label(judge: GroupJudge, prompt: str, label: Any, response: str, *, finished: bool) -> tuple[bool, Rollout]:
    """Return whether a sample is for training, and its rollout; raises ``InputError`` if the label lacks something."""
    row = json.loads(label) if isinstance(label, str) and label.lstrip().startswith("{") else label
    if not isinstance(row, Mapping):
        if not (isinstance(judge.reward, HybridReward) and judge.reward.scorer is None):
            raise InputError(
                f"the label {str(label)[:80]!r} has no problem; a reward model needs one, and the prompt has the chat template "
                'applied. Give labels such as {"problem": "1+1?", "reference": "2"} in the column of --data.label_key'
            )
        row = {"problem": prompt, "reference": label}
    rollout = to_rollout(
        prompt, response, {**row, "prompt_id": "group"}, finished=finished, needs_reference=judge.needs_reference
    )
    return str(row.get("split", "train")).startswith("train"), rollout
