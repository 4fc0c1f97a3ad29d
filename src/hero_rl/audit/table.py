"""A rollouts file as arrays of numbers, in one pass: texts are judged, measured and forgotten.

About 100 bytes a row stay in memory, and at most ``MAX_ROWS`` rows: of a larger file whole prompts are drawn, by a hash of
their identifier, so the same file always gives the same sample.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hero_rl.data.judged import chunks
from hero_rl.data.rollouts import Columns, Row, place, read_rollouts
from hero_rl.errors import InputError
from hero_rl.types import FloatArray, IntArray, Progress, Rollout, Scorer, Verdict, Verifier

MAX_ROWS = 2_000_000
MAX_EXAMPLES = 12
"""Disagreements kept of each kind, drawn by hash."""
MAX_TEXT = 400
REPETITION_SHARE = 4


class Example(NamedTuple):
    """A row on which a verifier and the label, or two verifiers, disagree."""

    kind: str
    """What disagrees, such as ``math rejects a right answer``."""
    where: str
    """File and line."""
    problem: str
    reference: str
    response: str
    """The end of it."""
    detail: str
    """What the verifier compared, or its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The numbers of a rollouts file. B rows, P prompts."""

    groups: IntArray
    """Shape (B,), the prompt of each row, 0 .. P - 1."""
    labels: FloatArray
    """Shape (B,), the trusted label: 1, 0, or NaN where there is none."""
    verdicts: Mapping[str, FloatArray]
    """By verifier, shape (B,): as ``Verdict.value``."""
    scores: Mapping[str, FloatArray]
    """By reward model, shape (B,); NaN where missing."""
    chars: FloatArray
    """Shape (B,), characters of the response."""
    repetition: FloatArray
    """Shape (B,), share of the response that compression takes away (0.5 is plain prose, 0.9 a loop); NaN: not measured, as in
    rows without a training step and in all but one of ``REPETITION_SHARE`` prompts."""
    steps: FloatArray
    """Shape (B,), training step; NaN where the file has none."""
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    """By verifier, rows by reason."""
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    """By verifier, rows on which it broke."""
    examples: Sequence[Example] = ()
    rows_in_file: int = 0

    @property
    def rows(self) -> int:
        """B, the rows that were kept."""
        return self.groups.size

    @property
    def prompts(self) -> int:
        """P."""
        return int(self.groups.max()) + 1 if self.groups.size else 0

    @property
    def labelled(self) -> bool:
        """Whether any row has a trusted label."""
        return bool((~np.isnan(self.labels)).any())

    def where(self, rows_B: np.ndarray) -> Table:
        """The table of some rows (a mask), prompts numbered anew."""
        groups = np.unique(self.groups[rows_B], return_inverse=True)[1].astype(np.intp)
        return Table(
            groups=groups, labels=self.labels[rows_B], chars=self.chars[rows_B], repetition=self.repetition[rows_B],
            verdicts={name: values[rows_B] for name, values in self.verdicts.items()},
            scores={name: values[rows_B] for name, values in self.scores.items()},
            steps=self.steps[rows_B], rows_in_file=self.rows_in_file,
        )  # fmt: skip


def read_table(
    source: Path,
    verifiers: Sequence[Verifier],
    scorers: Sequence[Scorer],
    *,
    label: str | None = None,
    group_by: str = "prompt_id",
    columns: Columns | None = None,
    boxed: bool = False,
    max_rows: int = MAX_ROWS,
    progress: Progress = lambda stage, done, total: None,
) -> Table:
    """The table of a file; every row is checked, and every verifier and reward model asked once.

    Args:
        source: a rollouts file.
        verifiers: whose verdicts to compare.
        scorers: whose scores to look at.
        label: the column with the trusted label; None: there is none.
        group_by: the column that tells prompts apart.
        columns: what to demand of the rows; by default the label and ``group_by``.
        boxed: the responses are bare answers: verifiers get each in a box, as the end of a solution would have it, and the
            reference without the `$` around it, as graders of solutions expect.
        max_rows: rows to keep in memory.
        progress: told about every chunk.

    Raises:
        InputError: a broken row (with file and line), no rows, or a `step` that is no number.
    """
    names = [part.name for part in (*verifiers, *scorers)]
    if len(set(names)) < len(names):
        raise InputError(f"the same verifier or reward model twice: {', '.join(names)}; name each once")
    columns = columns or Columns(group_by=group_by, labels=(label,) if label else ())
    keep = _Keep(max_rows, [v.name for v in verifiers], [s.name for s in scorers])
    examples = _Examples()
    reasons: dict[str, Counter[str]] = {verifier.name: Counter() for verifier in verifiers}
    failures: Counter[str] = Counter()
    done = 0
    for chunk in chunks(read_rollouts(source, columns)):
        rollouts = [row.rollout for row in chunk]
        judged = [_as_solution(rollout) for rollout in rollouts] if boxed else rollouts
        verdicts = {verifier.name: verifier.verify(judged) for verifier in verifiers}
        scores = {scorer.name: np.asarray(scorer.score(rollouts), dtype=np.float64) for scorer in scorers}
        labels = _labels(rollouts, label)
        keep.add(rollouts, labels, verdicts, scores, _steps(source, chunk))
        for name, given in verdicts.items():
            reasons[name].update(verdict.reason for verdict in given)
            failures[name] += sum(verdict.failed for verdict in given)
        examples.look(source, chunk, labels, verdicts)
        done += len(chunk)
        progress("read and judge", done, None)
    return keep.table(reasons, failures, examples.found(), done)


def _as_solution(rollout: Rollout) -> Rollout:
    reference = rollout.reference.strip()
    if len(reference) > 2 and reference[0] == reference[-1] == "$" and "$" not in reference[1:-1]:
        reference = reference[1:-1]
    return replace(rollout, response=f"\\boxed{{{rollout.response}}}", reference=reference)


def _labels(rollouts: Sequence[Rollout], label: str | None) -> FloatArray:
    if label is None:
        return np.full(len(rollouts), np.nan)
    values = [rollout.extra[label] for rollout in rollouts]
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _steps(source: Path, chunk: Sequence[Row]) -> FloatArray:
    steps = np.full(len(chunk), np.nan)
    for number, row in enumerate(chunk):
        step = row.rollout.extra.get("step")
        if step is None:
            continue
        if isinstance(step, bool) or not isinstance(step, int | float):
            raise InputError(
                f"{place(source, row.record.number)}: column 'step' must be a number or null, got {step!r}; it is the training "
                "step at which the response was sampled: rename the column if it is something else"
            )
        steps[number] = step
    return steps


def prompt_hash(prompt_id: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(prompt_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class _Keep:
    """Columns that grow by chunks, thinned to whole prompts where the file is too large."""

    def __init__(self, max_rows: int, verifiers: Sequence[str], scorers: Sequence[str]) -> None:
        self._max_rows, self._limit = max_rows, 2**64
        self._verifiers, self._scorers = verifiers, scorers
        self._parts: dict[str, list[np.ndarray]] = {}
        self._rows = 0

    def add(
        self,
        rollouts: Sequence[Rollout],
        labels: FloatArray,
        verdicts: Mapping[str, Sequence[Verdict]],
        scores: Mapping[str, FloatArray],
        steps: FloatArray,
    ) -> None:
        of_prompt = {prompt_id: prompt_hash(prompt_id) for prompt_id in {rollout.prompt_id for rollout in rollouts}}
        hashes = np.array([of_prompt[rollout.prompt_id] for rollout in rollouts], dtype=np.uint64)
        # compression costs as much as reading: whole prompts by hash, where training steps make a curve of it
        measured = ~np.isnan(steps) & (hashes % np.uint64(REPETITION_SHARE) == 0)
        columns: dict[str, np.ndarray] = {
            "hash": hashes,
            "label": labels,
            "chars": np.array([len(rollout.response) for rollout in rollouts], dtype=np.float64),
            "repetition": np.array(
                [_repetition(rollout.response) if due else np.nan for rollout, due in zip(rollouts, measured, strict=True)]
            ),
            "step": steps,
        }
        columns |= {f"v:{name}": np.array([verdict.value for verdict in given]) for name, given in verdicts.items()}
        columns |= {f"s:{name}": values for name, values in scores.items()}
        kept = hashes < np.uint64(self._limit) if self._limit < 2**64 else np.ones(len(rollouts), dtype=np.bool_)
        for name, values in columns.items():
            self._parts.setdefault(name, []).append(values[kept])
        self._rows += int(kept.sum())
        while self._rows > self._max_rows:
            self._limit //= 2
            self._thin()

    def _thin(self) -> None:
        kept = np.concatenate(self._parts["hash"]) < np.uint64(self._limit)
        self._parts = {name: [np.concatenate(parts)[kept]] for name, parts in self._parts.items()}
        self._rows = int(kept.sum())

    def table(
        self,
        reasons: Mapping[str, Mapping[str, int]],
        failures: Mapping[str, int],
        examples: Sequence[Example],
        rows_in_file: int,
    ) -> Table:
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        return Table(
            groups=np.unique(columns["hash"], return_inverse=True)[1].astype(np.intp),
            labels=columns["label"],
            verdicts={name: columns[f"v:{name}"] for name in self._verifiers},
            scores={name: columns[f"s:{name}"] for name in self._scorers},
            chars=columns["chars"],
            repetition=columns["repetition"],
            steps=columns["step"],
            reasons=reasons,
            failures=failures,
            examples=examples,
            rows_in_file=rows_in_file,
        )


def _repetition(text: str) -> float:
    data = text.encode("utf-8", "surrogatepass")
    return max(0.0, 1.0 - len(zlib.compress(data, 1)) / len(data)) if len(data) >= 64 else 0.0


class _Examples:
    """The disagreements worth reading: of each kind the few whose hash is smallest, a sample that does not depend on order."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[tuple[int, Example]]] = {}

    def look(self, source: Path, chunk: Sequence[Row], labels: FloatArray, verdicts: Mapping[str, Sequence[Verdict]]) -> None:
        names = list(verdicts)
        for number, row in enumerate(chunk):
            given = {name: verdicts[name][number] for name in names}
            if not np.isnan(labels[number]):
                for name, verdict in given.items():
                    self._against_label(source, row, bool(labels[number]), name, verdict)
            elif len(names) > 1:
                self._against_each_other(source, row, given)

    def _against_label(self, source: Path, row: Row, right: bool, name: str, verdict: Verdict) -> None:
        if verdict.label == "incorrect" and right:
            self._keep(f"{name} rejects a right answer", source, row, verdict)
        elif verdict.label == "correct" and not right:
            self._keep(f"{name} accepts a wrong answer", source, row, verdict)

    def _against_each_other(self, source: Path, row: Row, given: Mapping[str, Verdict]) -> None:
        yes = [name for name, verdict in given.items() if verdict.label == "correct"]
        no = [name for name, verdict in given.items() if verdict.label == "incorrect"]
        if yes and no:
            self._keep(f"{', '.join(yes)} accepts, {', '.join(no)} rejects", source, row, given[no[0]])

    def _keep(self, kind: str, source: Path, row: Row, verdict: Verdict) -> None:
        kept = self._kinds.setdefault(kind, [])
        rank = prompt_hash(f"{row.rollout.prompt_id}\0{row.rollout.response}")
        if len(kept) == MAX_EXAMPLES and rank >= kept[-1][0]:
            return
        rollout = row.rollout
        tail = rollout.response if len(rollout.response) <= MAX_TEXT else "... " + rollout.response[-MAX_TEXT:]
        detail = verdict.reason + (f": {verdict.detail}" if verdict.detail else "")
        example = Example(
            kind,
            place(source, row.record.number),
            rollout.problem[:MAX_TEXT],
            rollout.reference[:MAX_TEXT],
            tail,
            detail[:MAX_TEXT],
        )
        kept.append((rank, example))
        kept.sort(key=lambda pair: pair[0])
        del kept[MAX_EXAMPLES:]

    def found(self) -> list[Example]:
        return [example for kept in self._kinds.values() for _, example in kept]
