"""The groups that the examples of an audit are from, as a page of `hero view` beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hero_rl.audit.table import Table, as_solution
from hero_rl.data.rollouts import Columns, read_rollouts
from hero_rl.types import LEARNED_YES, IntArray, Verdict, Verifier
from hero_rl.view.page import write_groups
from hero_rl.view.sources import row_of
from hero_rl.view.store import MOST_SHOWN


def write_example_groups(
    path: Path, source: Path, table: Table, judge: Verifier | None, *, columns: Columns, boxed: bool
) -> list[str]:
    """Write the page and return, per example of ``table``, the fragment that leads to it; "" for one that is left out.

    The file is read once more. The first verifier's verdicts are shown with reasons, for which it is asked again unless it is a
    model. Groups of more than ``MOST_SHOWN`` responses are left out, and all of a file of which only a sample was kept.

    Args:
        path: of the page.
        source: the file that ``table`` was read from.
        table: its numbers.
        judge: the first verifier of the table.
        columns: as in ``read_table``.
        boxed: as in ``read_table``.
    """
    if judge is None or not table.examples or table.rows < table.rows_in_file:
        return []
    if not (chosen := _rows_of_groups(table)).size:
        return []
    rows = list(_rows(source, table, chosen, judge, columns=columns, boxed=boxed))
    place_of = dict(
        zip(chosen.tolist(), write_groups(path, rows, title=f"Examples of the audit of {source.name}"), strict=False)
    )
    return [place_of.get(example.row, "") for example in table.examples]


def _rows_of_groups(table: Table) -> IntArray:
    """Return the numbers of the rows that share prompt and step with an example."""
    step = np.unique(table.steps, return_inverse=True)[1]  # those without a step are one
    cell = np.unique(step * table.prompts + table.groups, return_inverse=True)[1]
    wanted = np.isin(cell, cell[[example.row for example in table.examples]])
    return np.flatnonzero(wanted & (np.bincount(cell)[cell] <= MOST_SHOWN))


def _rows(
    source: Path, table: Table, chosen: IntArray, judge: Verifier, *, columns: Columns, boxed: bool
) -> Iterator[dict[str, Any]]:
    wanted = set(chosen.tolist())
    read = islice(read_rollouts(source, columns), int(chosen[-1]) + 1)
    rollouts = [row.rollout for number, row in enumerate(read) if number in wanted]
    verdicts: list[Verdict] | None = None
    if not judge.learned:
        verdicts = judge.verify([as_solution(rollout) for rollout in rollouts] if boxed else rollouts)
    scores = next(iter(table.scores.values()), None)
    for at, (number, rollout) in enumerate(zip(chosen, rollouts, strict=False)):
        value = float(table.verdicts[judge.name][number])
        row = row_of(rollout) | {"verdict": value, "learned": value == LEARNED_YES, "correct": table.labels[number]}
        if scores is not None:
            row["rm_score"] = scores[number]
        if verdicts is not None:
            row |= {"reason": verdicts[at].reason, "detail": verdicts[at].detail}
        yield row
