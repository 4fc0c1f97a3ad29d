"""The lab's reward models: trained from scratch on exact labels, and imperfect in different ways.

    hackable   a scalar head on the decoder, good on the starting policy's responses and less so where training drives it
    broken     the same without mismatched and garbled responses among its data: any policy that listens ends in gibberish
    robust     the log-probability of the response under a language model of better demonstrations; hard to fool
    chance     nothing is trained and nothing is known: a random number for every text (``noise.ChanceScorer``)

The trained ones are saved as transformers models with their tokenizer. The scalar ones are
``AutoModelForSequenceClassification`` with one label, so ``hero_rl.scorers.LocalScorer`` and everybody else can load them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from hero_lab.corpus import Demonstration, demonstrations, garbled, mismatched
from hero_lab.families import CHAIN
from hero_lab.family import Family, Rates
from hero_lab.models import (
    END_ID,
    END_TOKEN,
    PAD_ID,
    POLICY_LAYERS,
    build_tokenizer,
    encode,
    model_config,
    separator_id,
)
from hero_lab.task import split_problems, steps_correct
from hero_rl.loop import in_thread
from hero_rl.types import FloatArray, Rollout, Scorer

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, Trainer

Tier: TypeAlias = Literal["hackable", "robust", "broken", "chance"]
TIERS: tuple[Tier, ...] = get_args(Tier)
_IGNORED = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelSettings:
    """How a scalar reward model is taught."""

    rows: int = 60_000
    batch_size: int = 128
    learning_rate: float = 2e-3
    p_mismatched: float = 0.15
    """Share of rows whose response was written for another prompt. 0 in the broken tier."""
    p_garbled: float = 0.15
    """Share of rows whose response was spoilt by random edits. 0 in the broken tier."""
    layers: int = 3
    """Decoder layers of a scalar reward model: the policy's first ones, and new ones after its three. At least 1."""
    step_loss: float = 0.5
    """Weight of the correctness-so-far loss at the two semicolons, beside the loss at the end of the response."""
    robust_steps: int = 150
    """Steps of the robust tier's language model, which goes on from the starting policy."""
    robust_blind_rate: float = 0.3
    """The robust tier has learnt every skill whose error rate is at most this, and repeats the mistakes of the others."""


def labelled_rows(
    settings: RewardModelSettings, rates: Rates, *, seed: int, negatives: bool, family: Family = CHAIN
) -> list[Demonstration]:
    """Responses to train on, shuffled: demonstrations, and with ``negatives`` mismatched and garbled ones."""
    rng = np.random.default_rng([seed, 4])
    rows = demonstrations(split_problems(family)["train"], settings.rows, rates, rng, family=family)
    if negatives:
        first = int(settings.rows * settings.p_mismatched)
        second = first + int(settings.rows * settings.p_garbled)
        rows = [*mismatched(rows[:first], rng), *garbled(rows[first:second], rng, family=family), *rows[second:]]
    return [rows[i] for i in rng.permutation(len(rows)).tolist()]


