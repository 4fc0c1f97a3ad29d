"""Retrain the reward model and the learned verifier every few steps of a TRL run, on the rows that rules decided.

A policy learns what its reward model gets wrong. A reward model that is shown the policy's newest responses, with the verdicts
that a rule-based verifier gave them, unlearns the mistakes that are being exploited.

    refresh_signals(trainer, Path("runs/hero/rounds"), every=100, start=Path("my-rm"), train=hero_rm(), load=load_scorer)

    rounds/round-000100.jsonl     rows of steps 1 to 100, as docs/file-formats.md has them, written step by step
    rounds/round-000100/          what ``train`` made of them; in use from step 101 on

What it is not: a trainer of reward models (``hero_rl.learning``, or a function of yours).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from accelerate.utils import gather_object
from transformers import TrainerCallback

from hero_rl.engines.exchange import STATE_KEY as RULE_STATE_KEY
from hero_rl.engines.exchange import Report, common_error, report_error
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import HeroError, InputError, SignalError, first_line
from hero_rl.files import replacing
from hero_rl.pipeline import Signals
from hero_rl.types import FloatArray, Rollout, Scorer, StepScorer, Verifier

logger = logging.getLogger(__name__)

STATE_KEY = "hero_rl_refresh"
"""Where checkpoints keep which round is in use."""
_ROWS_FOR_SCALE = 512
_LAUNCHER = ("RANK", "LOCAL_", "WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_", "ACCELERATE_")
"""Prefixes of the environment variables set by distributed launchers."""


class Loaded(NamedTuple):
    """Signals that replace those in use; None leaves one as it is."""

    scorer: Scorer | None = None
    verifier: Verifier | None = None


Train: TypeAlias = Callable[[Path, Path | None, Path], None]
"""``train(rows, before, folder)``: makes ``folder`` from the rows of a round, going on from the folder ``before``: that of the
last round, and in the first round ``start``. Called on the main process only, while the others wait."""
Load: TypeAlias = Callable[[Path], Loaded]
"""``load(folder)``: the signals of a round's folder, on every process."""


def refresh_signals(
    trainer: HeroTrainer, folder: Path, *, every: int, train: Train, load: Load, start: Path | None = None,
    decide: Verifier | None = None,
) -> None:  # fmt: skip
    """Retrain the reward model and the learned verifier every ``every`` training steps.

    A round's rows are those with a verdict by rule: correct or incorrect, never an abstention or what a model said.
    A round without both kinds trains nothing, with a warning. No round is held after the last step.

    Scores keep their units: the new ones are multiplied so that, on the newest rows of the round, they spread inside prompts as
    the old ones did. Running statistics of a rule and raw sums of verdict and score stay meaningful that way. The scores of a
    ``StepScorer`` are left as they are.

    A checkpoint notes the round in use. A resumed run loads it, and drops rows of steps after the checkpoint.

    Args:
        trainer: not yet started.
        folder: of the rounds; made where it does not exist. All processes must see it.
        every: optimizer steps between rounds, at least 1.
        train: makes a round's folder.
        load: reads it. Signals that it replaces are closed.
        start: what the first round goes on from.
        decide: labels the rows, by rule, in place of the reward's verifier.

    Raises:
        InputError: ``every`` below 1, a reward without verifier, and when training starts: a folder with rounds of another run.
    """
    if every < 1:
        raise InputError(f"every={every} must be at least 1; it is a number of steps")
    if trainer.reward.verifier is None and decide is None:
        raise InputError("the reward has no verifier, so no rule decides what to learn from; give it one")
    rounds = _Rounds(trainer, folder, every, train, load, start, decide)
    trainer.listeners.append(rounds.hear)
    trainer.add_callback(rounds)


def hero_rm(*options: str) -> Train:
    """A ``Train`` that runs ``hero rm train`` in a process of its own: ``hero_rm("--learning-rate", "5e-6")``.

    In a process of its own, because a second Trainer inside a distributed run would wait for the other processes, and because
    its memory is free again afterwards. Where ``before`` was made by ``hero rm train``, it goes on with that one's rows too
    (``--refresh``); any other reward model with one output is taken as a base (``--model``).

    Raises:
        InputError: by the function returned: there is nothing to go on from.
        HeroError: by the function returned: the command failed.
    """

    def train(rows: Path, before: Path | None, folder: Path) -> None:
        if before is None:
            raise InputError("nothing to go on from: give refresh_signals the folder of the first reward model (start=...)")
        origin = "--refresh" if (before / "training.json").is_file() else "--model"
        command = [sys.executable, "-m", "hero_rl.cli", "rm", "train", str(rows), "-o", str(folder), origin, str(before)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHER)}
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HeroError(f"`{' '.join(['hero', *command[3:], *options])}` failed: {done.stderr.strip()[-2000:]}")

    return train


