"""The plan of an evaluation: policy, prompt, sampling, benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hero_rl.evaluation.benchmarks import ProblemSet
from hero_rl.evaluation.policies import Prompt
from hero_rl.types import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling of responses; the paper's, whose length limit is that of its training on Qwen3-4B (none is stated)."""

    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 8192
    seed: int = 0
    """The seed of a response follows from it, the problem's id and the response's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A benchmark to run."""

    problems: ProblemSet
    samples: int
    """Responses per problem."""
    grader: str
    """The verifier's name on the command line."""
    verifier: Verifier

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide the numbers, apart from the policy."""
        return {
            "source": self.problems.source,
            "problems": len(self.problems.problems),
            "known_rows": self.problems.known_rows,
            "fingerprint": self.problems.fingerprint,
            "samples": self.samples,
            "grading": self.problems.benchmark.grading,
            "grader": self.grader,
            "grader_identity": str(self.verifier.identity or self.verifier.name),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that an evaluation runs."""

    model: str
    """Name of the policy."""
    fingerprint: str
    """A hash of its weights if they are here, else the name under which it is served."""
    prompt: Prompt
    prompt_source: str = ""
    """Where the prompt came from, in words."""
    sampling: Sampling
    benchmarks: Sequence[Planned]
    concurrency: int = 32
    """Responses under way at once; for a local policy twice the batch."""
    timeout_s: float = 1800.0
    """Time for one try of one response."""
    retries: int = 3
    """Further tries of a response that failed."""

    def settings(self) -> dict[str, Any]:
        """Return the contents of ``settings.json``."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "prompt": asdict(self.prompt),
            "sampling": asdict(self.sampling),
            "benchmarks": {one.problems.name: one.settings() for one in self.benchmarks},
        }
