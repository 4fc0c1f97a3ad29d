"""From the results of runs to the numbers that are reported: per arm over seeds, and paired differences between arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from hero_rl.measures import Estimate, mean_interval, mean_of_clusters
from hero_rl.types import FloatArray

Result: TypeAlias = Mapping[str, Any]
"""A run's result file (``run.run``)."""
Look: TypeAlias = Mapping[str, Any]
"""The results of ``evaluate.full_evaluation`` on the prompts of a tag."""
When: TypeAlias = Literal["start", "early", "end"]
Metric: TypeAlias = Literal["accuracy", "greedy"]

METRICS: tuple[Metric, ...] = get_args(Metric)
MEASURES = ("verifier_pass", "rm_score", "rm_auroc_within", "all_wrong_groups", "pass_any", "entropy")
"""Held-out measures that have one number per run, beside the metrics."""
UPDATE = ("alignment", "pressure", "scale")
"""Measures of the update that training would make at a look (``hero_rl.measures.update_quality``)."""


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
    found: list[ArmSummary] = []
    for tag in tags(results):
        for label in dict.fromkeys(result["settings"]["label"] for result in results):
            looks = list(_looks(results, label, tag, when).values())
            if looks:
                step = next(r for r in results if r["settings"]["label"] == label)["held_out"][when]["step"]
                accuracy, greedy = (_interval(correct_SP(looks, metric)).within(0, 1) for metric in METRICS)
                found.append(ArmSummary(label, tag, step, len(looks), accuracy, greedy, means(looks)))
    return found


def from_start(results: Sequence[Result], tag: str) -> list[ArmSummary]:
    """Return the starting policy's numbers on the prompts of a tag, and below them those of every arm at the end."""
    start = next(one for one in summarize(results, when="start") if one.tag == tag)
    return [start._replace(label="(start)"), *(one for one in summarize(results) if one.tag == tag)]


def paired_difference(
    results: Sequence[Result], label: str, baseline: str, *, tag: str, when: When = "end", metric: Metric = "accuracy"
) -> Difference | None:
    """How much better ``label`` is than ``baseline``; None where no seed has both.

    With several seeds the unit is the seed: a t interval over the per-seed differences, which covers what another seed (other
    starting policy, reward model and noise) would give. With one seed the unit is the prompt, and the interval says nothing
    about other seeds.
    """
    ours, theirs = (_looks(results, name, tag, when) for name in (label, baseline))
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    first, second = (correct_SP([looks[seed] for seed in shared], metric) for looks in (ours, theirs))
    return Difference(label, baseline, tag, metric, _interval(first - second), len(shared))


def tags(results: Iterable[Result]) -> list[str]:
    """The prompt tags that the results report on."""
    return sorted({tag for result in results for tag in result["held_out"]["end"] if tag != "step"})


def curve(runs: Sequence[Result], value: Callable[[Mapping[str, Any]], float | None]) -> tuple[list[int], FloatArray]:
    """Shared steps, and what ``value`` makes of the point on development prompts at each: shape (seeds, steps)."""
    found = [{point["step"]: number for point in run["curve"] if (number := value(point)) is not None} for run in runs]
    steps = sorted(set.intersection(*map(set, found)))
    return steps, np.array([[one[step] for step in steps] for one in found], dtype=np.float64)


def correct_SP(looks: Sequence[Look], metric: Metric) -> FloatArray:
    """Shape (seeds, problems): the share of each problem's held-out responses that is correct."""
    if metric == "greedy":
        return np.array([look["greedy_P"] for look in looks], dtype=np.float64)
    return np.array([np.asarray(look["correct_P"]) / look["samples"] for look in looks], dtype=np.float64)


def means(looks: Sequence[Look]) -> dict[str, float]:
    """Mean over seeds of every one of ``MEASURES``; NaN where one is not known."""
    table = {name: [math.nan if look.get(name) is None else float(look[name]) for look in looks] for name in MEASURES}
    return {name: float(np.mean(values)) for name, values in table.items()}


def _interval(values_SP: FloatArray) -> Estimate:
    """95% interval of the mean: over seeds by Student's t where there are several, else over prompts."""
    if len(values_SP) == 1:
        return mean_interval(values_SP[0], np.arange(values_SP.shape[1]))
    return mean_of_clusters(values_SP.mean(axis=1))


def _looks(results: Sequence[Result], label: str, tag: str, when: When) -> dict[int, Look]:
    """The evaluations of an arm on the held-out prompts of a tag, by seed."""
    own = [result for result in results if result["settings"]["label"] == label and tag in result["held_out"].get(when, {})]
    return {result["settings"]["seed"]: result["held_out"][when][tag] for result in own}