class Rescaled(Scorer):
    """Another scorer's scores, times a positive number."""

    def __init__(self, scorer: Scorer, factor: float) -> None:
        """Multiply the scores of ``scorer`` by ``factor``."""
        self.scorer, self.factor, self.name = scorer, factor, scorer.name

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores times the factor, shape (B,); NaN where missing."""
        return await self.scorer.ascore(rollouts) * self.factor

    def close(self) -> None:
        """Close the scorer."""
        self.scorer.close()


class _Rounds(TrainerCallback):
    """Writes rows, holds rounds, and finds its place again on resume."""

    def __init__(
        self, trainer: HeroTrainer, folder: Path, every: int, train: Train, load: Load, start: Path | None,
        decide: Verifier | None,
    ) -> None:  # fmt: skip
        self.trainer, self.folder, self.every, self.train, self.load, self.start = trainer, folder, every, train, load, start
        self.decide = decide
        self._rows: list[dict[str, Any]] = []

    def hear(self, rollouts: Sequence[Rollout], signals: Signals) -> None:
        """Keep what a rule decided; no step is noted yet."""
        if self.decide is not None:
            given = self.decide.verify(rollouts)
            verdicts = [("abstain" if verdict.learned else verdict.label, verdict.reason) for verdict in given]
        else:
            assert signals.learned is not None
            verdicts = [
                ("abstain" if learned or np.isnan(value) else "correct" if value else "incorrect", reason)
                for value, reason, learned in zip(signals.verdicts.tolist(), signals.reasons, signals.learned, strict=True)
            ]
        self._rows.extend(
            {
                "prompt_id": rollout.prompt_id or _fingerprint(rollout), "problem": rollout.problem,
                "reference": rollout.reference, "response": rollout.response, "finished": rollout.finished,
                "correct": int(label == "correct"), "reason": reason,
                "rm_score": score if np.isfinite(score) else None,
            }
            for rollout, (label, reason), score in zip(rollouts, verdicts, signals.scores.tolist(), strict=True)
            if label != "abstain"
        )  # fmt: skip

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._rows.clear()
        if state.global_step == 0:
            found = sorted(self.folder.glob("round-*")) if self.folder.is_dir() else []
            names = ", ".join(path.name for path in found[:1])
            text = f"{self.folder} holds rounds of another run ({names}); resume that run, or give another folder"
            self._agree(InputError(text) if found else None)
            return
        if self._main:
            _drop_after(self._rows_file(self._due(state.global_step)), state.global_step)
        noted = self._noted
        if noted:
            self._replace(self._target(noted["round"]))
            self._rescale(noted["factor"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        rows = [{**row, "step": step} for row in self._rows]
        self._rows.clear()
        everywhere = cast("list[dict[str, Any]]", gather_object(rows)) if self._processes > 1 else rows
        if self._main:
            self._write(everywhere, self._rows_file(self._due(step)), new=(step - 1) % self.every == 0)
        if step % self.every == 0 and step < state.max_steps:
            self._round(step)

    def _round(self, step: int) -> None:
        target, rows = self._target(step), self._rows_file(step)
        error: Exception | None = None
        usable = False
        if self._main:
            try:
                usable = _has_both_kinds(rows)
                if usable:
                    shutil.rmtree(target, ignore_errors=True)  # of a run that went on from here and was given up
                    noted = self._noted
                    self.train(rows, self._target(noted["round"]) if noted else self.start, target)
                else:
                    logger.warning("step %d: %s has not both correct and incorrect rows; nothing is retrained", step, rows)
            except Exception as raised:  # noqa: BLE001  # raised below, on every process
                error = raised
        self._agree(error)
        if not self._from_main(usable):
            return
        self._replace(target)
        factor = 1.0
        if self._main:
            try:
                factor = self._factor(rows)
            except Exception as raised:  # noqa: BLE001  # raised below, on every process
                error = raised
        self._agree(error)
        factor = self._from_main(factor)
        self._rescale(factor)
        stored = cast("dict[str, Any]", self.trainer.state.stateful_callbacks)
        stored[STATE_KEY] = {"round": step, "factor": factor}
        stored.get(RULE_STATE_KEY, {}).pop("health", None)  # the level of the new scores is another
        logger.info("step %d: signals of %s in use, scores times %.4g", step, target, factor)

    def _replace(self, folder: Path) -> None:
        """Put the signals of a round's folder in the place of those in use."""
        reward = self.trainer.reward
        error: Exception | None = None
        try:
            loaded = self.load(folder)
            for old, new in ((reward.scorer, loaded.scorer), (reward.verifier, loaded.verifier)):
                if old is not None and new is not None and old is not new:
                    old.close()
            reward.scorer = reward.scorer if loaded.scorer is None else loaded.scorer
            reward.verifier = reward.verifier if loaded.verifier is None else loaded.verifier
        except Exception as raised:  # noqa: BLE001  # raised below, on every process
            error = raised
        self._agree(error)

    def _rescale(self, factor: float) -> None:
        if factor != 1.0:
            assert self.trainer.reward.scorer is not None
            self.trainer.reward.scorer = Rescaled(self.trainer.reward.scorer, factor)

    def _factor(self, rows: Path) -> float:
        """The factor that gives new scores the spread of the old ones inside prompts, on the newest rows; 1 if unknown."""
        scorer = self.trainer.reward.scorer
        if scorer is None or isinstance(scorer, StepScorer):
            return 1.0
        newest = [row for row in _read(rows) if row["rm_score"] is not None][-_ROWS_FOR_SCALE:]
        if not newest:
            return 1.0
        fields = ("prompt_id", "problem", "reference", "response", "finished")
        new_B = scorer.score([Rollout(**{name: row[name] for name in fields}) for row in newest])
        old_B = np.array([row["rm_score"] for row in newest])
        known_B = np.isfinite(new_B)
        prompts_B = np.array([row["prompt_id"] for row in newest])[known_B]
        spread = [_spread_within(scores_B[known_B], prompts_B) for scores_B in (old_B, new_B)]
        return spread[0] / spread[1] if min(spread) > 0.0 else 1.0

    @property
    def _main(self) -> bool:
        return self.trainer.accelerator.is_main_process

    @property
    def _processes(self) -> int:
        return self.trainer.accelerator.num_processes

    @property
    def _noted(self) -> Mapping[str, Any] | None:
        return cast("dict[str, Any]", self.trainer.state.stateful_callbacks).get(STATE_KEY)

    def _due(self, step: int) -> int:
        """The step of the round that the rows of ``step`` belong to."""
        return -(-step // self.every) * self.every

    def _target(self, step: int) -> Path:
        return self.folder / f"round-{step:06d}"

    def _rows_file(self, step: int) -> Path:
        return self._target(step).with_suffix(".jsonl")

    def _agree(self, error: Exception | None) -> None:
        """Raise what went wrong on any process, on every process."""
        if self._processes == 1:
            if error is not None:
                raise error
            return
        report = report_error(error)
        if error is not None and not isinstance(error, HeroError):
            report = Report(SignalError, f"refreshing the signals failed: {type(error).__name__}: {first_line(error)}")
        reports = cast("list[Report | None]", gather_object([report]))
        if any(report is not None for report in reports):
            raise common_error(reports) from error

    def _from_main(self, value: Any) -> Any:
        """The main process's value, on every process."""
        return gather_object([value])[0] if self._processes > 1 else value

    def _write(self, rows: Sequence[Mapping[str, Any]], path: Path, *, new: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if new else "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def load_scorer(folder: Path) -> Loaded:
    """The reward model of a folder that ``hero_rm`` made."""
    from hero_rl.scorers import LocalScorer

    return Loaded(scorer=LocalScorer(folder))


def _fingerprint(rollout: Rollout) -> str:
    """The same for all responses to one prompt, in this run and the next."""
    text = json.dumps([[dict(message) for message in rollout.messages], rollout.problem, rollout.reference], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, without a last line that a killed run left unfinished."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


def _drop_after(path: Path, step: int) -> None:
    kept = [row for row in _read(path) if row["step"] <= step]
    if path.is_file():
        with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in kept)


def _has_both_kinds(path: Path) -> bool:
    return {row["correct"] for row in _read(path)} == {0, 1}


def _spread_within(scores_B: FloatArray, prompts_B: np.ndarray) -> float:
    """Root mean square distance of scores from the mean of their prompt; 0 without rows."""
    if not scores_B.size:
        return 0.0
    _, group_B = np.unique(prompts_B, return_inverse=True)
    mean_P = np.bincount(group_B, weights=scores_B) / np.bincount(group_B)
    return float(np.sqrt(np.mean((scores_B - mean_P[group_B]) ** 2)))
