"""Results and comparisons as pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hero_rl.data import read_rollouts
from hero_rl.evaluation.compare import Comparison, Row, words
from hero_rl.evaluation.metrics import sizes
from hero_rl.evaluation.results import BenchmarkResult, Metric, Results, to_json
from hero_rl.report import Link, Section, Table, write_folder
from hero_rl.report.figures import Curve, Histogram, Panel, curve_panels, histograms, interval_rows
from hero_rl.view.page import write_groups
from hero_rl.view.sources import row_of

HEADER = ("benchmark", "problems", "pass@1", "95% interval", "SE", "pass@k", "maj@k", "no verdict", "cut off", "tokens")
SHORT_COLUMNS = (0, 1, 2, 3, 5, 6)
"""Columns that fit into a terminal."""
COMPARE_HEADER = ("benchmark", "problems", "A", "B", "difference", "95% interval", "p", "real?")
ROLLOUTS = "rollouts.jsonl"
MAX_HISTOGRAMS = 4
MAX_CHARS = 600


class Example(NamedTuple):
    """A response worth reading."""

    why: str
    where: str
    problem: str
    reference: str
    response: str


def percent(value: float) -> str:
    """Return a share in percent with one decimal; a dash if it is unknown."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def percent_interval(metric: Metric) -> str:
    """Return the interval in percent."""
    return "–" if math.isnan(metric.low) else f"{100 * metric.low:.1f} to {100 * metric.high:.1f}"


def result_rows(results: Results) -> list[list[str]]:
    """Return the rows of the table of results, averages last."""
    rows = [_result_row(one) for one in results.benchmarks.values()]
    for name, metric in results.averages().items():
        rows.append([name, "", percent(metric.value), percent_interval(metric), percent(metric.standard_error)] + [""] * 5)
    return rows


def _result_row(one: BenchmarkResult) -> list[str]:
    first, n, counts = one.metrics["pass@1"], one.samples, one.counts
    best, vote = one.metrics.get(f"pass@{n}"), one.metrics.get(f"maj@{n}")
    return [
        one.title, f"{len(one.problems)} x {n}", percent(first.value), percent_interval(first), percent(first.standard_error),
        f"{percent(best.value)} @{n}" if best and n > 1 else "–", f"{percent(vote.value)} @{n}" if vote else "–",
        percent(counts.abstained / counts.responses), percent(counts.cut_off / counts.responses), f"{counts.mean_tokens:.0f}",
    ]  # fmt: skip


def notes(results: Results) -> list[str]:
    """Return warnings about the numbers."""
    found: list[str] = []
    for one in results.benchmarks.values():
        counts = one.counts
        if counts.failed:
            found.append(f"{one.title}: {counts.failed} responses failed and are left out ({counts.first_error}).")
        if counts.grader_failed:
            found.append(f"{one.title}: the grader broke on {counts.grader_failed} responses, which count as not correct.")
        if counts.cut_off > 0.1 * counts.responses:
            share = counts.cut_off / counts.responses
            found.append(
                f"{one.title}: {share:.0%} of the responses ran into the length limit; a higher --max-tokens may change this."
            )
        if counts.abstained > 0.05 * counts.responses:
            share = counts.abstained / counts.responses
            found.append(
                f"{one.title}: no verdict on {share:.0%} of the responses, which count as not correct: pass@1 may be up to "
                "that much too low."
            )
        known = one.settings.get("known_rows")
        if known and known != len(one.problems):
            found.append(f"{one.title}: {len(one.problems)} problems, where the benchmark has {known}.")
    return found


def write_page(folder: Path, results: Results, examples: Sequence[Example], *, command: str) -> Path:
    """Write the page of an evaluation, figures and ``numbers.json``, and return the path of the page.

    The responses are in ``ROLLOUTS`` in the folder; those to the problems of the examples come with ``view.html``.
    """
    sampling, prompt = results.settings["sampling"], results.settings["prompt"]
    how = (
        f"Temperature {sampling['temperature']:g}, top-p {sampling['top_p']:g}, at most {sampling['max_tokens']} tokens, seed "
        f"{sampling['seed']}; {prompt['format']} prompts."
    )
    if source := results.facts.get("prompt_source"):
        how += f"\nThe prompt: {source}."
    note = (
        "In percent; problems x responses to each. pass@1: the mean over all responses, its standard error (SE) clustered by "
        "problem. pass@k: at least one of k is right; maj@k: the most frequent of k answers is right."
    )
    sections = [
        Section(heading="Results", text="\n".join([how, *notes(results)]),
             table=Table(header=HEADER, rows=result_rows(results), note=note)),
        _tries(results),
        *_difficulty(results),
        Section(heading="Graders", table=Table(header=("benchmark", "problems from", "grader"), rows=[
            [one.title, str(one.settings["source"]), str(one.settings["grader"])] for one in results.benchmarks.values()])),
    ]  # fmt: skip
    if examples:
        links = _link_groups(folder, examples)
        rows: list[Sequence[str | Link]] = [
            (e.why, links.get(e, e.where), _short(e.problem), _short(e.reference), _short(e.response, end=True))
            for e in examples
        ]
        header = ("why", "problem", "text", "reference", "response (its end)")
        sections.append(Section(heading="Worth reading", table=Table(header=header, rows=rows, wrap=True)))
    return write_folder(
        folder, f"Evaluation of {results.model}", _lead(results), sections, to_json(results, problems=False), footer=command
    )


