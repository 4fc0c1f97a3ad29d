"""A reward model from preference pairs, with TRL's RewardTrainer, or from single responses with labels.

The text it is trained on is the text that ``LocalScorer`` reads later: the chat template where the tokenizer has one, otherwise
problem + response and the end-of-sequence token.
"""

from __future__ import annotations

import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast

import numpy as np

from hero_rl.errors import InputError
from hero_rl.learning import folders
from hero_rl.learning.evaluation import held_out_facts
from hero_rl.learning.labelled import ROWS_FILE, LabelledRow, check_both_classes, read_rows, write_records, write_rows
from hero_rl.learning.pairs import (
    MAX_PAIRS_PER_PROMPT,
    Pair,
    Pairs,
    as_rollout,
    make_pairs,
    read_pairs,
    share_chosen_longer,
)
from hero_rl.learning.splits import SPLIT_FILE, Split, problem_key, save_split
from hero_rl.learning.training import (
    TrainSettings,
    callbacks,
    check_learned,
    label_trainer,
    last_loss,
    length_limit,
    load_base,
    quiet_datasets,
    trainer_arguments,
)
from hero_rl.models.tokenizing import ids_of
from hero_rl.scorers import LocalScorer
from hero_rl.scorers.text import make_form
from hero_rl.types import Progress

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl.trainer.reward_trainer import RewardTrainer

