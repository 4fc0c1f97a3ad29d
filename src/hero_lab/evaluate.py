"""Measure a policy by the oracle, the verifier and the reward model, and how much of the rule's next update would be signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hero_lab.families import CHAIN
from hero_lab.family import Family
from hero_lab.models import PAD_ID, decode, encode, sample
from hero_lab.task import Item, oracle
from hero_rl.measures import group_auroc, mean_interval, pair_counts, update_quality
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import Scale
from hero_rl.types import FloatArray, Rollout, Scorer, Verifier

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

COOL = 0.6
"""The temperature of the paper's evaluation."""
_EVALUATION_SEED = 90_000
"""Apart from every seed of training, and the same for all rules: they are compared under common random numbers."""


class Samples(NamedTuple):
    """Responses to some prompts, ``G`` each, in the prompts' order."""

    rollouts: list[Rollout]
    """P x G of them, a prompt's own side by side."""
    correct_PG: FloatArray
    """1 where the oracle says correct."""
    sequences: Tensor
    """Token ids of prompt and response, shape (P x G, length)."""


class Yardstick(NamedTuple):
    """Reward model and verifiers that a policy is measured with, beside the oracle."""

    scorer: Scorer
    """The reward model that training listens to, or would."""
    score_mean: float
    """Its mean on the starting policy's responses to the rm_test prompts, where its spread is 1."""
    strict: Verifier
    """The strict verifier of the run."""
    reward: HybridReward
    """That of training: its rule and state say what the next update would be."""
    scale: Scale
    """Normalisation of the advantages in training."""
    verifier: Verifier | None = None
    """Measured against the oracle where the run is trained on it: one that errs, or that is not the strict one."""
    family: Family = CHAIN


def sample_items(
    policy: PreTrainedModel, items: Sequence[Item], *, count: int, seed: int, temperature: float = 1.0, family: Family = CHAIN
) -> Samples:
    """``count`` responses per prompt; at temperature 0, which is greedy, one."""
    import torch

    prompts = torch.from_numpy(encode([item.prompt for item in items], length=family.prompt_length, alphabet=family.alphabet))
    count = count if temperature else 1
    prompts = prompts.repeat_interleave(count, dim=0)
    responses = sample(policy, prompts, temperature=temperature, seed=_EVALUATION_SEED + seed, length=family.response_length)
    texts, finished = decode(responses.numpy(), alphabet=family.alphabet)
    owners = [item for item in items for _ in range(count)]
    rollouts = [
        Rollout(prompt_id=item.prompt, problem=item.prompt, reference=item.reference, response=text, finished=done)
        for item, text, done in zip(owners, texts, finished, strict=True)
    ]
    correct = [oracle(i.problem, text, finished=done) for i, text, done in zip(owners, texts, finished, strict=True)]
    correct_PG = np.array(correct, dtype=np.float64).reshape(len(items), count)
    return Samples(rollouts, correct_PG, torch.cat([prompts, responses], dim=1))


def mean_entropy(policy: PreTrainedModel, sequences: Tensor, *, prompt_length: int, temperature: float = 1.0) -> float:
    """Mean entropy in nats of the next-token distribution over the response tokens of sequences sampled at a temperature."""
    import torch

    with torch.no_grad():
        logits = policy(input_ids=sequences, attention_mask=torch.ones_like(sequences), use_cache=False).logits
    log_p = torch.log_softmax(logits[:, prompt_length - 1 : -1] / temperature, dim=-1)
    counted = sequences[:, prompt_length:] != PAD_ID
    return float((-(log_p.exp() * log_p).sum(-1) * counted).sum() / counted.sum().clamp(min=1))


def full_evaluation(
    policy: PreTrainedModel, items: Sequence[Item], yardstick: Yardstick, *, count: int, seed: int
) -> dict[str, Any]:
    """Return everything that is reported on one tag's prompts; per-prompt counts of correct responses for paired tests."""
    numbers, samples, greedy, passed_PG = curve_point(policy, items, yardstick, count=count, seed=seed)
    family = yardstick.family
    cool = sample_items(policy, items, count=count, seed=seed, temperature=COOL, family=family)
    return {
        **numbers,
        "prompts": len(items),
        "samples": count,
        "accuracy": _with_interval(samples.correct_PG),
        "greedy": _with_interval(greedy.correct_PG),
        "pass_any": float((samples.correct_PG.max(axis=1) > 0).mean()),
        "all_wrong_groups": float((passed_PG.max(axis=1) == 0).mean()),
        "entropy": mean_entropy(policy, samples.sequences, prompt_length=family.prompt_length),
        "cool_entropy": mean_entropy(policy, cool.sequences, prompt_length=family.prompt_length, temperature=COOL),
        "unfinished": float(np.mean([rollout.finished is False for rollout in samples.rollouts])),
        "correct_P": samples.correct_PG.sum(axis=1).astype(int).tolist(),
        "cool_P": cool.correct_PG.sum(axis=1).astype(int).tolist(),
        "greedy_P": greedy.correct_PG[:, 0].astype(int).tolist(),
        "examples": [rollout.problem + " " + rollout.response for rollout in samples.rollouts[: 6 * count : count]],
        **({} if yardstick.verifier is None else verifier_quality(yardstick.verifier, samples)),
    }


