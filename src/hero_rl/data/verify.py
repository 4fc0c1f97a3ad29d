"""A rollouts file in chunks, its rows with their verdicts, and the file of verdicts."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hero_rl.data.rollouts import Columns, Row, read_rollouts
from hero_rl.data.tables import files_of
from hero_rl.data.write import ROW_SUFFIXES, check_target, open_rows
from hero_rl.errors import SignalError
from hero_rl.files import changed, unchanged
from hero_rl.measures.failures import too_many_failures
from hero_rl.types import LEARNED_YES, Progress, Verdict, Verifier

CHUNK_ROWS = 512
"""Rows measured at a time: enough to keep worker processes busy, few enough that Ctrl-C is answered soon."""
CHUNK_CHARS = 16 * 2**20
"""Characters of response text measured at a time, for long responses."""


REFERENCE_MISSING = "reference_missing"
"""The reason of a verdict on a row whose reference is empty."""


class VerifySummary(NamedTuple):
    """Counts of verdicts."""

    rows: int
    correct: int
    incorrect: int
    abstained: int
    failures: int
    reasons: dict[str, int]
    """Rows by reason code, most frequent first."""

    def warnings(self) -> list[str]:
        """Return what makes a row's verdict the same whatever the response."""
        missing = self.reasons.get(REFERENCE_MISSING, 0)
        return [f"{missing} of {self.rows} rows have an empty reference: no response to them is accepted"] if missing else []


def silent(stage: str, done: int, total: int | None, /) -> None:
    """Show no progress."""


def verify_file(
    source: Path,
    target: Path,
    verifier: Verifier,
    *,
    columns: Columns | None = None,
    max_failure_rate: float = 0.1,
    progress: Progress = silent,
) -> VerifySummary:
    """Write the rows of ``source`` to ``target`` with `verdict` and `reason` added, and return a summary.

    Args:
        source: as in ``score_file``.
        target: as in ``score_file``.
        verifier: gives the verdicts.
        columns: how the source is read, and what the rows must have; groups are not needed.
        max_failure_rate: largest share of rows on which the verifier may break.
        progress: told about every chunk.

    Raises:
        InputError: a broken row, an unusable path.
        SignalError: the verifier failed on more than ``max_failure_rate`` of the rows, and on more than one.
    """
    columns = columns or Columns(group_by=None)
    files = files_of(source)
    check_target(target, source, suffixes=ROW_SUFFIXES)
    rows = len(scan(source, columns, progress))
    reasons: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    failures = 0
    added = verdict_columns(verifier)
    with open_rows(target, source=source, columns=columns, added=added) as write, unchanged(*files):
        verdicts = judged(source, columns, verifier, rows=rows, max_failure_rate=max_failure_rate, progress=progress)
        for row, verdict in verdicts:
            write(row.record, verdict_values(verdict.value, verdict.reason, added))
            reasons[verdict.reason] += 1
            labels[verdict.label] += 1
            failures += verdict.failed
    return VerifySummary(rows, labels["correct"], labels["incorrect"], labels["abstain"], failures, dict(reasons.most_common()))


def verdict_columns(verifier: Verifier | None) -> tuple[str, ...]:
    """Return the columns that the verdicts fill: ``learned`` only if a model may have given them."""
    return ("verdict", "reason", "learned") if verifier is not None and verifier.learned else ("verdict", "reason")


def verdict_values(value: float, reason: str, added: tuple[str, ...]) -> dict[str, object]:
    """Return the columns of a verdict that are in ``added``; ``value`` as ``Verdict.value``."""
    verdict = None if math.isnan(value) else int(value > 0.0)
    columns: dict[str, object] = {"verdict": verdict, "reason": reason, "learned": value == LEARNED_YES}
    return {name: columns[name] for name in added if name in columns}


def scan(source: Path, columns: Columns, progress: Progress) -> array[int]:
    """Check every row, before anything costly starts, and return a hash of each one's ``prompt_id``."""
    hashes = array("q")  # of 64 bits: two of a million prompts collide once in 40 million files
    for row in read_rollouts(source, columns):
        hashes.append(hash(row.rollout.prompt_id))
        if len(hashes) % CHUNK_ROWS == 0:
            progress("scan", len(hashes), None)
    progress("scan", len(hashes), len(hashes))
    return hashes


def chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows, some hundred at a time, fewer if responses are long."""
    chunk: list[Row] = []
    chars = 0
    for row in rows:
        chunk.append(row)
        chars += len(row.rollout.response)
        if len(chunk) == CHUNK_ROWS or chars >= CHUNK_CHARS:
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk


def check_failures(failures: int, done: int, rows: int, max_rate: float, names: str, trouble: str) -> None:
    """Raise SignalError as soon as the whole file is sure to have too many failures."""
    if too_many_failures(failures, rows, max_rate):
        raise SignalError(
            f"{failures} of the first {done} rows failed in {names}; at most {max_rate:.0%} of the file's {rows} rows may "
            "(--max-failure-rate). "
            + (f"The first error: {trouble}" if trouble else "Is an endpoint down, a deadline too short, or a score missing?")
        )


def judged(
    source: Path, columns: Columns, verifier: Verifier, *, rows: int, max_failure_rate: float, progress: Progress
) -> Iterator[tuple[Row, Verdict]]:
    """Yield every row with its verdict, in order; ``rows`` is their number (``scan``). Raises as ``verify_file``."""
    failures, done, trouble = 0, 0, ""
    for chunk in chunks(read_rollouts(source, columns)):
        verdicts = verifier.verify([row.rollout for row in chunk])
        broken = [verdict.detail for verdict in verdicts if verdict.failed]
        failures, trouble = failures + len(broken), trouble or next(filter(None, broken), "")
        done += len(chunk)
        check_failures(failures, done, rows, max_failure_rate, verifier.name, trouble)
        yield from zip(chunk, verdicts, strict=True)
        progress("verify", done, rows)
    if done != rows:
        raise changed(source)
