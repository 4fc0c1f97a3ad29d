"""A rollouts file to a scored one, streaming: the texts are read several times and never kept.

    scan      every row is checked before anything costly starts; which rows form a group
    measure   verdicts and scores, some hundred rows at a time, in the file's order
    shape     rewards, weights and advantages, on numbers alone, a block of whole groups at a time
    write     the rows again, in the file's order, with the new columns

A file is ONE batch: what a rule remembers comes of all prompts of the file, which count alike, and is frozen for all of them.
sigma-bar of Eq. 4 is the plain mean.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hero_rl.data.new_columns import score_columns, scored_values, verdict_values, verify_columns
from hero_rl.data.numbers import RECORD, NumberFile, RaggedFile, Records
from hero_rl.data.output import check_writable, open_writer
from hero_rl.data.rollouts import Columns, Record, Row, check_readable, read_records, read_rollouts
from hero_rl.data.shaping import Progress, shape
from hero_rl.data.summary import GroupSummary, summarize
from hero_rl.errors import InputError, SignalError
from hero_rl.files import changed, unchanged
from hero_rl.pipeline import HybridReward, too_many_failures
from hero_rl.rewards import SCALES, Scale
from hero_rl.types import Rollout, Verifier

logger = logging.getLogger(__name__)

CHUNK_ROWS = 512
"""Rows measured at a time: enough to keep worker processes busy, few enough that Ctrl-C is answered soon."""
CHUNK_CHARS = 16 * 2**20
"""Characters of response text measured at a time, where responses are long."""


class VerifySummary(NamedTuple):
    """What ``verify_file`` did."""

    rows: int
    correct: int
    incorrect: int
    abstained: int
    failures: int
    reasons: dict[str, int]
    """Rows by reason code, most frequent first."""


class ScoreSummary(NamedTuple):
    """What ``score_file`` did."""

    verdicts: VerifySummary
    groups: GroupSummary
    sigma_mean: float | None
    """The sigma-bar used for every prompt; None for rules without one."""
    state_metrics: dict[str, float]
    """What else the rule's state, frozen for all prompts, says of itself (``RuleState.metrics``)."""
    missing_scores: int
    scale: Scale
    contiguous: bool
    """False: rows of one group were apart and had to be brought together."""


def _silent(stage: str, done: int, total: int | None, /) -> None:
    """No progress display."""


def score_file(
    source: Path,
    target: Path,
    reward: HybridReward | Callable[[], HybridReward],
    *,
    columns: Columns | None = None,
    scale: Scale | None = None,
    keep_rm_score: bool = False,
    progress: Progress = _silent,
) -> ScoreSummary:
    """What was done; ``target`` then holds the rows of ``source``, in the same order, with the scored columns added.

    The columns: `verdict` (1, 0 or null), `reason`, `learned` (true where only a model says correct; where the verifier has a
    model), `rm_score` (where there is a reward model), `step_scores` (where it judges steps), `reward`, `weight`, `advantage`
    (the weight is already multiplied into it). Columns of these names that were there before are replaced.

    Args:
        source: `.jsonl`, `.jsonl.gz` or `.parquet`, a regular file.
        target: likewise; appears when everything is done, and not before.
        reward: verifier, reward model and rule; its own running state is neither used nor changed. Or a function that makes
            one, which is called once every row has been checked, and whose result is closed at the end: a reward model may
            take minutes to load.
        columns: what the rows must have.
        scale: normalisation of the advantages; None: the rule's own.
        keep_rm_score: leave the column `rm_score` as it stands, because the scores were read from it.
        progress: told about every chunk.

    Raises:
        InputError: a broken row, an unusable path.
        SignalError: verifier or reward model failed on more than ``reward.max_failure_rate`` of the rows, and on more than one.
    """
    columns = columns or Columns()
    if scale is not None and scale not in SCALES:
        raise InputError(f"scale={scale!r} is unknown; choose one of {', '.join(SCALES)}")
    check_readable(source)
    check_writable(target, source=source)
    with NumberFile(target.parent) as numbers:
        contiguous = _scan(source, columns, numbers, progress)
        if isinstance(reward, HybridReward):
            return _score(source, target, reward, columns, scale, keep_rm_score, numbers, contiguous, progress)
        with reward() as made:
            return _score(source, target, made, columns, scale, keep_rm_score, numbers, contiguous, progress)


