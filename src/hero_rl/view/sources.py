"""Rollouts as DuckDB reads them: files in our own format directly, all others through the reader of every command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hero_rl.data import Columns, read_rollouts
from hero_rl.data.rollouts import is_as_it_stands
from hero_rl.data.tables import ROLLOUTS, file_format, files_of, first_records

TEXTS = ("prompt_id", "problem", "reference", "response", "reason")
NUMBERS = ("verdict", "rm_score", "reward", "weight", "advantage", "correct")
TYPES: Mapping[str, str] = {
    "prompt_id": "JSON", "reference": "JSON", **dict.fromkeys(("problem", "response", "reason"), "VARCHAR"),
    **dict.fromkeys(NUMBERS, "DOUBLE"), "learned": "BOOLEAN", "finished": "BOOLEAN", "steps": "VARCHAR[]",
    "step_scores": "DOUBLE[]", "step": "BIGINT",
}  # fmt: skip
"""Of our columns in JSON Lines."""
NO_REFERENCE = Columns(needs_reference=False)


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return a name per path: the last part in which they differ."""
    parts = [[part for part in path.absolute().parts if part != ROLLOUTS] for path in paths]
    at = next((at for at in range(1, min(map(len, parts)) + 1) if len({part[-at] for part in parts}) == len(parts)), 1)
    return [part[-at] for part in parts]


def direct(rows: Callable[[str], list[dict[str, Any]]], source: Path, columns: Columns, run: int) -> str | None:
    """Return the query that reads a source with our columns; None for one that DuckDB cannot read as it stands.

    Raises:
        InputError: there are no such files, or they are not in the format that ``columns`` says.
    """
    files = files_of(source)
    kinds = {"" if file.suffix == ".arrow" else file_format(file) for file in files}
    if kinds not in ({".parquet"}, {".jsonl"}, {".jsonl.gz"}) or not is_as_it_stands(source, columns):
        return None
    names = set(first_records(files[0])[0].values)  # of one file: a folder's rows have a step that its names say
    if not {"problem", "response"} <= names or ("step" not in names and len(files) > 1):
        return None
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    if kinds != {".parquet"}:
        return _select(_lines(listed), {name: TYPES[name] for name in TYPES if name in names or name != "prompt_id"}, run)
    table = f"read_parquet([{listed}], union_by_name = true)"
    return _select(table, {row["column_name"]: row["column_type"] for row in rows(f"DESCRIBE SELECT * FROM {table}")}, run)


def converted(source: Path, columns: Columns, target: Path, run: int) -> str:
    """Write the rollouts of any source to ``target`` as JSON Lines, and return the query that reads them.

    Raises:
        InputError: a row that is no rollout (the message has file and line).
    """
    with target.open("w", encoding="utf-8") as file:
        for rollout, _ in read_rollouts(source, columns):
            row = {name: rollout.extra.get(name) for name in TYPES}
            row |= {name: getattr(rollout, name) for name in ("prompt_id", "problem", "reference", "response", "finished")}
            row |= {name: _number(row[name]) for name in NUMBERS}
            row["steps"] = list(rollout.steps) or None
            file.write(json.dumps(row, default=str) + "\n")
    return _select(_lines(f"'{target}'"), TYPES, run)


def _lines(files: str) -> str:
    types = ", ".join(f"{name}: '{kind}'" for name, kind in TYPES.items())
    return f"read_json([{files}], format = 'newline_delimited', columns = {{{types}}})"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _select(table: str, kinds: Mapping[str, str], run: int) -> str:
    """Return the query with every column of ours, in one type each; NULL for those that the table lacks."""
    columns = {name: _text(name, kinds.get(name, "")) for name in TEXTS}
    if "prompt_id" not in kinds:
        columns["prompt_id"] = columns["problem"]
    for name, kind in TYPES.items():
        if name not in TEXTS:
            columns[name] = f'TRY_CAST("{name}" AS {kind})' if name in kinds else f"NULL::{kind}"
    columns |= {name: f"CASE WHEN isfinite({columns[name]}) THEN {columns[name]} END" for name in NUMBERS}
    listed = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    return f"SELECT {run} AS run, {listed}, length({columns['response']}) AS chars FROM {table}"


def _text(name: str, kind: str) -> str:
    """Return a column as text: a list joined by commas, nothing as an empty text."""
    joined = "array_to_string([{} for one in {}], ', ')"
    if not kind:
        return "''"
    if kind == "JSON":
        whole = joined.format("one->>'$'", f"CAST({name} AS JSON[])")
        return f"coalesce(CASE json_type({name}) WHEN 'ARRAY' THEN {whole} ELSE {name}->>'$' END, '')"
    whole = joined.format("CAST(one AS VARCHAR)", name) if kind.endswith("[]") else f"CAST({name} AS VARCHAR)"
    return f"coalesce({whole}, '')"
