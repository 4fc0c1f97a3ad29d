"""The columns that scoring adds to a row: which ones, and their values."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hero_rl.data.numbers import Records
from hero_rl.pipeline import HybridReward
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


def scored_values(shaped: Records, codes: list[str], steps: FloatArray | None, added: tuple[str, ...]) -> Mapping[str, object]:
    """The columns in ``added`` of one row.

    Args:
        shaped: the row's record.
        codes: reason codes by number.
        steps: the scores of the steps; None: not judged.
        added: names of the columns.
    """
    values: dict[str, object] = {
        **verdict_values(float(shaped["verdict"]), codes[int(shaped["reason"])], added),
        "rm_score": _number(float(shaped["score"])),
        "step_scores": None if steps is None else [_number(value) for value in steps.tolist()],
        "reward": _number(float(shaped["reward"])),
        "weight": _number(float(shaped["weight"])),
        "advantage": _number(float(shaped["advantage"])),
    }
    return {name: values[name] for name in added}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