def _score(
    source: Path,
    target: Path,
    reward: HybridReward,
    columns: Columns,
    scale: Scale | None,
    keep_rm_score: bool,
    numbers: NumberFile,
    contiguous: bool,
    progress: Progress,
) -> ScoreSummary:
    scale = reward.rule.scale if scale is None else scale
    added = score_columns(reward, keep_rm_score=keep_rm_score)
    with (
        open_writer(target, source=source, added=added) as write,
        unchanged(source),
        RaggedFile(target.parent) as step_scores,
    ):
        reasons, failures = _measure(source, columns, reward, numbers, step_scores, progress)
        sigma_mean, state = shape(numbers, reward.rule, scale, contiguous=contiguous, progress=progress)
        codes, steps = list(reasons), iter(step_scores)
        for record, shaped in _with_numbers(source, numbers, progress):
            write(record, scored_values(shaped, codes, next(steps, None), added))
    groups = summarize(numbers.blocks(contiguous=contiguous))
    verdicts = _verdict_counts(numbers, reasons, failures)
    return ScoreSummary(verdicts, groups, sigma_mean, state.metrics(), _missing(numbers, reward), scale, contiguous)


def verify_file(
    source: Path,
    target: Path,
    verifier: Verifier,
    *,
    columns: Columns | None = None,
    max_failure_rate: float = 0.1,
    progress: Progress = _silent,
) -> VerifySummary:
    """What was done; ``target`` then holds the rows of ``source`` with `verdict` and `reason` added.

    Args:
        source: as in ``score_file``.
        target: as in ``score_file``.
        verifier: gives the verdicts.
        columns: what the rows must have; groups are not needed.
        max_failure_rate: largest share of rows on which the verifier may break.
        progress: told about every chunk.

    Raises:
        InputError: a broken row, an unusable path.
        SignalError: the verifier failed on more than ``max_failure_rate`` of the rows, and on more than one.
    """
    columns = columns or Columns(group_by=None)
    check_readable(source)
    check_writable(target, source=source)
    total = 0
    for total, _ in enumerate(read_rollouts(source, columns), start=1):
        _tick(progress, "scan", total, None)
    progress("scan", total, total)
    reasons: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    failures = done = 0
    added = verify_columns(verifier)
    with open_writer(target, source=source, added=added) as write, unchanged(source):
        for chunk in chunks(read_rollouts(source, columns)):
            verdicts = verifier.verify([row.rollout for row in chunk])
            for row, verdict in zip(chunk, verdicts, strict=True):
                write(row.record, verdict_values(verdict.value, verdict.reason, added))
            reasons.update(verdict.reason for verdict in verdicts)
            labels.update(verdict.label for verdict in verdicts)
            failures += sum(verdict.failed for verdict in verdicts)
            done += len(chunk)
            _check_failures(failures, done, total, max_failure_rate, verifier.name)
            progress("verify", done, total)
        if done != total:
            raise changed(source)
    return VerifySummary(
        total, labels["correct"], labels["incorrect"], labels["abstain"], failures, dict(reasons.most_common())
    )


def _scan(source: Path, columns: Columns, numbers: NumberFile, progress: Progress) -> bool:
    """True where the rows of every group stand together; fills ``numbers`` with one record a row."""
    runs, pending = array("Q"), array("Q")
    for done, row in enumerate(read_rollouts(source, columns), start=1):
        group = _group_hash(row.rollout)
        pending.append(group)
        if not runs or runs[-1] != group:
            runs.append(group)
        if len(pending) == CHUNK_ROWS:
            numbers.append(np.array(pending, dtype=np.uint64))
            del pending[:]
        _tick(progress, "scan", done, None)
    numbers.append(np.array(pending, dtype=np.uint64))
    progress("scan", numbers.rows, numbers.rows)
    ordered = np.sort(np.frombuffer(runs, dtype=np.uint64))
    contiguous = not (ordered[1:] == ordered[:-1]).any()
    if not contiguous:
        logger.warning(
            "%s: rows of one prompt are apart; bringing them together takes about %d MB of memory. The output keeps the order "
            "of the input.", source, math.ceil(numbers.rows * (RECORD.itemsize + 8) / 1e6),
        )  # fmt: skip
    return contiguous


