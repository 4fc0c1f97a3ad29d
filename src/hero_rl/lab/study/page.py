"""What a study leaves behind: tables as JSON and Markdown, figures, kept results, and one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from hero_rl.files import write_text
from hero_rl.lab.study.collect import Collected, keep, kept_path
from hero_rl.lab.study.plan import Plan
from hero_rl.lab.study.tables import Tabulated, as_json, tabulate
from hero_rl.lab.study.throughput import measure_throughput
from hero_rl.lab.study.words import markdown
from hero_rl.lab.written import without_nan


class Written(NamedTuple):
    """Where things are, and the numbers themselves."""

    page: Path
    tables: Path
    tabulated: list[Tabulated]
    numbers: dict[str, Any]


def write_study(folder: Path, plan: Plan, collected: Collected, *, command: str) -> Written:
    """Write everything that a study reports.

    Args:
        folder: where it goes; made where it does not exist, each file replaced whole or not at all.
        plan: what was asked for.
        collected: what there is of it.
        command: what made it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables: list[Tabulated] = []
    for table in plan.tables:
        entries = collected.of(table.name)
        tables.append(tabulate(table, entries, missing=collected.missing[table.name]))
        if entries:
            keep(kept_path(folder, table.name), entries)
    # runs that several tables show count once
    results = [entry.result for entry in collected.entries]
    different = {json.dumps(result["settings"] | {"label": ""}, sort_keys=True): result for result in results}
    throughput = measure_throughput(list(different.values()), folder)
    numbers = without_nan(
        {
            "title": plan.title, "command": command, "versions": collected.entries[0].result["versions"],
            "tables": [as_json(table) for table in tables], "throughput": throughput._asdict() if throughput else None,
        }
    )  # fmt: skip
    write_text(folder / "tables.json", json.dumps(numbers, allow_nan=False, ensure_ascii=False, indent=1) + "\n")
    path = write_text(folder / "tables.md", markdown(plan.title, tables, throughput, command=command))
    return Written(path, path, tables, numbers)
