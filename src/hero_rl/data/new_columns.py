"""The columns that scoring adds to a row: which ones, and their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import repeat

from hero_rl.pipeline import Batch, HybridReward
from hero_rl.types import LEARNED_YES, FloatArray, StepScorer, Verifier


def verify_columns(verifier: Verifier | None) -> tuple[str, ...]:
    """The columns that the verdicts fill: ``learned`` only where a model may have given them."""
    return ("verdict", "reason", "learned") if verifier is not None and verifier.learned else ("verdict", "reason")


def score_columns(reward: HybridReward, *, keep_rm_score: bool) -> tuple[str, ...]:
    """All columns that scoring with ``reward`` adds.

    Args:
        reward: what the rows are scored with.
        keep_rm_score: the scores were read from the column `rm_score`, which stays as it is.
    """
    scores = ("rm_score",) if reward.scorer is not None and not keep_rm_score else ()
    steps = ("step_scores",) if isinstance(reward.scorer, StepScorer) else ()
    return (*verify_columns(reward.verifier), *scores, *steps, "reward", "weight", "advantage")


def verdict_values(value: float, reason: str, added: tuple[str, ...]) -> dict[str, object]:
    """The columns of a verdict that are in ``added``; ``value`` as ``Verdict.value``."""
    verdict = None if math.isnan(value) else int(value > 0.0)
    columns: dict[str, object] = {"verdict": verdict, "reason": reason, "learned": value == LEARNED_YES}
    return {name: columns[name] for name in added if name in columns}


def scored_values(batch: Batch, reasons: Iterable[str], added: tuple[str, ...]) -> Iterator[dict[str, object]]:
    """Yield the columns in ``added`` of every row of a batch, in order."""
    signals = batch.signals
    steps = signals.step_scores or repeat(None)
    arrays = (signals.verdicts, signals.scores, batch.rewards, batch.weights, batch.advantages)
    # no list of all rows: boxed numbers take several times the memory of the arrays
    for verdict, score, reward, weight, advantage, reason, scores in zip(*map(_floats, arrays), reasons, steps, strict=False):
        values: dict[str, object] = {
            **verdict_values(verdict, reason, added),
            "rm_score": _number(score),
            "step_scores": None if scores is None else [_number(value) for value in scores.tolist()],
            "reward": _number(reward),
            "weight": _number(weight),
            "advantage": _number(advantage),
        }
        yield {name: values[name] for name in added}


def _floats(values: FloatArray) -> Iterator[float]:
    return map(float, values)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
