"""The study's table, figure and page, from the results of its runs."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from runs import TEMPERATURES, RunPlan

from hero_rl.files import write_text
from hero_rl.measures import Estimate, crossed_interval, mean_of_clusters, paired_difference
from hero_rl.report import Section, Table, interval, write_folder
from hero_rl.report.figures import Curve, Panel, curve_panels

BASE = "verifier_only"
WINDOW = 5
"""Steps that a point of a curve is the mean of: a step has 64 responses."""
OF_START = ("verifier_pass", "recall", "wrong_accepted", "auroc_within", "finished", "distinct")
CANNOT_TELL = (
    "One small model, one cold start and one reward model, so the seeds are of the training alone; problems of six templates, "
    "whose answers the policy nearly knows; 30 steps of 64 responses, at a learning rate chosen with the verifier alone. It "
    "shows that the whole chain works with a pretrained model and how far apart the rules are after 30 steps, and not which "
    "rule wins at scale."
)


def write_report(plans: Sequence[RunPlan], folders: Sequence[Path], out: Path) -> Path:
    """Write report.html, numbers.json, table.md and the figure into ``out``, and return the page."""
    start = next(
        (found for folder in folders for found in _read(folder / "start.json", folder / "models" / "start.json")), None
    )
    results = [found for plan in plans for found in [_result(plan, folders)] if found]
    if start is None or not results:
        raise SystemExit("no run has a result yet")
    arms = list(dict.fromkeys(plan.name for plan in plans))
    of_arm = {arm: [one for one in results if one["plan"]["name"] == arm] for arm in arms}
    of_arm = {arm: runs for arm, runs in of_arm.items() if runs}
    numbers = {arm: _numbers(runs, of_arm.get(BASE, []), start) for arm, runs in of_arm.items()}
    missing = [plan.file for plan in plans if not _result(plan, folders)]
    lead = f"{len(results)} of {len(plans)} runs" + (f"; missing: {', '.join(missing)}" if missing else "") + f". {CANNOT_TELL}"
    sections = [
        Section(heading="Accuracy on held-out problems", table=_table(numbers, start),
                text="By the oracle, which no rule sees. Intervals are over problems, and over seeds where there are several."),
        Section(heading="Learning curves", figure=_figure(of_arm), name="curves",
                caption=f"Responses trained on, always to new problems: means of {WINDOW} steps and the range of the seeds."),
        Section(heading="The starting policy", table=Table(header=["", "start"], rows=[[of, start[of]] for of in OF_START])),
        Section(heading="Responses at the start and at the end", table=_examples(start, of_arm)),
    ]  # fmt: skip
    footer = f"{shlex.join(['python', *sys.argv])}; {json.dumps(results[0]['versions'])}"
    content = {"start": start, "arms": numbers, "missing": missing}
    page = write_folder(out, "A real model: SmolLM2-135M on word problems", lead, sections, content, footer=footer)
    write_text(out / "table.md", _markdown(_table(numbers, start)))
    return page


def _markdown(table: Table) -> str:
    """Return the table for a page of the documentation."""
    rows = [table.header, ["---"] * len(table.header), *table.rows]
    texts = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell or "") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in texts)


def _read(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


def _result(plan: RunPlan, folders: Sequence[Path]) -> dict[str, Any] | None:
    return next(iter(_read(*(folder / f"{plan.file}.json" for folder in folders))), None)


def _shares(side: dict[str, Any], how: str) -> np.ndarray:
    """Return the share of right responses per problem."""
    return np.array(side[how]["right_P"]) / side[how]["samples"]


def _passed(side: dict[str, Any]) -> np.ndarray:
    """Return per problem whether any response at temperature 1 was right."""
    return (np.array(side["T=1"]["right_P"]) > 0).astype(float)


def _numbers(runs: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]], start: dict[str, Any]) -> dict[str, Any]:
    """Return what is reported of an arm."""
    ways = {name: lambda side, name=name: _shares(side, name) for name in TEMPERATURES} | {"pass@4": _passed}
    found: dict[str, Any] = {"seeds": len(runs)}
    for name, read in ways.items():
        values_SP = np.array([read(run["end"]) for run in runs])
        estimate = crossed_interval(values_SP) if len(runs) > 1 else mean_of_clusters(values_SP[0])
        found[name] = estimate.within(0, 1)._asdict()
        seeds = [run["plan"]["seed"] for run in runs]
        pairs = [one for one in base if one["plan"]["seed"] in seeds]
        if runs[0]["plan"]["name"] != BASE and len(pairs) == len(runs):
            found[f"{name}, less the verifier alone"] = paired_difference(
                np.array([read(one["end"]) for one in pairs]), values_SP
            )._asdict()
        found[f"{name}, less the start"] = float(values_SP.mean() - read(start).mean())
    for name in ("verifier_pass", "recall", "score", "auroc_within", "digits", "distinct"):
        values = [run["end"][name] for run in runs if run["end"].get(name) is not None]
        found[name] = float(np.mean(values)) if values else None
    return found


def _table(numbers: dict[str, Any], start: dict[str, Any]) -> Table:
    ways, seen = [*TEMPERATURES, "pass@4"], ("verifier_pass", "score", "auroc_within")
    header = ["rule", "seeds", *ways, "T=1 less the verifier alone", "verifier passes", "score", "AUROC inside prompts"]
    begin = [mean_of_clusters(values) for values in (*(_shares(start, name) for name in TEMPERATURES), _passed(start))]
    rows: list[list[Any]] = [["start", None, *map(interval, begin), None, *(start[name] for name in seen)]]
    for arm, of in numbers.items():
        gap = of.get("T=1, less the verifier alone")
        rows.append([
            arm, str(of["seeds"]), *(interval(Estimate(**of[name])) for name in ways),
            gap and interval(Estimate(gap["value"], gap["low"], gap["high"])), *(of[name] for name in seen),
        ])  # fmt: skip
    return Table(header=header, rows=rows)


def _figure(of_arm: dict[str, list[dict[str, Any]]]) -> Any:
    names = {
        "accuracy": "Accuracy by the oracle",
        "score": "Reward model's mean score",
        "verifier_pass": "Accepted by the verifier",
    }
    panels = [
        Panel(title=title, percent=key != "score", curves=[
            curve for arm, runs in of_arm.items() if (curve := _curve(arm, runs, key)) is not None
        ])
        for key, title in names.items()
    ]  # fmt: skip
    return curve_panels(panels)


def _curve(arm: str, runs: Sequence[dict[str, Any]], key: str) -> Curve | None:
    """Return the curve of the seeds' means over windows of steps; None where the arm has no such number."""
    rows = []
    for run in runs:
        values = np.array([math.nan if point[key] is None else point[key] for point in run["curve"]], dtype=float)
        rows.append(values[: len(values) // WINDOW * WINDOW].reshape(-1, WINDOW).mean(axis=1))
    length = min(map(len, rows))
    values_SN = np.array([row[:length] for row in rows])
    if np.isnan(values_SN).all():
        return None
    return Curve(label=arm, steps=[WINDOW * (place + 1.0) for place in range(length)], values_SN=values_SN)


def _examples(start: dict[str, Any], of_arm: dict[str, list[dict[str, Any]]]) -> Table:
    """Return the first responses at temperature 1 to the same problems, ticked where they are right."""
    sides = {"start": start} | {arm: runs[0]["end"] for arm, runs in of_arm.items()}
    rows = [
        [question, *(f"{side['examples'][place][1]} {'✓' if side['examples'][place][2] else '✗'}" for side in sides.values())]
        for place, (question, *_) in enumerate(start["examples"][:6])
    ]
    return Table(header=["problem", *sides], rows=rows, wrap=True)
