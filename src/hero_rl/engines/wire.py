"""Signals as plain values, for engines that judge responses one by one and shape whole groups elsewhere.

A reward worker keeps a small mapping with each response (``judge``); the trainer makes ``Signals`` of the mappings of a batch
(``read_rows``) and hands them to ``HybridReward.batch``. Every mapping has the same keys, whatever happened to its response,
and holds no NaN: verl takes the keys of the first row for all rows and averages the numbers. No engine is imported here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hero_rl.config import RewardConfig
from hero_rl.errors import InputError, MissingDependencyError, first_line
from hero_rl.pipeline import HybridReward, OnUnhealthy, Signals
from hero_rl.rewards import RewardRule
from hero_rl.scorers import ColumnScorer
from hero_rl.types import BoolArray, FloatArray, IntArray, Rollout, Scorer, StepScorer, Verdict, Verifier, ascore_with_steps
from hero_rl.verifiers import ColumnVerifier

logger = logging.getLogger(__name__)

Info: TypeAlias = dict[str, float | str]
KEYS = ("score", "acc", "verdict", "abstain", "failed", "rm_score", "rm_ok", "chars", "reason", "steps")
"""Keys of every mapping. ``score`` is ``acc``, the bare verdict, so that an engine's filters and validation see that."""


def to_info(verdict: Verdict, score: float, steps: str = "", *, chars: int = 0) -> Info:
    """Return one response's signals under ``KEYS``.

    An abstention becomes ``verdict`` 0 with ``abstain`` 1, a missing score ``rm_score`` 0 with ``rm_ok`` 0. ``steps`` is from
    ``contrib.process.write_steps``; "": the reward model gives none. ``chars``: length of the response.
    """
    acc = float(verdict.label == "correct")
    known = math.isfinite(score)
    return {
        "score": acc,
        "acc": acc,
        "verdict": 0.0 if verdict.label == "abstain" else verdict.value,
        "abstain": float(verdict.label == "abstain"),
        "failed": float(verdict.failed),
        "rm_score": float(score) if known else 0.0,
        "rm_ok": float(known),
        "chars": float(chars),
        "reason": verdict.reason,
        "steps": steps,
    }


def from_infos(infos: Sequence[Mapping[str, Any]]) -> Signals:
    """Return the signals of some mappings; the inverse of ``to_info``.

    Another reward function may return ``acc`` alone, or with ``rm_score``.

    Raises:
        InputError: a mapping without ``acc``.
    """
    for row, info in enumerate(infos):
        if info.get("acc") is None:
            raise InputError(
                f"response {row} of the batch has no 'acc' (its keys: {', '.join(sorted(map(str, info))) or 'none'}); the "
                "reward function must return 'acc' (the verdict, 0 or 1) and 'rm_score' beside 'score', as compute_score does"
            )
    verdicts = [math.nan if info.get("abstain") else float(info.get("verdict", info["acc"])) for info in infos]
    scores = [info.get("rm_score") if info.get("rm_ok", 1.0) else None for info in infos]
    failed = [bool(info.get("failed")) for info in infos]
    reasons = tuple(str(info.get("reason", "")) for info in infos)
    chars = [info.get("chars") for info in infos]  # None becomes NaN
    verdicts_B, scores_B, chars_B = (np.array(values, dtype=np.float64) for values in (verdicts, scores, chars))
    return Signals(verdicts_B, scores_B, np.array(failed, dtype=np.bool_), reasons, chars=chars_B)


class Judges(NamedTuple):
    """The verifier and the reward model in one process of an engine."""

    verifier: Verifier
    scorer: Scorer | None

    @classmethod
    def of(cls, config: RewardConfig) -> Judges:
        """Return the verifier, without which an engine cannot work, and the reward model of a reward."""
        return cls(config.need_verifier(), config.make_scorer())

    async def judge(self, rollout: Rollout) -> Info:
        """Return both signals of one response, measured side by side. A signal that fails is marked, and counted later.

        Raises:
            InputError: wrong settings, which every response would meet.
            MissingDependencyError: a package is not installed.
        """
        tasks = self.verifier.averify([rollout]), ascore_with_steps(self.scorer, [rollout])
        verdicts, scored = await asyncio.gather(*tasks, return_exceptions=True)
        for result in (verdicts, scored):
            if isinstance(result, InputError | MissingDependencyError):
                raise result
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result  # a cancellation: the engine wants this to stop
        if isinstance(verdicts, BaseException):
            _warn("verifier", self.verifier.name, verdicts)
            verdicts = [Verdict("abstain", "verifier_error", failed=True, detail=first_line(verdicts))]
        if isinstance(scored, BaseException):
            _warn("reward model", self.scorer and self.scorer.name, scored)
            scored = np.full(1, np.nan), (np.zeros(0),)
        scores_B, steps_B = scored
        steps = ""
        if isinstance(self.scorer, StepScorer):
            from hero_rl.contrib.process import ends_of, write_steps

            assert steps_B is not None
            scores_S = steps_B[0]
            ends_S = ends_of(self.scorer, rollout) if scores_S.size else np.zeros(0, dtype=np.intp)
            steps = write_steps(rollout.response, scores_S, ends_S)
        return to_info(verdicts[0], float(scores_B[0]), steps, chars=len(rollout.response))


