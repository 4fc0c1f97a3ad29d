"""A rollouts file to a scored one: the texts are read several times and never kept, the numbers are.

scan      every row is checked before anything costly starts; which rows form a group
measure   verdicts and scores, some hundred rows at a time, in the file's order
shape     rewards, weights and advantages: the file is ONE batch, the first of its rule, so that sigma-bar of Eq. 4 is the
          plain mean over its prompts
write     the rows again, in the file's order, with the new columns
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hero_rl.data.rollouts import Columns, read_rollouts, rollout_records
from hero_rl.data.tables import files_of
from hero_rl.data.verify import (
    CHUNK_ROWS,
    VerifySummary,
    check_failures,
    chunks,
    scan,
    silent,
    verdict_columns,
    verdict_values,
)  # fmt: skip
from hero_rl.data.write import ROW_SUFFIXES, check_target, open_rows
from hero_rl.errors import InputError
from hero_rl.files import changed, stamps, unchanged
from hero_rl.pipeline import Batch, HybridReward, Signals, assemble
from hero_rl.rewards import SCALES, Scale
from hero_rl.rewards.diagnostics import GroupShares, group_shares, split_strata
from hero_rl.rewards.groups import Groups, any_differ
from hero_rl.types import FloatArray, Progress, StepScorer, json_number


class ScoreSummary(NamedTuple):
    """Statistics of a scored file. An abstention counts as incorrect, as it does in the rules."""

    verdicts: VerifySummary
    groups: GroupShares
    mean_reward: dict[str, float | None]
    """By verdict: correct, incorrect, abstain; None where there is no such row."""
    mean_abs_advantage: dict[str, float | None]
    """By stratum: rows of mixed groups by verdict, rows of uniform groups; None where there is no such row."""
    sigma_mean: float | None
    """The sigma-bar used for every prompt; None for rules without one."""
    state_metrics: dict[str, float]
    """Other values of the rule's state after the file (``RuleState.metrics``)."""
    missing_scores: int
    flat: bool
    """Whether no group has scores that differ."""
    scale: Scale


def score_file(
    source: Path,
    target: Path,
    reward: HybridReward | Callable[[], HybridReward],
    *,
    columns: Columns | None = None,
    scale: Scale | None = None,
    keep_rm_score: bool = False,
    progress: Progress = silent,
) -> ScoreSummary:
    """Write the rows of ``source`` to ``target``, in the same order, with the scored columns added, and return a summary.

    The columns: `verdict` (1, 0 or null), `reason`, `learned` (true where only a model says correct; where the verifier has a
    model), `rm_score` (where there is a reward model), `step_scores` (where it judges steps), `reward`, `weight`, `advantage`
    (the weight is already multiplied into it). Columns of these names that were there before are replaced.

    Args:
        source: rollouts in any format and kind of file, a folder or a pattern of files.
        target: `.jsonl`, `.jsonl.gz` or `.parquet`; appears when everything is done, and not before.
        reward: verifier, reward model and rule; its own running state is neither used nor changed. Or a function that makes
            one, which is called once every row has been checked, and whose result is closed at the end: a reward model may
            take minutes to load.
        columns: how the source is read, and what the rows must have.
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
    files = files_of(source)
    check_target(target, source, suffixes=ROW_SUFFIXES)
    before = stamps(*files)
    groups = _groups(scan(source, columns, progress))
    with nullcontext(reward) if isinstance(reward, HybridReward) else reward() as made:
        added = _added(made, keep_rm_score=keep_rm_score)
        with open_rows(target, source=source, columns=columns, added=added) as write, unchanged(*files, before=before):
            measured = _measure(source, columns, made, groups.index_B.size, progress)
            batch = assemble(made.rule, measured.signals, groups, made.rule.init(), scale=scale)
            rows = batch.rewards.size
            progress("shape", rows, rows)
            new = _new_values(batch, map(measured.reasons.__getitem__, measured.codes), added)
            for done, (record, values) in enumerate(zip(rollout_records(source, columns), new, strict=False), 1):
                write(record, values)
                if done % CHUNK_ROWS == 0 or done == rows:
                    progress("write", done, rows)
        return _summary(batch, groups, measured, scale or made.rule.scale, scored=made.scorer is not None)


def _groups(hashes: array[int]) -> Groups:
    """Return the group of every row, numbered in the order in which they come."""
    _, first_P, index_B = np.unique(np.frombuffer(hashes, dtype=np.int64), return_index=True, return_inverse=True)
    return Groups(np.argsort(np.argsort(first_P))[index_B], first_P.size)


def _added(reward: HybridReward, *, keep_rm_score: bool) -> tuple[str, ...]:
    """Return the columns that scoring with ``reward`` adds."""
    scores = ("rm_score",) if reward.scorer is not None and not keep_rm_score else ()
    steps = ("step_scores",) if isinstance(reward.scorer, StepScorer) else ()
    return (*verdict_columns(reward.verifier), *scores, *steps, "reward", "weight", "advantage")


def _new_values(batch: Batch, reasons: Iterable[str], added: tuple[str, ...]) -> Iterator[dict[str, object]]:
    """Yield the columns in ``added`` of every row of a batch, in order."""
    signals = batch.signals
    steps = signals.step_scores or repeat(None)
    # no list of all rows: boxed numbers take several times the memory of the arrays
    arrays = (map(float, one) for one in (signals.verdicts, signals.scores, batch.rewards, batch.weights, batch.advantages))
    for verdict, score, reward, weight, advantage, reason, scores in zip(*arrays, reasons, steps, strict=False):
        values: dict[str, object] = {
            **verdict_values(verdict, reason, added),
            "rm_score": json_number(score),
            "step_scores": None if scores is None else [json_number(value) for value in scores.tolist()],
            "reward": json_number(reward),
            "weight": json_number(weight),
            "advantage": json_number(advantage),
        }
        yield {name: values[name] for name in added}


class _Measured(NamedTuple):
    signals: Signals
    codes: NDArray[np.uint32]
    """Shape (B,), the place of each row's reason in ``reasons``."""
    reasons: tuple[str, ...]
    failures: int


