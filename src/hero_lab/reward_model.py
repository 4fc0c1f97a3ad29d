"""The lab's reward models: made on exact labels, and imperfect in different ways.

hackable   ``hero rm train`` on demonstrations: good on the starting policy's responses, less so where training drives it
robust     the log-probability of the response under a language model of better demonstrations; hard to fool
chance     nothing is trained and nothing is known: a random number for every text (``noise.ChanceScorer``)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from hero_lab.corpus import demonstrations, spoilt
from hero_lab.families import CHAIN
from hero_lab.family import CHECKED, Family, Rates
from hero_lab.models import END_TOKEN, PAD_ID, POLICY_LAYERS, build_tokenizer, encode
from hero_lab.task import problem_of_prompt, split_problems, steps_correct
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.pairs import make_pairs
from hero_rl.learning.reward_model import Sources, train_reward_model
from hero_rl.learning.splits import Split, SplitSettings, problem_key
from hero_rl.learning.training import TrainSettings
from hero_rl.loop import in_thread
from hero_rl.types import FloatArray, IntArray, Rollout, Scorer, StepScorer, StepScores

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Tier: TypeAlias = Literal["hackable", "robust", "chance"]
SEPARATOR = ";"
GOES_ON = "…"
"""Behind a response that has not ended. No policy writes it, and the tokenizer reads it as padding."""


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class RewardModelSettings:
    """How a reward model is taught."""

    rows: int = 40_000
    pairs_per_prompt: int = 6
    """Most pairs of responses to one prompt that are learned from."""
    batch_size: int = 64
    """Pairs in one step."""
    learning_rate: float = 2e-3
    p_spoilt: float = 0.15
    """Share of rows whose response was written for another prompt, and of those whose response was spoilt by random edits."""
    layers: PositiveInt = POLICY_LAYERS
    """Decoder layers: the policy's first ones, and new ones after its three."""
    robust_steps: int = 150
    """Steps of the robust tier's language model, which goes on from the starting policy."""
    robust_blind_rate: float = 0.3
    """The robust tier has learnt every skill whose error rate is at most this, and repeats the mistakes of the others."""


def step_ends(response: str) -> list[int]:
    """Return the places behind the semicolons."""
    return [place + 1 for place, character in enumerate(response) if character == SEPARATOR]


def training_sources(settings: RewardModelSettings, rates: Rates, *, seed: int, family: Family = CHAIN) -> Sources:
    """Return responses with their labels, and pairs of beginnings: is everything right so far?"""
    rng = np.random.default_rng([seed, 4])
    rows = demonstrations(split_problems(family)["train"], settings.rows, rates, rng, family=family)
    rows = spoilt(rows, settings.p_spoilt, rng, family=family)
    whole: list[LabelledRow] = []
    beginnings: list[list[LabelledRow]] = [[] for _ in range(family.steps)]
    for row in rows:
        *before, right = steps_correct(row.problem, row.response)
        whole.append(_labelled(row.prompt, row.response, right))
        for own, end, right in zip(beginnings, step_ends(row.response), before, strict=False):
            own.append(_labelled(row.prompt, row.response[:end] + GOES_ON, right))
    pairs = [make_pairs(own, max_per_prompt=1, seed=seed).pairs for own in beginnings]
    return Sources(whole, [pair for own in pairs for pair in own])


def train_scalar(
    policy: Path,
    settings: RewardModelSettings,
    sources: Sources,
    *,
    seed: int,
    folder: Path,
    scratch: Path,
    family: Family,
) -> dict[str, Any]:
    """Train a reward model that starts from the policy's network, and return what ``hero_rl.learning`` says of it."""
    base = policy
    if settings.layers != POLICY_LAYERS:
        from transformers import AutoModelForCausalLM

        base = scratch
        AutoModelForCausalLM.from_pretrained(policy, num_hidden_layers=settings.layers).save_pretrained(base)
        build_tokenizer(family).save_pretrained(base)
    return train_reward_model(
        sources, whole_split(family), str(base), folder, max_pairs_per_prompt=settings.pairs_per_prompt, objective="pairs",
        settings=TrainSettings(learning_rate=settings.learning_rate, batch_size=settings.batch_size, seed=seed),
    )  # fmt: skip


