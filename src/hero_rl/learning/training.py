"""Shared by the training of reward models and of learned verifiers: settings, the base model, progress."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_rl.errors import HeroError, InputError, first_line, require
from hero_rl.models.hub import hub_or_cache
from hero_rl.models.known import resolve
from hero_rl.models.loading import LOADING_ERRORS, check_source, fast_dtype, load_config, refuse_adapter
from hero_rl.models.tokenizing import load_tokenizer
from hero_rl.types import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback

MAX_LENGTH = 4096
"""Of the tokens of one text, where the model would take more and nothing else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How long and how fast to learn."""

    epochs: float = 1.0
    learning_rate: float = 1e-5
    batch_size: int = 16
    """Pairs of a reward model, or examples of a verifier, in one step."""
    max_length: int | None = None
    """In tokens; longer texts are left out. None: what tokenizer and model declare, at most ``MAX_LENGTH``."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; it falls to zero on a cosine after that."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs <= 0 or not math.isfinite(self.epochs):
            raise InputError(f"epochs={self.epochs} must be above 0")
        if not 0.0 < self.learning_rate < 1.0:
            raise InputError(f"learning rate {self.learning_rate} must lie in (0, 1); 1e-5 is usual")
        if not 0.0 <= self.warmup < 1.0:
            raise InputError(f"warmup={self.warmup} must lie in [0, 1); it is a share of the steps")
        for name, value in (("batch size", self.batch_size), ("max length", self.max_length)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value} must be at least 1")


def check_base(source: str) -> None:
    """Raise unless ``source`` may be a model to start from.

    Raises:
        InputError: no such folder, or one without a model.
        MissingDependencyError: what training needs is not installed.
    """
    for module in ("torch", "transformers", "trl", "datasets"):
        require(module, extra="train", purpose="training a reward model or a verifier")
    check_source("--model", resolve(source))
    refuse_adapter("--model", resolve(source))


def load_base(source: str, *, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier with one output on top of a model, and its tokenizer with something to pad with.

    Args:
        source: a folder or a Hugging Face id; a language model gets a new head.
        seed: of the new head.

    Raises:
        InputError: it cannot be loaded, or its kind of model has no classifier.
    """
    from transformers import AutoModelForSequenceClassification, set_seed
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    check_base(source)
    source = resolve(source)
    load_config("--model", source)
    tokenizer = load_tokenizer(f"--model {source}", source)
    set_seed(seed)
    try:
        with suppress_seqcls_warning(), hub_or_cache(source):
            model = AutoModelForSequenceClassification.from_pretrained(
                source, num_labels=1, dtype="float32", local_files_only=Path(source).is_dir()
            )
    except LOADING_ERRORS as error:
        raise InputError(f"--model {source}: cannot be made a classifier with one output: {first_line(error)}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(f"--model {source}: its tokenizer has neither a padding nor an end-of-sequence token; set one")
        tokenizer.pad_token = tokenizer.eos_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def length_limit(settings: TrainSettings, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest text, in tokens, to train on."""
    if settings.max_length is not None:
        return settings.max_length
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or MAX_LENGTH
    return min(int(tokenizer.model_max_length), int(positions), MAX_LENGTH)


def trainer_arguments(settings: TrainSettings, scratch: Path) -> dict[str, Any]:
    """Arguments that both trainers take."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(scratch), "num_train_epochs": settings.epochs, "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size, "per_device_eval_batch_size": settings.batch_size,
        "lr_scheduler_type": "cosine", "warmup_steps": settings.warmup, "weight_decay": 0.0, "optim": "adamw_torch",
        "seed": settings.seed, "data_seed": settings.seed, "save_strategy": "no", "eval_strategy": "no",
        "logging_strategy": "steps", "logging_steps": 1, "report_to": "none", "disable_tqdm": True,
        "use_cpu": not cuda, "bf16": fast_dtype() == "bfloat16", "gradient_checkpointing": cuda,
        "dataloader_pin_memory": cuda,
    }  # fmt: skip


def label_trainer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encoded: Sequence[tuple[Sequence[int], bool]],
    settings: TrainSettings, limit: int, scratch: Path, progress: Progress,
) -> Trainer:  # fmt: skip
    """Return a trainer with binary cross-entropy on one logit per text; texts of more than ``limit`` tokens are left out.

    Args:
        model: from ``load_base``.
        tokenizer: of the model.
        encoded: token ids and labels.
        settings: of the training.
        limit: in tokens.
        scratch: a folder for the trainer.
        progress: told about every step.

    Raises:
        InputError: every text is too long.
    """
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    fits = [{"input_ids": ids, "labels": [float(label)]} for ids, label in encoded if len(ids) <= limit]
    if not fits:
        raise InputError(f"all {len(encoded)} examples are longer than {limit} tokens; raise --max-length")
    model.config.problem_type = "multi_label_classification"  # one logit, binary cross-entropy
    trainer = Trainer(
        model=model, args=TrainingArguments(**trainer_arguments(settings, scratch), remove_unused_columns=False),
        train_dataset=Dataset.from_list(fits), processing_class=tokenizer, callbacks=callbacks(progress),
        data_collator=_collator(int(tokenizer.pad_token_id)),  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # stdout belongs to the command's result
    return trainer


def _collator(pad_id: int) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]:
    """Pads on the right, as the models are read later."""
    import torch

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        ids = [torch.tensor(row["input_ids"]) for row in rows]
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
            "attention_mask": pad([torch.ones_like(one) for one in ids], batch_first=True, padding_value=0),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }

    return collate


def callbacks(progress: Progress) -> list[TrainerCallback]:
    """Tells ``progress`` about every step."""
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    class Report(TrainerCallback):
        def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
            progress("train", state.global_step, state.max_steps)

    return [Report()]


def last_loss(history: list[dict[str, float]]) -> float | None:
    """The mean loss of the last ten steps."""
    losses = [entry["loss"] for entry in history if "loss" in entry][-10:]
    return sum(losses) / len(losses) if losses else None


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Within it, no progress bars of the datasets library: the command has one of its own."""
    import datasets

    shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            yield
        finally:
            if shown:
                datasets.enable_progress_bars()


def check_learned(model: PreTrainedModel) -> None:
    """Raise unless every weight is finite.

    Raises:
        HeroError: the training diverged.
    """
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise HeroError("the training diverged: weights are not finite; give a smaller --learning-rate")
