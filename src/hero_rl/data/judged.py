"""A rollouts file in chunks, and its rows with their verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hero_rl.data.rollouts import Columns, Row, check_readable, read_records, read_rollouts
from hero_rl.errors import SignalError
from hero_rl.files import changed
from hero_rl.pipeline import too_many_failures
from hero_rl.types import Progress, Verdict, Verifier

CHUNK_ROWS = 512
"""Rows measured at a time: enough to keep worker processes busy, few enough that Ctrl-C is answered soon."""
CHUNK_CHARS = 16 * 2**20
"""Characters of response text measured at a time, where responses are long."""


def group_column(source: Path, asked: str | None) -> str:
    """The column that tells prompts apart: as asked, or else `prompt_id` where the first row has it, or else `problem`."""
    if asked is not None:
        return asked
    check_readable(source)
    first = next(islice(read_records(source), 1))
    return "prompt_id" if "prompt_id" in first.values else "problem"


def count_rows(source: Path, columns: Columns, progress: Progress) -> int:
    """How many rows there are, each of them checked: before anything costly starts."""
    rows = 0
    for rows, _ in enumerate(read_rollouts(source, columns), start=1):
        if rows % CHUNK_ROWS == 0:
            progress("scan", rows, None)
    progress("scan", rows, rows)
    return rows


def chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows, some hundred at a time, fewer where responses are long."""
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


def check_failures(failures: int, done: int, rows: int, max_rate: float, names: str) -> None:
    """Raise as soon as the whole file is sure to have too many failures.

    Raises:
        SignalError: it has.
    """
    if too_many_failures(failures, rows, max_rate):
        raise SignalError(
            f"{failures} of the first {done} rows failed in {names}; at most {max_rate:.0%} of the file's {rows} rows may "
            "(--max-failure-rate). Is an endpoint down, a deadline too short, or a score missing?"
        )


def judged(
    source: Path, columns: Columns, verifier: Verifier, *, rows: int, max_failure_rate: float, progress: Progress
) -> Iterator[tuple[Row, Verdict]]:
    """Every row with its verdict, in order.

    Args:
        source: a rollouts file.
        columns: what its rows must have.
        verifier: gives the verdicts.
        rows: how many there are (``count_rows``).
        max_failure_rate: largest share of rows on which the verifier may break.
        progress: told about every chunk.

    Raises:
        InputError: a broken row.
        SignalError: the verifier failed on more than ``max_failure_rate`` of the rows, and on more than one.
    """
    failures = done = 0
    for chunk in chunks(read_rollouts(source, columns)):
        verdicts = verifier.verify([row.rollout for row in chunk])
        failures += sum(verdict.failed for verdict in verdicts)
        done += len(chunk)
        check_failures(failures, done, rows, max_failure_rate, verifier.name)
        yield from zip(chunk, verdicts, strict=True)
        progress("verify", done, rows)
    if done != rows:
        raise changed(source)


def verifier_facts(spec: str, verifier: Verifier) -> dict[str, object]:
    """For the manifest: the string, and everything that decides a verdict where the verifier can say it."""
    return {"verifier": spec, "name": verifier.name, "identity": verifier.identity}
