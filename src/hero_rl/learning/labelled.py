"""Rollouts with labels that may be learned from: given ones, or what a rule decided. Never what a model said."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, cast

from hero_rl.data import Columns, read_rollouts
from hero_rl.data.verify import chunks
from hero_rl.data.write import json_line, open_lines
from hero_rl.errors import InputError, shown
from hero_rl.files import replacing
from hero_rl.types import Progress, Rollout, Verifier

Source: TypeAlias = Literal["given", "rule"]
ROWS_FILE = "rows.jsonl.gz"
"""Beside a model: the labelled rows that it was made from, held-out ones included; ``--refresh`` adds to them."""


class LabelledRow(NamedTuple):
    """A rollout whose final answer is known to be right or wrong."""

    rollout: Rollout
    correct: bool
    source: Source
    """Who said so: a column of the file, or a rule-based verifier."""


class Labelled(NamedTuple):
    """Rows to learn from, and how many were left out."""

    rows: list[LabelledRow]
    undecided: int
    """Rows left out: no label, or a verifier that abstained."""
    learned: int
    """Rows left out because a model gave the verdict: learning from it would repeat its mistakes."""


def read_labelled(
    path: Path,
    verifier: Verifier,
    *,
    columns: Columns,
    source: Source,
    progress: Progress = lambda stage, done, total: None,
) -> Labelled:
    """The rows of a file that ``verifier`` decides, in order.

    Args:
        path: a rollouts file.
        verifier: ``column:NAME`` for labels in the file, or a rule-based one.
        columns: what the rows must have.
        source: what to note as the origin of the labels.
        progress: told about every block of rows.

    Raises:
        InputError: a broken row, or no decided row at all.
    """
    rows: list[LabelledRow] = []
    undecided = learned = done = 0
    for chunk in chunks(read_rollouts(path, columns)):
        rollouts = [row.rollout for row in chunk]
        for rollout, verdict in zip(rollouts, verifier.verify(rollouts), strict=True):
            if verdict.label == "abstain":
                undecided += 1
            elif verdict.learned:
                learned += 1
            else:
                rows.append(LabelledRow(rollout, verdict.label == "correct", source))
        done += len(chunk)
        progress("label", done, None)
    if not rows:
        raise InputError(
            f"{path}: no row can be learned from: {verifier.name} decided none of {undecided + learned} rows"
            + (f" by rule ({learned} verdicts are a model's)" if learned else "")
        )
    return Labelled(rows, undecided, learned)


def check_both_classes(rows: Sequence[LabelledRow], where: object) -> None:
    """Raise unless there are correct and incorrect rows.

    Raises:
        InputError: one class only.
    """
    correct = sum(row.correct for row in rows)
    if correct in (0, len(rows)):
        kind = "correct" if correct else "incorrect"
        raise InputError(f"{where}: all {len(rows)} labelled rows are {kind}; learning and measuring need both kinds")


def merged(earlier: Iterable[LabelledRow], new: Iterable[LabelledRow]) -> list[LabelledRow]:
    """Return both, each pair of problem and response once; the newer label counts, but a given one outranks a rule's."""
    found: dict[tuple[str, str, str], LabelledRow] = {}
    for row in itertools.chain(earlier, new):
        key = (row.rollout.problem, row.rollout.reference, row.rollout.response)
        before = found.get(key)
        if before is None or row.source == "given" or before.source == "rule":
            found[key] = row
    return list(found.values())


def with_solutions(rows: Sequence[LabelledRow], column: str) -> list[LabelledRow]:
    """Return the rows, with the solution in a column as a right response to each prompt that has none.

    To no other prompt: a solution is written in another style than a policy's responses, and a model could learn the style.

    Raises:
        InputError: no row has the column, or one holds no text.
    """
    found: dict[str, LabelledRow] = {}
    solved = {row.rollout.prompt_id for row in rows if row.correct}
    for row in rows:
        text = row.rollout.extra.get(column)
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"--solutions {column}: the row of prompt {row.rollout.prompt_id!r} holds {shown(text)}, and no text"
            )
        if text and row.rollout.prompt_id not in solved:
            found.setdefault(row.rollout.prompt_id, LabelledRow(replace(row.rollout, response=text), True, row.source))
    if not any(column in row.rollout.extra for row in rows):
        raise InputError(f"--solutions {column}: no row has such a column; name the one with right solutions")
    return [*rows, *found.values()]


def write_rows(path: Path, rows: Iterable[LabelledRow]) -> None:
    """Write the rows; the same rows give the same bytes."""
    write_records(path, (
        {
            "prompt_id": row.rollout.prompt_id, "problem": row.rollout.problem, "reference": row.rollout.reference,
            "response": row.rollout.response, "correct": int(row.correct), "label_source": row.source,
        }
        for row in rows
    ))  # fmt: skip


def write_records(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write JSON lines, whole or not at all; the same records give the same bytes."""
    with replacing(path) as partial, open_lines(partial) as write:
        for record in records:
            write(json_line(record))


def read_rows(path: Path) -> list[LabelledRow]:
    """Read what ``write_rows`` wrote.

    Raises:
        InputError: no such file, or a broken row.
    """
    found = read_rollouts(path, Columns(labels=("correct",)))
    return [
        LabelledRow(row.rollout, bool(row.rollout.extra["correct"]), cast("Source", row.rollout.extra["label_source"]))
        for row in found
    ]
