"""One set of rollouts through every engine: the same Batch, batch after batch.

TRL samples and trains; what it sampled goes through the others. verl's part here is all but verl itself: its reward function
and the reading of its rows; `make test-verl` does the same with verl's own trainer and estimators.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the extra 'train'")

from helpers import tiny
from hero_rl.audit.rules import rule_report
from hero_rl.audit.table import Table
from hero_rl.data.scoring import score_file
from hero_rl.engines import slime
from hero_rl.engines.trl.asynchronous import GroupReward
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.engines.verl.reward import compute_score
from hero_rl.engines.wire import Row, column_reward, read_rows
from hero_rl.pipeline import Batch, HybridReward
from hero_rl.rewards import hero
from hero_rl.types import FloatArray, Rollout

GROUP = 8
JUDGES: dict[str, Any] = {"verifier": {"name": "helpers.tiny:Letters"}, "reward_model": {"name": "helpers.tiny:Characters"}}
RULE = hero(alpha=0.1, beta=0.1)


class Result(NamedTuple):
    """What an engine shows of its Batch; None where it shows nothing."""

    advantages: FloatArray | None = None
    rewards: FloatArray | None = None
    weights: FloatArray | None = None
    verdicts: FloatArray | None = None
    scores: FloatArray | None = None
    sigma_mean: float | None = None
    summary: dict[str, float] | None = None


def shown(batch: Batch) -> Result:
    verdicts, scores = batch.signals[:2]
    return Result(batch.advantages, batch.rewards, batch.weights, verdicts, scores, batch.sigma_mean, batch.summary)


class Batches(NamedTuple):
    rollouts: list[list[Rollout]]
    by_trl: list[Result]


class Recording(HeroTrainer):
    """Keeps the Batch of every generation batch, in sampler order, with the advantages that the policy is updated with."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        advantages = output["advantages"].double().numpy().copy()
        self.__dict__.setdefault("results", []).append(shown(self._share.batch)._replace(advantages=advantages))
        return output


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    verifier = tiny.Letters()
    reward = HybridReward(verifier, tiny.Characters(), RULE, max_failure_rate=1.0)
    config = tiny.config(tmp_path_factory.mktemp("trl"), max_steps=3)
    trainer = Recording(tiny.model(), reward, config, train_dataset=tiny.problems(), processing_class=tiny.tokenizer())
    trainer.train()
    return Batches(verifier.seen, trainer.results)


def groups_of(rollouts: list[Rollout]) -> list[str]:
    return [f"g{place // GROUP}" for place in range(len(rollouts))]


def by_hybrid_reward(batches: list[list[Rollout]]) -> Iterator[Result]:
    reward = HybridReward(tiny.Letters(), tiny.Characters(), RULE)
    for rollouts in batches:
        yield shown(reward.batch(rollouts, groups_of(rollouts)))


def by_verl(batches: list[list[Rollout]]) -> Iterator[Result]:
    async def judge(rollouts: list[Rollout]) -> list[Any]:
        calls = (
            compute_score("sums", one.response, one.reference, {"problem": one.problem, "index": place}, hero=JUDGES)
            for place, one in enumerate(rollouts)
        )
        return await asyncio.gather(*calls)

    reward = column_reward(RULE)
    for rollouts in batches:
        infos = asyncio.run(judge(rollouts))
        rows = [Row(g, f"{g}_{place}", 0, infos[place]) for place, g in enumerate(groups_of(rollouts))]
        # in another order, and with a row of padding, as verl's balancing leaves them
        order = np.random.default_rng(0).permutation(len(rows) + 1)
        found = read_rows([[*rows, Row("pad", "pad_0", 0, None)][i] for i in order])
        assert found is not None
        batch = reward.batch(found.signals, found.groups)
        back = np.argsort(order)[: len(rows)]
        verdicts, scores = batch.signals[:2]
        columns = (batch.advantages, batch.rewards, batch.weights, verdicts, scores)
        in_order = [found.by_row(values, padding=0.0)[back] for values in columns]
        yield Result(*in_order, sigma_mean=batch.sigma_mean, summary=batch.summary)


@dataclass
class Sample:
    """slime's, as far as it is read."""

    prompt: str
    response: str
    label: str
    index: int
    group_index: int
    reward: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)


def by_slime(batches: list[list[Rollout]]) -> Iterator[Result]:
    table = {"rule": {"name": RULE.name, "alpha": 0.1, "beta": 0.1}, **JUDGES}
    args = SimpleNamespace(hero=table, advantage_estimator="grpo", grpo_std_normalization=False)
    slime._started.cache_clear()
    for rollouts in batches:
        samples = [
            Sample(
                "<|user|>" + one.problem, one.response, one.reference, place, place // GROUP, metadata={"problem": one.problem}
            )
            for place, one in enumerate(rollouts)
        ]
        for sample, reward in zip(samples, asyncio.run(slime.score(args, samples)), strict=True):
            sample.reward = reward
        nested = [samples[start : start + GROUP] for start in range(0, len(samples), GROUP)]
        yield Result(np.array(slime.post_process(args, nested).rewards))


