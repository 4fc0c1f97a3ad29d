"""A source of problems to a problems file: tidied, without duplicates and benchmark problems, sampled, in a random order.

    read     every row; equal texts become one problem; texts go to the disk, under 1 kB a problem stays in memory
    sort     by a number drawn from seed and text (``problem_text.draw``)
    choose   in that order: leave out what overlaps a benchmark, or is near a problem chosen before; stop at the limit

Both files are the same bytes for every order of the input: nothing depends on where a row stands.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hero_rl.data.decontaminate import NGRAM, OVERLAP, Decontaminator
from hero_rl.data.manifest import beside, versions, write_manifest
from hero_rl.data.problem_text import draw, problem_digest
from hero_rl.data.problems import Problem, problem_line
from hero_rl.data.problems_near import NearDuplicates
from hero_rl.data.sources import SourceSettings, open_source, read_benchmark
from hero_rl.data.write import check_not_input, check_target, json_line, line_at, open_lines, put_line
from hero_rl.errors import InputError
from hero_rl.files import locked, replacing
from hero_rl.types import Progress

_TICK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """Size of the sample, and limits of similarity."""

    limit: int | None = None
    """Most problems; None: all."""
    seed: int = 0
    """Of the sample and of the order."""
    near: float = 0.8
    """Jaccard similarity from which on two problems are near-duplicates; 0: near-duplicates stay."""
    ngram: int = NGRAM
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit {self.limit}: must be at least 1")
        if not 0.0 <= self.near <= 1.0:
            raise InputError(f"--near {self.near:g}: must lie in [0, 1]; it is a similarity, and 0 keeps near-duplicates")
        if self.ngram < 2:
            raise InputError(f"--ngram {self.ngram}: must be at least 2")
        if not 0.0 < self.overlap <= 1.0:
            raise InputError(f"--overlap {self.overlap:g}: must lie in (0, 1]; it is a share of a benchmark problem")


class PrepareSummary(NamedTuple):
    """Counts, and what was left out."""

    counts: dict[str, int]
    """Rows and problems, step by step."""
    by_benchmark: dict[str, int]
    """Problems left out, by benchmark."""
    examples: list[dict[str, object]]
    """The first few lines of the file of what was left out, overlaps with benchmarks first."""
    dropped: Path
    manifest: Path


def prepare(
    name: str,
    target: Path,
    *,
    source: SourceSettings | None = None,
    against: Sequence[str] = (),
    settings: PrepareSettings | None = None,
    progress: Progress,
) -> PrepareSummary:
    """Write the problems to ``target``, with a manifest and a file of what was left out beside it, and return a summary.

    Args:
        name: as ``open_source`` takes it.
        target: a `.jsonl` or `.jsonl.gz` file.
        source: how the source is read.
        against: benchmarks, as ``read_benchmark`` takes them.
        settings: size of the sample, and limits of similarity.
        progress: told about rows and problems.

    Raises:
        InputError: a source, benchmark or path that cannot be used, a broken row, nothing left.
    """
    settings, source = settings or PrepareSettings(), source or SourceSettings()
    dropped, manifest = beside(target, "dropped.jsonl"), beside(target, "manifest.json")
    check_target(target, name, *against)
    for companion in (dropped, manifest):
        check_not_input(companion, name, *against)
    benchmarks = [read_benchmark(benchmark) for benchmark in against]
    guard = Decontaminator(
        (problem for _, problems in benchmarks for problem in problems), ngram=settings.ngram, overlap=settings.overlap
    )
    opened = open_source(name, source, settings.limit, settings.seed)
    # left in reverse: the manifest, which vouches for the others, gets its name last
    with (
        locked(target), tempfile.TemporaryFile(dir=target.parent) as spool,
        replacing(manifest) as facts_path, replacing(dropped) as dropped_path, replacing(target) as path,
    ):  # fmt: skip
        unique = _Unique(spool)
        for problem in opened.problems:
            unique.add(problem)
            if opened.skipped["rows"] % _TICK == 0:
                progress("read", opened.skipped["rows"], None)
        counts = {**opened.skipped, "equal to another": unique.repeated, "equal, with another reference": unique.disputed}
        counts["different problems"] = len(unique)
        chosen = _Choice(guard, settings)
        with open_lines(path) as keep, open_lines(dropped_path) as leave_out:
            for text, kept in chosen.lines(unique, progress):
                (keep if kept else leave_out)(text)
        counts |= chosen.counts
        if not chosen.counts["written"]:
            told = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
            raise InputError(f"{name}: no problem is left ({told}); there is nothing to write")
        said = {key: value for key, value in asdict(source).items() if value and key not in opened.facts}
        facts = {
            "command": "hero data prepare", "source": {**opened.facts, **said},
            "against": [found for found, _ in benchmarks], "seed": settings.seed, "options": asdict(settings),
            "counts": counts, "left_out_by_benchmark": dict(chosen.by_benchmark),
            "versions": versions("datasets", "pyarrow", "huggingface_hub", "reasoning-gym"),
        }  # fmt: skip
        rows = {target.name: chosen.counts["written"], dropped.name: chosen.left_out}
        write_manifest(facts_path, facts, {target.name: path, dropped.name: dropped_path}, rows)
    return PrepareSummary(counts, dict(chosen.by_benchmark.most_common()), chosen.examples, dropped, manifest)


class _Unique:
    """Different problems: their texts on the disk, and in memory where they are.

    Where equal texts come with different references or sources, the most frequent pair counts; of equally frequent ones the
    smallest text.
    """

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._first: dict[bytes, int] = {}
        self._votes: dict[bytes, Counter[str]] = {}
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._first)

    def add(self, problem: Problem) -> None:
        digest = problem_digest(problem.problem)
        if digest not in self._first:
            self._first[digest] = put_line(self._spool, json.dumps(problem) + "\n")
            return
        self.repeated += 1
        votes = self._votes.get(digest)
        if votes is None:
            votes = self._votes[digest] = Counter({_rest(self._read(digest)): 1})
        votes[_rest(problem)] += 1

    @property
    def disputed(self) -> int:
        """Problems whose equal texts came with different references."""
        return sum(len({tuple(json.loads(rest)[0]) for rest in votes}) > 1 for votes in self._votes.values())

    def in_order(self, seed: int) -> Iterator[Problem]:
        """Yield the problems in the order of their draws."""
        for _, digest in sorted((draw(seed, digest), digest) for digest in self._first):
            problem = self._read(digest)
            votes = self._votes.get(digest)
            if votes is not None:
                references, *rest = json.loads(min(votes.items(), key=lambda item: (-item[1], item[0]))[0])
                problem = Problem(problem.problem, tuple(references), *rest)
            yield problem

    def _read(self, digest: bytes) -> Problem:
        text, references, *rest = json.loads(line_at(self._spool, self._first[digest]))
        return Problem(text, tuple(references), *rest)


def _rest(problem: Problem) -> str:
    return json.dumps(problem[1:])


class _Choice:
    """Goes through the problems in order, and counts."""

    def __init__(self, guard: Decontaminator, settings: PrepareSettings) -> None:
        self._guard, self._settings = guard, settings
        self._near = NearDuplicates(settings.near) if settings.near else None
        self.counts = {
            "looked at": 0, "overlap with a benchmark": 0, "near-duplicates": 0, "near, with another reference (kept)": 0,
            "written": 0,
        }  # fmt: skip
        self.by_benchmark: Counter[str] = Counter()
        self.examples: list[dict[str, object]] = []

    @property
    def left_out(self) -> int:
        return self.counts["overlap with a benchmark"] + self.counts["near-duplicates"]

    def lines(self, unique: _Unique, progress: Progress) -> Iterator[tuple[str, bool]]:
        """Yield every line, and True if it is kept."""
        for problem in unique.in_order(self._settings.seed):
            if self.counts["written"] == self._settings.limit:
                return
            self.counts["looked at"] += 1
            found = self._contaminated(problem) or self._repeats(problem)
            if found:
                row = {"prompt_id": problem.prompt_id, "problem": problem.problem, "reference": problem.references[0], **found}
                if "benchmark" in row and len(self.examples) < 3:
                    self.examples.append(row)
                yield json_line(row), False
            else:
                self.counts["written"] += 1
                yield problem_line(problem), True
            if self.counts["looked at"] % _TICK == 0:
                progress("choose", self.counts["written"], self._settings.limit or len(unique))

    def _contaminated(self, problem: Problem) -> dict[str, object] | None:
        overlap = self._guard.find(problem.problem)
        if overlap is None:
            return None
        self.counts["overlap with a benchmark"] += 1
        other = overlap.with_problem
        self.by_benchmark[other.benchmark] += 1
        return {"why": "overlap with a benchmark", "overlap": round(overlap.share, 4), "benchmark": other.benchmark,
                "benchmark_id": other.problem_id, "benchmark_problem": other.problem}  # fmt: skip

    def _repeats(self, problem: Problem) -> dict[str, object] | None:
        if self._near is None:
            return None
        near = self._near.find(problem)
        if near is not None and near.same_reference:
            self.counts["near-duplicates"] += 1
            return {"why": "near-duplicate", "similarity": round(near.similarity, 4), "near": near.prompt_id}
        self.counts["near, with another reference (kept)"] += near is not None
        self._near.add(problem)
        return None
