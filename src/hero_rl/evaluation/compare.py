"""Is one policy better than another? Paired over problems, and only if both were evaluated in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.evaluation.results import BenchmarkResult, Results, read_results
from hero_rl.measures import PairedDifference, holm, paired_difference
from hero_rl.report import json_values
from hero_rl.toml_layers import differences
from hero_rl.types import FloatArray

MUST_AGREE = ("fingerprint", "samples", "grader", "grader_identity")
"""Settings of a benchmark; the source of its problems does not matter if they are the same."""
LEVEL = 0.05
SEPARATOR = "vs"


class Row(NamedTuple):
    """One line of the comparison."""

    name: str
    title: str
    problems: int
    samples: int
    first: float
    """Mean pass@1 of the first side."""
    second: float
    difference: PairedDifference
    """Second less first."""
    adjusted_p: float
    """Holm's for the number of benchmarks compared; that of an average is not adjusted."""

    @property
    def real(self) -> bool | None:
        """Whether the difference is statistically significant; None: unknown."""
        return None if math.isnan(self.adjusted_p) else self.adjusted_p < LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sides with one run or several runs each."""

    first: Sequence[str]
    """Folder and policy of the first side's runs."""
    second: Sequence[str]
    rows: Sequence[Row]
    averages: Sequence[Row]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; NaN is null."""
        return {
            "first": list(self.first),
            "second": list(self.second),
            "benchmarks": {row.name: _row_json(row) for row in self.rows},
            "averages": {row.name: _row_json(row) for row in self.averages},
            "words": words(self),
        }


def read_sides(arguments: Sequence[Path]) -> tuple[list[Results], list[Results]]:
    """Read the results of `A B`, or of `A1 A2 ... vs B1 B2 ...`; raises InputError if they are neither, or repeat a folder."""
    places = [number for number, one in enumerate(arguments) if str(one) == SEPARATOR]
    if len(arguments) == 2 and not places:
        sides = ([arguments[0]], [arguments[1]])
    elif len(places) == 1 and 0 < places[0] < len(arguments) - 1:
        sides = (list(arguments[: places[0]]), list(arguments[places[0] + 1 :]))
    else:
        raise InputError("give two folders, A B, or several runs a side with the word vs between: A1 A2 vs B1 B2")
    resolved = [path.resolve() for side in sides for path in side]
    twice = next((path for path in resolved if resolved.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: given twice; an evaluation has no difference from itself")
    if (len(sides[0]) == 1) != (len(sides[1]) == 1):
        raise InputError(
            f"{len(sides[0])} against {len(sides[1])} runs: give one a side, or at least two on both; how much a side varies "
            "from one training to the next cannot be seen from one"
        )
    return [read_results(path) for path in sides[0]], [read_results(path) for path in sides[1]]


def compare(first: Sequence[Results], second: Sequence[Results], *, benchmarks: Sequence[str] = ()) -> Comparison:
    """Compare two sides, the second less the first.

    Args:
        first: one run, or at least two.
        second: one run, or at least two; one against one, or several against several.
        benchmarks: names of those to compare; none: all.

    Raises:
        InputError: different problems, prompts, sampling or graders; the message names what differs.
    """
    runs = [*first, *second]
    names = _names(runs, benchmarks)
    reference = runs[0]
    for other in runs[1:]:
        _check(reference, other, names)
    cells = {name: _cells(first, second, name) for name in names}
    found = {name: paired_difference(*cells[name]) for name in names}
    adjusted = holm([found[name].p_value for name in names])
    rows = [_row(reference.benchmarks[name], cells[name], found[name], p) for name, p in zip(names, adjusted, strict=True)]
    return Comparison(
        first=[one.label for one in first], second=[one.label for one in second], rows=rows,
        averages=_averages(reference, names, cells),
    )  # fmt: skip


def words(found: Comparison) -> list[str]:
    """Return the comparison in sentences; the second side is B."""
    sentences = [_sentence(row) for row in [*found.rows, *found.averages]]
    if len(found.rows) > 1:
        odds = round(1 / (1 - (1 - LEVEL) ** len(found.rows)))
        sentences.append(
            f"p-values are adjusted for {len(found.rows)} benchmarks (Holm): without that, one in {odds} "
            "such tables would show a difference where there is none."
        )
    if len(found.first) == 1:
        sentences.append(
            "This is about these two policies. Whether the way one was trained is better also depends on luck in training: "
            "evaluate several training seeds of each and compare A1 A2 ... vs B1 B2 ..."
        )
    return sentences


def _sentence(row: Row) -> str:
    points, low, high = (100 * value for value in row.difference[:3])
    if row.real is None:
        return f"{row.title}: nothing can be said from {row.problems} problem{'s' if row.problems != 1 else ''}."
    p = f"p = {row.adjusted_p:.2g}" if row.adjusted_p >= 1e-4 else "p < 0.0001"
    interval = f"95% interval {low:+.1f} to {high:+.1f}"
    if row.real:
        better = "better" if points > 0 else "worse"
        return f"{row.title}: B is {better} by {abs(points):.1f} points ({interval}, {p}): a real difference."
    if row.difference.standard_error == 0.0:
        return f"{row.title}: the same on every problem."
    detectable = (1.96 + 0.84) * row.difference.standard_error  # found four times in five
    return (
        f"{row.title}: {points:+.1f} points ({interval}, {p}): not told from chance. With {row.problems} problems, a true "
        f"difference of about {100 * detectable:.1f} points would usually be seen."
    )


def _names(runs: Sequence[Results], asked: Sequence[str]) -> list[str]:
    names = list(asked) or list(runs[0].benchmarks)
    for run in runs:
        missing = [name for name in names if name not in run.benchmarks]
        if missing:
            raise InputError(f"{run.label}: was not evaluated on {', '.join(missing)}; it has {', '.join(run.benchmarks)}")
        further = [name for name in run.benchmarks if name not in names]
        if further and not asked:
            raise InputError(
                f"{run.label} was also evaluated on {', '.join(further)}, {runs[0].label} was not; choose with --benchmark"
            )
    return names


def _check(one: Results, other: Results, names: Sequence[str]) -> None:
    """Raise if two runs were not evaluated in the same way."""
    found = differences(_shared(one), _shared(other))
    for name in names:
        first, second = one.benchmarks[name].settings, other.benchmarks[name].settings
        found += [f"{name}: {_LABELS.get(key, key)}" for key in MUST_AGREE if first.get(key) != second.get(key)]
    if found:
        raise InputError(
            f"{one.label} and {other.label} cannot be compared, because they differ in {', '.join(found)}; evaluate both in "
            "the same way"
        )


_LABELS: Mapping[str, str] = {"fingerprint": "problems", "grader_identity": "version or options of the grader"}


def _shared(results: Results) -> dict[str, Any]:
    sampling = {name: value for name, value in results.settings["sampling"].items() if name != "seed"}
    return {"sampling": sampling, "prompt": results.settings["prompt"]}


def _cells(first: Sequence[Results], second: Sequence[Results], name: str) -> tuple[FloatArray, FloatArray]:
    """Return each side's shares of correct responses, shape (runs, problems), to the problems that all runs answered."""
    one, other = ([run.benchmarks[name].shares for run in side] for side in (first, second))
    ids = [identity for identity in one[0] if all(identity in shares for shares in one + other)]
    rows = [np.array([[shares[identity] for identity in ids] for shares in side]) for side in (one, other)]
    return rows[0], rows[1]


