"""The groups that the examples of an audit are from, as a page of `hero view` beside it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from hero_rl.audit.table import Table, as_solution
from hero_rl.data.rollouts import Columns, read_rollouts
from hero_rl.types import LEARNED_YES, IntArray, Verifier
from hero_rl.view.page import write_groups
from hero_rl.view.sources import row_of
from hero_rl.view.store import MOST_SHOWN


def write_example_groups(
    path: Path, source: Path, table: Table, judge: Verifier | None, *, columns: Columns, boxed: bool
) -> list[str]:
    """Write the page and return, per example of ``table``, the fragment that leads to it; "" for one that is left out.

    ``source`` is read once more, as ``table`` was. The first verifier, ``judge``, is asked for its reasons again unless it is a
    model. Groups of more than ``MOST_SHOWN`` responses are left out, and all of a file of which only a sample was kept.
    """
    if judge is None or not table.examples or table.rows < table.rows_in_file:
        path.unlink(missing_ok=True)  # of an earlier audit
        return []
    chosen = _rows_of_groups(table).tolist()
    wanted, read = set(chosen), islice(read_rollouts(source, columns), max(chosen, default=-1) + 1)
    rollouts = [row.rollout for number, row in enumerate(read) if number in wanted]
    scores = next(iter(table.scores.values()), None)
    rows = [
        row_of(rollout)
        | {"verdict": value, "learned": value == LEARNED_YES, "correct": table.labels[number]}
        | ({"rm_score": scores[number]} if scores is not None else {})
        for number, rollout, value in zip(chosen, rollouts, table.verdicts[judge.name][chosen].tolist(), strict=True)
    ]
    if not judge.learned:
        verdicts = judge.verify(list(map(as_solution, rollouts)) if boxed else rollouts)
        rows = [row | {"reason": one.reason, "detail": one.detail} for row, one in zip(rows, verdicts, strict=True)]
    places = write_groups(path, rows, title=f"Examples of the audit of {source.name}")
    place_of = dict(zip(chosen, places, strict=True))
    return [place_of.get(example.row, "") for example in table.examples]


def _rows_of_groups(table: Table) -> IntArray:
    """Return the numbers of the rows that share prompt and step with an example."""
    step = np.unique(table.steps, return_inverse=True)[1]  # those without a step are one
    cell = np.unique(step * table.prompts + table.groups, return_inverse=True)[1]
    wanted = np.isin(cell, cell[[example.row for example in table.examples]])
    return np.flatnonzero(wanted & (np.bincount(cell)[cell] <= MOST_SHOWN))
