"""A rollouts file as arrays of numbers, read in one pass.

About 100 bytes per row stay in memory, and at most ``MAX_ROWS`` rows: of a larger file whole prompts are drawn, by a hash of
their identifier, so the same file always gives the same sample.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hero_rl.data.rollouts import Columns, Row, read_rollouts
from hero_rl.data.verify import chunks
from hero_rl.errors import InputError
from hero_rl.types import FloatArray, IntArray, Progress, Rollout, Scorer, Verdict, Verifier

MAX_ROWS = 2_000_000
MAX_EXAMPLES = 12
"""Disagreements kept per kind, drawn by hash."""
MAX_TEXT = 400
REPETITION_SHARE = 4


class Example(NamedTuple):
    """A row on which a verifier and the label, or two verifiers, disagree."""

    kind: str
    """Such as ``math rejects a right answer``."""
    where: str
    """File and line."""
    problem: str
    reference: str
    response: str
    """The end of it."""
    detail: str
    """The verifier's reason and what it compared."""
    row: int
    """Its number among the rows of the file, from 0."""


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
    """Shape (B,), share of the last ``MAX_TEXT`` characters, as it grows with length, that compression takes away (0.4 is plain
    prose, 0.9 a loop); NaN: not measured, as in rows without a training step and in all but one of ``REPETITION_SHARE``
    prompts."""
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
        """B."""
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
        """Return the table of some rows (a mask), prompts numbered anew."""
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
    columns: Columns,
    label: str | None = None,
    boxed: bool = False,
    max_rows: int = MAX_ROWS,
    progress: Progress = lambda stage, done, total: None,
) -> Table:
    """Read a file; every row is checked, and every verifier and reward model asked once.

    Args:
        source: rollouts.
        verifiers: give the verdicts.
        scorers: give the scores.
        columns: how the source is read, and the columns that every row must have.
        label: the column with the trusted label; None: there is none.
        boxed: the responses are bare answers: verifiers get each in a box, as the end of a solution would have it, and the
            reference without the `$` around it, as graders of solutions expect.
        max_rows: most rows to keep in memory.
        progress: told about every chunk.

    Raises:
        InputError: a broken row (with file and line), no rows, or a `step` that is no number.
    """
    names = [part.name for part in (*verifiers, *scorers)]
    if len(set(names)) < len(names):
        raise InputError(f"the same verifier or reward model twice: {', '.join(names)}; name each once")
    keep, examples = _Keep(max_rows), _Examples()
    reasons: dict[str, Counter[str]] = {verifier.name: Counter() for verifier in verifiers}
    failures: Counter[str] = Counter()
    done = 0
    for chunk in chunks(read_rollouts(source, columns)):
        rollouts = [row.rollout for row in chunk]
        judged = [as_solution(rollout) for rollout in rollouts] if boxed else rollouts
        verdicts = {verifier.name: verifier.verify(judged) for verifier in verifiers}
        labels = _labels(rollouts, label)
        keep.add(
            _text_columns(rollouts, _steps(chunk)) | {"label": labels}
            | {f"v:{name}": np.array([verdict.value for verdict in given]) for name, given in verdicts.items()}
            | {f"s:{scorer.name}": np.asarray(scorer.score(rollouts), dtype=np.float64) for scorer in scorers}
        )  # fmt: skip
        for name, given in verdicts.items():
            reasons[name].update(verdict.reason for verdict in given)
            failures[name] += sum(verdict.failed for verdict in given)
        examples.look(chunk, labels, verdicts, first=done)
        done += len(chunk)
        progress("read and judge", done, None)
    kept = keep.columns()
    return Table(
        groups=np.unique(kept["hash"], return_inverse=True)[1].astype(np.intp), labels=kept["label"], chars=kept["chars"],
        repetition=kept["repetition"], steps=kept["step"],
        verdicts={verifier.name: kept[f"v:{verifier.name}"] for verifier in verifiers},
        scores={scorer.name: kept[f"s:{scorer.name}"] for scorer in scorers},
        reasons=reasons, failures=failures, examples=examples.found(), rows_in_file=done,
    )  # fmt: skip


def as_solution(rollout: Rollout) -> Rollout:
    """Return a bare answer in a box."""
    reference = rollout.reference.strip()
    if len(reference) > 2 and reference[0] == reference[-1] == "$" and "$" not in reference[1:-1]:
        reference = reference[1:-1]
    return replace(rollout, response=f"\\boxed{{{rollout.response}}}", reference=reference)


