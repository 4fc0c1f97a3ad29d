"""The results of an evaluation: per benchmark the verdict of every response, and pass@k and maj@k with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from hero_rl.errors import InputError
from hero_rl.evaluation.metrics import maj_at_k, pass_at_k, sizes
from hero_rl.files import write_text
from hero_rl.measures import Estimate, bootstrap, clustered_standard_error, share_interval
from hero_rl.report import json_values
from hero_rl.types import FloatArray

FILE = "results.json"
FORMAT = 1
DRAWS = 1000
UNKNOWN = math.nan


class ProblemResult(NamedTuple):
    """The responses to one problem, in the order of their numbers; failed ones are left out."""

    id: str
    verdicts: tuple[int | None, ...]
    """1 correct, 0 incorrect, None: the verifier abstained, which counts as not correct."""
    votes: tuple[int, ...]
    """The number of each response's answer, -1 where it has none."""

    @property
    def correct(self) -> list[int]:
        """1 or 0 per response."""
        return [int(verdict == 1) for verdict in self.verdicts]


class Metric(NamedTuple):
    """A mean over problems."""

    value: float
    standard_error: float
    """Clustered by problem."""
    low: float
    high: float
    """The 95% interval: Wilson's for pass@1 and for values that are all 0 or 1 (it has a width at 0 and 1), otherwise that
    of a bootstrap over problems."""
    bootstrap_low: float
    bootstrap_high: float


