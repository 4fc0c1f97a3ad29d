"""Step scores through verl's real queue and trainers: advantages of tokens are those of the formula, row by row."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transfer_queue as tq
from here import Response, advantages, config, put, read
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.utils.tensordict_utils import get_tensordict

from hero_rl.contrib.process import write_steps
from hero_rl.engines.verl.trainer import HeroSync
from hero_rl.errors import InputError
from hero_rl.rewards import group_advantages, process
from hero_rl.types import FloatArray, Rollout

sys.path.insert(0, str(Path(__file__).parent.parent))
from helpers import tiny

pytestmark = pytest.mark.usefixtures("queue")

GAMMA = 0.3
RULE = ("+hero.rule.name=process", f"+hero.rule.gamma={GAMMA}", "+hero.rule.alpha=0.1", "+hero.rule.beta=0.1")


def trainer(*overrides: str) -> HeroSync:
    made = HeroSync(config(*RULE, '+hero.reward_model.name="helpers.tiny:Pairs"', *overrides))
    made.tokenizer = tiny.tokenizer()  # as verl's init does from the policy's folder
    return made


def batch_of(seed: int, *, groups: int = 4, size: int = 5) -> tuple[list[Response], list[str]]:
    """Random texts of the tiny policy's letters with the signals of ``tiny.Letters`` and ``tiny.Pairs``, and their steps."""
    rng, tokenizer, scorer = np.random.default_rng(seed), tiny.tokenizer(), tiny.Pairs()
    responses, texts = [], []
    for group in range(groups):
        for _ in range(size):
            text = "".join(rng.choice(list("abcdefgh123+-"), int(rng.integers(1, 9))))
            rollout = Rollout(prompt_id="", problem="", reference="", response=text)
            scores = scorer.score_steps([rollout])
            written = write_steps(text, scores.steps[0], scorer.step_ends(rollout))
            ids = (*tokenizer.encode(text), tokenizer.eos_token_id)
            verdict = tiny.Letters().judge(rollout).value
            responses.append(Response(f"g{group}", verdict, float(scores.scores[0]), ids=ids, steps=written))
            texts.append(text)
    return responses, texts


def expected(responses: list[Response], texts: list[str]) -> tuple[FloatArray, list[list[float]]]:
    """By hand, one token a character: the outcome of each response, and the formula of ``step_advantages``."""
    rule = process(gamma=GAMMA, alpha=0.1, beta=0.1)
    groups = [one.group for one in responses]
    output = rule.apply([one.verdict for one in responses], [one.score for one in responses], groups, rule.init())
    outcome = group_advantages(output.rewards, groups, weights_B=output.weights)
    rows = []
    for i, one in enumerate(responses):
        mates = [j for j, other in enumerate(responses) if (other.group, other.verdict) == (one.group, one.verdict)]
        scores = [ord(char) / 64 for j in mates for char in texts[j][::2]]
        low, span = min(scores), max(scores) - min(scores)
        z = [(ord(texts[i][t // 2 * 2]) / 64 - low) / span if span else 0.0 for t in range(len(texts[i]))]
        z.append(z[-1])  # the end token belongs to the last step
        rows.append([outcome[i] + GAMMA * output.weights[i] * (value - np.mean(z)) for value in z])
    return outcome, rows


def test_each_token_gets_the_advantage_of_its_step() -> None:
    responses, texts = batch_of(1)
    batch = put(responses)
    trainer()._compute_advantage(batch, metrics := {})
    outcome, wanted = expected(responses, texts)
    rows = read(batch, "advantages")
    for row, want, response in zip(rows, wanted, outcome, strict=True):
        np.testing.assert_allclose(row.numpy(), want, atol=1e-5)
        assert row.mean().item() == pytest.approx(response, abs=1e-5)
    assert max(float(row.max() - row.min()) for row in rows) > 0.1
    assert metrics["hero/steps_shaped"] > 0.5
    assert 0.0 < metrics["hero/steps_size"] < GAMMA * metrics["hero/weight_max"]


def test_rows_in_any_order_and_padding_change_nothing() -> None:
    responses, texts = batch_of(2)
    _, wanted = expected(responses, texts)
    batch = upsample_batch_to_divisible_size(put(responses), 32, eos_token_id=1)
    order = np.random.default_rng(0).permutation(32)
    batch.reorder(order.tolist())
    trainer()._compute_advantage(batch, {})
    for row, place in zip(read(batch, "advantages"), order.tolist(), strict=True):
        want = wanted[place] if place < len(responses) else [0.0] * len(row)
        np.testing.assert_allclose(row.numpy(), want, atol=1e-5)


def test_tokens_of_a_tool_and_another_text_keep_the_responses_advantage() -> None:
    responses, texts = batch_of(3)
    outcome, _ = expected(responses, texts)
    other = responses[1]._replace(ids=(*responses[1].ids[:-1], 20, 1))
    batch = put([responses[0], other, *responses[2:]])
    masks = [torch.ones(len(row), dtype=torch.int64) for row in read(batch, "response_mask")]
    masks[0][0] = 0
    tq.kv_batch_put(
        keys=batch.keys, partition_id="train",
        fields=get_tensordict({"response_mask": torch.nested.as_nested_tensor(masks, layout=torch.jagged)}),
    )  # fmt: skip
    trainer()._compute_advantage(batch, {})
    rows = read(batch, "advantages")
    np.testing.assert_allclose(rows[0].numpy()[1:], outcome[0], atol=1e-5)
    np.testing.assert_allclose(rows[1].numpy(), outcome[1], atol=1e-5)
    assert max(float(row.max() - row.min()) for row in rows[2:]) > 0.1


def test_gamma_0_is_hero() -> None:
    responses, _ = batch_of(4)
    got = advantages(trainer("hero.rule.gamma=0.0")._compute_advantage(put(responses), {}))
    plain = HeroSync(config("+hero.rule.name=hero", "+hero.rule.alpha=0.1", "+hero.rule.beta=0.1"))
    np.testing.assert_array_equal(got, advantages(plain._compute_advantage(put(responses), {})))


def test_a_reward_model_without_steps_is_refused() -> None:
    responses, _ = batch_of(5)
    with pytest.raises(InputError, match="no response of the batch has step scores"):
        trainer()._compute_advantage(put([one._replace(steps="") for one in responses]), {})