def _labels(rollouts: Sequence[Rollout], label: str | None) -> FloatArray:
    if label is None:
        return np.full(len(rollouts), np.nan)
    values = [rollout.extra[label] for rollout in rollouts]
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _steps(chunk: Sequence[Row]) -> FloatArray:
    steps = np.full(len(chunk), np.nan)
    for number, row in enumerate(chunk):
        step = row.rollout.extra.get("step")
        if step is None:
            continue
        if isinstance(step, bool) or not isinstance(step, int | float):
            raise InputError(
                f"{row.record.where}: column 'step' must be a number or null, got {step!r}; it is the training "
                "step at which the response was sampled: rename the column if it is something else"
            )
        steps[number] = step
    return steps


def prompt_hash(prompt_id: str) -> int:
    """Return 64 bits that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(prompt_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class _Keep:
    """Columns that grow by chunks, thinned to whole prompts if the file is too large."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows, self._limit = max_rows, 2**64
        self._chunks: list[dict[str, np.ndarray]] = []
        self._rows = 0

    def add(self, columns: dict[str, np.ndarray]) -> None:
        self._chunks.append(_below(columns, self._limit))
        self._rows += self._chunks[-1]["hash"].size
        while self._rows > self._max_rows:
            self._limit //= 2
            self._chunks = [_below(self.columns(), self._limit)]
            self._rows = self._chunks[0]["hash"].size

    def columns(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate([chunk[name] for chunk in self._chunks]) for name in self._chunks[0]}


def _below(columns: Mapping[str, np.ndarray], limit: int) -> dict[str, np.ndarray]:
    kept = columns["hash"] < np.uint64(limit) if limit < 2**64 else slice(None)
    return {name: values[kept] for name, values in columns.items()}


def _text_columns(rollouts: Sequence[Rollout], steps: FloatArray) -> dict[str, np.ndarray]:
    of_prompt = {prompt_id: prompt_hash(prompt_id) for prompt_id in {rollout.prompt_id for rollout in rollouts}}
    hashes = np.array([of_prompt[rollout.prompt_id] for rollout in rollouts], dtype=np.uint64)
    # compression costs as much as reading: whole prompts by hash, where training steps make a curve of it
    measured = ~np.isnan(steps) & (hashes % np.uint64(REPETITION_SHARE) == 0)
    repetition = [_repetition(rollout.response) if due else np.nan for rollout, due in zip(rollouts, measured, strict=True)]
    chars = np.array([len(rollout.response) for rollout in rollouts], dtype=np.float64)
    return {"hash": hashes, "chars": chars, "repetition": np.array(repetition), "step": steps}


def _repetition(text: str) -> float:
    data = text[-MAX_TEXT:].encode("utf-8", "surrogatepass")
    return max(0.0, 1.0 - len(zlib.compress(data, 1)) / len(data)) if len(data) >= 64 else 0.0


class _Examples:
    """Disagreements worth reading: per kind those with the smallest hashes, whatever the order of the rows."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[tuple[int, Example]]] = {}

    def look(self, chunk: Sequence[Row], labels: FloatArray, verdicts: Mapping[str, Sequence[Verdict]], first: int) -> None:
        for number, row in enumerate(chunk):
            given = {name: verdicts[name][number] for name in verdicts}
            label = None if np.isnan(labels[number]) else bool(labels[number])
            for kind, verdict in _disagreements(label, given):
                self._keep(kind, row, verdict, first + number)

    def _keep(self, kind: str, row: Row, verdict: Verdict, number: int) -> None:
        kept, rollout = self._kinds.setdefault(kind, []), row.rollout
        rank = prompt_hash(f"{rollout.prompt_id}\0{rollout.response}")
        if len(kept) == MAX_EXAMPLES and rank >= kept[-1][0]:
            return
        tail = rollout.response if len(rollout.response) <= MAX_TEXT else "... " + rollout.response[-MAX_TEXT:]
        detail = verdict.reason + (f": {verdict.detail}" if verdict.detail else "")
        example = Example(
            kind, row.record.where, rollout.problem[:MAX_TEXT], rollout.reference[:MAX_TEXT], tail, detail[:MAX_TEXT], number
        )
        kept.append((rank, example))
        kept.sort(key=lambda pair: pair[0])
        del kept[MAX_EXAMPLES:]

    def found(self) -> list[Example]:
        return [example for kept in self._kinds.values() for _, example in kept]


def _disagreements(right: bool | None, given: Mapping[str, Verdict]) -> Iterator[tuple[str, Verdict]]:
    """Yield what disagrees, in words, with a verdict: verifiers with the label, or with each other if there is none."""
    yes = [name for name, verdict in given.items() if verdict.label == "correct"]
    no = [name for name, verdict in given.items() if verdict.label == "incorrect"]
    if right is None and yes and no:
        yield f"{', '.join(yes)} accepts, {', '.join(no)} rejects", given[no[0]]
    elif right is not None:
        for name in no if right else yes:
            yield f"{name} {'rejects a right' if right else 'accepts a wrong'} answer", given[name]
