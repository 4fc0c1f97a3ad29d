"""The figures of a table: learning curves, differences with intervals, the state over training, and what foretold the end."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from hero_lab.compare import UPDATE, Result
from hero_lab.page import CURVES, MOST_DRAWN, panel
from hero_lab.study.collect import Entry
from hero_lab.study.plan import Axis
from hero_lab.study.tables import Cell, Forecast, Tabulated, forecast_ranks, mean_of
from hero_lab.task import TAG_NAMES
from hero_rl.errors import require
from hero_rl.measures import Estimate
from hero_rl.report import Section
from hero_rl.report.figures import Drawing, Panel, curve_panels, dress, interval_rows
from hero_rl.report.palette import SOFT, TEXT, looks

Groups: TypeAlias = dict[tuple[Axis, ...], dict[str, list[Result]]]
"""Combination of the crossed settings -> rule -> runs."""
_MOST_ROWS = 3
"""Combinations up to which all three measures are drawn; with more, accuracy alone."""
_MOST_METRICS = 9
_MOST_PANELS = 12


def pictures(table: Tabulated, entries: Sequence[Entry]) -> list[Section]:
    """Every figure that a table has the numbers for.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    combinations = len(_by_axes(entries))
    cut = f" The first {_MOST_PANELS} of {combinations} combinations." if combinations > _MOST_PANELS else ""
    compared = table.deciding(table.pairs) or table.deciding(table.best)
    found = {
        "curves": (learning_curves(table, entries), f"Development prompts: means over seeds, and their range.{cut}"),
        "differences": (differences(table) if compared else None, "Right of the dashed line the first rule is ahead."),
        "state": (rule_state(table, entries), "Measures of the update on development prompts; what rules keep track of."),
        "forecast": (forecast(table), "Held-out prompts: means over seeds. The measures need no training."),
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
    """Measures of the update and numbers of the rules' states over training steps, a panel each; None where there are none."""
    points = [point for entry in entries for point in entry.result["curve"]]
    metrics = [name for name in (*UPDATE, "scale_estimate") if any(point.get(name) is not None for point in points)]
    metrics = list(dict.fromkeys([*metrics, *(name for point in points for name in point.get("rule", {}))]))[:_MOST_METRICS]
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


def forecast(table: Tabulated) -> Drawing | None:
    """The accuracy gained against each measure at step 0, one point per rule and cell; None where no measure is known."""
    if not table.forecasts:
        return None
    require("matplotlib", extra="report", purpose="a figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(UPDATE), 3.6), layout="constrained")
    by_rule: dict[tuple[str, Cell], list[Forecast]] = {}
    for one in table.forecasts:
        by_rule.setdefault((one.arm, one.cell), []).append(one)
    style, numbers = looks(dict.fromkeys(arm for arm, _ in by_rule)), list[dict[str, str | float]]()
    for axes, name in zip(figure.subplots(1, len(UPDATE), squeeze=False, sharey=True).ravel(), UPDATE, strict=True):
        for (arm, cell), ones in by_rule.items():
            x, y, look = mean_of(ones, name), mean_of(ones, "gain"), style[arm]
            fill = "full" if look.dashes == "-" else "none"  # a variant has the colour of its rule
            axes.plot([x], [y], look.marker, color=look.colour, label=arm, markersize=6, fillstyle=fill)
            numbers.append({"measure": name, "rule": arm, "where": cell.words(table.varying), "at start": x, "gain": y})
        found = forecast_ranks(table.forecasts, name)
        dress(axes, f"Spearman {found.of_means:+.2f} over {found.rules}", f"{name} at step 0", percent=True)
        axes.axhline(0.0, color=SOFT.light, linewidth=1, linestyle="--")
    figure.axes[0].set_ylabel(f"accuracy gained by step {max(table.plan.horizons)}", color=TEXT.light)
    named = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(named.values(), named, loc="outside lower center", ncols=4, frameon=False, labelcolor=TEXT.light, fontsize=9)
    return Drawing(figure, numbers)


def _by_axes(entries: Sequence[Entry]) -> Groups:
    groups: Groups = {}
    for entry in entries:
        groups.setdefault(entry.cell, {}).setdefault(entry.arm, []).append(entry.result)
    return groups
