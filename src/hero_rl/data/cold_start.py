"""Rollouts to the examples of a cold start: the policy's own responses that are correct, English and finished.

The paper fine-tunes each base model on 2,000 of its own responses before reinforcement learning, because base models mix
languages and go on after their answer. A response is kept where the verifier says correct, ``is_english`` and ``is_finished``;
of a problem's responses one is drawn. The paper does not say how it tested the latter two.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from hero_rl.cache import MATH_PACKAGES
from hero_rl.data.cold_start_text import is_english, is_finished
from hero_rl.data.manifest import beside, source_facts, verifier_facts, versions, write_manifest
from hero_rl.data.problem_text import draw, problem_digest, tidy_text
from hero_rl.data.rollouts import Columns
from hero_rl.data.tables import files_of
from hero_rl.data.verify import judged, scan
from hero_rl.data.write import check_target, json_line, open_lines
from hero_rl.errors import InputError
from hero_rl.files import locked, replacing, unchanged
from hero_rl.types import Progress, Rollout, Verdict, Verifier

REASONS = (
    "incorrect", "verifier abstains", "no problem text", "not English", "not finished", "another of the same problem",
    "over the limit",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartSettings:
    """Size and seed of the sample."""

    limit: int = 2000
    """Most examples (paper, section 4.1)."""
    seed: int = 0
    max_failure_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise InputError(f"--limit {self.limit}: must be at least 1")


class ColdStartSummary(NamedTuple):
    """Counts of a cold start."""

    rows: int
    dropped: dict[str, int]
    """Rows by the first reason that applied, in the order of ``REASONS``."""
    written: int
    failures: int
    manifest: Path


def cold_start(
    source: Path,
    target: Path,
    verifier: Verifier,
    *,
    spec: str,
    columns: Columns,
    settings: ColdStartSettings,
    progress: Progress,
) -> ColdStartSummary:
    """Write the examples (prompt_id, problem, response, reference) to ``target``, and return a summary.

    Args:
        source: rollouts of the policy that is to be trained; a problem is known by its text.
        target: a `.jsonl` or `.jsonl.gz` file, which ``[sft]`` of a training recipe reads.
        verifier: decides which responses are correct.
        spec: the verifier's name in commands, for the manifest.
        columns: the rows must have them.
        settings: size and seed.
        progress: told about every chunk.

    Raises:
        InputError: a broken row, an unusable path, nothing left.
        SignalError: the verifier failed on too many rows.
    """
    check_target(target, source)
    manifest = beside(target, "manifest.json")
    sample = _Sample(settings)
    dropped: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
    failures = 0
    # left in reverse: the manifest, which vouches for the examples, gets its name last
    with locked(target), replacing(manifest) as facts_path, replacing(target) as path, unchanged(*files_of(source)):
        rows = len(scan(source, columns, progress))
        for row, verdict in judged(
            source, columns, verifier, rows=rows, max_failure_rate=settings.max_failure_rate, progress=progress
        ):
            failures += verdict.failed
            if why := why_not(row.rollout, verdict):
                dropped[why] += 1
            else:
                sample.add(row.rollout)
        examples = list(sample.examples())
        dropped["another of the same problem"] = sample.candidates - sample.problems
        dropped["over the limit"] = sample.problems - len(examples)
        if not examples:
            told = ", ".join(f"{reason}: {count}" for reason, count in dropped.items() if count)
            raise InputError(f"{source}: none of {rows} rows can be an example ({told}); there is nothing to write")
        facts = {
            "command": "hero data cold-start", "source": source_facts(source), **verifier_facts(spec, verifier),
            "seed": settings.seed, "options": asdict(settings), "rows": rows, "dropped": dict(dropped), "failures": failures,
            "versions": versions(*MATH_PACKAGES),
        }  # fmt: skip
        with open_lines(path) as write:
            for line in examples:
                write(line)
        write_manifest(facts_path, facts, {target.name: path}, {target.name: len(examples)})
    return ColdStartSummary(rows, dict(dropped), len(examples), failures, manifest)


def why_not(rollout: Rollout, verdict: Verdict) -> str:
    """Return the first of ``REASONS`` for which a response is no example; "" if it may be one."""
    if verdict.label != "correct":
        return "incorrect" if verdict.label == "incorrect" else "verifier abstains"
    if not rollout.problem.strip():
        return "no problem text"
    if not is_english(rollout.response):
        return "not English"
    return "" if is_finished(rollout.response, rollout.finished) else "not finished"


class _Sample:
    """At most ``limit`` problems with the smallest draws, each with the response of the smallest draw; only these in memory."""

    def __init__(self, settings: ColdStartSettings) -> None:
        self._settings = settings
        self._seen: set[bytes] = set()
        self._kept: dict[bytes, tuple[int, str]] = {}
        self._largest: list[tuple[int, bytes]] = []
        self.candidates = 0

    @property
    def problems(self) -> int:
        return len(self._seen)

    def add(self, rollout: Rollout) -> None:
        self.candidates += 1
        seed = self._settings.seed
        digest = problem_digest(tidy_text(rollout.problem))
        mine = draw(seed, "response", rollout.problem, rollout.reference, rollout.response)
        if digest in self._kept:
            if mine < self._kept[digest][0]:
                self._kept[digest] = mine, _line(digest, rollout)
        elif digest not in self._seen:  # a problem that was pushed out before has a larger draw than all that are kept
            self._seen.add(digest)
            self._kept[digest] = mine, _line(digest, rollout)
            heapq.heappush(self._largest, (-draw(seed, "problem", digest), digest))
            if len(self._kept) > self._settings.limit:
                del self._kept[heapq.heappop(self._largest)[1]]

    def examples(self) -> Iterator[str]:
        """Yield the lines, in the order of the problems' draws."""
        for _, digest in sorted(self._largest, reverse=True):
            yield self._kept[digest][1]


def _line(digest: bytes, rollout: Rollout) -> str:
    texts = {"problem": rollout.problem, "response": rollout.response, "reference": rollout.reference}
    return json_line({"prompt_id": digest.hex(), **texts})
