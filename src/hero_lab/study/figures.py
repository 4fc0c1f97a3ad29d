"""The figures of a table: learning curves, differences with their intervals, what a rule's state does, and a phase diagram."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hero_lab.compare import Result
from hero_lab.page import CURVES, MOST_DRAWN, panel
from hero_lab.study.collect import Entry
from hero_lab.study.plan import Axis
from hero_lab.study.tables import Cell, PairRow, Tabulated
from hero_lab.task import TAG_NAMES
from hero_rl.errors import require
from hero_rl.measures import Estimate
from hero_rl.report import Section
from hero_rl.report.figures import Drawing, Panel, curve_panels, dress, interval_rows
from hero_rl.report.palette import TEXT, Look, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Groups: TypeAlias = dict[tuple[Axis, ...], dict[str, list[Result]]]
"""Combination of the crossed settings -> rule -> runs."""
_MOST_ROWS = 3
"""Combinations up to which all three measures are drawn; with more, accuracy alone."""
_MOST_METRICS = 6
_MOST_PANELS = 12


def pictures(table: Tabulated, entries: Sequence[Entry]) -> list[Section]:
    """Every figure that a table has the numbers for.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    combinations = len(_by_axes(entries))
    cut = f" The first {_MOST_PANELS} of {combinations} combinations." if combinations > _MOST_PANELS else ""
    compared = table.deciding(table.pairs) or table.deciding(table.best)
    phase = (
        "The rule of the highest mean in each cell and its lead over the runner-up; a thick frame and * where the 95% "
        "interval of the lead is clear of zero. The leader is chosen on the numbers that its lead is measured on, "
        "which makes leads too large rather than too small."
    )
    found = {
        "curves": (learning_curves(table, entries), f"Development prompts: means over seeds, and their range.{cut}"),
        "differences": (differences(table) if compared else None, "Right of the dashed line the first rule is ahead."),
        "state": (rule_state(table, entries), "What the rules keep track of, during training."),
        "phase": (phase_diagram(table, entries), phase),
    }
    name = table.plan.name
    return [Section(heading=f"{name}: {suffix}", name=f"{name}-{suffix}", figure=figure, caption=caption)
            for suffix, (figure, caption) in found.items() if figure is not None]  # fmt: skip


def learning_curves(table: Tabulated, entries: Sequence[Entry]) -> Drawing:
    """Accuracy on development prompts, a panel a combination; with few combinations also score and verifier."""
    groups = _by_axes(entries)
    if len(groups) <= _MOST_ROWS:
        return curve_panels(_panels(table, groups, CURVES), across=3)
    several = dict(itertools.islice(groups.items(), _MOST_PANELS))
    return curve_panels(_panels(table, several, {"accuracy": ""}), across=3, same_scale=True)


def differences(table: Tabulated) -> Drawing:
    """The deciding comparisons, a line each, with their intervals."""
    deciding = [*table.deciding(table.pairs), *table.deciding(table.best)]
    tags = {row.cell.tag for row in deciding}
    rows: dict[str, Estimate] = {}
    for row in deciding:
        where = row.cell.words(table.varying, tag=len(tags) > 1).replace("_", " ")
        rows[f"{row.candidate} − {row.baseline}" + (f" ({where})" if where else "")] = row.difference
    prompts = "held-out prompts" if len(tags) > 1 else TAG_NAMES[tags.pop()]
    label = f"difference in accuracy on {prompts} at temperature 1, step {max(table.plan.horizons)}, 95% interval"
    return interval_rows(rows, x_label=label, limit=MOST_DRAWN)


def rule_state(table: Tabulated, entries: Sequence[Entry]) -> Drawing | None:
    """Numbers of the rules' states over training steps, a panel each; None where no rule has any."""
    points = [point for entry in entries for point in entry.result["curve"]]
    metrics = list(dict.fromkeys(name for point in points for name in point.get("rule", {})))[:_MOST_METRICS]
    if not metrics:
        return None
    groups = dict(itertools.islice(_by_axes(entries).items(), _MOST_ROWS))
    return curve_panels(_panels(table, groups, dict(zip(metrics, metrics, strict=True))), across=min(3, len(metrics)))


def _panels(table: Tabulated, groups: Groups, titles: Mapping[str, str]) -> list[Panel]:
    """A panel for each combination and each number of the runs' curves."""
    panels: list[Panel] = []
    for (axes, by_arm), (name, title) in itertools.product(groups.items(), titles.items()):
        words = ": ".join(filter(None, (Cell(axes, "").words(table.varying, tag=False), title))).replace("_", " ")
        panels.append(panel(words, {arm: by_arm[arm] for arm in table.plan.arms if arm in by_arm}, name))
    return panels


