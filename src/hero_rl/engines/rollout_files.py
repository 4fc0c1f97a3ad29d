"""Rollouts of a training run, for `hero audit` and `hero view`: Parquet files with what the policy was trained with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hero_rl.data.tables import ROLLOUTS
from hero_rl.data.verify import verdict_values
from hero_rl.engines.exchange import Share, process_rank
from hero_rl.files import replacing
from hero_rl.pipeline import Batch, Signals
from hero_rl.types import Rollout

PROMPTS = 8
"""Prompts per step by default."""

logger = logging.getLogger(__name__)


def write_rollouts(run: str, share: Share, *, step: int, prompts: int) -> None:
    """Write this process's rollouts of a batch, as ``batch_rows`` has them, to the run's ``rollouts/step_N.rankR.parquet``."""
    rows = batch_rows(
        dict(enumerate(share.rollouts)), share.signals, share.batch, start=share.mine.start, step=step, prompts=prompts
    )
    write_rows(Path(run) / ROLLOUTS / f"step_{step:06d}.rank{process_rank()}.parquet", rows)


def batch_rows(
    rollouts: Mapping[int, Rollout], signals: Signals, batch: Batch, *, step: int, prompts: int, start: int = 0
) -> list[dict[str, Any]]:
    """Return those of the rollouts, by their row in ``signals``, that belong to the first ``prompts`` prompts of a batch.

    ``signals`` are those of the batch from its row ``start`` on.

    The columns are those of scored rollouts (``docs/file-formats.md``) and ``step``. A ``prompt_id`` is one group of the run: a
    prompt has another in each step.
    """
    return [
        _row(rollout, signals, row, batch, start + row)
        | {"step": step, "prompt_id": f"step {step}, prompt {batch.groups[start + row]}"}
        for row, rollout in rollouts.items()
        if batch.groups[start + row] < prompts
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of ``batch_rows`` as Parquet. A file that cannot be written gives a warning and does not end the run."""
    if not rows:
        return
    if any(isinstance(row["reference"], list) for row in rows):  # a column of Parquet has one type
        for row in rows:
            row["reference"] = row["reference"] if isinstance(row["reference"], list) else [row["reference"]]
    try:
        import pyarrow
        from pyarrow import parquet

        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sync=False) as partial:
            parquet.write_table(pyarrow.Table.from_pylist(list(rows)), partial)
    except (OSError, ImportError, ValueError) as error:  # ValueError: half a surrogate pair
        logger.warning("hero-rl: the rollouts of step %d are not kept in %s: %s", rows[-1]["step"], path.parent, error)


def _row(rollout: Rollout, signals: Signals, row: int, batch: Batch, at: int) -> dict[str, Any]:
    reason = signals.reasons[row] if signals.reasons else ""
    numbers = {
        "rm_score": signals.scores[row], "reward": batch.rewards[at], "weight": batch.weights[at],
        "advantage": batch.advantages[at],
    }  # fmt: skip
    return {
        "step": None, "prompt_id": None, "problem": rollout.problem,
        "reference": rollout.extra.get("reference") or rollout.reference, "response": rollout.response,
        "finished": rollout.finished, **verdict_values(float(signals.verdicts[row]), reason, ("verdict", "reason", "learned")),
        **{name: None if np.isnan(value) else float(value) for name, value in numbers.items()},
    }  # fmt: skip