def by_the_service(batches: list[list[Rollout]]) -> Iterator[Result]:
    pytest.importorskip("fastapi", reason="needs the extra 'serve'")
    from helpers.service import COLUMNS, serving
    from hero_rl.engines.service.client import RewardClient

    letters, characters = tiny.Letters(), tiny.Characters()
    with serving(*COLUMNS, "--alpha", "0.1", "--beta", "0.1") as server:
        client = RewardClient(server.url, run_id="agree")
        for rollouts in batches:
            verdicts = [None if math.isnan(verdict.value) else verdict.value for verdict in letters.verify(rollouts)]
            rows = [
                {"response": one.response, "correct": verdict, "rm_score": score}
                for one, verdict, score in zip(rollouts, verdicts, characters.score(rollouts).tolist(), strict=True)
            ]
            answer = client.score_groups(
                [
                    {
                        "problem": rollouts[start].problem,
                        "reference": rollouts[start].reference,
                        "responses": rows[start : start + GROUP],
                    }
                    for start in range(0, len(rows), GROUP)
                ]
            )
            yield Result(answer.advantages, answer.rewards)


def by_score_file(batches: list[list[Rollout]]) -> Iterator[Result]:
    """One file is one batch, and the first."""
    rows = [
        {"prompt_id": group, "problem": one.problem, "reference": one.reference, "response": one.response}
        for group, one in zip(groups_of(batches[0]), batches[0], strict=True)
    ]
    source, target = Path("rollouts.jsonl"), Path("scored.jsonl")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reward = HybridReward(tiny.Letters(), tiny.Characters(), RULE, max_failure_rate=1.0)
    sigma_mean = score_file(source, target, reward).sigma_mean
    found = [json.loads(line) for line in target.read_text().splitlines()]
    names = ("advantage", "reward", "weight", "verdict", "rm_score")
    yield Result(*(np.array([row[name] for row in found], dtype=np.float64) for name in names), sigma_mean=sigma_mean)


def by_the_audit(batches: list[list[Rollout]]) -> Iterator[Result]:
    """A file, too: it tells of rewards and weights."""
    verdicts, scores = tiny.Letters().verify(batches[0]), tiny.Characters().score(batches[0])
    groups, nothing = np.arange(len(scores)) // GROUP, np.full(len(scores), np.nan)
    values = np.array([verdict.value for verdict in verdicts])
    table = Table(
        groups=groups, labels=nothing, verdicts={"letters": values}, scores={"characters": scores}, chars=nothing,
        repetition=nothing, steps=nothing,
    )  # fmt: skip
    report = rule_report(table, RULE, verifier="letters", scorer="characters")
    yield Result(rewards=report.rewards, weights=report.weights[groups], sigma_mean=report.sigma_mean)


def by_group_reward(batches: list[list[Rollout]]) -> Iterator[Result]:
    """TRL's asynchronous trainer hands over one group at a time: that is the batch."""
    judge = GroupReward(HybridReward(tiny.Letters(), tiny.Characters(), RULE), [1])
    group = batches[0][:GROUP]
    texts = [one.response for one in group]
    values = asyncio.run(
        judge([one.problem for one in group], texts, [[1]] * GROUP, reference=[one.reference for one in group])
    )
    yield Result(np.array(values, dtype=np.float64))


ENGINES = [by_hybrid_reward, by_verl, by_slime, by_the_service, by_score_file, by_the_audit]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
def test_every_engine_makes_the_batch_that_trl_trains_with(
    engine: Callable[[list[list[Rollout]]], Iterator[Result]],
    batches: Batches,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(batches.rollouts) == len(batches.by_trl) == 3
    found = list(engine(batches.rollouts))
    assert len(found) == (1 if engine in (by_score_file, by_the_audit) else 3)
    for got, want in zip(found, batches.by_trl, strict=False):
        assert np.abs(want.advantages).max() > 0.1
        for name, value in got._asdict().items():
            wanted = getattr(want, name)
            if isinstance(value, dict):
                assert value == pytest.approx(wanted, rel=0, abs=1e-6, nan_ok=True)
            elif value is not None:
                np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6, err_msg=name)


def test_trls_asynchronous_trainer_gets_the_advantages_of_its_groups_batch(batches: Batches) -> None:
    group = batches.rollouts[0][:GROUP]
    want = HybridReward(tiny.Letters(), tiny.Characters(), RULE).batch(group, ["g"] * GROUP).advantages
    np.testing.assert_allclose(next(by_group_reward(batches.rollouts)).advantages, want, rtol=0, atol=1e-12)
