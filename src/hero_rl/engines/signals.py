"""The raw signals of one response as plain values, so that they can travel inside an engine's own records.

Engines judge responses one by one, in processes of their own, and keep a small mapping with each. The rule needs them later,
for whole groups. Every mapping has the same keys, whatever happened to its response, and holds no NaN: verl takes the keys
of the first row for all rows and averages the numbers.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hero_rl.config import RewardConfig
from hero_rl.engines.steps import ends_of, write_steps
from hero_rl.errors import InputError, MissingDependencyError, first_line
from hero_rl.pipeline import Signals, ascore_with_steps
from hero_rl.types import Rollout, Scorer, StepScorer, StepScores, Verdict, Verifier

logger = logging.getLogger(__name__)

Info: TypeAlias = dict[str, float | str]
KEYS = ("score", "acc", "verdict", "abstain", "failed", "rm_score", "rm_ok", "reason", "steps")
"""Keys of every mapping. ``score`` is ``acc``, the bare verdict, so that an engine's filters and validation see that."""


def to_info(verdict: Verdict, score: float, steps: str = "") -> Info:
    """One response's signals under ``KEYS``.

    Args:
        verdict: an abstention becomes ``verdict`` 0 with ``abstain`` 1.
        score: of the reward model; NaN (missing) becomes ``rm_score`` 0 with ``rm_ok`` 0.
        steps: as ``steps.write_steps`` writes them; "": the reward model gives none.
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
        "reason": verdict.reason,
        "steps": steps,
    }


def from_infos(infos: Sequence[Mapping[str, Any]]) -> Signals:
    """The signals behind some mappings; the other half of ``to_info``.

    Only ``acc`` is a must: a reward function of somebody else's, which returns ``acc`` and perhaps ``rm_score``, will do.

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
    scores = [_score(info) for info in infos]
    failed = [bool(info.get("failed")) for info in infos]
    return Signals(np.array(verdicts, dtype=np.float64), np.array(scores, dtype=np.float64), np.array(failed, dtype=np.bool_))


class Judges(NamedTuple):
    """Who judges the responses in one process of an engine."""

    verifier: Verifier
    scorer: Scorer | None

    @classmethod
    def of(cls, config: RewardConfig) -> Judges:
        """Return the verifier, which an engine cannot do without, and the reward model of a reward."""
        return cls(config.need_verifier(), config.make_scorer())


async def judge(rollout: Rollout, verifier: Verifier, scorer: Scorer | None) -> Info:
    """Both signals of one response, measured side by side. A signal that could not be had is marked, and counted later.

    Raises:
        InputError: wrong settings, which every response would meet.
        MissingDependencyError: a package is not installed.
    """
    results = await asyncio.gather(verifier.averify([rollout]), ascore_with_steps(scorer, [rollout]), return_exceptions=True)
    for result in results:
        if isinstance(result, InputError | MissingDependencyError):
            raise result
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result  # a cancellation: the engine wants this to stop
    verdict, found = results
    return to_info(_verdict(verdict, verifier), _first_score(found, scorer), _written_steps(found, scorer, rollout))


def _verdict(result: object, verifier: Verifier) -> Verdict:
    if isinstance(result, Exception):
        logger.warning("verifier %s: %s: %s", verifier.name, type(result).__name__, first_line(result))
        return Verdict("abstain", "verifier_error", failed=True, detail=first_line(result))
    assert isinstance(result, list)
    return result[0]


def _first_score(result: object, scorer: Scorer | None) -> float:
    if isinstance(result, Exception):
        # The error itself stays here: those of HTTP clients cannot be pickled, and Ray would lose them in another error.
        name = scorer.name if scorer is not None else None
        logger.warning("reward model %s: %s: %s", name, type(result).__name__, first_line(result))
        return math.nan
    scores_B = result.scores if isinstance(result, StepScores) else result
    assert isinstance(scores_B, np.ndarray)
    return float(scores_B[0])


def _written_steps(result: object, scorer: Scorer | None, rollout: Rollout) -> str:
    if not isinstance(scorer, StepScorer):
        return ""
    if not isinstance(result, StepScores):  # it failed: there is no place to look for
        return write_steps(rollout.response, np.zeros(0), np.zeros(0, dtype=np.intp))
    return write_steps(rollout.response, result.steps[0], ends_of(scorer, rollout))


def _score(info: Mapping[str, Any]) -> float:
    score = info.get("rm_score")
    return float(score) if score is not None and info.get("rm_ok", 1.0) else math.nan
