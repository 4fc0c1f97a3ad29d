"""A reward model from preference pairs, with TRL's RewardTrainer.

The text it is trained on is the text that ``LocalScorer`` reads later: the chat template where the tokenizer has one, otherwise
problem + response and the end-of-sequence token.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from hero_rl.errors import InputError
from hero_rl.learning import folders
from hero_rl.learning.evaluation import held_out_facts
from hero_rl.learning.labelled import ROWS_FILE, LabelledRow, read_rows, write_records, write_rows
from hero_rl.learning.pairs import (
    MAX_PAIRS_PER_PROMPT,
    Pair,
    Pairs,
    as_rollout,
    make_pairs,
    read_pairs,
    share_chosen_longer,
)
from hero_rl.learning.splits import SPLIT_FILE, Part, Split, problem_key, save_split
from hero_rl.learning.training import (
    TrainSettings,
    callbacks,
    check_learned,
    last_loss,
    length_limit,
    load_base,
    quiet_datasets,
    trainer_arguments,
)
from hero_rl.scorers import LocalScorer
from hero_rl.types import Progress

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl.trainer.reward_trainer import RewardTrainer

KIND = "reward model"
PAIRS_FILE = "pairs.jsonl.gz"


class Sources(NamedTuple):
    """Data to make a reward model from; each may be empty."""

    rows: Sequence[LabelledRow]
    """Labelled rollouts, of which pairs are made inside each prompt."""
    pairs: Sequence[Pair]
    """Pairs that were given as such."""


def earlier_sources(folder: Path) -> Sources:
    """Return the data that the reward model in a folder was made from.

    Raises:
        InputError: not the folder of a reward model that was trained here.
    """
    folders.read_training(folder, KIND)
    rows, pairs = folder / ROWS_FILE, folder / PAIRS_FILE
    return Sources(read_rows(rows) if rows.is_file() else [], read_pairs(pairs) if pairs.is_file() else [])


def train_reward_model(
    sources: Sources,
    split: Split,
    base: str,
    folder: Path,
    *,
    settings: TrainSettings,
    max_pairs_per_prompt: int = MAX_PAIRS_PER_PROMPT,
    progress: Progress = lambda stage, done, total: None,
) -> dict[str, object]:
    """Train a reward model into ``folder`` (whole or not at all), and return the contents of ``training.json``.

    Args:
        sources: rows and pairs; only those on the split's training problems are learned from.
        split: holds every problem of the sources.
        base: folder or Hugging Face id of the model to start from.
        folder: of the new model; must not exist.
        settings: of the training; the same seed gives the same model on the same machine.
        max_pairs_per_prompt: most pairs that are made from one prompt's rollouts.
        progress: told about every step.

    Raises:
        InputError: nothing to learn from, no such base model, or the folder exists.
        HeroError: the training diverged.
    """
    folders.check_new(folder)
    made = _pairs(sources, split, "train", max_pairs_per_prompt, settings.seed)
    if not made.pairs:
        raise InputError("no pair is on a training problem; give more prompts, or a smaller held-out share")
    with folders.new_folder(folder) as partial, tempfile.TemporaryDirectory() as scratch, quiet_datasets():
        trainer, limit = _trainer(made.pairs, base, settings, Path(scratch), progress)
        learned = len(cast("Dataset", trainer.train_dataset))
        if not learned:
            raise InputError(f"all {len(made.pairs)} pairs are longer than {limit} tokens; raise --max-length")
        trainer.train()
        model = cast("PreTrainedModel", trainer.model)
        tokenizer = cast("PreTrainedTokenizerBase", trainer.processing_class)
        check_learned(model)
        facts: dict[str, object] = {
            "kind": KIND, "base": base, "settings": asdict(settings), "max_length": limit,
            "template": "chat" if tokenizer.chat_template else "plain", "problems": split.counts(), "rows": len(sources.rows),
            "given_pairs": len(sources.pairs), "pairs": learned, "pairs_too_long": len(made.pairs) - learned,
            "prompts_with_pairs": made.prompts, "prompts_without_pairs": made.uniform_prompts,
            "pairs_dropped_for_length_balance": made.dropped_for_balance,
            "share_chosen_longer": share_chosen_longer(made.pairs), "steps": trainer.state.global_step,
            "loss": last_loss(trainer.state.log_history),
            "held_out": _on_held_out(LocalScorer(model, tokenizer=tokenizer, max_length=limit), sources, split),
        }  # fmt: skip
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        save_split(partial / SPLIT_FILE, split)
        if sources.rows:
            write_rows(partial / ROWS_FILE, sources.rows)
        if sources.pairs:
            write_records(partial / PAIRS_FILE, (pair._asdict() for pair in sources.pairs))
        folders.write_training(partial, facts)
    return facts


def dataset(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The pairs as RewardTrainer takes them: turns where the tokenizer has a chat template, texts where it has none."""
    from datasets import Dataset

    if not tokenizer.chat_template:
        return Dataset.from_list([pair._asdict() for pair in pairs])
    return Dataset.from_list([
        {
            "prompt": [{"role": "user", "content": pair.prompt}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in pairs
    ])  # fmt: skip


def _pairs(sources: Sources, split: Split, part: Part, max_per_prompt: int, seed: int) -> Pairs:
    given = [pair for pair in sources.pairs if split.part_of(as_rollout(pair)) == part]
    rows = [row for row in sources.rows if split.part_of(row.rollout) == part]
    try:
        made = make_pairs(rows, max_per_prompt=max_per_prompt, seed=seed) if rows else Pairs([], 0, 0, 0)
    except InputError:
        if part == "train" and not given:
            raise
        made = Pairs([], 0, 0, 0)
    return made._replace(pairs=[*made.pairs, *given])


def _trainer(
    pairs: Sequence[Pair], base: str, settings: TrainSettings, scratch: Path, progress: Progress
) -> tuple[RewardTrainer, int]:
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    model, tokenizer = load_base(base, seed=settings.seed)
    if tokenizer.eos_token is None:
        tokenizer.eos_token = tokenizer.sep_token  # with which the texts of BERT and its kin end
    if not tokenizer.chat_template and tokenizer.eos_token is None:
        raise InputError(f"--model {base}: its tokenizer has no end-of-sequence token, which ends a response; set one")
    limit = length_limit(settings, model, tokenizer)
    arguments = RewardConfig(**trainer_arguments(settings, scratch), max_length=limit)
    trainer = RewardTrainer(
        model=model, args=arguments, train_dataset=dataset(pairs, tokenizer), processing_class=tokenizer,
        callbacks=callbacks(progress),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # stdout belongs to the command's result
    return trainer, limit


def _on_held_out(scorer: LocalScorer, sources: Sources, split: Split) -> dict[str, object]:
    """Return how the model ranks held-out responses; both sides of a given pair are responses to its prompt."""
    rows = [(row.rollout, row.correct) for row in sources.rows]
    rows += [
        (as_rollout(side), won)
        for pair in sources.pairs
        for side, won in ((pair, True), (pair._replace(chosen=pair.rejected), False))
    ]
    held = [(rollout, right) for rollout, right in rows if split.part_of(rollout) == "held_out"]
    scores = scorer.score([rollout for rollout, _ in held])
    keys = [problem_key(rollout.problem, rollout.prompt_id) for rollout, _ in held]
    return held_out_facts(scores, np.array([right for _, right in held], dtype=np.bool_), keys)
