"""HybridReward with real work: a sandboxed verifier and a transformers reward model run at the same time, and stop together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from helpers import tiny
from helpers.endless import patient
from hero_rl.cache import Cache, CachedScorer, CachedVerifier
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import hero
from hero_rl.scorers import LocalScorer
from hero_rl.types import FloatArray, Rollout, Scorer, Verdict
from hero_rl.verifiers import ExactVerifier
from hero_rl.verifiers.function import FunctionVerifier

DEADLINE_S = 1.5
ENDLESS = "endless"
"""Its check works until its deadline."""
LONG = "abc 123 = " * 40


class Span(NamedTuple):
    """When something ran."""

    start: float
    end: float


class TimedVerifier(FunctionVerifier):
    """Keeps when it worked."""

    span = Span(0, 0)

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        start = time.perf_counter()
        verdicts = await super().averify(rollouts)
        self.span = Span(start, time.perf_counter())
        return verdicts


class TimedScorer(LocalScorer):
    """Keeps when it worked, and works as long as the verifier waits for its deadline."""

    span = Span(0, 0)

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        start = time.perf_counter()
        while True:
            scores = await super().ascore(rollouts)
            self.span = Span(start, time.perf_counter())
            if self.span.end - start > DEADLINE_S:
                return scores


def reward_model() -> LlamaForSequenceClassification:
    """Random weights; a thousand positions."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=1024, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    return LlamaForSequenceClassification(config)


def rows(*answers: str) -> list[Rollout]:
    return [
        Rollout(prompt_id="p", problem=LONG, reference="4", response=answer) for answer in answers
    ]  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    verifier = TimedVerifier(patient, workers=1, deadline_s=DEADLINE_S)
    verifier.warm()
    scorer = TimedScorer(reward_model(), tokenizer=tiny.tokenizer(), template="plain")
    yield verifier, scorer
    verifier.close()


def in_a_loop(function: Callable[[Sequence[Rollout]], Awaitable[Signals]]) -> Callable[[Sequence[Rollout]], Signals]:
    async def run(rollouts: Sequence[Rollout]) -> Signals:
        return await function(rollouts)

    return lambda rollouts: asyncio.run(run(rollouts))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_sandboxed_verifier_and_a_reward_model_work_at_the_same_time(parts, way: str) -> None:
    verifier, scorer = parts
    reward = HybridReward(verifier, scorer, hero())
    measure = reward.measure if way == "sync" else in_a_loop(reward.ameasure)
    batch = rows(f"{ENDLESS} {way}", r"\boxed{4}", *["no"] * 30)
    signals = measure(batch)
    assert signals.reasons[0] == "too_hard"
    assert np.isfinite(signals.scores).sum() == 32
    one, other = verifier.span, scorer.span
    assert min(one.end - one.start, other.end - other.start) > 0.9 * DEADLINE_S  # each did work that takes its time
    assert max(one.start, other.start) < min(one.end, other.end), "they took turns"


def test_cancelling_stops_both_and_leaves_the_verifier_ready() -> None:
    class Patient(Scorer):
        name, cancelled = "patient", False

        async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            return np.zeros(len(rollouts))

    class Watched(FunctionVerifier):
        cancelled = False

        async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
            try:
                return await super().averify(rollouts)
            except asyncio.CancelledError:
                self.cancelled = True
                raise

    scorer = Patient()

    async def scenario(verifier: Watched) -> None:
        task = asyncio.ensure_future(HybridReward(verifier, scorer, hero()).ameasure(rows(ENDLESS)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Watched(patient, workers=1, deadline_s=DEADLINE_S) as verifier:
        verifier.warm()
        asyncio.run(scenario(verifier))
        assert scorer.cancelled
        assert verifier.cancelled
        start = time.perf_counter()
        verifier.verify(rows(r"\boxed{\int x^2 dx}"))
        # the check that nobody waits for holds the one worker until its deadline at most
        assert time.perf_counter() - start < DEADLINE_S + 60


def test_a_repeated_batch_needs_neither_verifier_nor_reward_model(parts, tmp_path) -> None:
    class Timed(ExactVerifier):
        calls = 0

        async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
            self.calls += 1
            return await super().averify(rollouts)

    verifier, scorer = Timed(), parts[1]
    batch = rows(r"\boxed{4}", r"\boxed{\int x^2 dx}", "no")
    with Cache(tmp_path / "results.sqlite") as cache:
        cached = HybridReward(CachedVerifier(verifier, cache), CachedScorer(Fingerprinted(scorer), cache), hero())
        cold = cached.measure(batch)
        before = verifier.calls, scorer.span
        warm = cached.measure(batch)
        again = asyncio.run(cached.ameasure(batch))
    assert (verifier.calls, scorer.span) == before
    assert warm.reasons == again.reasons == cold.reasons
    for one in (warm, again):
        np.testing.assert_array_equal(one.verdicts, cold.verdicts)
    assert warm.scores.tolist() == again.scores.tolist() == cold.scores.tolist()


class Fingerprinted:
    """A scorer with an identity of the test's own."""

    name, identity = "local", "the model of this test"

    def __init__(self, scorer: LocalScorer) -> None:
        self.score, self.ascore, self.close = scorer.score, scorer.ascore, scorer.close
