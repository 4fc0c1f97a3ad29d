"""Figures as SVG text and PNG files, in colours that read on a light and on a dark page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hero_rl.errors import require
from hero_rl.files import replacing
from hero_rl.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2f7ed8", "#d9534f", "#e69f00", "#1a9850", "#8e6bbf", "#7f7f7f", "#17a2a2", "#c2569b")
"""Told apart by most colour-blind readers, and of middling lightness: they stand out from white and from black."""
NEUTRAL = "#808080"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One quantity over training steps, one row a seed."""

    label: str
    steps: Sequence[float]
    values_SN: FloatArray
    """Shape (seeds, steps)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes: a title that says what is up, and the curves of every rule."""

    title: str
    curves: Sequence[Curve]
    percent: bool = False


def curve_panels(panels: Sequence[Panel], *, x_label: str = "training step", across: int | None = None) -> Figure:
    """Panels that share their legend: the mean over seeds, and the range of the seeds as a band.

    Args:
        panels: in reading order.
        x_label: what the horizontal axes measure.
        across: panels in a row; None: all of them.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require("matplotlib", extra="report", purpose="a figure")
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    columns = min(across or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.5), layout="constrained")
    if rows > 1:
        figure.set_layout_engine("constrained", h_pad=0.12)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    all_axes = grid[: len(panels)]
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    style = {label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
    for axes, panel in zip(all_axes, panels, strict=True):
        for curve in panel.curves:
            _draw(axes, curve, *style[curve.label])
        dress(axes, panel, x_label)
    handles = {line.get_label(): line for axes in all_axes for line in axes.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(5, len(handles)), frameon=False,
                  labelcolor=NEUTRAL)  # fmt: skip
    return figure


def _draw(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    values = np.atleast_2d(curve.values_SN)
    steps = np.asarray(curve.steps, dtype=np.float64)
    axes.plot(steps, values.mean(axis=0), color=colour, marker=marker, markersize=4, linewidth=1.8, label=curve.label)
    if len(values) > 1:
        axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.08, linewidth=0)


def dress(axes: Axes, panel: Panel, x_label: str) -> None:
    """Give axes the look of all figures: a title, a grid, no box, colours that read on light and dark."""
    axes.set_title(panel.title, color=NEUTRAL, fontsize=11)
    axes.set_xlabel(x_label, color=NEUTRAL)
    axes.tick_params(colors=NEUTRAL)
    axes.grid(True, color=NEUTRAL, alpha=0.25, linewidth=0.6)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(NEUTRAL)
    if panel.percent:
        from matplotlib.ticker import PercentFormatter

        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_facecolor("none")


def interval_rows(rows: Mapping[str, tuple[float, float, float]], *, x_label: str) -> Figure:
    """A line a row: a point with its interval, and a rule at zero; for differences between rules.

    Args:
        rows: label -> (value, low, high), drawn from top to bottom.
        x_label: what the axis measures.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require("matplotlib", extra="report", purpose="a figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.9 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (value, low, high) in enumerate(rows.values()):
        colour = COLOURS[3] if low > 0 else COLOURS[1] if high < 0 else NEUTRAL
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], color=colour, marker="o", markersize=6)
    axes.axvline(0.0, color=NEUTRAL, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), labels=list(rows))
    axes.invert_yaxis()
    dress(axes, Panel(title="", curves=()), x_label)
    return figure


def svg(figure: Figure, *, name: str) -> str:
    """The figure as an ``<svg>`` element for a page; ``name`` keeps its inner ids apart from those of other figures."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save_png(figure: Figure, path: Path, *, dpi: int = 150) -> Path:
    """The path of the figure as a PNG on white."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, facecolor="white")
    return path