class Counts(NamedTuple):
    """Numbers of responses."""

    responses: int
    abstained: int
    grader_failed: int
    """Abstentions because the verifier broke."""
    failed: int
    """Responses that could not be sampled; they are in no other number."""
    cut_off: int
    """Responses that reached the length limit."""
    mean_tokens: float
    first_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """One benchmark."""

    name: str
    title: str
    settings: Mapping[str, Any]
    problems: Sequence[ProblemResult]
    counts: Counts
    metrics: Mapping[str, Metric]
    """``pass@k`` and ``maj@k`` by name; ``pass@1`` is the paper's mean over seeds."""

    @property
    def samples(self) -> int:
        """Responses asked for per problem."""
        return int(self.settings["samples"])

    @property
    def shares(self) -> dict[str, float]:
        """Share of correct responses by problem, without problems that have no response."""
        return {problem.id: float(np.mean(problem.correct)) for problem in self.problems if problem.verdicts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One evaluation."""

    model: str
    settings: Mapping[str, Any]
    """Prompt and sampling, shared by all benchmarks."""
    benchmarks: Mapping[str, BenchmarkResult]
    facts: Mapping[str, Any]
    """Facts that do not affect a number: versions, dates, the command; and the folder they were read from."""

    @property
    def label(self) -> str:
        """Folder and policy, for people."""
        return f"{self.facts['folder']} ({self.model})" if "folder" in self.facts else self.model

    def averages(self) -> dict[str, Metric]:
        """Return the mean of pass@1 over the benchmarks of each kind of grading that has several, each counting the same."""
        kinds = {one.settings["grading"] for one in self.benchmarks.values()}
        found: dict[str, Metric] = {}
        for kind in sorted(kinds, reverse=True):
            parts = [one.metrics["pass@1"] for one in self.benchmarks.values() if one.settings["grading"] == kind]
            if len(parts) > 1:
                found[f"average, graded by {kind}"] = _average(parts)
        return found


def measure(problems: Sequence[ProblemResult], samples: int) -> dict[str, Metric]:
    """Compute pass@k and maj@k for the k of ``metrics.sizes(samples)``, over the problems with at least k responses."""
    passed: dict[str, Metric] = {}
    voted: dict[str, Metric] = {}
    for k in sizes(samples):
        enough = [problem for problem in problems if len(problem.verdicts) >= k]
        if not enough:
            continue
        passed[f"pass@{k}"] = _metric([pass_at_k(len(p.verdicts), sum(p.correct), k) for p in enough])
        if k == 1:
            passed["pass@1"] = _with_wilson(passed["pass@1"], enough)
        else:
            voted[f"maj@{k}"] = _metric([maj_at_k(p.votes, p.correct, k) for p in enough])
    return passed | voted


def _metric(values: Sequence[float]) -> Metric:
    array = np.asarray(values, dtype=np.float64)
    clusters = np.arange(array.size)
    error = clustered_standard_error(array, clusters, small_sample=True)
    drawn = bootstrap(_weighted_mean(array), clusters, draws=DRAWS)
    # a bootstrap of nothing but zeros, or ones, has no width
    shown = share_interval(array, np.ones(array.size), clusters) if np.isin(array, (0.0, 1.0)).all() else drawn
    return Metric(drawn.value, error, shown.low, shown.high, drawn.low, drawn.high)


def _weighted_mean(values: FloatArray) -> Callable[[FloatArray], float]:
    return lambda weights: float((weights * values).sum() / weights.sum())


def _with_wilson(metric: Metric, problems: Sequence[ProblemResult]) -> Metric:
    flags = np.concatenate([np.asarray(problem.correct) for problem in problems])
    clusters = np.repeat(np.arange(len(problems)), [len(problem.verdicts) for problem in problems])
    interval: Estimate = share_interval(flags, np.ones(flags.size), clusters)
    # the interval is that of the mean over responses: the same number unless some responses failed
    shift = metric.value - interval.value
    return metric._replace(low=interval.low + shift, high=interval.high + shift)


def _average(parts: Sequence[Metric]) -> Metric:
    value = float(np.mean([part.value for part in parts]))
    error = math.sqrt(sum(part.standard_error**2 for part in parts)) / len(parts)
    half = 1.96 * error if error else UNKNOWN
    return Metric(value, error, value - half, value + half, UNKNOWN, UNKNOWN)


def to_json(results: Results, *, problems: bool = True) -> dict[str, Any]:
    """Return JSON values; NaN is null. Without ``problems`` only their number is given, as `--json` prints."""
    return json_values({
        "format": FORMAT,
        "model": results.model,
        "settings": results.settings,
        "benchmarks": {
            name: {
                "title": one.title, "settings": one.settings, "counts": one.counts, "metrics": one.metrics,
                "problems": one.problems if problems else len(one.problems),
            }
            for name, one in results.benchmarks.items()
        },
        "averages": results.averages(),
        "facts": results.facts,
    })  # fmt: skip


def write_results(folder: Path, results: Results) -> Path:
    """Write ``results.json`` into the folder and return its path."""
    return write_text(folder / FILE, json.dumps(to_json(results), allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def read_results(folder: Path) -> Results:
    """Read the results in a folder, or in its ``results.json``.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        unfinished = folder.is_dir() and (folder / "settings.json").is_file()
        raise InputError(
            f"{folder}: this evaluation is not finished; go on with hero eval run ... -o {folder} --resume"
            if unfinished
            else f"{folder}: no {FILE} there; give a folder that hero eval wrote"
        )
    try:
        values = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        if values["format"] != FORMAT:
            raise InputError(f"{path}: format {values['format']!r}; this version reads {FORMAT}: evaluate again")
        benchmarks = {name: _benchmark(name, one) for name, one in values["benchmarks"].items()}
        facts = {**values.get("facts", {}), "folder": str(folder)}
        return Results(model=values["model"], settings=values["settings"], benchmarks=benchmarks, facts=facts)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no results file of hero eval ({type(error).__name__}: {error})") from error


def _benchmark(name: str, values: Mapping[str, Any]) -> BenchmarkResult:
    return BenchmarkResult(
        name=name, title=values["title"], settings=values["settings"], counts=Counts(**_nan_for_null(values["counts"])),
        problems=[ProblemResult(one["id"], tuple(one["verdicts"]), tuple(one["votes"])) for one in values["problems"]],
        metrics={key: Metric(**_nan_for_null(metric)) for key, metric in values["metrics"].items()},
    )  # fmt: skip


def _nan_for_null(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: UNKNOWN if value is None else value for name, value in values.items()}