def _row(of: BenchmarkResult, cells: tuple[FloatArray, FloatArray], found: PairedDifference, adjusted: float) -> Row:
    first, second = (float(side.mean()) for side in cells)
    return Row(of.name, of.title, cells[0].shape[1], of.samples, first, second, found, adjusted)


def _averages(reference: Results, names: Sequence[str], cells: Mapping[str, tuple[FloatArray, FloatArray]]) -> list[Row]:
    rows: list[Row] = []
    for kind in ("rules", "judge"):
        chosen = [name for name in names if reference.benchmarks[name].settings["grading"] == kind]
        if len(chosen) < 2:
            continue
        first, second = (np.concatenate([cells[name][side] for name in chosen], axis=1) for side in (0, 1))
        strata = np.repeat(np.arange(len(chosen)), [cells[name][0].shape[1] for name in chosen])
        found = paired_difference(first, second, strata_P=strata)
        one, other = (float(np.mean([cells[name][side].mean() for name in chosen])) for side in (0, 1))
        title = f"average of {len(chosen)} graded by {kind}"
        rows.append(Row(title, title, first.shape[1], 0, one, other, found, found.p_value))
    return rows


def _row_json(row: Row) -> dict[str, Any]:
    values = {
        "title": row.title, "problems": row.problems, "samples": row.samples, "first": row.first, "second": row.second,
        **row.difference._asdict(), "adjusted_p_value": row.adjusted_p, "real": row.real,
    }  # fmt: skip
    values["difference"] = values.pop("value")
    return json_values(values)
