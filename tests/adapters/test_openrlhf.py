"""OpenRLHF's own agent, rollout actor, samples and advantages; a stand-in for vLLM samples.

ray, vllm and deepspeed are absent, so what OpenRLHF imports from them does nothing: of its actor and its experience maker, the
methods that need none of them are called. They are OpenRLHF's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from helpers.adapters import GROUP, Sampler, groups, packages, reward, wanted
from helpers.service import serving
from hero_rl.engines.groups import GroupJudge
from hero_rl.engines.openrlhf import agent_executor
from hero_rl.engines.service.client import RewardClient
from hero_rl.errors import InputError, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero, verifier_only
from hero_rl.types import Rollout

ABSENT = (
    "ray", "ray.util", "ray.util.placement_group", "ray.util.scheduling_strategies", "vllm", "vllm.inputs", "vllm.utils",
    "deepspeed", "openrlhf.trainer.ray.launcher",
)  # fmt: skip


@pytest.fixture(scope="module")
def orl() -> Iterator[Any]:
    with packages(*ABSENT, bare=("openrlhf.models",)):
        from openrlhf.trainer.ppo_utils import experience_maker, samples_generator
        from openrlhf.trainer.ray import vllm_engine

        yield SimpleNamespace(engine=vllm_engine, samples=samples_generator, maker=experience_maker)


class Actor:
    """What OpenRLHF's rollout actor has of vLLM: a stand-in that samples; ``generate_responses`` is its own."""

    def __init__(self, orl: Any, judge: GroupJudge, sampled: list[list[Rollout]]) -> None:
        self.executor, self.sampler, self.orl = agent_executor(judge)(), Sampler(sampled), orl

    async def generate(self, prompt_token_ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        tokens = await self.sampler.sample(self.sampler.tokenizer.decode(prompt_token_ids))
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens, logprobs=None, finish_reason="stop")])

    async def generate_responses(self, one: Rollout, label: Any, count: int = GROUP) -> list[dict[str, Any]]:
        params = SimpleNamespace(max_tokens=8, logprobs=None)  # Ray unpickles the arguments of every call
        return await self.orl.engine.RolloutRayActor.generate_responses(
            self, prompt=f"<|user|>{one.problem}<|assistant|>", label=label, sampling_params=params, max_length=64,
            hf_tokenizer=self.sampler.tokenizer, num_samples=count,
        )  # fmt: skip


def advantages(orl: Any, outputs: list[dict[str, Any]], estimator: str = "dr_grpo") -> np.ndarray[Any, Any]:
    """OpenRLHF's advantages of some samples, by its own code, one per sample."""
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=SimpleNamespace(estimator=estimator, gamma=1.0, no_std_norm=False)),
        rollout=SimpleNamespace(n_samples_per_prompt=GROUP, micro_batch_size=4),
        train=SimpleNamespace(dynamic_batch_enable=False),
        reward=SimpleNamespace(clip_range=(-10, 10), overlong_buffer_len=None, stop_properly_penalty_coef=None),
    )  # fmt: skip
    maker = object.__new__(orl.maker.RemoteExperienceMaker)
    maker.strategy, maker.args, maker.advantage_estimator = SimpleNamespace(args=args), args, estimator
    maker.tokenizer, maker.kl_ctl = SimpleNamespace(pad_token_id=0), SimpleNamespace(value=0.0)
    generator = object.__new__(orl.samples.SamplesGenerator)
    batches = maker.split_rollout_samples([generator._process_response_into_experience(one, max_len=64) for one in outputs])
    for batch in batches:
        batch.kl = batch.action_mask.float() * 0.0
    made = maker.compute_advantages_and_returns(batches)
    rows = [row[mask.bool()] for batch in made for row, mask in zip(batch.advantages, batch.action_mask, strict=True)]
    assert all((row == row[0]).all() for row in rows)  # gamma 1: the same for each of its tokens
    return np.array([row[0].item() for row in rows])


def label(one: Rollout, **more: str) -> dict[str, str]:
    return {"problem": one.problem, "reference": one.reference, **more}


def test_openrlhf_trains_with_heros_advantages(orl: Any, tmp_path: Path) -> None:
    sampled, state = groups(), tmp_path / "state.json"
    want = np.concatenate([batch.advantages for batch in wanted(sampled)])

    async def roll_out(part: list[list[Rollout]]) -> list[dict[str, Any]]:
        actor = Actor(orl, GroupJudge(reward(), state_file=state), part)
        return [one for group in part for one in await actor.generate_responses(group[0], json.dumps(label(group[0])))]

    outputs = asyncio.run(roll_out(sampled[:2])) + asyncio.run(roll_out(sampled[2:]))  # the second goes on from the file
    np.testing.assert_allclose(advantages(orl, outputs), want, rtol=0, atol=1e-6)
    verdicts = np.concatenate([batch.signals.verdicts for batch in wanted(sampled)])
    assert [one["scores"] for one in outputs] == [float(verdict == 1.0) for verdict in verdicts]
    assert len({tuple(one["extra_logs"]) for one in outputs}) == 1