def _warn(kind: str, name: str | None, error: BaseException) -> None:
    # logged here, because errors of HTTP clients cannot be pickled, and Ray would lose them in another error
    logger.warning("%s %s: %s: %s", kind, name, type(error).__name__, first_line(error))


class Row(NamedTuple):
    """One training row of an engine."""

    group: str
    """The prompt; never the prompt's text, which may stand in a batch twice."""
    rollout: str
    """Rows of one rollout share it; unique over groups."""
    order: int
    """Within the rollout: the row with the highest carries the signals."""
    info: Mapping[str, Any] | None
    """From ``to_info``; None: padding."""


class Rollouts(NamedTuple):
    """The rollouts behind some rows.

    A rollout may have become several rows (an agent whose context was cut), of which the last carries the signals; rows may be
    padding; and a group may have lost members.
    """

    signals: Signals
    """One entry per rollout, as ``groups``, ``final`` and ``steps``."""
    groups: list[str]
    final: IntArray
    """Shape (B,), the row that stands for each rollout."""
    steps: tuple[str, ...]
    """Step scores from ``contrib.process.write_steps``; "" where there are none, or several rows."""
    of_row: IntArray
    """Shape (R,), the place of each row's rollout; -1 for padding."""

    def by_row(self, values_B: FloatArray, *, padding: float) -> FloatArray:
        """Return the value of each row's rollout, shape (R,)."""
        return np.where(self.of_row >= 0, values_B[self.of_row], padding)


def read_rows(rows: Sequence[Row]) -> Rollouts | None:
    """Return the rollouts of some rows, in any order; None where all are padding.

    Raises:
        InputError: a row without signals.
    """
    last: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.info is not None and (row.rollout not in last or rows[last[row.rollout]].order <= row.order):
            last[row.rollout] = number
    if not last:
        return None
    finals = [rows[number] for number in last.values()]
    count = Counter(row.rollout for row in rows if row.info is not None)
    place = {rollout: position for position, rollout in enumerate(last)}
    return Rollouts(
        signals=from_infos([row.info or {} for row in finals]),
        groups=[row.group for row in finals],
        final=np.array(list(last.values()), dtype=np.intp),
        steps=tuple(str((row.info or {}).get("steps") or "") if count[row.rollout] == 1 else "" for row in finals),
        of_row=np.array([place[row.rollout] if row.info is not None else -1 for row in rows], dtype=np.intp),
    )


def compared(rewards_B: FloatArray, groups_B: IntArray) -> BoolArray:
    """Return whether each response has another of its group to compare with, shape (B,); False where it is left out."""
    known = ~np.isnan(rewards_B)
    return known & (np.bincount(groups_B, weights=known)[groups_B] > 1)


def column_reward(rule: RewardRule, *, max_failure_rate: float = 0.1, on_unhealthy: OnUnhealthy = "warn") -> HybridReward:
    """Return the rule with its state, for a process that gets the signals as values."""
    verifier, scorer = ColumnVerifier("acc"), ColumnScorer("rm_score")
    verifier.name, scorer.name = "the verifier", "the reward model"  # for messages about failures
    parts = verifier if rule.needs_verdicts else None, scorer if rule.needs_scores else None
    return HybridReward(*parts, rule, max_failure_rate=max_failure_rate, on_unhealthy=on_unhealthy)


def refuse_steps(rule: RewardRule) -> None:
    """Raise ``InputError`` where a rule shapes the advantages of tokens, in an engine that has one per response."""
    if rule.steps is not None:
        raise InputError(
            f"the rule {rule.name!r} shapes the advantages of tokens, and here each response has one; use it with HeroTrainer "
            "(`hero train`) or verl, or take 'hero', whose rewards are the same"
        )
