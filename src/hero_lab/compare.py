"""From the results of runs to the numbers that are reported: per arm over seeds, and paired differences between arms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from hero_rl.measures import Estimate, mean_interval, mean_of_clusters
from hero_rl.types import FloatArray

Result: TypeAlias = Mapping[str, Any]
"""A run's result file (``run.run``)."""
When: TypeAlias = Literal["start", "early", "end"]
Metric: TypeAlias = Literal["accuracy", "greedy"]

MEASURES = ("accuracy", "greedy", "pass_any", "verifier_pass", "rm_score", "rm_auroc_within", "all_wrong_groups", "entropy")
"""Held-out measures that have one number per run."""


class ArmSummary(NamedTuple):
    """One arm on the held-out prompts of one tag, at one moment, over its seeds."""

    label: str
    tag: str
    step: int
    seeds: int
    accuracy: Estimate
    """At temperature 1: over prompts with one seed, over seeds (t interval) with more."""
    greedy: Estimate
    means: dict[str, float]
    """Mean over seeds of every one of ``MEASURES``."""


class Difference(NamedTuple):
    """Arm minus baseline on the same prompts, seeds and sampling noise."""

    label: str
    baseline: str
    tag: str
    metric: Metric
    estimate: Estimate
    seeds: int


def summarize(results: Sequence[Result], *, when: When = "end") -> list[ArmSummary]:
    """One entry an arm and tag, in the order in which they first appear."""
    return [_summarize_one(label, tag, when, runs) for (label, tag), runs in _by_arm_and_tag(results, when).items()]


def paired_difference(
    results: Sequence[Result], label: str, baseline: str, *, tag: str, when: When = "end", metric: Metric = "accuracy"
) -> Difference | None:
    """How much better ``label`` is than ``baseline``; None where no seed has both.

    With several seeds the unit is the seed: a t interval over the per-seed differences, which covers what another seed (other
    starting policy, reward model and noise) would give. With one seed the unit is the prompt, and the interval says nothing
    about other seeds.
    """
    runs = _by_arm_and_tag(results, when)
    ours, theirs = (_by_seed(runs.get((name, tag), [])) for name in (label, baseline))
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    per_prompt = [_per_prompt(ours[seed], tag, when, metric) - _per_prompt(theirs[seed], tag, when, metric) for seed in shared]
    return Difference(label, baseline, tag, metric, _interval(per_prompt), len(shared))


def tags(results: Iterable[Result]) -> list[str]:
    """The prompt tags that the results report on."""
    return sorted({tag for result in results for tag in result["held_out"]["end"] if tag != "step"})


def curve(results: Sequence[Result], label: str, measure: str) -> tuple[list[int], FloatArray]:
    """Steps, and a measure on development prompts at each: shape (seeds, steps)."""
    runs = [result for result in results if result["settings"]["label"] == label]
    steps = sorted(set.intersection(*({point["step"] for point in run["curve"]} for run in runs)))
    rows = [[{point["step"]: point[measure] for point in run["curve"]}[step] for step in steps] for run in runs]
    return steps, np.array(rows, dtype=np.float64)


def _summarize_one(label: str, tag: str, when: When, runs: list[Result]) -> ArmSummary:
    evaluations = [run["held_out"][when][tag] for run in runs]
    means = {name: float(np.mean([_number(evaluation[name]) for evaluation in evaluations])) for name in MEASURES}
    accuracy, greedy = (_interval([_per_prompt(run, tag, when, metric) for run in runs]) for metric in ("accuracy", "greedy"))
    return ArmSummary(label, tag, int(runs[0]["held_out"][when]["step"]), len(runs), accuracy, greedy, means)


def _interval(per_prompt: Sequence[FloatArray]) -> Estimate:
    """95% interval of the mean: over seeds by Student's t where there are several, else over prompts."""
    if len(per_prompt) == 1:
        return mean_interval(per_prompt[0], np.arange(per_prompt[0].size))
    return mean_of_clusters([values.mean() for values in per_prompt])


def estimate_json(estimate: Estimate) -> dict[str, float]:
    """Return the estimate as result files and ``--json`` have it."""
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def _per_prompt(run: Result, tag: str, when: When, metric: Metric) -> FloatArray:
    """Shape (prompts,), the share of each prompt's held-out responses that is correct."""
    evaluation = run["held_out"][when][tag]
    if metric == "greedy":
        return np.asarray(evaluation["greedy_P"], dtype=np.float64)
    return np.asarray(evaluation["correct_P"], dtype=np.float64) / evaluation["samples"]


def _number(value: float | Mapping[str, float] | None) -> float:
    if isinstance(value, Mapping):
        return float(value["mean"])
    return math.nan if value is None else float(value)


def _by_seed(runs: Sequence[Result]) -> dict[int, Result]:
    return {run["settings"]["seed"]: run for run in runs}


def _by_arm_and_tag(results: Sequence[Result], when: When) -> dict[tuple[str, str], list[Result]]:
    groups: dict[tuple[str, str], list[Result]] = {}
    for tag in tags(results):
        for result in results:
            if tag in result["held_out"].get(when, {}):
                groups.setdefault((result["settings"]["label"], tag), []).append(result)
    return groups
