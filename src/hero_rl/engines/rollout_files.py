"""Rollouts of a training run, for `hero audit`: a Parquet file per step and process, with what the policy was trained with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from hero_rl.data.tables import ROLLOUTS
from hero_rl.data.verify import verdict_values
from hero_rl.engines.exchange import Share, process_rank
from hero_rl.files import replacing

PROMPTS = 8
"""Prompts per step by default."""

logger = logging.getLogger(__name__)


def write_rollouts(run: str, share: Share, *, step: int, prompts: int) -> None:
    """Write this process's rollouts of the first ``prompts`` prompts of a batch to the run's ``rollouts/step_N.rankR.parquet``.

    The columns are those of scored rollouts (``docs/file-formats.md``) and ``step``. A ``prompt_id`` is one group of the run: a
    prompt has another in each step. A file that cannot be written gives a warning and does not end the run.
    """
    folder = Path(run) / ROLLOUTS
    batch, start = share.batch, share.mine.start
    rows = [row for row in range(len(share.rollouts)) if batch.groups[start + row] < prompts]
    if not rows:
        return
    table = [_row(share, row) | {"step": step, "prompt_id": f"step {step}, prompt {batch.groups[start + row]}"} for row in rows]
    if any(isinstance(row["reference"], list) for row in table):  # a column of Parquet has one type
        for row in table:
            row["reference"] = row["reference"] if isinstance(row["reference"], list) else [row["reference"]]
    try:
        import pyarrow
        from pyarrow import parquet

        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"step_{step:06d}.rank{process_rank()}.parquet", sync=False) as partial:
            parquet.write_table(pyarrow.Table.from_pylist(table), partial)
    except (OSError, ImportError, ValueError) as error:  # ValueError: half a surrogate pair
        logger.warning("hero-rl: the rollouts of step %d are not kept in %s: %s", step, folder, error)


def _row(share: Share, row: int) -> dict[str, Any]:
    rollout, signals, at = share.rollouts[row], share.signals, share.mine.start + row
    reason = signals.reasons[row] if signals.reasons else ""
    numbers = {
        "rm_score": signals.scores[row], "reward": share.batch.rewards[at], "weight": share.batch.weights[at],
        "advantage": share.batch.advantages[at],
    }  # fmt: skip
    return {
        "step": None, "prompt_id": None, "problem": rollout.problem,
        "reference": rollout.extra.get("reference") or rollout.reference, "response": rollout.response,
        "finished": rollout.finished, **verdict_values(float(signals.verdicts[row]), reason, ("verdict", "reason", "learned")),
        **{name: None if np.isnan(value) else float(value) for name, value in numbers.items()},
    }  # fmt: skip