def whole_split(family: Family) -> Split:
    """Return the split in which every prompt of the family may be learned from."""
    return Split(settings=SplitSettings(), parts={problem_key(prompt): "train" for prompt in problem_of_prompt(family)})


def _labelled(prompt: str, response: str, correct: bool) -> LabelledRow:
    return LabelledRow(Rollout(prompt_id=prompt, problem=prompt, reference="", response=response), correct, "given")


def shown(rollout: Rollout) -> Rollout:
    """Return the rollout as the trained reward models read it: one that was cut off goes on."""
    return replace(rollout, response=rollout.response + GOES_ON) if rollout.finished is False else rollout


class ShownScorer(Scorer):
    """A trained reward model of the lab."""

    def __init__(self, scorer: Scorer) -> None:
        """Score with ``scorer``, which reads what ``shown`` makes of a rollout."""
        self.scorer, self.name = scorer, scorer.name

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores, shape (B,)."""
        return await self.scorer.ascore([shown(rollout) for rollout in rollouts])

    def close(self) -> None:
        """Close the scorer."""
        self.scorer.close()


class LikelihoodScorer(Scorer):
    """The log-probability of the response under a language model."""

    name = "lab-likelihood"

    def __init__(self, model: PreTrainedModel, *, family: Family = CHAIN) -> None:
        """Score with this language model."""
        self.model, self.family = model.eval(), family

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the log-probabilities in nats, shape (B,)."""
        return await in_thread(self._log_probabilities, rollouts)

    def _log_probabilities(self, rollouts: Sequence[Rollout]) -> FloatArray:
        import torch

        # a cut-off response gets no end token: the policy wrote none
        texts = [r.problem + r.response + ("" if r.finished is False else END_TOKEN) for r in rollouts]
        ids = torch.from_numpy(encode(texts, length=self.family.sequence_length, alphabet=self.family.alphabet))
        with torch.no_grad():
            logits_BTV = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        log_p_BT = torch.log_softmax(logits_BTV[:, :-1], dim=-1).gather(2, ids[:, 1:, None])[..., 0]
        counted_BT = ids[:, 1:] != PAD_ID
        counted_BT[:, : self.family.prompt_length - 1] = False
        return (log_p_BT * counted_BT).sum(1).double().numpy()


class PrefixScorer(StepScorer):
    """A reward model of the lab as a process reward model: a step has the score of the response up to its end.

    A step ends behind each semicolon, and the last one at the end. The likelihood of a beginning falls with every token: for
    that one (tier ``robust``) take ``process:signal=change``, the likelihood of the step.
    """

    def __init__(self, scorer: Scorer) -> None:
        """Score with ``scorer``; a beginning is a rollout with ``finished=False``."""
        self.name, self.scorer = scorer.name, scorer

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores of the whole responses, shape (B,)."""
        return await self.scorer.ascore(rollouts)

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """The scores of the whole responses, which are those of their last steps, and of the steps before."""
        prefixes: list[Rollout] = []
        counts: list[int] = []
        for rollout in rollouts:
            *before, _ = self.step_ends(rollout).tolist()
            prefixes += [replace(rollout, response=rollout.response[:end], finished=False) for end in before]
            prefixes.append(rollout)
            counts.append(len(before) + 1)
        if not prefixes:
            return StepScores(np.zeros(0), ())
        steps = np.split(await self.scorer.ascore(prefixes), np.cumsum(counts)[:-1])
        return StepScores(np.array([scores[-1] for scores in steps]), tuple(steps))

    def step_ends(self, rollout: Rollout, /) -> IntArray:
        """Shape (steps,): where each step ends in the response, in characters; at least one."""
        response, ends = rollout.response, step_ends(rollout.response)
        # Behind a last semicolon there is still the end token, unless the response was cut off there.
        if not (ends and ends[-1] == len(response) and rollout.finished is False):
            ends.append(len(response))
        return np.array(ends, dtype=np.intp)

    def close(self) -> None:
        """Close the scorer."""
        self.scorer.close()
