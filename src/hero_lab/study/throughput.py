"""How long runs take and where the time goes, from the results of earlier ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hero_lab.compare import Result

_DEFAULT_S_PER_ROLLOUT = 37 / 25_600
"""Of a run of 100 steps of 256 responses on a 2-core EPYC, evaluation included."""
_DEFAULT_MODELS_S = 95.0


class Throughput(NamedTuple):
    """Means over the runs that there are."""

    runs: int
    cpu_s: float
    """CPU seconds of a run, its evaluations included."""
    wall_s: float
    evaluation_s: float
    models: int
    models_s: float
    """Seconds of all starting policies, reward models and learned verifiers together."""

    def lines(self) -> list[str]:
        """Sentences for a report."""
        shared = self.models_s / self.runs
        training, total = self.wall_s - self.evaluation_s, self.wall_s + shared
        return [
            f"{self.runs} runs, {self.cpu_s:.1f} CPU seconds each ({self.wall_s:.1f} s of wall time).",
            f"Where a run's {total:.1f} s go: training {training / total:.0%}, evaluation {self.evaluation_s / total:.0%}, "
            f"its share of the {self.models} models {shared / total:.0%} ({self.models_s:.0f} s in all).",
        ]


def measure_throughput(results: Sequence[Result]) -> Throughput:
    """Of different runs, at least one."""
    models = {
        (name, result["settings"]["seed"], seconds)  # equal seconds to the last digit are one and the same model
        for result in results
        for name in ("policy", "reward_model", "learned_verifier")
        if (seconds := result.get(name, {}).get("seconds")) is not None
    }
    times = ("process_cpu_s", "total_s", "evaluation_s")
    cpu_s, wall_s, evaluation_s = (float(np.mean([result["timing"][name] for result in results])) for name in times)
    return Throughput(len(results), cpu_s, wall_s, evaluation_s, len(models), sum(seconds for *_, seconds in models))


def estimate_seconds(runs: Sequence[Any], done: Sequence[Result], *, models: int, jobs: int) -> float:
    """Wall time that runs and models without a result would take, from those with one or else from a figure of old."""
    made = sum(_rollouts(result["settings"]) for result in done)
    rate = sum(result["timing"]["total_s"] for result in done) / made if made else _DEFAULT_S_PER_ROLLOUT
    rollouts = sum(run.steps * run.prompts_per_step * run.group_size for run in runs)
    return (rate * rollouts + models * _DEFAULT_MODELS_S) / jobs


def _rollouts(settings: Mapping[str, Any]) -> int:
    return settings["steps"] * settings["prompts_per_step"] * settings["group_size"]