def phase_diagram(table: Tabulated, entries: Sequence[Entry]) -> Drawing | None:
    """The best rule over the two crossed settings with the most values, a panel for each value of the others and each tag.

    None where fewer than two settings vary.
    """
    grid = phase_grid(table)
    if grid is None:
        return None
    require("matplotlib", extra="report", purpose="a figure")
    from matplotlib.figure import Figure

    across = min(3, len(grid.panels))
    down = -(-len(grid.panels) // across)
    width, height = 0.8 + 1.35 * len(grid.x[1]), 1.3 + 0.75 * len(grid.y[1])
    figure = Figure(figsize=(max(4.2, width) * across, height * down + 0.4), layout="constrained")
    places = figure.subplots(down, across, squeeze=False).ravel()
    style = looks(table.plan.arms)
    for axes, (title, cells) in zip(places, grid.panels.items(), strict=False):
        _draw_phase(axes, title, cells, grid, style)
        for axis, ticks, (name, values) in ((axes.set_xticks, range, grid.x), (axes.set_yticks, range, grid.y)):
            axis(ticks(len(values)), labels=[_tick(name, value, entries) for value in values])
    for axes in places[len(grid.panels) :]:
        axes.set_visible(False)
    numbers: list[dict[str, str | float]] = [
        {"panel": title, grid.x[0]: str(x), grid.y[0]: str(y), "rule": row.candidate, "runner-up": row.baseline}
        | row.difference._asdict()
        for title, cells in grid.panels.items() for (x, y), row in cells.items()
    ]  # fmt: skip
    return Drawing(figure, numbers)  # without a legend: every cell names its rule


class PhaseGrid(NamedTuple):
    """The leaders of a table by two settings."""

    x: tuple[str, tuple[object, ...]]
    y: tuple[str, tuple[object, ...]]
    panels: Mapping[str, Mapping[tuple[object, object], PairRow]]
    """Title -> (x, y) -> leader and runner-up."""


def phase_grid(table: Tabulated) -> PhaseGrid | None:
    """The leaders by the two settings with the most values; None where fewer than two vary."""
    varying = [axis for axis in table.plan.axes if len(axis[1]) > 1]
    if len(varying) < 2 or not table.leaders:
        return None
    first, second = sorted(sorted(varying, key=lambda axis: -len(axis[1]))[:2], key=varying.index)
    panels: dict[str, dict[tuple[object, object], PairRow]] = {}
    rest = [name for name, _ in varying if name not in (first[0], second[0])]
    axes = [row.cell.axes for row in table.leaders]
    split = len(set(axes)) < len(axes)  # some are measured on both kinds of prompt
    for row in table.leaders:
        values = dict(row.cell.axes)
        title = row.cell.words(rest, tag=split).replace("_", " ") or f"best rule, step {row.step}"
        panels.setdefault(title, {})[values[first[0]], values[second[0]]] = row
    return PhaseGrid(first, second, panels)


def _draw_phase(
    axes: Axes, title: str, cells: Mapping[tuple[object, object], PairRow], grid: PhaseGrid, style: Mapping[str, Look]
) -> None:
    from matplotlib.patches import Rectangle

    for (x, y), row in cells.items():
        column, line = grid.x[1].index(x), grid.y[1].index(y)
        clear = row.difference.low > 0 and row.seeds > 1
        colour = style[row.candidate].colour
        corner = (column - 0.46, line - 0.46)
        axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=colour, alpha=0.15, linewidth=0))
        axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=colour, linewidth=3 if clear else 1))
        name = textwrap.fill(row.candidate.replace(":", ": "), 14, break_on_hyphens=False)
        text = f"{name}\n{row.difference.value:+.3f}{'*' if clear else ''}"
        axes.text(column, line, text, ha="center", va="center", fontsize=8, color=TEXT.light,
                  weight="bold" if clear else "normal")  # fmt: skip
    axes.set_xlim(-0.5, len(grid.x[1]) - 0.5)
    axes.set_ylim(-0.5, len(grid.y[1]) - 0.5)
    dress(axes, title, grid.x[0].replace("_", " "))
    axes.set_ylabel(grid.y[0].replace("_", " "), color=TEXT.light)
    axes.grid(False)
    axes.tick_params(labelsize=8, length=0)


def _tick(name: str, value: object, entries: Sequence[Entry]) -> str:
    """A value of an axis; of one that changes the reward model, with the AUROC within prompts that comes of it."""
    text = str(value)
    if not name.startswith(("score", "tier", "reward_model")):
        return text
    known = [
        evaluation["rm_auroc_within"]
        for entry in entries
        if dict(entry.cell)[name] == value == _setting(entry.result, name)  # not a run shared with another reward model
        for evaluation in entry.result["held_out"]["start"].values()
        if isinstance(evaluation, Mapping) and evaluation["rm_auroc_within"] is not None
    ]
    return f"{text}\nAUROC {np.mean(known):.2f}" if known else text


def _setting(result: Result, name: str) -> object:
    """A setting of a run by its full name, such as ``reward_model.rows``."""
    value: Any = result["settings"]
    for part in name.split("."):
        value = value.get(part)
    return value


def _by_axes(entries: Sequence[Entry]) -> Groups:
    groups: Groups = {}
    for entry in entries:
        groups.setdefault(entry.cell, {}).setdefault(entry.arm, []).append(entry.result)
    return groups
