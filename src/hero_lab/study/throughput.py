"""How fast the lab is and where its time goes: from the results, and from a log of the calls that made them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hero_lab.compare import Result

LOG = "calls.jsonl"
"""In the folder of a study: one line per call that ran something."""
_DEFAULT_CPU_S_PER_ROLLOUT = 37 / 25_600
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
    runs_an_hour: float | None
    """Of the calls that are logged, models included; None where none is."""
    jobs: int | None

    def lines(self) -> list[str]:
        """Sentences for a report."""
        training = self.wall_s - self.evaluation_s
        shared = self.models_s / self.runs
        total = self.wall_s + shared
        said = []
        if self.runs_an_hour is not None:
            said.append(f"{self.runs_an_hour:.0f} runs an hour with {self.jobs} processes of one thread, models included.")
        said.append(f"{self.runs} runs, {self.cpu_s:.1f} CPU seconds each ({self.wall_s:.1f} s of wall time).")
        said.append(
            f"Where a run's {total:.1f} s go: training {training / total:.0%}, evaluation {self.evaluation_s / total:.0%}, "
            f"its share of the {self.models} models {shared / total:.0%} ({self.models_s:.0f} s in all)."
        )
        return said


def measure_throughput(results: Sequence[Result], out: Path) -> Throughput | None:
    """Of different runs; None without any."""
    if not results:
        return None
    timings = [result["timing"] for result in results]
    models: dict[str, float] = {}
    for result in results:
        seed = result["settings"]["seed"]
        for name in ("policy", "reward_model", "learned_verifier"):
            facts = result.get(name)
            if facts is not None and facts.get("seconds") is not None:
                # equal seconds to the last digit are one and the same model
                models[f"{name} {seed} {facts['seconds']!r}"] = facts["seconds"]
    calls = _read_log(out / LOG)
    finished, seconds = sum(call["finished"] for call in calls), sum(call["seconds"] for call in calls)
    return Throughput(
        runs=len(results),
        cpu_s=float(np.mean([timing["process_cpu_s"] for timing in timings])),
        wall_s=float(np.mean([timing["total_s"] for timing in timings])),
        evaluation_s=float(np.mean([timing["evaluation_s"] for timing in timings])),
        models=len(models),
        models_s=sum(models.values()),
        runs_an_hour=3600 * finished / seconds if finished else None,
        jobs=calls[-1]["jobs"] if calls else None,
    )


def log_call(out: Path, *, finished: int, seconds: float, jobs: int) -> None:
    """Add a call to the log of a study's folder."""
    line = {"finished": finished, "seconds": round(seconds, 1), "jobs": jobs, "cpus": os.cpu_count()}
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def estimate_seconds(runs: Sequence[Any], done: Sequence[Result], *, models: int, jobs: int) -> float:
    """Wall time that runs and models without a result would take, from those with one or else from a figure of old."""
    rate = _DEFAULT_CPU_S_PER_ROLLOUT
    made = [(result["timing"]["total_s"], _rollouts(result["settings"])) for result in done]
    if made:
        rate = sum(seconds for seconds, _ in made) / sum(count for _, count in made)
    rollouts = sum(run.steps * run.prompts_per_step * run.group_size for run in runs)
    return (rate * rollouts + models * _DEFAULT_MODELS_S) / jobs


def _rollouts(settings: Mapping[str, Any]) -> int:
    return settings["steps"] * settings["prompts_per_step"] * settings["group_size"]


def _read_log(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    calls: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            calls.append(json.loads(line))
        except ValueError:  # a line that a kill cut off
            continue
    return calls