def test_several_engines_share_the_state_of_a_service(orl: Any) -> None:
    sampled = groups()
    want = np.concatenate([batch.advantages for batch in wanted(sampled)])
    judges = ("--verifier", "helpers.tiny:Letters", "--reward-model", "helpers.tiny:Characters")

    async def roll_out(url: str) -> list[dict[str, Any]]:
        engines = [Actor(orl, GroupJudge(RewardClient(url, run_id="run")), sampled) for _ in range(2)]
        one = enumerate(group[0] for group in sampled)
        return [row for place, first in one for row in await engines[place % 2].generate_responses(first, label(first))]

    with serving(*judges, "--alpha", "0.1", "--beta", "0.1", PYTHONPATH=str(Path(__file__).parents[1])) as server:
        outputs = asyncio.run(roll_out(server.url))
        assert RewardClient(server.url, run_id="run").state()["state"]["updates"] == len(sampled)
    np.testing.assert_allclose(advantages(orl, outputs), want, rtol=0, atol=1e-6)


def test_prompts_that_an_actor_samples_at_the_same_time_stay_apart_even_the_same_prompt_twice(orl: Any) -> None:
    first, second = groups(2)
    twins = [[*first, *second]]  # two groups of one prompt, whose samples end in any order
    prompt, judge = first[0], GroupJudge(reward())

    async def roll_out() -> list[list[dict[str, Any]]]:
        actor = Actor(orl, judge, [[Rollout(prompt_id="p", problem=prompt.problem, reference="", response=one.response)
                                    for one in twins[0]]])  # fmt: skip
        return await asyncio.gather(*(actor.generate_responses(prompt, label(prompt)) for _ in range(2)))

    found = asyncio.run(roll_out())
    assert judge.reward.state_dict()["state"]["updates"] == 2
    for group in found:
        assert sum(one["reward"] for one in group) == pytest.approx(0.0, abs=1e-12)  # each has the mean of its own
        assert len({one["reward"] for one in group}) > 1


def test_labels_of_a_test_set_get_the_verdict_as_reward_and_leave_the_state(orl: Any) -> None:
    sampled, judge = groups(1), GroupJudge(reward())
    before = judge.reward.state_dict()
    outputs = asyncio.run(Actor(orl, judge, sampled).generate_responses(sampled[0][0], label(sampled[0][0], split="test")))
    assert [one["reward"] for one in outputs] == (wanted(sampled)[0].signals.verdicts == 1.0).astype(float).tolist()
    assert judge.reward.state_dict() == before


def test_an_error_ends_the_whole_group_at_once(orl: Any) -> None:
    sampled = groups(1)
    dead = HybridReward(tiny.Letters(fail=lambda rollout: True), tiny.Characters(), hero())
    with pytest.raises(SignalError, match="8 of 8 rows"):
        asyncio.run(Actor(orl, GroupJudge(dead), sampled).generate_responses(sampled[0][0], label(sampled[0][0])))
    with pytest.raises(InputError, match="has no problem"):
        asyncio.run(Actor(orl, GroupJudge(reward()), sampled).generate_responses(groups(1)[0][0], "2"))

    class Broken(Actor):
        async def generate(self, *_: Any, **__: Any) -> Any:
            if len(self.sampler.left[sampled[0][0].problem]) == 3:
                raise RuntimeError("the engine is gone")
            return await super().generate(*_, **__)

    async def roll_out() -> None:
        actor = Broken(orl, GroupJudge(reward()), groups(1))
        await asyncio.wait_for(actor.generate_responses(sampled[0][0], label(sampled[0][0])), timeout=20)

    with pytest.raises(RuntimeError, match="the engine is gone"):
        asyncio.run(roll_out())


def test_without_a_reward_model_a_label_may_be_the_reference(orl: Any) -> None:
    sampled = groups(1)
    judge = GroupJudge(HybridReward(tiny.Letters(), None, verifier_only()))
    outputs = asyncio.run(Actor(orl, judge, sampled).generate_responses(sampled[0][0], "2"))
    assert sum(one["reward"] for one in outputs) == pytest.approx(0.0, abs=1e-12)


def test_openrlhf_loads_the_executor_from_a_file(orl: Any, tmp_path: Path) -> None:
    file = tmp_path / "hero_agent.py"
    file.write_text(
        "from helpers.adapters import reward\nfrom hero_rl.engines.groups import GroupJudge\n"
        "from hero_rl.engines.openrlhf import agent_executor\nAgentExecutor = agent_executor(GroupJudge(reward()))\n"
    )
    assert type(orl.engine._load_agent_executor(str(file))).__name__ == "AgentExecutor"
