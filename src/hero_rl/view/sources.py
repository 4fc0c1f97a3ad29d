"""Rollouts as Parquet files that DuckDB queries: those in our own format in place, all others copied."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hero_rl.data import Columns, read_rollouts
from hero_rl.data.rollouts import is_as_it_stands
from hero_rl.data.tables import ROLLOUTS, file_format, files_of, first_records
from hero_rl.types import Rollout, valid_text

TEXTS = ("prompt_id", "problem", "reference", "response", "reason", "detail")
NUMBERS = ("verdict", "rm_score", "reward", "weight", "advantage", "correct", "step")
TYPES: Mapping[str, str] = {
    "prompt_id": "JSON", "reference": "JSON", **dict.fromkeys(("problem", "response", "reason", "detail"), "VARCHAR"),
    **dict.fromkeys(NUMBERS, "DOUBLE"), "learned": "BOOLEAN", "finished": "BOOLEAN", "steps": "VARCHAR[]",
    "step_scores": "DOUBLE[]",
}  # fmt: skip
"""Of our columns in JSON Lines."""
COLUMNS = tuple(TYPES)
COPIED_BYTES = 2**24
"""Of a row group that is written."""
NO_REFERENCE = Columns(needs_reference=False)


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return a name per path: the last part in which they differ."""
    parts = [[part for part in path.absolute().parts if part != ROLLOUTS] for path in paths]
    at = next((at for at in range(1, min(map(len, parts)) + 1) if len({part[-at] for part in parts}) == len(parts)), 1)
    return [part[-at] for part in parts]


def parquet_files(
    rows: Callable[[str], list[dict[str, Any]]], source: Path, columns: Columns, target: Path, *, plain: bool = True
) -> list[Path]:
    """Return Parquet files that DuckDB can query in place: the source's own if it has our columns, else ``target``, a copy.

    Args:
        rows: runs a query.
        source: rollouts.
        columns: how they are read.
        target: where a copy goes.
        plain: take rows that look like our format as they stand, unchecked.

    Raises:
        InputError: there are no such files, or a row is no rollout (the message has file and line).
    """
    files = files_of(source)
    kinds = {"" if file.suffix == ".arrow" else file_format(file) for file in files}
    if plain and kinds in ({".parquet"}, {".jsonl"}, {".jsonl.gz"}) and is_as_it_stands(source, columns):
        records = first_records(files[0], 64)  # of one file: a folder's rows have a step that its names say
        names = set(records[0].values)
        if {"problem", "response"} <= names and ("step" in names or len(files) == 1):
            if kinds == {".parquet"}:
                return files
            found = {name: TYPES[name] for name in TYPES if name in names or name != "prompt_id"}
            return _copy(rows, files, found, target, sum(len(record.text or "") for record in records) // len(records))
    lines = target.with_suffix(".jsonl")
    with lines.open("w", encoding="utf-8") as file:
        count = 0
        for rollout, _ in read_rollouts(source, columns):
            file.write(json.dumps(fitted(row_of(rollout))) + "\n")
            count += 1
    found = _copy(rows, [lines], TYPES, target, lines.stat().st_size // count)
    lines.unlink()
    return found


def select(files: Sequence[Path], kinds: Mapping[str, str], more: str, names: Sequence[str] = COLUMNS) -> str:
    """Return the query of Parquet files (``kinds``: the types of their columns) for ``names`` of our columns and ``more``."""
    chosen = ", ".join(f"{value} AS {name}" for name, value in _columns(kinds).items() if name in names)
    return f"SELECT {more}, {chosen} FROM {table(files)}"


def table(files: Sequence[Path]) -> str:
    """Return the DuckDB table of Parquet files."""
    return f"read_parquet({listed(files)}, union_by_name = true, file_row_number = true)"


def _copy(
    rows: Callable[[str], list[dict[str, Any]]], files: Sequence[Path], kinds: Mapping[str, str], target: Path, line: int
) -> list[Path]:
    """Copy JSON Lines, of about ``line`` characters each, to a Parquet file and return it."""
    types = ", ".join(f"{name}: '{kind}'" for name, kind in TYPES.items())
    chosen = ", ".join(f"{value} AS {name}" for name, value in _columns(kinds).items())
    size = min(max(COPIED_BYTES // max(line, 1), 128), 30_000)
    rows(
        f"COPY (SELECT {chosen} FROM read_json({listed(files)}, format = 'newline_delimited', columns = {{{types}}})) "
        f"TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE {size})"
    )
    return [target]


def listed(files: Sequence[Path]) -> str:
    """Return the files as a list in SQL."""
    return "[" + ", ".join("'" + str(file).replace("'", "''") + "'" for file in files) + "]"


def row_of(rollout: Rollout) -> dict[str, Any]:
    """Return our columns of a rollout."""
    row = {name: rollout.extra.get(name) for name in TYPES}
    row |= {name: getattr(rollout, name) for name in ("prompt_id", "problem", "reference", "response", "finished")}
    return row | {"steps": list(rollout.steps) or None}


def fitted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return our columns of a row, with None for what is not of the type in ``TYPES``."""
    return {name: _fitted(row.get(name), kind) for name, kind in TYPES.items()}


def _fitted(value: Any, kind: str) -> Any:
    if value is None or (kind.endswith("[]") and not isinstance(value, list | tuple)):
        return None
    if kind == "DOUBLE":
        return float(value) if isinstance(value, int | float) and abs(value) <= sys.float_info.max else None
    if kind == "BOOLEAN":
        return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if isinstance(value, list | tuple):
        inner = kind.removesuffix("[]")
        return [_fitted(one, inner) for one in value]
    return valid_text(value if isinstance(value, str) else json.dumps(value, default=str))


def _columns(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return an expression for every column of ours, each of one type; NULL for those that the table lacks."""
    columns = {name: _text(name, kinds.get(name, "")) for name in TEXTS}
    if "prompt_id" not in kinds:
        columns["prompt_id"] = columns["problem"]
    for name, kind in TYPES.items():
        if name not in TEXTS:
            columns[name] = f'TRY_CAST("{name}" AS {kind})' if name in kinds else f"NULL::{kind}"
    finite = "CASE WHEN isfinite({0}) THEN {0} END"
    columns["step_scores"] = f"[{finite.format('one')} for one in {columns['step_scores']}]"
    return columns | {name: finite.format(columns[name]) for name in NUMBERS}


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
