"""The starting policy: a tiny language model taught by TRL's SFTTrainer on demonstrations with mistakes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hero_lab.corpus import Demonstration, demonstrations
from hero_lab.families import CHAIN
from hero_lab.family import Family, Rates
from hero_lab.models import END_TOKEN, PAD_ID, build_tokenizer, encode, new_policy
from hero_lab.task import split_problems

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartSettings:
    """How the starting policy is taught."""

    steps: int = 500
    batch_size: int = 256
    learning_rate: float = 3e-3
    warmup_steps: int = 25


def train_policy(
    settings: ColdStartSettings,
    rates: Rates,
    *,
    seed: int,
    output_dir: Path,
    model: PreTrainedModel | None = None,
    family: Family = CHAIN,
) -> PreTrainedModel:
    """A policy that imitates demonstrations, mistakes included; nothing is written but what the trainer needs.

    Args:
        settings: steps, batch size and learning rate.
        rates: how often the demonstrations go wrong.
        seed: of the network, the demonstrations and their order.
        output_dir: scratch folder that the trainer insists on.
        model: what to go on training; by default a new network.
        family: what is learnt.
    """
    rng = np.random.default_rng([seed, 3, model is not None])
    rows = demonstrations(split_problems(family)["train"], settings.steps * settings.batch_size, rates, rng, family=family)
    model = new_policy(seed, family) if model is None else model
    fit_language_model(model, rows, settings, seed=seed, output_dir=output_dir, family=family)
    return model


def fit_language_model(
    model: PreTrainedModel,
    rows: Sequence[Demonstration],
    settings: ColdStartSettings,
    *,
    seed: int,
    output_dir: Path,
    family: Family = CHAIN,
) -> None:
    """Train the model in place on the responses of ``rows``, one pass in the order given."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    ids = encode(
        [row.prompt + row.response + END_TOKEN for row in rows], length=family.sequence_length, alphabet=family.alphabet
    )
    labels = np.where(ids == PAD_ID, -100, ids)
    labels[:, : family.prompt_length] = -100
    dataset = Dataset.from_dict({"input_ids": ids, "labels": labels}).with_format("torch")
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(output_dir),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=settings.warmup_steps,
            weight_decay=0.0,
            optim="adamw_torch",
            bf16=False,
            use_cpu=True,
            **no_recomputation(SFTConfig),
            dataset_kwargs={"skip_prepare_dataset": True},
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            max_length=family.sequence_length,
            seed=seed,
        ),
        train_dataset=dataset,
        data_collator=_stack,
        processing_class=build_tokenizer(family),
    )
    trainer.train()


def no_recomputation(config: type) -> dict[str, Any]:
    """The argument that switches recomputation off, which TRL switches on, under the name that this transformers has for it."""
    known = {field.name for field in fields(config)}
    return {"activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing": False}


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    import torch

    ids = torch.stack([row["input_ids"] for row in rows])
    # Padding is on the right and carries no label, so causal attention already keeps it out; a mask without a zero
    # lets transformers take the attention kernel that needs none.
    labels = torch.stack([row["labels"] for row in rows])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
