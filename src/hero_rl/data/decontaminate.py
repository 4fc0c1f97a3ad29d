"""Decontamination: problems whose text overlaps with a problem of an evaluation benchmark.

A run of n tokens (10 by default) that a problem shares with a benchmark problem covers its tokens there. Where at least half of
the benchmark problem's tokens are covered, the problem is left out. A benchmark problem of fewer than n tokens matches only a
problem that has exactly its tokens. Tokens are those of ``problem_text``, with one sign for every single letter, so that
renamed variables do not hide a copy, and without the code of Asymptote drawings, which is much the same in many problems.

What this finds: copies, copies with other layout, with renamed variables, with a sentence before or behind, with a few words
changed in a long text. What it does not find: a problem told in other words, translated, or with other numbers all over it, and
a short problem with a changed word (fewer than n tokens in a row are left). What it drops needlessly: a problem that shares the
boilerplate which makes up half of a benchmark problem, such as a long instruction on the form of the answer. The report shows
every pair.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from hero_rl.data.problem_text import tokens

NGRAM = 10
OVERLAP = 0.5
_LETTER = "x"
_DRAWING = re.compile(r"\[asy\].{0,20000}?\[/asy\]", re.DOTALL)


class BenchmarkProblem(NamedTuple):
    """One problem that must not be trained on."""

    benchmark: str
    problem_id: str
    problem: str


class Overlap(NamedTuple):
    """The benchmark problem that a problem overlaps most."""

    with_problem: BenchmarkProblem
    share: float
    """Of the benchmark problem's tokens, those that are covered by shared n-grams."""


class Decontaminator:
    """Finds overlaps with a fixed set of benchmark problems.

    Args:
        benchmarks: what must not be trained on.
        ngram: tokens in a row that have to be shared.
        overlap: share of a benchmark problem from which on a problem is contaminated, in (0, 1].
    """

    def __init__(self, benchmarks: Iterable[BenchmarkProblem], *, ngram: int = NGRAM, overlap: float = OVERLAP) -> None:
        self._ngram, self._overlap = ngram, overlap
        self._problems: list[BenchmarkProblem] = []
        self._sizes: list[int] = []
        self._grams: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._short: dict[str, int] = {}
        for number, problem in enumerate(benchmarks):
            words = _folded(problem.problem, ngram)
            self._problems.append(problem)
            self._sizes.append(len(words))
            if words and len(words) < ngram:
                self._short.setdefault(" ".join(words), number)
            for start in range(len(words) - ngram + 1):
                self._grams[" ".join(words[start : start + ngram])].append((number, start))

    def __len__(self) -> int:
        """Return the number of benchmark problems."""
        return len(self._problems)

    def find(self, problem: str) -> Overlap | None:
        """Return the largest overlap that reaches the threshold; of equal ones the first benchmark problem's."""
        words = _folded(problem, self._ngram)
        same = self._short.get(" ".join(words))
        if same is not None:
            return Overlap(self._problems[same], 1.0)
        covered: defaultdict[int, set[int]] = defaultdict(set)
        for start in range(len(words) - self._ngram + 1):
            for number, at in self._grams.get(" ".join(words[start : start + self._ngram]), ()):
                covered[number].update(range(at, at + self._ngram))
        shares = [(len(places) / self._sizes[number], -number) for number, places in covered.items()]
        share, number = max(shares, default=(0.0, 0))
        return Overlap(self._problems[-number], share) if shares and share >= self._overlap else None


def _folded(text: str, least: int) -> list[str]:
    words = tokens(_DRAWING.sub(" ", text))
    if len(words) < least:  # "What is x?" and a drawing: here the drawing is the problem
        words = tokens(text)
    return [_LETTER if len(word) == 1 and word.isalpha() and word.isascii() else word for word in words]
