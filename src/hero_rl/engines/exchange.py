"""Several processes, one batch: measure the own rows, exchange the signals, shape whole groups, keep the state."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hero_rl.errors import HeroError, InputError, MissingDependencyError, SignalError, first_line
from hero_rl.measures.learnable import Look, Watch
from hero_rl.pipeline import Batch, HybridReward, Signals
from hero_rl.rewards import Scale
from hero_rl.types import FloatArray, Rollout

if TYPE_CHECKING:
    from hero_rl.contrib.process import LocalSteps

logger = logging.getLogger(__name__)

STATE_KEY = "hero_rl"
"""Where the rule's state lives in ``trainer_state.stateful_callbacks``, and so in every checkpoint's trainer_state.json."""


class Report(NamedTuple):
    """A process's error in plain values, for the other processes."""

    kind: type[HeroError]
    text: str


class Measured(NamedTuple):
    """The raw signals of one process's rows, as the processes exchange them."""

    signals: Signals
    steps: list[Any]
    """Where the rule shapes steps: those of each row."""
    metrics: dict[str, float]
    """Counts of verifier and reward model."""
    report: Report | None
    """Verifier or reward model raised an error here."""


class Share(NamedTuple):
    """A shaped batch, and one process's part in it."""

    batch: Batch
    """Of all processes."""
    mine: slice
    """This process's rows of the batch."""
    rollouts: list[Rollout]
    """Of this process, as ``signals``."""
    signals: Signals
    steps: list[Any]
    """Of all rows, where the rule shapes steps."""
    metrics: dict[str, float]
    """To log, the same on every process: ``Batch.summary``, the means of the shaped rewards (``reward``) and of the raw scores
    (``rm_score``) and, of the first process, the counts of a cascade or a cache."""


class Exchange:
    """Measure the rows of each process, exchange the signals, shape whole groups, keep the state."""

    def __init__(self, reward: HybridReward, *, gather: bool = True, steps: LocalSteps | None = None) -> None:
        """Use ``reward``; ``gather`` as in ``HeroReward``; ``steps`` reads step scores."""
        self.reward, self.gather, self._steps = reward, gather, steps
        self._watch: Watch | None = None

    def share(
        self,
        read: Callable[[], list[Rollout]],
        rows: int,
        group_size: int,
        trainer_state: Any,
        *,
        training: bool,
        scale: Scale = "none",
        token_ids: Sequence[Sequence[int]] = (),
    ) -> Share:
        """Return this process's share of the shaped batch, the same batch on every process.

        Args:
            read: returns this process's rollouts; what it raises is raised on every process.
            rows: how many.
            group_size: responses per prompt. Groups go by position, because a prompt may be in a batch twice.
            trainer_state: transformers' state of the trainer, where the rule's state is kept.
            training: False: the state does not move.
            scale: normalisation of the advantages.
            token_ids: tokens of the responses, where the rule shapes steps.

        Raises:
            SignalError: too many failures.
            InputError: groups that are cut.
        """
        rollouts, measured, error = self._measure(read, rows, token_ids)
        parts, rank = all_processes(measured) if self.gather else ([measured], 0)
        if any(part.report for part in parts):
            self._raise(parts, rank, error)
        counts = [len(part.signals.verdicts) for part in parts]
        if sum(counts) % group_size:
            raise InputError(
                f"{sum(counts)} rows are no whole groups of {group_size} responses (num_generations)"
                + ("" if self.gather else "; groups are cut between processes: leave gather at True")
            )
        stored = getattr(trainer_state, "stateful_callbacks", None)
        continue_state(self.reward, stored, getattr(trainer_state, "global_step", 0))
        verdicts = np.concatenate([part.signals.verdicts for part in parts])
        scores = np.concatenate([part.signals.scores for part in parts])
        failed = np.concatenate([part.signals.failed for part in parts])
        chars = [part.signals.chars for part in parts if part.signals.chars is not None]
        signals = Signals(
            verdicts, scores, failed, chars=np.concatenate(chars) if len(chars) == len(parts) else None,
            trouble=next((part.signals.trouble for part in parts if part.signals.trouble), ""),
        )  # fmt: skip
        groups = np.arange(sum(counts)) // group_size
        batch = self.reward.batch(signals, groups, scale=scale, update=training)
        if training and stored is not None:
            stored[STATE_KEY] = self.reward.state_dict()
        if training and rank == 0:
            self._look(batch, rollouts, getattr(trainer_state, "global_step", 0))
        start = sum(counts[:rank])
        steps = [step for part in parts for step in part.steps]
        means = {"reward": _mean(batch.rewards), "rm_score": _mean(scores)}
        metrics = batch.summary | parts[0].metrics | means
        return Share(batch, slice(start, start + rows), rollouts, measured.signals, steps, metrics)

    def _look(self, batch: Batch, rollouts: Sequence[Rollout], step: int) -> None:
        """Say what the first batch is like, of a run or after its checkpoint, and warn where batches teach nothing."""
        look = Look.of(batch.signals.verdicts, batch.advantages, batch.groups, rollouts)
        if self._watch is None:
            self._watch = Watch()
            logger.info("%s, %s", f"goes on from step {step}; the next batch" if step else "the first batch", look)
        if self._steps is None and (warning := self._watch.after(look)):  # steps have advantages of their own
            logger.warning("hero-rl: %s", warning)

    def _measure(
        self, read: Callable[[], list[Rollout]], rows: int, token_ids: Sequence[Sequence[int]]
    ) -> tuple[list[Rollout], Measured, Exception | None]:
        try:
            rollouts = read()
            signals = self.reward.measure(rollouts)
            if self._steps is not None:
                self._steps.read(rollouts, signals, token_ids)
            steps = list(self._steps.rows) if self._steps is not None else []
            return rollouts, Measured(signals, steps, self.reward.take_metrics(), None), None
        except Exception as error:  # noqa: BLE001  # raised on every process, or the others would wait for this one
            nothing = Signals.plain(np.full(rows, np.nan), np.full(rows, np.nan))
            return [], Measured(nothing, [], {}, report_error(error)), error

    def _raise(self, parts: Sequence[Measured], rank: int, error: Exception | None) -> None:
        if len(parts) == 1 and error is not None:
            raise error
        if error is not None and not isinstance(error, HeroError):
            logger.error("process %d: verifier or reward model raised", rank, exc_info=error)
        raise common_error([part.report for part in parts]) from error


