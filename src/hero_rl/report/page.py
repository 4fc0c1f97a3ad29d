"""One HTML file that needs nothing else: tables that sort, figures inside, light and dark, readable on a phone.

Every text is escaped: a page may quote a model's response. Figures are SVG and go in as they are.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from hero_rl.errors import require
from hero_rl.files import write_text
from hero_rl.measures import Estimate
from hero_rl.report.figures import Drawing, save, svg
from hero_rl.types import json_number

LONG = 64
"""Longer arrays are quantiles in JSON."""


class Link(NamedTuple):
    """A cell that leads somewhere; the address is never one that a model wrote."""

    text: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under a header; a column sorts when its header is clicked."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | float | Link | None]]
    """Text is shown as it is, numbers with three decimals, None as a dash."""
    note: str = ""
    wrap: bool = False
    """For long texts: break lines inside cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with text, a figure and a table under it."""

    heading: str
    text: str = ""
    figure: Drawing | str | None = None
    """A string is SVG."""
    name: str = ""
    """Name of the figure's files, without suffix."""
    caption: str = ""
    table: Table | None = None


def render_page(title: str, lead: str, sections: Sequence[Section], *, footer: str = "", reload_s: float | None = None) -> str:
    """Return the page as text, with the main findings in ``lead`` and how the numbers were made in ``footer``.

    ``reload_s``: seconds after which a browser reads the page again.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="report", purpose="an HTML report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["cell"] = _cell
    environment.filters["numeric"] = lambda value: isinstance(value, (int, float))
    drawn = [
        replace(section, figure=svg(section.figure, name=section.name)) if isinstance(section.figure, Drawing) else section
        for section in sections
    ]
    template = resources.files("hero_rl.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    script = template.partition("<script>")[2].partition("</script>")[0]
    only = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # no other script runs
    return environment.from_string(template).render(
        title=title, lead=lead, sections=drawn, footer=footer, reload_s=reload_s, only=only
    )


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section], *, footer: str = "") -> Path:
    """Write the page, whole or not at all, and return its path; raises as ``render_page``."""
    return write_text(path, render_page(title, lead, sections, footer=footer))


def write_folder(
    folder: Path, title: str, lead: str, sections: Sequence[Section], numbers: Mapping[str, object], *, footer: str = ""
) -> Path:
    """Write ``report.html``, ``numbers.json`` and the files of the figures into ``folder``, and return the path of the page.

    Files of the same names are replaced, each whole or not at all.

    Raises:
        MissingDependencyError: matplotlib or jinja2 is not installed.
    """
    text = render_page(title, lead, save_figures(folder, sections), footer=footer)
    write_text(folder / "numbers.json", json.dumps(numbers, allow_nan=False, ensure_ascii=False, indent=1) + "\n")
    return write_text(folder / "report.html", text)


def save_figures(folder: Path, sections: Sequence[Section]) -> list[Section]:
    """Write each figure as PNG, SVG, PDF and its numbers as CSV into ``folder``; return the sections with SVG in them.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        replace(section, figure=save(section.figure, folder, section.name)) if isinstance(section.figure, Drawing) else section
        for section in sections
    ]


def json_values(value: object) -> Any:
    """Return JSON values: NamedTuples as objects, NaN as null, arrays as lists and long ones as quantiles."""
    if hasattr(value, "_asdict"):
        return json_values(cast(Any, value)._asdict())
    if isinstance(value, np.ndarray):
        return json_values(value.tolist() if value.size <= LONG else _quantiles(value))
    if isinstance(value, Mapping):
        return {str(key): json_values(entry) for key, entry in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [json_values(entry) for entry in cast("Sequence[object]", value)]
    return json_number(value)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    found = np.quantile(known, shares) if known.size else [math.nan] * len(shares)
    return {"count": int(known.size)} | {f"q{round(100 * share)}": float(q) for share, q in zip(shares, found, strict=True)}


def interval(estimate: Estimate) -> str:
    """Return a value with its interval; a dash if it is unknown.

    >>> interval(Estimate(0.5, 0.25, 0.75))
    '0.500 [0.250, 0.750]'
    """
    if math.isnan(estimate.value):
        return "–"
    text = f"{estimate.value:.3f}"
    return text if math.isnan(estimate.low) else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _cell(value: str | float | Link | None) -> str:
    if isinstance(value, Link):
        from markupsafe import Markup  # comes with jinja2

        return Markup('<a href="{}">{}</a>').format(value.url, value.text)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