Objective: TypeAlias = Literal["pairs", "labels"]
KIND = "reward model"
PAIRS_FILE = "pairs.jsonl.gz"
ENOUGH = 100
"""Pairs, or labelled responses, below which more are asked for: where one word tells right from wrong, and no score exceeds an
AUROC of 0.90, 18 pairs gave 0.70, 38 gave 0.88 and 80 gave 0.89 (docs/learned-signals-reference.md)."""


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
    objective: Objective | None = None,
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
        objective: ``"pairs"`` (Bradley-Terry) or ``"labels"`` (binary cross-entropy on single responses). None: pairs, unless
            most responses are to prompts without right and wrong ones.
        progress: told about every step.

    Raises:
        InputError: nothing to learn from, no such base model, or the folder exists.
        HeroError: the training diverged.
    """
    folders.check_new(folder)
    rows = [row for row in sources.rows if split.part_of(row.rollout) == "train"]
    made = _pairs(rows, sources, split, max_pairs_per_prompt, settings.seed)
    learned_from = objective or _objective(sources, rows)
    if learned_from == "labels" and sources.pairs:
        raise InputError("given pairs have no labels, and would be left out: learn from pairs, or from labelled rollouts alone")
    if learned_from == "labels" or (rows and not made.pairs):
        check_both_classes(rows, "the training problems")
    if learned_from == "pairs" and not made.pairs:
        raise InputError(
            f"none of {len(rows)} training responses makes a pair: no prompt has right and wrong ones; sample more responses "
            "per prompt, or learn from single responses (--learn-from labels)"
        )
    with folders.new_folder(folder) as partial, tempfile.TemporaryDirectory() as scratch, quiet_datasets():
        model, tokenizer = load_base(base, seed=settings.seed)
        if tokenizer.eos_token is None:
            tokenizer.eos_token = tokenizer.sep_token  # with which the texts of BERT and its kin end
        if not tokenizer.chat_template and tokenizer.eos_token is None:
            raise InputError(f"--model {base}: its tokenizer has no end-of-sequence token, which ends a response; set one")
        limit = length_limit(settings, model, tokenizer)
        if learned_from == "labels":
            examples = len(rows)
            trainer = label_trainer(model, tokenizer, encoded(tokenizer, rows), settings, limit, Path(scratch), progress)
        else:
            examples = len(made.pairs)
            trainer = _pair_trainer(model, tokenizer, made.pairs, settings, limit, Path(scratch), progress)
        learned = len(cast("Dataset", trainer.train_dataset))
        if not learned:
            raise InputError(f"all {examples} pairs are longer than {limit} tokens; raise --max-length")
        trainer.train()
        check_learned(model)
        details = _facts_of_pairs(made, learned) if learned_from == "pairs" else {"responses": learned}
        facts: dict[str, object] = {
            "kind": KIND, "base": base, "settings": asdict(settings), "max_length": limit,
            "template": "chat" if tokenizer.chat_template else "plain", "problems": split.counts(), "rows": len(sources.rows),
            "given_pairs": len(sources.pairs), "learned_from": learned_from,
            "too_long": examples - learned, **details,
            "advice": size_advice(learned, learned_from, len(rows)),
            "steps": trainer.state.global_step,
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


def _pairs(rows: Sequence[LabelledRow], sources: Sources, split: Split, max_per_prompt: int, seed: int) -> Pairs:
    """Return the pairs of the training problems: made ones, of ``rows``, and given ones."""
    given = [pair for pair in sources.pairs if split.part_of(as_rollout(pair)) == "train"]
    made = make_pairs(rows, max_per_prompt=max_per_prompt, seed=seed)
    return made._replace(pairs=[*made.pairs, *given])


def size_advice(learned: int, learned_from: Objective, rows: int) -> str:
    """Return how many more labelled responses are needed; "" where there are enough for the easiest task that was measured."""
    if learned >= ENOUGH:
        return ""
    what = "pairs" if learned_from == "pairs" else "labelled responses"
    more = f": about {math.ceil(rows * ENOUGH / learned):,} training responses like these {rows:,} make as many" if rows else ""
    return (
        f"{learned} {what} are few to learn from; take {ENOUGH} at the very least, and more for a task that is not easy{more}"
    )


def _facts_of_pairs(made: Pairs, learned: int) -> dict[str, object]:
    return {
        "pairs": learned, "prompts_with_pairs": made.prompts, "prompts_without_pairs": made.uniform_prompts,
        "pairs_dropped_for_length_balance": made.dropped_for_balance, "share_chosen_longer": share_chosen_longer(made.pairs),
    }  # fmt: skip


def _objective(sources: Sources, rows: Sequence[LabelledRow]) -> Objective:
    """Return what to learn from: labels where most responses are to prompts that are always or never solved.

    Pairs teach what a rule can use, but only the responses of mixed prompts are in them.
    """
    kinds: defaultdict[str, set[bool]] = defaultdict(set)
    keys = [problem_key(row.rollout.problem, row.rollout.prompt_id) for row in rows]
    for key, row in zip(keys, rows, strict=True):
        kinds[key].add(row.correct)
    paired = sum(len(kinds[key]) == 2 for key in keys)
    both = len({row.correct for row in rows}) == 2
    return "labels" if both and 2 * paired < len(rows) and not sources.pairs else "pairs"


def encoded(tokenizer: PreTrainedTokenizerBase, rows: Sequence[LabelledRow]) -> list[tuple[Sequence[int], bool]]:
    """Return the token ids that ``LocalScorer`` reads, with the labels."""
    form = make_form("--model", tokenizer, template=None, system_prompt=None, eos="always")
    ids = [ids_of(tokenizer, text, special=form.template == "plain") for text in form.texts([row.rollout for row in rows])]
    return list(zip(ids, (row.correct for row in rows), strict=True))


def _pair_trainer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], settings: TrainSettings, limit: int,
    scratch: Path, progress: Progress,
) -> RewardTrainer:  # fmt: skip
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    trainer = RewardTrainer(
        model=model, args=RewardConfig(**trainer_arguments(settings, scratch), max_length=limit),
        train_dataset=dataset(pairs, tokenizer), processing_class=tokenizer, callbacks=callbacks(progress),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # stdout belongs to the command's result
    return trainer


def _on_held_out(scorer: LocalScorer, sources: Sources, split: Split) -> dict[str, object]:
    """Return how the model ranks held-out responses; both sides of a given pair are responses to its prompt."""
    sides = [(row.rollout, row.correct) for row in sources.rows]
    sides += [
        (as_rollout(side), won)
        for pair in sources.pairs
        for side, won in ((pair, True), (pair._replace(chosen=pair.rejected), False))
    ]
    held = [(rollout, right) for rollout, right in sides if split.part_of(rollout) == "held_out"]
    scores = scorer.score([rollout for rollout, _ in held])
    keys = [problem_key(rollout.problem, rollout.prompt_id) for rollout, _ in held]
    return held_out_facts(scores, np.array([right for _, right in held], dtype=np.bool_), keys)
