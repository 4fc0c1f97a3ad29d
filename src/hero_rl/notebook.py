"""A ``Batch`` as a notebook shows it: a table per group, with bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

from hero_rl.types import FloatArray, IntArray

MOST_GROUPS, MOST_ROWS = 8, 32
"""Of groups, and of the responses of each."""
CELL = '<td style="text-align:right;padding:1px 8px">{}</td>'


def groups_html(groups: IntArray, verdicts: FloatArray, reasons: Sequence[str], numbers: Mapping[str, FloatArray]) -> str:
    """Return the first groups of a batch as HTML: verdicts with their reasons, and ``numbers`` by name."""
    cells = [(values, _bar(values)) for values in numbers.values()]
    head = "".join(CELL.format(f"<b>{name}</b>") for name in ("verdict", *numbers))
    order = np.argsort(groups, kind="stable")
    found = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if order.size else []
    parts = [f"{order.size:,} responses in {len(found):,} groups"]
    for members in found[:MOST_GROUPS]:
        rows = [_row(verdicts[at], reasons[at] if reasons else "", [bar(values[at]) for values, bar in cells])
                for at in map(int, members[:MOST_ROWS])]  # fmt: skip
        more = f"<tr><td>{members.size - MOST_ROWS:,} more</td></tr>" if members.size > MOST_ROWS else ""
        parts.append(f"<table><tr>{head}</tr>{''.join(rows)}{more}</table>")
    if len(found) > MOST_GROUPS:
        parts.append(f"{len(found) - MOST_GROUPS:,} more groups")
    return "".join(f"<div>{part}</div>" for part in parts)


def _row(verdict: float, reason: str, cells: Sequence[str]) -> str:
    said = "? abstained" if np.isnan(verdict) else "✓ accepted" if verdict > 0 else "✗ rejected"
    return f"<tr>{CELL.format(said + (f' ({escape(reason)})' if reason else ''))}{''.join(cells)}</tr>"


def _bar(values: FloatArray) -> Callable[[float], str]:
    """Return a function from a number to its cell, with a bar from the left for its share of the largest of ``values``."""
    widest = float(np.nanmax(np.abs(values), initial=1e-9)) if (values == values).any() else 1.0

    def cell(value: float) -> str:
        if np.isnan(value):
            return CELL.format("–")
        width, color = 48 * abs(value) / widest, "#c2571a" if value < 0 else "#3b82d6"
        bar = f'<span style="display:inline-block;height:8px;width:{width:.0f}px;background:{color}"></span>'
        return CELL.format(f"{bar} <span style='display:inline-block;min-width:3.5em'>{value:.3f}</span>")

    return cell