def training_arrays(rows: Sequence[Demonstration], *, family: Family = CHAIN) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and labels, both (B, the family's ``sequence_length``).

    Labels are 1 or 0 at the semicolons that end worked steps and at the end token (is everything right so far?), and -1
    elsewhere.
    """
    ids = encode(
        [row.prompt + row.response + END_TOKEN for row in rows], length=family.sequence_length, alphabet=family.alphabet
    )
    labels = np.full(ids.shape, _IGNORED, dtype=np.float32)
    separators = ids == separator_id(family.alphabet)
    order = np.cumsum(separators, axis=1)
    truth = np.array([steps_correct(row.problem, row.response) for row in rows], dtype=np.float32)
    for step in range(family.steps):
        labels = np.where(separators & (order == step + 1), truth[:, step : step + 1], labels)
    labels = np.where(ids == END_ID, truth[:, family.steps :], labels)
    return ids, labels


def train_scalar(
    policy: PreTrainedModel,
    settings: RewardModelSettings,
    rates: Rates,
    *,
    seed: int,
    negatives: bool,
    output_dir: Path,
    family: Family = CHAIN,
) -> PreTrainedModel:
    """A one-label sequence classifier that starts from the policy's network.

    Args:
        policy: its decoder is copied; it is not changed.
        settings: amount of data and how it is used.
        rates: how often the demonstrations go wrong.
        seed: of the head, the data and their order.
        negatives: False for the broken tier.
        output_dir: scratch folder that the trainer insists on.
        family: what is judged.
    """
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, TrainingArguments

    torch.manual_seed(seed)
    config = model_config(family, num_labels=1, layers=settings.layers)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa")
    # With fewer layers than the policy some weights are left over, with more some stay new.
    model.get_submodule("model").load_state_dict(
        policy.get_submodule("model").state_dict(), strict=settings.layers == POLICY_LAYERS
    )
    rows = labelled_rows(settings, rates, seed=seed, negatives=negatives, family=family)
    ids, labels = training_arrays(rows, family=family)

    trainer = _step_trainer(settings.step_loss)(
        model=model,
        args=TrainingArguments(
            output_dir=str(output_dir),
            max_steps=max(1, settings.rows // settings.batch_size),
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=20,
            weight_decay=0.0,
            optim="adamw_torch",
            train_sampling_strategy="sequential",
            use_cpu=True,
            remove_unused_columns=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            seed=seed,
        ),
        train_dataset=Dataset.from_dict({"input_ids": ids, "labels": labels}).with_format("torch"),
        data_collator=_stack,
        processing_class=build_tokenizer(family),
    )
    trainer.train()
    return model.eval()


def step_loss(model: torch.nn.Module, inputs: dict[str, Tensor], *, step_weight: float) -> Tensor:
    """Binary cross-entropy of "everything right so far" at the end, and times ``step_weight`` at the semicolons."""
    import torch

    decoder, head = model.get_submodule("model"), model.get_submodule("score")
    hidden_BTD = decoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]
    wanted_BT = inputs["labels"]
    known_BT = wanted_BT >= 0
    logits_N = head(hidden_BTD[known_BT]).squeeze(-1)
    loss_N = torch.nn.functional.binary_cross_entropy_with_logits(logits_N, wanted_BT[known_BT], reduction="none")
    final_N = inputs["input_ids"][known_BT] == END_ID
    return loss_N[final_N].mean() + step_weight * loss_N[~final_N].mean()


def _step_trainer(step_weight: float) -> type[Trainer]:
    """A Trainer with that loss."""
    from transformers import Trainer

    class StepTrainer(Trainer):
        def compute_loss(
            self,
            model: torch.nn.Module,
            inputs: dict[str, Tensor | Any],
            return_outputs: bool = False,
            num_items_in_batch: Tensor | int | None = None,
        ) -> Tensor:
            return step_loss(model, inputs, step_weight=step_weight)

    return StepTrainer


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    import torch

    ids = torch.stack([row["input_ids"] for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.stack([row["labels"] for row in rows]),
    }


def sequences(rollouts: Sequence[Rollout], family: Family) -> Tensor:
    """Token ids of prompt and response, shape (B, the family's ``sequence_length``)."""
    import torch

    # A cut-off response gets no end token: the reward model reads what the policy wrote.
    texts = [r.problem + r.response + ("" if r.finished is False else END_TOKEN) for r in rollouts]
    return torch.from_numpy(encode(texts, length=family.sequence_length, alphabet=family.alphabet))


class ScalarScorer(Scorer):
    """The score of a one-label sequence classifier at the last character. A Scorer for the lab's fixed-size texts."""

    name = "lab-scalar"

    def __init__(self, model: PreTrainedModel, *, family: Family = CHAIN) -> None:
        """Use this model; ``load_scorer`` reads one from disk."""
        self.model, self.family = model.eval(), family

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores, from a thread."""
        return await in_thread(self.logits, rollouts)

    def logits(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Shape (B,): the logit, in the model's own units."""
        import torch

        ids = sequences(rollouts, self.family)
        with torch.no_grad():
            hidden_BTD = self.model.get_submodule("model")(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
            last_B = (ids != PAD_ID).sum(1) - 1
            logits_B = self.model.get_submodule("score")(hidden_BTD[torch.arange(len(ids)), last_B])[:, 0]
            return logits_B.double().numpy()


class LikelihoodScorer(Scorer):
    """The log-probability of the response under a language model. A Scorer for the lab's fixed-size texts."""

    name = "lab-likelihood"

    def __init__(self, model: PreTrainedModel, *, scale: float = 1.0, family: Family = CHAIN) -> None:
        """Use this language model; scores are its log-probabilities divided by ``scale``."""
        self.model, self.scale, self.family = model.eval(), scale, family

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores, from a thread."""
        return await in_thread(self.log_probabilities, rollouts)

    def log_probabilities(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Shape (B,): log-probability of the response in nats, over ``scale``."""
        import torch

        ids = sequences(rollouts, self.family)
        with torch.no_grad():
            logits_BTV = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        log_p_BT = torch.log_softmax(logits_BTV[:, :-1], dim=-1).gather(2, ids[:, 1:, None])[..., 0]
        counted_BT = ids[:, 1:] != PAD_ID
        counted_BT[:, : self.family.prompt_length - 1] = False
        return (log_p_BT * counted_BT).sum(1).double().numpy() / self.scale