def _group_hash(rollout: Rollout) -> int:
    # 64 bits: two of a million prompts collide once in 40 million files
    return hash(rollout.prompt_id) & 0xFFFF_FFFF_FFFF_FFFF


def chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows, some hundred at a time, fewer where responses are long."""
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


def _measure(
    source: Path, columns: Columns, reward: HybridReward, numbers: NumberFile, step_scores: RaggedFile, progress: Progress
) -> tuple[dict[str, int], int]:
    """Reason codes with their numbers, and how many rows failed; fills verdict, reason, score and scores of steps."""
    codes: dict[str, int] = {}
    done = failures = 0
    names = " and ".join(part.name for part in (reward.verifier, reward.scorer) if part is not None)
    for chunk in chunks(read_rollouts(source, columns)):
        rollouts = [row.rollout for row in chunk]
        signals = reward.measure(rollouts)
        records = numbers.read(done, done + len(chunk))
        if records.size != len(chunk) or records["group"].tolist() != [_group_hash(rollout) for rollout in rollouts]:
            raise changed(source)
        records["verdict"], records["score"] = signals.verdicts, signals.scores
        records["reason"] = [codes.setdefault(reason, len(codes)) for reason in signals.reasons]
        numbers.write(done, records)
        for values in signals.step_scores or ():
            step_scores.append(values)
        done += len(chunk)
        failures += int(reward.failures(signals).sum())
        _check_failures(failures, done, numbers.rows, reward.max_failure_rate, names)
        progress("verify and score", done, numbers.rows)
    if done != numbers.rows:
        raise changed(source)
    return codes, failures


def _check_failures(failures: int, done: int, total: int, max_rate: float, names: str) -> None:
    """Raise as soon as the whole file is sure to have too many failures."""
    if too_many_failures(failures, total, max_rate):
        raise SignalError(
            f"{failures} of the first {done} rows failed in {names}; at most {max_rate:.0%} of the file's {total} rows may "
            "(--max-failure-rate). Is an endpoint down, a deadline too short, or a score missing?"
        )


def _with_numbers(source: Path, numbers: NumberFile, progress: Progress) -> Iterator[tuple[Record, Records]]:
    done = 0
    shaped = numbers.read(0, CHUNK_ROWS)
    for record in read_records(source):
        if done >= numbers.rows:
            break
        if done % CHUNK_ROWS == 0:
            shaped = numbers.read(done, done + CHUNK_ROWS)
            progress("write", done, numbers.rows)
        yield record, shaped[done % CHUNK_ROWS]
        done += 1
    if done != numbers.rows:
        raise changed(source)
    progress("write", done, done)


def _verdict_counts(numbers: NumberFile, codes: dict[str, int], failures: int) -> VerifySummary:
    reasons = np.zeros(len(codes), dtype=np.int64)
    correct = incorrect = 0
    for block in numbers.blocks(contiguous=True):
        reasons += np.bincount(block["reason"], minlength=len(codes))
        correct += int((block["verdict"] > 0.0).sum())
        incorrect += int((block["verdict"] == 0.0).sum())
    by_reason = dict(sorted(zip(codes, reasons.tolist(), strict=True), key=lambda item: -item[1]))
    return VerifySummary(numbers.rows, correct, incorrect, numbers.rows - correct - incorrect, failures, by_reason)


def _missing(numbers: NumberFile, reward: HybridReward) -> int:
    if reward.scorer is None:
        return 0
    return sum(int(np.isnan(block["score"]).sum()) for block in numbers.blocks(contiguous=True))


def _tick(progress: Progress, stage: str, done: int, total: int | None) -> None:
    if done % CHUNK_ROWS == 0:
        progress(stage, done, total)
