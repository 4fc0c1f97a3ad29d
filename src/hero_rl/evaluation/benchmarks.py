"""The paper's benchmarks: where to get them, and how they are sampled and graded. No problem is part of the project.

The paper names benchmarks, not files: ids, splits and columns are those in common use. None could be downloaded when this was
written, so a column may have several names, and a wrong id is one clear error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.data.tables import hub_name, hub_rows, read_values
from hero_rl.errors import InputError

Grading: TypeAlias = Literal["rules", "judge"]
INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
_PROBLEM = ("problem", "question")
_REFERENCE = ("reference", "answer", "answers")
_ID = ("prompt_id", "id", "unique_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The source of a benchmark and the paper's settings."""

    title: str
    path: str = ""
    """Hugging Face id; "" if only the user has the file."""
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    """A commit; None: the newest. Give one with --revision for numbers that last."""
    problem: tuple[str, ...] = _PROBLEM
    """Names of the column; the first that a row has counts."""
    reference: tuple[str, ...] = _REFERENCE
    rows: int | None = None
    """Known number of problems; another one is reported."""
    samples: int = 8
    """Responses per problem: the paper averages pass@1 over 8 seeds on the easy sets and takes one on the hard ones."""
    grading: Grading = "rules"
    note: str = ""
    """Why it cannot be taken from the hub."""


BENCHMARKS: Mapping[str, Benchmark] = {
    "math500": Benchmark(title="MATH500", path="HuggingFaceH4/MATH-500", rows=500),
    "amc23": Benchmark(title="AMC23", path="math-ai/amc23", rows=40),
    "minerva": Benchmark(title="Minerva", path="math-ai/minervamath", rows=272),
    "olympiadbench": Benchmark(
        title="OlympiadBench", path="Hothan/OlympiadBench", config="OE_TO_maths_en_COMP", split="train",
        reference=("final_answer", *_REFERENCE), rows=674,
    ),
    "aime24": Benchmark(title="AIME 2024", path="HuggingFaceH4/aime_2024", split="train", rows=30),
    "aime25": Benchmark(
        title="AIME 2025", path="math-ai/aime25", revision="563bb8404243c5f09de6ec262f2db674fe5bce9b", rows=30
    ),
    "hardverify_math": Benchmark(
        title="HardVerify-Math", path="zhangchenxu/HardVerify-Math", split="train", reference=("ground_truth", *_REFERENCE),
        rows=250, samples=1, grading="judge",
    ),
    "textbook_reasoning": Benchmark(
        title="TextBookReasoning", reference=("reference_answer", *_REFERENCE), samples=1, grading="judge",
        note="the paper's 750 problems are a filtered part of MegaScience/TextbookReasoning that was not published",
    ),
}  # fmt: skip
"""Row counts: paper.md's protocol and the data sets' cards. AMC is AMC23 with 40 problems (the paper's scores are multiples of
1/320)."""
LOCAL = Benchmark(title="local file", reference=(*_REFERENCE, "ground_truth", "final_answer"))
"""A file that is not in the table."""


class Problem(NamedTuple):
    """One problem."""

    id: str
    text: str
    references: tuple[str, ...]
    """A response is correct if it equals any of them."""


class ProblemSet(NamedTuple):
    """A benchmark with its problems."""

    name: str
    benchmark: Benchmark
    source: str
    """Hugging Face id with configuration and revision, or the file's name."""
    problems: Sequence[Problem]
    known_rows: int | None = None
    """Known number of problems; None if only a part was asked for."""

    @property
    def fingerprint(self) -> str:
        """A hash of ids, texts and references."""
        digest = hashlib.sha256()
        for problem in self.problems:
            digest.update(json.dumps([problem.id, problem.text, problem.references]).encode())
        return digest.hexdigest()[:16]


def find_benchmark(spec: str) -> tuple[str, Path | None]:
    """Read `math500` or `math500=FILE`; raises InputError if the name is unknown, or needs a file."""
    name, equals, file = spec.partition("=")
    if name not in BENCHMARKS:
        raise InputError(f"--benchmark {name}: unknown; choose one of {', '.join(BENCHMARKS)}, or give a file with --data")
    if equals and not file:
        raise InputError(f"--benchmark {spec}: nothing after the equals sign; write {name}=FILE")
    if not file and not BENCHMARKS[name].path:
        raise InputError(f"--benchmark {name}: {BENCHMARKS[name].note}; prepare the file yourself and give {name}=FILE")
    return name, Path(file).expanduser() if file else None


def load_problems(name: str, file: Path | None = None, *, limit: int | None = None, revision: str | None = None) -> ProblemSet:
    """Load the problems of a benchmark from a file or from Hugging Face.

    Args:
        name: a key of ``BENCHMARKS``, or any name with a file.
        file: a file of rows.
        limit: take the first so many.
        revision: of the data set, instead of the table's.

    Raises:
        InputError: no such file or data set, a missing column, two problems of one id, or no problems.
        MissingDependencyError: Hugging Face without `datasets`, Parquet without pyarrow.
    """
    benchmark = BENCHMARKS.get(name, LOCAL)
    revision = revision or benchmark.revision
    if file is not None:
        rows, source = read_values(file), file.name
    else:
        place = benchmark.path, benchmark.config, benchmark.split
        hint = "give a file with --benchmark NAME=FILE"
        rows = hub_rows(*place, revision=revision, where=benchmark.title, hint=hint)
        source = hub_name(*place, revision)
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for number, (at, row) in enumerate(rows):
        if limit is not None and number >= limit:
            break
        problem = _problem(at, row, benchmark, number)
        if problem.id in seen:
            raise InputError(f"{at}: the id {problem.id!r} is that of {seen[problem.id]}; ids tell problems apart")
        seen[problem.id] = at
        problems.append(problem)
    if not problems:
        raise InputError(f"{file or benchmark.path}: has no problems; there is nothing to evaluate")
    return ProblemSet(name, benchmark, source, problems, benchmark.rows if limit is None else None)


def _problem(at: str, row: Mapping[str, object], benchmark: Benchmark, number: int) -> Problem:
    text = _pick(at, row, benchmark.problem)
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{at}: the problem is {str(text)[:60]!r}; it must be a text that is not empty")
    identity = next((row[name] for name in _ID if row.get(name) is not None), number)
    return Problem(str(identity), text, _references(at, _pick(at, row, benchmark.reference)))


def _references(at: str, value: object) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    texts = [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in given]
    good = [one for one in texts if isinstance(one, str) and one.strip()]
    if not good or len(good) < len(texts):
        raise InputError(f"{at}: the reference is {str(value)[:60]!r}; it must be a text that is not empty, or a list of such")
    return tuple(dict.fromkeys(good))


def _pick(at: str, row: Mapping[str, object], names: Sequence[str]) -> object:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise InputError(f"{at}: none of the columns {', '.join(names)} (this row has: {', '.join(row) or 'none'})")