def all_processes(value: Any) -> tuple[list[Any], int]:
    """Return the value of every process of a torch run, and this one's rank."""
    if world_size() == 1:
        return [value], 0
    distributed = sys.modules["torch"].distributed
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values, process_rank()


def continue_state(reward: HybridReward, stored: Mapping[str, Any] | None, global_step: int) -> None:
    """Restore the rule's state from the trainer state of a resumed checkpoint; raise InputError for one without it."""
    if stored is not None and STATE_KEY in stored:
        reward.load_state_dict(stored[STATE_KEY])
    elif stored is not None and reward.rule.stateful and global_step > 0:
        raise InputError(
            f"the checkpoint of step {global_step} holds no state of the rule {reward.rule.name!r}: it was not written by a "
            "run with this reward. Start a new run from its weights instead of resuming"
        )


def logged_as(name: str) -> str:
    """Return the name under which a number is logged: what a run costs is no number of its signals."""
    return name if name.startswith(("time/", "memory/")) else f"hero/{name}"


def report_error(error: Exception | None) -> Report | None:
    """Return the report of an error; None for none."""
    if error is None:
        return None
    if isinstance(error, HeroError):
        kinds = (kind for kind in (InputError, MissingDependencyError) if isinstance(error, kind))
        return Report(next(kinds, SignalError), str(error))
    return Report(SignalError, f"verifier or reward model raised {type(error).__name__}: {first_line(error)}")


def common_error(reports: Sequence[Report | None]) -> HeroError:
    """Return the error that every process raises, from one report per rank, not all None."""
    broken = [(rank, report) for rank, report in enumerate(reports) if report is not None]
    rank, first = broken[0]
    others = f" (and {len(broken) - 1} more processes)" if len(broken) > 1 else ""
    return first.kind(f"process {rank} of {len(reports)}{others}: {first.text}")


def world_size() -> int:
    """Return the number of processes of a torch run."""
    torch = sys.modules.get("torch")  # a run of several processes has it
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 1
    return torch.distributed.get_world_size()


def process_rank() -> int:
    """Return the number of this process in a torch run."""
    return 0 if world_size() == 1 else sys.modules["torch"].distributed.get_rank()


def leave_processes() -> None:
    """Leave a torch run once all its processes are done: at exit, Python may abort on threads of a group that is still open."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