class Point(NamedTuple):
    """A few numbers for a learning curve, and what they are of."""

    numbers: dict[str, float]
    samples: Samples
    greedy: Samples
    passed_PG: FloatArray
    """Verdicts of the strict verifier."""


def curve_point(policy: PreTrainedModel, items: Sequence[Item], yardstick: Yardstick, *, count: int, seed: int) -> Point:
    """Measure a policy on some prompts."""
    samples = sample_items(policy, items, count=count, seed=seed, family=yardstick.family)
    greedy = sample_items(policy, items, count=1, seed=seed, temperature=0.0, family=yardstick.family)
    shape = samples.correct_PG.shape
    scores_PG = yardstick.scorer.score(samples.rollouts).reshape(shape)
    verdicts = yardstick.strict.verify(samples.rollouts)
    passed_PG = np.array([verdict.value for verdict in verdicts]).reshape(shape)
    own = verdicts if yardstick.verifier is None else yardstick.verifier.verify(samples.rollouts)
    numbers = {
        "accuracy": float(samples.correct_PG.mean()),
        "greedy": float(greedy.correct_PG.mean()),
        "verifier_pass": float(passed_PG.mean()),
        "rm_score": float(scores_PG.mean()) - yardstick.score_mean,
        "rm_auroc_within": within_auroc(scores_PG, samples.correct_PG),
        **update_numbers(yardstick, Signals.of(own, scores_PG.ravel()), samples.correct_PG),
    }
    return Point(numbers, samples, greedy, passed_PG)


def update_numbers(yardstick: Yardstick, signals: Signals, correct_PG: FloatArray) -> dict[str, float]:
    """Return alignment, pressure and scale of the update that training would make of some responses; no state changes.

    ``scale_estimate`` is what the run could know of the scale without the oracle.
    """
    prompts_B = np.repeat(np.arange(len(correct_PG)), correct_PG.shape[1])
    batch = yardstick.reward.batch(signals, prompts_B, scale=yardstick.scale, update=False)
    found = update_quality(batch.advantages, correct_PG.ravel(), signals.scores, prompts_B)
    return {name: estimate.value for name, estimate in found._asdict().items()} | {"scale_estimate": batch.scale.value}


def within_auroc(scores_PG: FloatArray, labels_PG: FloatArray) -> float:
    """Return the mean over prompts of the AUROC inside each; NaN where no prompt has both kinds of response."""
    prompts_B = np.repeat(np.arange(len(scores_PG)), scores_PG.shape[1])
    return group_auroc(pair_counts(scores_PG.ravel(), labels_PG.ravel(), prompts_B))


def _with_interval(values_PG: FloatArray) -> dict[str, float]:
    """The mean of shares with its 95% interval over prompts, cut at 0 and 1."""
    found = mean_interval(values_PG.ravel(), np.repeat(np.arange(len(values_PG)), values_PG.shape[1])).within(0, 1)
    return {"mean": found.value, "low": found.low, "high": found.high}


def verifier_quality(verifier: Verifier, samples: Samples) -> dict[str, float]:
    """Return acceptance, precision, recall and false positive rate of a verifier; NaN of nothing."""
    accepted = np.array([verdict.label == "correct" for verdict in verifier.verify(samples.rollouts)])
    correct = samples.correct_PG.ravel() > 0
    return {
        "own_verifier_pass": share(accepted),
        "own_verifier_precision": share(correct[accepted]),
        "own_verifier_recall": share(accepted[correct]),
        "own_verifier_fpr": share(accepted[~correct]),
    }


def share(flags: np.ndarray) -> float:
    """Return the share of true flags; NaN of none."""
    return float(flags.mean()) if flags.size else float("nan")
