"""The learned verifier: a classifier with one logit and binary cross-entropy, by transformers' Trainer."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from hero_rl.errors import InputError
from hero_rl.files import write_text
from hero_rl.learning import folders
from hero_rl.learning.evaluation import held_out_facts
from hero_rl.learning.examples import Example, Examples, ExampleSettings, as_rollout, build_examples, kinds
from hero_rl.learning.labelled import ROWS_FILE, LabelledRow, read_rows, write_rows
from hero_rl.learning.splits import SPLIT_FILE, Part, Split, save_split
from hero_rl.learning.thresholds import Chosen, choose_thresholds
from hero_rl.learning.training import (
    TrainSettings,
    check_learned,
    label_trainer,
    last_loss,
    length_limit,
    load_base,
    quiet_datasets,
)
from hero_rl.types import Progress, Verifier
from hero_rl.verifiers.learned import FORMAT, SETTINGS_FILE, LearnedVerifier, encode

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

KIND = "verifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSettings:
    """How a learned verifier is made."""

    train: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=2.0, learning_rate=2e-5, batch_size=32))
    examples: ExampleSettings = field(default_factory=ExampleSettings)
    p_fpr: float = 0.01
    """Largest share of different answers that it may accept."""
    p_fnr: float = 0.05
    """Largest share of equivalent answers that it may reject."""


class _Parts(NamedTuple):
    train: Examples
    calibration: Examples
    held_out: Examples


def earlier_rows(folder: Path) -> list[LabelledRow]:
    """Return the rows that the learned verifier in a folder was made from.

    Raises:
        InputError: not the folder of a learned verifier.
    """
    folders.read_training(folder, KIND)
    return read_rows(folder / ROWS_FILE)


def train_verifier(
    rows: Sequence[LabelledRow],
    split: Split,
    base: str,
    folder: Path,
    *,
    maths: Verifier,
    settings: VerifierSettings | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> dict[str, object]:
    """Train a verifier into ``folder`` (whole or not at all), and return the contents of ``training.json``.

    Args:
        rows: labelled rollouts; only those on the split's training problems are learned from.
        split: holds every problem of the rows.
        base: folder or Hugging Face id of the model to start from.
        folder: of the new model; must not exist.
        maths: a rule-based verifier, which has a veto over made-up examples.
        settings: of examples, training and limits; the same seed gives the same model on the same machine.
        progress: told about every step.

    Raises:
        InputError: nothing to learn from, one kind of answer only, no such base model, or the folder exists.
        HeroError: the training diverged.
    """
    settings = settings or VerifierSettings()
    folders.check_new(folder)
    parts = _Parts(*(_examples(rows, split, part, maths, settings) for part in ("train", "calibration", "held_out")))
    _check(parts)
    with folders.new_folder(folder) as partial, tempfile.TemporaryDirectory() as scratch, quiet_datasets():
        examples, train = parts.train.examples, settings.train
        model, tokenizer = load_base(base, seed=train.seed)
        limit = length_limit(train, model, tokenizer)
        encoded = [(encode(tokenizer, one.problem, one.reference, one.answer), one.equivalent) for one in examples]
        trainer = label_trainer(model, tokenizer, encoded, train, limit, Path(scratch), progress)
        learned = len(cast("Dataset", trainer.train_dataset))
        trainer.train()
        model = cast("PreTrainedModel", trainer.model)
        check_learned(model)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        chosen = _calibrated(partial, parts.calibration.examples, limit, settings)
        facts: dict[str, object] = {
            "kind": KIND, "base": base, "settings": asdict(settings), "max_length": limit, "problems": split.counts(),
            "rows": len(rows), "examples": learned, "examples_too_long": len(examples) - learned,
            "examples_by_kind": kinds(examples), "contradictory_answers": parts.train.contradictory,
            "vetoed_examples": parts.train.vetoed, "steps": trainer.state.global_step,
            "loss": last_loss(trainer.state.log_history), "limits": _limits(chosen),
            "held_out": _on_held_out(partial, parts.held_out.examples),
        }  # fmt: skip
        save_split(partial / SPLIT_FILE, split)
        write_rows(partial / ROWS_FILE, rows)
        folders.write_training(partial, facts)
    return facts


def _examples(rows: Sequence[LabelledRow], split: Split, part: Part, maths: Verifier, settings: VerifierSettings) -> Examples:
    own = [row for row in rows if split.part_of(row.rollout) == part]
    return build_examples(own, maths, settings.examples, seed=settings.train.seed)


def _check(parts: _Parts) -> None:
    for part in ("train", "calibration"):
        found: Examples = getattr(parts, part)
        right = sum(one.equivalent for one in found.examples)
        if not right or right == len(found.examples):
            what = "training" if part == "train" else part
            raise InputError(
                f"the {what} problems give {right} equivalent and {len(found.examples) - right} different answers, and both "
                "kinds are needed; give more problems" + ("" if part == "train" else ", or a larger --calibration-share")
            )


def _calibrated(folder: Path, examples: Sequence[Example], limit: int, settings: VerifierSettings) -> Chosen:
    """The limits, which are in the folder then."""
    _write_limits(folder, {"accept_above": 0.0, "reject_below": 0.0, "max_length": limit})
    logits = LearnedVerifier(folder).logits([as_rollout(one) for one in examples])
    labels, known = np.array([float(one.equivalent) for one in examples]), np.isfinite(logits)
    chosen = choose_thresholds(logits[known], labels[known], p_fpr=settings.p_fpr, p_fnr=settings.p_fnr)
    _write_limits(
        folder,
        {
            **chosen.thresholds._asdict(),
            "max_length": limit,
            "p_fpr": settings.p_fpr,
            "p_fnr": settings.p_fnr,
            **_limits(chosen),
        },
    )
    return chosen


def _on_held_out(folder: Path, examples: Sequence[Example]) -> dict[str, object]:
    """How the model does on examples of held-out problems: its ranking, and the share accepted of each kind."""
    verifier, rollouts = LearnedVerifier(folder), [as_rollout(one) for one in examples]
    verdicts, logits = verifier.verify(rollouts), verifier.logits(rollouts)
    equivalent = np.array([one.equivalent for one in examples], dtype=np.bool_)
    by_kind: defaultdict[str, list[bool]] = defaultdict(list)
    for one, verdict in zip(examples, verdicts, strict=True):
        kind = one.kind if ":" in one.kind else ("same:" if one.equivalent else "wrong:") + one.kind
        by_kind[kind].append(verdict.label == "correct")
    return {
        **held_out_facts(logits, equivalent, [one.key for one in examples]),
        "accepted": {kind: [sum(flags), len(flags)] for kind, flags in sorted(by_kind.items())},
    }


def _limits(chosen: Chosen) -> dict[str, object]:
    return {**chosen.thresholds._asdict(), **{name: value for name, value in chosen._asdict().items() if name != "thresholds"}}


def _write_limits(folder: Path, values: Mapping[str, object]) -> None:
    write_text(folder / SETTINGS_FILE, json.dumps({"format": FORMAT, **values}, indent=1) + "\n")
