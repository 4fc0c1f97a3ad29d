"""From TRL's view of a batch (prompts, completions, columns) to rollouts, and their raw signals as reward columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hero_rl.data.rollouts import Reference, read_reference
from hero_rl.errors import HeroError, InputError, MissingDependencyError, SignalError, first_line
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.types import Rollout, Verdict

if TYPE_CHECKING:
    from hero_rl.contrib.process import LocalSteps

Prompt: TypeAlias = str | Sequence[Mapping[str, Any]]

COLUMNS = ("shaped", "verdict", "rm_score", "failure")
"""The reward columns of a ``HeroTrainer``, in order. TRL sums them with weights 1, 0, 0, 0."""

RAISED = 2.0
"""In the column ``failure``: verifier or reward model raised an error in the row's process, which has no signals."""


class LocalSignals:
    """TRL reward functions for the raw signals of this process's rows.

    TRL calls its reward functions one after the other on the same rows, for one number per row each. So ``verdict`` measures
    both signals at the same time, and the next two return their parts. ``shaped`` needs whole groups, which exist after the
    gather, where the trainer fills it in.

    An error becomes ``RAISED`` and is raised after the gather: here, it would leave the other processes waiting for this one's
    rows until the process group times out.
    """

    def __init__(
        self, reward: HybridReward, eos_token_ids: Callable[[], Sequence[int]], *, steps: LocalSteps | None = None
    ) -> None:
        """Measure with ``reward``; ``eos_token_ids`` returns the tokens that end a completion; ``steps`` reads step scores."""
        self.reward, self.eos_token_ids, self.steps = reward, eos_token_ids, steps
        self._signals: Signals | None = None
        self._rollouts: list[Rollout] = []
        self.error: Exception | None = None
        """The error of the last batch; the trainer raises it on every process."""

    @property
    def functions(self) -> list[Callable[..., list[float]]]:
        """The reward functions in the order of ``COLUMNS``."""
        return [self.shaped, self.verdict, self.rm_score, self.failure]

    def shaped(self, prompts: Sequence[Prompt], **_: Any) -> list[float]:
        """Return a place for the shaped rewards."""
        return [0.0] * len(prompts)

    def verdict(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        completion_ids: Sequence[Sequence[int]],
        log_extra: Callable[[str, list[Any]], None],
        **columns: Any,
    ) -> list[float]:
        """Return 1, 0 or NaN (abstain) per row."""
        self.error = None
        try:
            ends, needs_reference = self.eos_token_ids(), self.reward.verifier is not None
            rollouts = to_rollouts(prompts, completions, completion_ids, columns, ends, needs_reference=needs_reference)
            self._signals = self.reward.measure(rollouts)
            self._rollouts = rollouts
            if self.steps is not None:
                self.steps.read(rollouts, self._signals, completion_ids)
        except Exception as error:  # noqa: BLE001  # raised by the trainer, once every process knows
            self.error = error
            self._signals = Signals.of([Verdict("abstain", "error", failed=True)] * len(prompts), np.full(len(prompts), np.nan))
        values = self._signals.verdicts.tolist()
        log_extra("verdict", values)
        log_extra("reason", list(self._signals.reasons))
        log_extra("rm_score", self._signals.scores.tolist())
        return values

    def rm_score(self, prompts: Sequence[Prompt], **_: Any) -> list[float]:
        """Return the raw score per row; NaN where missing."""
        return self._kept(prompts).scores.tolist()

    def failure(self, prompts: Sequence[Prompt], **_: Any) -> list[float]:
        """Return 1 where a signal failed, else 0; ``RAISED`` everywhere after an error."""
        if self.error is not None:
            return [RAISED] * len(prompts)
        return self.reward.failures(self._kept(prompts)).astype(np.float64).tolist()

    @property
    def measured(self) -> tuple[list[Rollout], Signals]:
        """This process's rollouts of the last batch, and their signals."""
        assert self._signals is not None
        return self._rollouts, self._signals

    def _kept(self, prompts: Sequence[Prompt]) -> Signals:
        if self._signals is None or len(self._signals.verdicts) != len(prompts):
            raise RuntimeError(
                "TRL called the reward functions in another order than they were given; is its version supported?"
            )
        return self._signals


class Report(NamedTuple):
    """A process's error in plain values, for the other processes."""

    kind: type[HeroError]
    text: str


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


def to_rollouts(
    prompts: Sequence[Prompt],
    completions: Sequence[Prompt],
    completion_ids: Sequence[Sequence[int]],
    columns: Mapping[str, Any],
    ends: Collection[int],
    *,
    needs_reference: bool,
) -> list[Rollout]:
    """Return the rows of a TRL batch as rollouts; ``ends`` are the tokens that end a completion."""
    rows = enumerate(zip(prompts, completions, completion_ids, strict=True))
    return [
        to_rollout(prompt, completion, {name: values[row] for name, values in columns.items() if isinstance(values, list)},
                   finished=bool(ids) and ids[-1] in ends, needs_reference=needs_reference)
        for row, (prompt, completion, ids) in rows
    ]  # fmt: skip


def to_rollout(
    prompt: Prompt,
    completion: Prompt,
    row: Mapping[str, Any],
    *,
    finished: bool | None = None,
    needs_reference: bool = True,
) -> Rollout:
    """Return one row of a TRL batch as a rollout.

    Args:
        prompt: text, or a conversation.
        completion: text, or the messages that the policy added.
        row: the other columns of the dataset row. Without ``problem`` (the bare problem text), the problem is the prompt's
            text or its last user turn. The rest becomes ``Rollout.extra``.
        finished: whether the policy ended the completion itself.
        needs_reference: False: the row needs no ``reference``, because there is no verifier.

    Raises:
        InputError: no reference.
    """
    if needs_reference and row.get("reference") is None:
        raise InputError(no_reference(row, where="the training data"))
    messages = () if isinstance(prompt, str) else tuple(prompt)
    problem = row.get("problem")
    if not isinstance(problem, str):
        users = [_text(message) for message in messages if message.get("role") == "user"]
        problem = prompt if isinstance(prompt, str) else (users[-1] if users else "")
    answer = row.get("reference")
    reference = read_reference(answer) or Reference("" if answer is None else str(answer), ())
    return Rollout(
        prompt_id=str(row.get("prompt_id", "")),
        problem=problem,
        reference=reference.text,
        response=completion if isinstance(completion, str) else _assistant_text(completion),
        messages=messages,
        finished=finished,
        extra={name: value for name, value in row.items() if name not in ("prompt_id", "problem", "reference")}
        | reference.columns,
    )


def no_reference(columns: Iterable[str], *, where: str) -> str:
    """Return the message for data without references."""
    known = sorted(columns)
    what = "a row with an empty (null) 'reference'" if "reference" in known else "no column 'reference'"
    return (
        f"{where}: {what} (columns: {', '.join(known) or 'none'}); a verifier needs the reference answer of every prompt: "
        "rename or add it"
    )


def _assistant_text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(_text(message) for message in messages if message.get("role") == "assistant")


def _text(message: Mapping[str, Any]) -> str:
    """Return the text of a turn, whose content is a string, a list of blocks (some of them images), or null (a tool call)."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)