def _link_groups(folder: Path, examples: Sequence[Example]) -> dict[Example, Link]:
    """Write a page of `hero view` with all responses to the problems of the examples, and return a link into it for each."""
    wanted = {example.where for example in examples}
    rollouts = [row.rollout for row in read_rollouts(folder / ROLLOUTS) if row.rollout.prompt_id in wanted]
    places = write_groups(folder / "view.html", list(map(row_of, rollouts)), title=f"Examples of {folder.name}")
    found = {(one.prompt_id, one.response): place for one, place in zip(rollouts, places, strict=True) if place}
    keys = {example: (example.where, example.response) for example in examples}
    return {one: Link(one.where, f"view.html#{found[key]}") for one, key in keys.items() if key in found}


def _lead(results: Results) -> str:
    return "\n".join(
        f"{one.title}: {percent(one.metrics['pass@1'].value)}% correct ({percent_interval(one.metrics['pass@1'])}), "
        f"{len(one.problems)} problems with {one.samples} response{'s' if one.samples > 1 else ''} each."
        for one in results.benchmarks.values()
    )


def _tries(results: Results) -> Section:
    rows = [
        [one.title, name, percent(metric.value), percent_interval(metric), percent(metric.standard_error)]
        for one in results.benchmarks.values()
        for name, metric in one.metrics.items()
    ]
    header = ("benchmark", "measure", "percent", "95% interval", "standard error")
    table = Table(header=header, rows=rows)
    several = [one for one in results.benchmarks.values() if one.samples > 1]
    panels = [Panel(title=f"{kind}@k", percent=True, curves=[_curve(one, kind) for one in several]) for kind in ("pass", "maj")]
    figure = curve_panels(panels, x_label="k responses") if several else None
    return Section(heading="Several tries", name="tries", figure=figure, table=table)


def _curve(one: BenchmarkResult, kind: str) -> Curve:
    # one try is a vote of one
    values = {k: one.metrics.get(f"{kind}@{k}" if k > 1 else "pass@1") for k in sizes(one.samples)}
    known = {k: metric.value for k, metric in values.items() if metric is not None}
    return Curve(label=one.title, steps=list(known), values_SN=np.array([list(known.values())]))


def _difficulty(results: Results) -> list[Section]:
    several = [one for one in results.benchmarks.values() if one.samples > 2][:MAX_HISTOGRAMS]
    if not several:
        return []
    panels = [
        Histogram(
            title=one.title, x_label="correct share of a problem's responses", limits=(0.0, 1.0), bins=one.samples + 1,
            values={"": np.array(list(one.shares.values()))},
        )
        for one in several
    ]  # fmt: skip
    if len(several) == 1:
        answers = np.array([float(len({vote for vote in problem.votes if vote >= 0})) for problem in several[0].problems])
        most = several[0].samples
        limits = (0.5, most + 0.5)
        title = "different answers to a problem"
        panels.append(Histogram(title=title, x_label="answers", values={"": answers}, bins=most, limits=limits))
    caption = "Problems always or never solved say nothing about small differences between policies."
    return [Section(heading="How hard the problems are", name="difficulty", figure=histograms(panels), caption=caption)]


def _short(text: str, *, end: bool = False) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return "..." + text[-MAX_CHARS:] if end else text[:MAX_CHARS] + "..."


def compare_rows(found: Comparison) -> list[list[str]]:
    """Return the rows of the table of a comparison."""
    return [_compare_row(row) for row in [*found.rows, *found.averages]]


def _compare_row(row: Row) -> list[str]:
    value, low, high = (100 * number for number in row.difference[:3])
    known = not math.isnan(row.difference.low)
    p = "–" if math.isnan(row.adjusted_p) else f"{row.adjusted_p:.3f}" if row.adjusted_p >= 0.001 else "<0.001"
    return [
        row.title, str(row.problems), percent(row.first), percent(row.second), f"{value:+.1f}",
        f"{low:+.1f} to {high:+.1f}" if known else "–", p, {True: "yes", False: "no", None: "–"}[row.real],
    ]  # fmt: skip


def write_comparison(folder: Path, found: Comparison, *, command: str) -> Path:
    """Write the page of a comparison, a figure and ``numbers.json``, and return the path of the page."""
    shown = {
        row.title: (100 * row.difference.value, 100 * row.difference.low, 100 * row.difference.high)
        for row in [*found.rows, *found.averages]
        if not math.isnan(row.difference.low)
    }
    note = "In percent and points, B less A, paired over problems. p is adjusted for the number of benchmarks."
    sections = [
        Section(heading="Differences", name="differences",
             figure=interval_rows(shown, x_label="points, B less A", few="too few problems") if shown else None,
             table=Table(header=COMPARE_HEADER, rows=compare_rows(found), note=note)),
        Section(heading="Which runs", table=Table(header=("side", "evaluation"), rows=[
            *(["A", name] for name in found.first), *(["B", name] for name in found.second)])),
    ]  # fmt: skip
    return write_folder(folder, "Comparison", "\n".join(words(found)), sections, found.to_json(), footer=command)
