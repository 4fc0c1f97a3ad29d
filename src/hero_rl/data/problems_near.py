"""Near-duplicates: the same problem in slightly other words.

Two problems are near-duplicates where three things hold: the Jaccard similarity of their sets of 3-token shingles reaches a
threshold, the same numbers occur equally often, and the references are the same text. The last two are what makes this safe for
mathematics: "the sum of 12 and 35" and "the sum of 12 and 36" share nearly all shingles and are two problems, and so are
"the largest" and "the smallest" in a long text.

The search is exact, which MinHash is not, and needs no library: of two sets with similarity >= t, sorted by one order, the
first len - ceil(t len) + 1 elements of each share at least one (prefix filtering: Bayardo, Ma and Srikant, WWW 2007).
"""

from __future__ import annotations

import hashlib
import math
from array import array
from typing import NamedTuple

from hero_rl.data.problem_text import tokens
from hero_rl.data.problems import Problem
from hero_rl.verifiers.math.literal import tidy

SHINGLE = 3
"""Tokens of a shingle: one changed word changes at most three shingles."""


class Near(NamedTuple):
    """An earlier problem in nearly the same words."""

    prompt_id: str
    similarity: float
    same_reference: bool


class NearDuplicates:
    """The problems kept so far, to find those that a new one is near; about 3 kB of memory per problem.

    Args:
        threshold: Jaccard similarity from which on two problems are near, in (0, 1].
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._ids: list[str] = []
        self._shingles: list[array[int]] = []
        self._references: list[str] = []
        self._index: dict[int, list[int]] = {}

    def find(self, problem: Problem) -> Near | None:
        """Return the nearest kept problem, one with the same reference before all others; None if none is near."""
        shingles, keys = self._features(problem)
        reference, mine = tidy(problem.references[0]), frozenset(shingles)
        best: Near | None = None
        for index in sorted({index for key in keys for index in self._index.get(key, ())}):
            fewer, more = sorted((len(mine), len(self._shingles[index])))
            if fewer < self._threshold * more:  # the similarity cannot be larger than that
                continue
            common = len(mine.intersection(self._shingles[index]))
            similarity = common / (len(mine) + len(self._shingles[index]) - common)
            found = Near(self._ids[index], similarity, self._references[index] == reference)
            if similarity >= self._threshold and (best is None or _rank(found) > _rank(best)):
                best = found
        return best

    def add(self, problem: Problem) -> None:
        """Keep a problem."""
        shingles, keys = self._features(problem)
        for key in keys:
            self._index.setdefault(key, []).append(len(self._ids))
        self._ids.append(problem.prompt_id)
        self._shingles.append(shingles)
        self._references.append(tidy(problem.references[0]))

    def _features(self, problem: Problem) -> tuple[array[int], list[int]]:
        """Return the shingles' hashes, each once and in order, and the keys under which the problem is found."""
        words = tokens(problem.problem)
        # what belongs to the numbers of one problem looks unlike what belongs to another's: shingles are compared within them
        numbers = _hash(sorted(word for word in words if word[0].isdigit()))
        last = max(1, len(words) - SHINGLE + 1)
        shingles = array("Q", sorted({numbers ^ _hash(words[start : start + SHINGLE]) for start in range(last)}))
        prefix = len(shingles) - math.ceil(self._threshold * len(shingles) - 1e-9) + 1
        return shingles, shingles[:prefix].tolist()


def _rank(near: Near) -> tuple[bool, float]:
    return near.same_reference, near.similarity


def _hash(words: list[str]) -> int:
    content = "\0".join(words).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
