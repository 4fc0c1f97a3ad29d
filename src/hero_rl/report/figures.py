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
    """One quantity over training steps, a row per seed."""

    label: str
    steps: Sequence[float]
    values_SN: FloatArray
    """Shape (seeds, steps)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes with the curves of every rule."""

    title: str
    curves: Sequence[Curve]
    percent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """One pair of axes with a histogram per kind of value."""

    title: str
    x_label: str
    values: dict[str, FloatArray]
    """Label -> values; NaN are left out."""
    limits: tuple[float, float] | None = None
    bins: int = 40
    log: bool = False
    """Counts on a logarithmic axis."""


def curve_panels(
    panels: Sequence[Panel], *, x_label: str = "training step", across: int | None = None, legend: bool = True
) -> Figure:
    """Draw panels of curves in reading order: the mean over seeds, and the range of the seeds as a band.

    Args:
        panels: with their curves.
        x_label: of the horizontal axes.
        across: panels in a row; None: all of them.
        legend: draw one for all panels; without it a single panel fills half of the row.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    columns = min(across or len(panels), max(1 if legend else 2, len(panels)))
    rows = -(-len(panels) // columns)
    figure, all_axes = _grid(len(panels), columns, (4.2 * columns, 3.2 * rows + 0.5))
    if rows > 1:
        figure.set_layout_engine("constrained", h_pad=0.12)
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    style = {label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
    for axes, panel in zip(all_axes, panels, strict=True):
        for curve in panel.curves:
            _draw(axes, curve, *style[curve.label])
        dress(axes, panel.title, x_label, percent=panel.percent)
    if not legend:
        return figure
    handles = {str(line.get_label()): line for axes in all_axes for line in axes.get_lines()}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(5, len(handles)), frameon=False,
                  labelcolor=NEUTRAL)  # fmt: skip
    return figure


def _draw(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    values = np.atleast_2d(curve.values_SN)
    steps = np.asarray(curve.steps, dtype=np.float64)
    axes.plot(steps, values.mean(axis=0), color=colour, marker=marker, markersize=4, linewidth=1.8, label=curve.label)
    if len(values) > 1:
        axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.08, linewidth=0)


def histograms(panels: Sequence[Histogram]) -> Figure:
    """Draw a row of histograms; raises as ``curve_panels``."""
    figure, all_axes = _grid(len(panels), len(panels), (4.2 * len(panels), 3.4))
    for axes, panel in zip(all_axes, panels, strict=True):
        known = {label: values[~np.isnan(values)] for label, values in panel.values.items()}
        everything = np.concatenate(list(known.values())) if known else np.zeros(0)
        low, high = panel.limits or ((float(everything.min()), float(everything.max())) if everything.size else (0.0, 1.0))
        edges = np.linspace(low, high if high > low else low + 1.0, panel.bins + 1)
        for (label, values), colour in zip(known.items(), COLOURS, strict=False):
            axes.hist(values, bins=edges.tolist(), color=colour, alpha=0.65, label=label, log=panel.log)
        dress(axes, panel.title, panel.x_label)
        if len(known) > 1:
            axes.legend(frameon=False, labelcolor=NEUTRAL, fontsize=9)
    return figure


def _grid(panels: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return a figure and the axes of its panels, the rest of the last row hidden."""
    require("matplotlib", extra="report", purpose="a figure")
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    figure = Figure(figsize=size, layout="constrained")
    grid = list(figure.subplots(-(-panels // columns), columns, squeeze=False).ravel())
    for axes in grid[panels:]:
        axes.set_visible(False)
    return figure, grid[:panels]


def dress(axes: Axes, title: str, x_label: str, *, percent: bool = False) -> None:
    """Give axes the look of all figures: a title, a grid, no box, colours that read on light and dark."""
    axes.set_title(title, color=NEUTRAL, fontsize=11)
    axes.set_xlabel(x_label, color=NEUTRAL)
    axes.tick_params(colors=NEUTRAL)
    axes.grid(True, color=NEUTRAL, alpha=0.25, linewidth=0.6)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(NEUTRAL)
    if percent:
        from matplotlib.ticker import PercentFormatter

        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_facecolor("none")


def interval_rows(rows: Mapping[str, tuple[float, float, float]], *, x_label: str) -> Figure:
    """Draw differences: per row, from top to bottom, a point with its interval (value, low, high), and a line at zero."""
    figure, (axes,) = _grid(1, 1, (11, 0.9 + 0.3 * len(rows)))
    for place, (value, low, high) in enumerate(rows.values()):
        colour = COLOURS[3] if low > 0 else COLOURS[1] if high < 0 else NEUTRAL
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], color=colour, marker="o", markersize=6)
    axes.axvline(0.0, color=NEUTRAL, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), labels=list(rows))
    axes.invert_yaxis()
    dress(axes, "", x_label)
    return figure


def svg(figure: Figure, *, name: str) -> str:
    """Return the figure as an ``<svg>`` element; ``name`` keeps its inner ids apart from those of other figures."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save_png(figure: Figure, path: Path, *, dpi: int = 150) -> Path:
    """Save the figure as a PNG on white and return its path."""
    with replacing(path, sync=False) as partial:
        figure.savefig(partial, format="png", dpi=dpi, facecolor="white")
    return path