def _measure(source: Path, columns: Columns, reward: HybridReward, rows: int, progress: Progress) -> _Measured:
    verdicts, scores, codes = np.empty(rows), np.empty(rows), np.empty(rows, dtype=np.uint32)
    reasons: dict[str, int] = {}
    steps: list[FloatArray] = []
    names = " and ".join(part.name for part in (reward.verifier, reward.scorer) if part is not None)
    done, failures, trouble = 0, 0, ""
    for chunk in chunks(read_rollouts(source, columns)):
        found, part = reward.measure([row.rollout for row in chunk]), slice(done, done + len(chunk))
        done += len(chunk)
        if done > rows:
            break
        verdicts[part], scores[part] = found.verdicts, found.scores
        codes[part] = [reasons.setdefault(reason, len(reasons)) for reason in found.reasons]
        steps += found.step_scores or ()
        failures += int(reward.failures(found).sum())
        trouble = trouble or found.trouble
        check_failures(failures, done, rows, reward.max_failure_rate, names, trouble)
        progress("verify and score", done, rows)
    if done != rows:
        raise changed(source)
    signals = Signals.plain(verdicts, scores)._replace(step_scores=tuple(steps) or None)
    return _Measured(signals, codes, tuple(reasons), failures)


def _summary(batch: Batch, groups: Groups, measured: _Measured, scale: Scale, *, scored: bool) -> ScoreSummary:
    verdicts, scores = batch.signals[:2]
    by_verdict = {"correct": verdicts > 0.0, "incorrect": verdicts == 0.0, "abstain": np.isnan(verdicts)}
    correct, incorrect, abstained = (int(rows.sum()) for rows in by_verdict.values())
    reasons = Counter(dict(zip(measured.reasons, np.bincount(measured.codes).tolist(), strict=True)))
    strata = split_strata(verdicts, groups)._asdict()
    return ScoreSummary(
        VerifySummary(verdicts.size, correct, incorrect, abstained, measured.failures, dict(reasons.most_common())),
        group_shares(verdicts, batch.advantages, groups),
        mean_reward={name: _mean(batch.rewards[rows]) for name, rows in by_verdict.items()},
        mean_abs_advantage={name: _mean(np.abs(batch.advantages[rows])) for name, rows in strata.items()},
        sigma_mean=json_number(batch.sigma_mean),
        state_metrics=batch.state.metrics(),
        missing_scores=int(np.isnan(scores).sum()) if scored else 0,
        flat=scored and not any_differ(scores, groups),
        scale=scale,
    )


def _mean(values: FloatArray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
