"""The starting policy: a tiny language model taught by TRL's SFTTrainer on demonstrations with mistakes in them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic.dataclasses import dataclass

from hero_lab.corpus import demonstrations
from hero_lab.families import CHAIN
from hero_lab.family import CHECKED, Family, Rates
from hero_lab.models import END_TOKEN, PAD_ID, build_tokenizer, encode, new_policy
from hero_lab.task import split_problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class ColdStartSettings:
    """How the starting policy is taught."""

    steps: int = 500
    batch_size: int = 256
    learning_rate: float = 3e-3
    warmup_steps: int = 25


def train_policy(
    settings: ColdStartSettings, rates: Rates, *, seed: int, output_dir: Path, model: PreTrainedModel | None = None,
    family: Family = CHAIN,
) -> PreTrainedModel:  # fmt: skip
    """Return a policy that imitates demonstrations, mistakes included; ``model`` goes on learning, by default a new network."""
    from datasets import Dataset
    from transformers import default_data_collator
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rng = np.random.default_rng([seed, 3, model is not None])
    written = demonstrations(split_problems(family)["train"], settings.steps * settings.batch_size, rates, rng, family=family)
    model = new_policy(seed, family) if model is None else model
    texts = [row.prompt + row.response + END_TOKEN for row in written]
    ids = encode(texts, length=family.sequence_length, alphabet=family.alphabet)
    labels = np.where(ids == PAD_ID, -100, ids)
    labels[:, : family.prompt_length] = -100
    # Padding is on the right and carries no label, so causal attention already keeps it out; a mask without a zero
    # lets transformers take the attention kernel that needs none.
    rows = {"input_ids": ids, "labels": labels, "attention_mask": np.ones_like(ids)}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **common_arguments(SFTConfig), output_dir=str(output_dir), max_steps=settings.steps, seed=seed,
            per_device_train_batch_size=settings.batch_size, learning_rate=settings.learning_rate, lr_scheduler_type="cosine",
            warmup_steps=settings.warmup_steps, optim="adamw_torch", dataset_kwargs={"skip_prepare_dataset": True},
            train_sampling_strategy="sequential", remove_unused_columns=False, logging_strategy="no",
            max_length=family.sequence_length,
        ),
        train_dataset=Dataset.from_dict(rows).with_format("torch"),
        data_collator=default_data_collator,
        processing_class=build_tokenizer(family),
    )  # fmt: skip
    trainer.train()
    return model


def common_arguments(config: type) -> dict[str, Any]:
    """Return the arguments that all trainers of the lab share: what costs time and changes nothing is off."""
    # TRL recomputes activations unless told otherwise; the name depends on the version of transformers
    known = {field.name for field in fields(config)}
    recomputation = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    return {
        recomputation: False, "weight_decay": 0.0, "bf16": False, "use_cpu": True, "dataloader_pin_memory": False,
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
