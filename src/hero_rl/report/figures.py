"""Figures in one style, for light and dark pages and for print, with the numbers drawn in them."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hero_rl.errors import InputError, require
from hero_rl.files import replacing, write_text
from hero_rl.report.palette import PAGE, SOFT, TEXT, Look, dark_style, looks
from hero_rl.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SMALL = 8.5
"""Font size of names at the ends of curves, in points."""
LONGEST = 40
"""Characters in a line of them."""
LINE = 0.068
"""Height of a line of them, as a share of the panel's height."""


class Drawing(NamedTuple):
    """A figure and the numbers drawn in it."""

    figure: Figure
    numbers: list[dict[str, str | float]]
    """Rows of a table, column -> value."""


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
    log: bool = False
    """Both axes are logarithmic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """One pair of axes with a histogram per kind of value."""

    title: str
    x_label: str
    values: dict[str, FloatArray]
    """Label -> values; NaN are left out."""
    limits: tuple[float, float] | None = None
    bins: int = 40


def curve_panels(
    panels: Sequence[Panel], *, x_label: str = "training step", across: int | None = None, legend: bool = True,
    same_scale: bool = False,
) -> Drawing:  # fmt: skip
    """Draw panels of curves in reading order: the mean over seeds, and the range of the seeds as a band.

    Curves are named at their ends, or in a legend above the panels where there are too many for that.

    Args:
        panels: with their curves.
        x_label: of the horizontal axes.
        across: panels in a row; None: all of them.
        legend: name the curves; without names all have one colour, and a single panel fills half of the row.
        same_scale: one scale for the vertical axes of all panels.

    Raises:
        InputError: no panels.
        MissingDependencyError: matplotlib is not installed.
    """
    wide = max(1, min(across or len(panels), max(1 if legend else 2, len(panels))))
    high = -(-len(panels) // wide)
    figure, all_axes = _grid(len(panels), wide, (4.2 * wide, 3.2 * high + 0.3), same_scale=same_scale)
    if high > 1:
        figure.set_layout_engine("constrained", h_pad=0.12)
    labels = [curve.label for panel in panels for curve in panel.curves]
    style = looks(labels) if legend else dict.fromkeys(labels, looks([""])[""])
    names = {label: _wrapped(label) for label in style}
    numbers: list[dict[str, str | float]] = []
    for axes, panel in zip(all_axes, panels, strict=True):
        for curve in panel.curves:
            rows_N = _draw(axes, curve, style[curve.label], alpha=min(0.1, 0.4 / len(panel.curves)))
            columns = (x_label, "mean", "lowest", "highest")
            numbers += [{"panel": panel.title, "curve": curve.label, **dict(zip(columns, row, strict=True))} for row in rows_N]
        dress(axes, panel.title, x_label, percent=panel.percent)
        _scale_steps(axes, panel)
    if legend and (len(style) > 1 or len(panels) == 1) and sum(name.count("\n") + 1 for name in names.values()) * LINE <= 1.2:
        for axes, panel in zip(all_axes, panels, strict=True):
            _name_ends(axes, panel.curves, style, names)
    elif legend:
        handles = {str(line.get_label()): line for axes in all_axes for line in axes.get_lines()}
        wrapped = [textwrap.fill(label, LONGEST) for label in handles]
        figure.legend(list(handles.values()), wrapped, loc="outside upper left", ncols=min(4, len(handles)),
                      frameon=False, labelcolor=TEXT.light, fontsize=9, handlelength=3.5)  # fmt: skip
    return Drawing(figure, numbers)


def _wrapped(label: str) -> str:
    """Break a name into lines after colons and commas, and where it is very long."""
    parts = (part.strip().replace(" ", "\u00a0") for part in re.split(r"(?<=[:,])", label))
    lines = textwrap.wrap(" ".join(parts), 20, break_long_words=False)
    return "\n".join(textwrap.fill(line, LONGEST) for line in lines)


def _draw(axes: Axes, curve: Curve, look: Look, *, alpha: float) -> list[list[float]]:
    """Draw a curve and return its rows: step, mean, lowest and highest."""
    values = np.atleast_2d(curve.values_SN)
    means, lows, highs = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
    axes.plot(curve.steps, means, color=look.colour, marker=look.marker, markersize=4, linewidth=1.8,
              linestyle=look.dashes, markevery=max(1, -(-len(curve.steps) // 12)), label=curve.label)  # fmt: skip
    if len(values) > 1:
        axes.fill_between(curve.steps, lows, highs, color=look.colour, alpha=alpha, linewidth=0)
    return [list(row) for row in zip(curve.steps, means.tolist(), lows.tolist(), highs.tolist(), strict=True)]


def _scale_steps(axes: Axes, panel: Panel) -> None:
    """Put ticks on whole numbers where all steps are whole; in logarithmic panels, on the steps."""
    steps = sorted({float(step) for curve in panel.curves for step in curve.steps})
    if panel.log:
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(steps, [f"{step:g}" for step in steps])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    elif all(step.is_integer() for step in steps):
        _whole_ticks(axes.xaxis)


def _whole_ticks(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=True))


def _name_ends(axes: Axes, curves: Sequence[Curve], style: Mapping[str, Look], names: Mapping[str, str]) -> None:
    """Write the names of curves beside their ends, moved apart where they would overlap."""
    axes.set_ylim(axes.get_ylim())  # stays as it is
    ends: list[tuple[float, tuple[float, float], str]] = []  # height, point, label
    for curve in curves:
        known = [
            (x, y) for x, y in zip(curve.steps, np.atleast_2d(curve.values_SN).mean(axis=0).tolist(), strict=True) if y == y
        ]
        if known:
            height = axes.transAxes.inverted().transform(axes.transData.transform(known[-1]))[1]
            ends.append((float(height), known[-1], curve.label))
    ends.sort()
    tall = np.array([LINE * (names[label].count("\n") + 1) for *_, label in ends])
    before = np.cumsum(tall) - tall / 2.0  # places if they stood close together from 0 up
    wanted = np.array([end[0] for end in ends]) - before
    places = (np.maximum.accumulate(wanted) + np.minimum.accumulate(wanted[::-1])[::-1]) / 2.0 + before
    if ends:
        places += max(0.0, tall[0] / 2.0 - places[0])
        places -= max(0.0, places[-1] + tall[-1] / 2.0 - 1.0)
    for place, (_, point, label) in zip(places.tolist(), ends, strict=True):
        colour = style[label].colour
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0.0, 0.5)}
        axes.annotate(names[label], point, (1.04, place), textcoords="axes fraction", va="center", color=colour,
                      fontsize=SMALL, linespacing=1.0, arrowprops=line)  # fmt: skip


def histograms(panels: Sequence[Histogram]) -> Drawing:
    """Draw a row of histograms, a single one in half of it; raises as ``curve_panels``."""
    columns = max(2, len(panels))
    figure, all_axes = _grid(len(panels), columns, (4.2 * columns, 3.4))
    numbers: list[dict[str, str | float]] = []
    for axes, panel in zip(all_axes, panels, strict=True):
        known = {label: values[~np.isnan(values)] for label, values in panel.values.items()}
        everything = np.concatenate(list(known.values())) if known else np.zeros(0)
        low, high = panel.limits or ((float(everything.min()), float(everything.max())) if everything.size else (0.0, 1.0))
        edges = np.linspace(low, high if high > low else low + 1.0, panel.bins + 1).tolist()
        for label, look in looks(known).items():
            counts, *_ = axes.hist(known[label], bins=edges, color=look.colour, alpha=0.65, label=label)
            numbers += [{"panel": panel.title, "of": label or panel.x_label, "from": start, "to": end, "count": int(count)}
                        for start, end, count in zip(edges, edges[1:], np.asarray(counts).tolist(), strict=False)]  # fmt: skip
        dress(axes, panel.title, panel.x_label)
        for axis in (axes.xaxis, axes.yaxis) if not (everything % 1.0).any() else (axes.yaxis,):
            _whole_ticks(axis)
        if len(known) > 1:
            axes.legend(frameon=False, labelcolor=TEXT.light, fontsize=9)
    return Drawing(figure, numbers)


def _grid(panels: int, columns: int, size: tuple[float, float], *, same_scale: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure and the axes of its panels, the rest of the last row hidden."""
    require("matplotlib", extra="report", purpose="a figure")
    if not panels:
        raise InputError("there is nothing to draw; give one panel or row, or more")
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    figure = Figure(figsize=size, layout="constrained")
    grid = list(figure.subplots(-(-panels // columns), columns, squeeze=False, sharey=same_scale).ravel())
    for axes in grid[panels:]:
        axes.set_visible(False)
    return figure, grid[:panels]


def dress(axes: Axes, title: str, x_label: str, *, percent: bool = False) -> None:
    """Give axes the look of all figures: a title, a grid, no box, colours that have a dark shade."""
    axes.set_title(textwrap.fill(title, 52), color=TEXT.light, fontsize=10.5, loc="left")
    axes.set_xlabel(x_label, color=TEXT.light)
    axes.yaxis.label.set_color(TEXT.light)
    axes.tick_params(colors=SOFT.light)
    axes.grid(True, color=SOFT.light, alpha=0.25, linewidth=0.6)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(SOFT.light)
    if percent:
        axes.yaxis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g}%")
    axes.set_facecolor("none")


def interval_rows(
    rows: Mapping[str, tuple[float, float, float]], *, x_label: str, limit: float = np.inf, few: str = "too few seeds"
) -> Drawing:
    """Draw differences: per row, from top to bottom, a point with its interval (value, low, high), and a line at zero.

    Points are filled where the interval leaves out zero. An interval that reaches ten times as far from its point as the
    median one, or further than ``limit``, ends in an arrow at the edge of the plot and is called ``few``. Raises as
    ``curve_panels``.
    """
    figure, (axes,) = _grid(min(1, len(rows)), 1, (11, 0.9 + 0.32 * len(rows)))
    points_R3 = np.array(list(rows.values()), dtype=np.float64)
    value_R, low_R, high_R = points_R3.T
    reach_R = np.nan_to_num(np.maximum(high_R - value_R, value_R - low_R), nan=np.inf)
    reach = min(10.0 * float(np.median(reach_R)), limit)
    left = min(0.0, float(np.fmax(low_R, value_R - reach).min()))
    right = max(0.0, float(np.fmin(high_R, value_R + reach).max()))
    for place, (label, (value, low, high)) in enumerate(zip(rows, points_R3.tolist(), strict=True)):
        look, clear = looks([label])[label], low > 0.0 or high < 0.0
        cut = [(end, arrow) for end, arrow, beyond in ((left, "<", low < left), (right, ">", high > right)) if beyond]
        axes.plot([max(low, left), min(high, right)], [place, place], color=look.colour, linewidth=2.2 if clear else 1.2)
        axes.plot([value], [place], color=look.colour, marker=look.marker, markersize=6,
                  markerfacecolor=look.colour if clear else PAGE.light)  # fmt: skip
        for end, arrow in cut:
            axes.plot([end], [place], color=look.colour, marker=arrow, markersize=7)
        if cut:
            axes.annotate(few, (1.0, place), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL, color=TEXT.light)
    axes.axvline(0.0, color=SOFT.light, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), labels=[textwrap.fill(label, 72) for label in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    dress(axes, "", x_label)
    axes.tick_params(axis="y", labelcolor=TEXT.light)
    columns = ("row", x_label, "low", "high")
    return Drawing(figure, [dict(zip(columns, (name, *row), strict=True)) for name, row in rows.items()])


def _literal(figure: Figure) -> None:
    """Show texts as they are: a title may quote half a formula, at which matplotlib's own TeX raises."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # type: ignore[attr-defined]


def svg(drawing: Drawing, *, name: str) -> str:
    """Return the figure as an ``<svg>`` element; ``name`` keeps its inner ids apart from those of other figures."""
    import matplotlib

    _literal(drawing.figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        drawing.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    head = text.index(">")
    width = f"{72 * drawing.figure.get_figwidth():.0f}pt"  # on a page: no larger, and on a phone not too small to read
    return f'{text[:head]} style="max-width: {width}; min-width: min(38rem, {width})">{dark_style(text)}{text[head + 1 :]}'


def save_png(drawing: Drawing, path: Path) -> Path:
    """Save the figure as a PNG of 256 colours on white, a third as large as with all, and return its path."""
    from PIL import Image

    _literal(drawing.figure)
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", dpi=144, facecolor="white")
    with replacing(path, sync=False) as partial, Image.open(buffer) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(partial, format="png", optimize=True)
    return path


def save(drawing: Drawing, folder: Path, name: str) -> str:
    """Write the figure as PNG, SVG and PDF and its numbers as CSV into ``folder``, and return the ``<svg>`` element."""
    save_png(drawing, folder / f"{name}.png")
    with replacing(folder / f"{name}.pdf", sync=False) as partial:
        drawing.figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    table = io.StringIO()
    writer = csv.DictWriter(table, list(drawing.numbers[0]) if drawing.numbers else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(drawing.numbers)
    write_text(folder / f"{name}.csv", table.getvalue())
    text = svg(drawing, name=name)
    write_text(folder / f"{name}.svg", text)
    return text
