"""Write the files of a study: tables as JSON and Markdown, figures, kept results, and one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hero_lab.study import words
from hero_lab.study.collect import Entry, keep
from hero_lab.study.figures import pictures
from hero_lab.study.plan import Plan
from hero_lab.study.primary import PooledRow, collapses, judge
from hero_lab.study.tables import Tabulated, as_json, tabulate
from hero_rl.files import write_text
from hero_rl.report import Section, Table, json_values, save_figures, write_page


class Written(NamedTuple):
    """Where things are, and the numbers themselves."""

    page: Path
    tables: Path
    tabulated: list[Tabulated]
    pooled: list[PooledRow]
    numbers: dict[str, Any]


def write_study(folder: Path, plan: Plan, entries: Sequence[Entry], *, command: str) -> Written:
    """Write everything that a study reports: ``report.html``, ``tables.md``, ``tables.json``, and for each table its kept
    results and figures.

    Raises:
        MissingDependencyError: matplotlib or jinja2 is not installed.
    """  # noqa: D205
    folder.mkdir(parents=True, exist_ok=True)
    tables: list[Tabulated] = []
    sections: list[Section] = []
    for table in plan.tables:
        own = [entry for entry in entries if entry.table == table.name]
        tables.append(tabulate(table, own))
        if own:
            keep(folder, table.name, own)
        sections += _sections(tables[-1], pictures(tables[-1], own) if own else [])
    pooled, collapsed = judge(plan, entries), collapses(plan, entries)
    claim: list[str | words.Grid] = []
    if plan.primary is not None:
        claim = [words.primary_sentence(plan.primary, pooled), words.HOW_POOLED, *words.primary_grids(pooled, collapsed)]
        text = "\n".join(part for part in claim if isinstance(part, str))
        drawn = [_section(part) for part in claim if isinstance(part, words.Grid)]
        sections = [Section(heading="Primary claim", text=text), *drawn, *sections]
    versions = entries[0].result["versions"]
    numbers = json_values(
        {
            "title": plan.title, "command": command, "versions": versions,
            "primary": [row._asdict() for row in pooled], "collapsed": collapsed,
            "tables": [as_json(table) for table in tables],
        }
    )  # fmt: skip
    write_text(folder / "tables.json", json.dumps(numbers, allow_nan=False, ensure_ascii=False, indent=1) + "\n")
    text = write_text(folder / "tables.md", words.markdown(plan.title, tables, command=command, primary=claim))
    footer = f"{command}\n" + ", ".join(f"{name} {version}" for name, version in versions.items())
    said = [words.claim_sentence(table) or words.best_sentence(table) or "nothing is compared" for table in tables]
    lead = "\n".join(f"{table.plan.claim}: {sentence}" for table, sentence in zip(tables, said, strict=True))
    page = write_page(folder / "report.html", plan.title, lead, save_figures(folder, sections), footer=footer)
    return Written(page, text, tables, pooled, numbers)


def _sections(table: Tabulated, drawn: list[Section]) -> list[Section]:
    name, note = table.plan.name, words.HOW_INTERVALS
    sections = [Section(heading=name, text="\n".join([table.plan.claim, *words.sentences(table)])), *drawn]
    for grid in words.grids(table):
        sections.append(_section(grid, note))
        note = ""
    return sections


def _section(grid: words.Grid, note: str = "") -> Section:
    rows = [[cell.replace("**", "") for cell in row] for row in grid.rows]  # bold in Markdown alone
    return Section(heading=grid.heading, table=Table(header=grid.header, rows=rows, note=note))
