"""Rows of a Parquet file in and out, with the same columns as JSON Lines. Needs pyarrow."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hero_rl.errors import InputError, first_line, require

if TYPE_CHECKING:
    import pyarrow

READ_ROWS = 1024
"""Rows turned into Python objects at a time."""
BUFFER_BYTES = 2**20
"""Read ahead per column, so that a large row group is never in memory as a whole."""
WRITE_ROWS = 1024
"""Rows of one row group written."""
ADDED_TYPES = {"verdict": "int8", "reason": "string", "learned": "bool"}
"""Arrow types of the columns that are added; `step_scores` is a list of doubles, every other one a double."""


def _arrow() -> ModuleType:
    require("pyarrow", extra="train", purpose="reading or writing Parquet")
    return require("pyarrow.parquet", extra="train", purpose="reading or writing Parquet")


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield row number (from 1) and values of every row; raises InputError for what is no Parquet file."""
    parquet = _arrow()
    import pyarrow as pa

    number = 0
    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
            for batch in file.iter_batches(batch_size=READ_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}, after row {number}: cannot be read as Parquet: {first_line(error)}") from error


def read_schema(path: Path) -> pyarrow.Schema:
    """Return the file's Arrow schema, metadata included."""
    return _arrow().read_schema(path)


def infer_schema(path: Path, rows: Iterable[Mapping[str, object]]) -> pyarrow.Schema:
    """Return the narrowest Arrow schema that holds every row; raises InputError if there is none."""
    _arrow()
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    chunk: list[Mapping[str, object]] = []

    def absorb() -> None:
        for name in dict.fromkeys(name for row in chunk for name in row):
            try:
                seen = pa.array([row.get(name) for row in chunk]).type
                fields = [pa.schema([(name, known)]) for known in (types.get(name, pa.null()), seen)]
                types[name] = pa.unify_schemas(fields, promote_options="permissive").field(0).type
            except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
                raise InputError(
                    f"{path}: column {name!r} cannot be one Parquet column ({first_line(error)}); write .jsonl instead"
                ) from error
        chunk.clear()

    for row in rows:
        chunk.append(row)
        if len(chunk) == WRITE_ROWS:
            absorb()
    absorb()
    return pa.schema(list(types.items()))


def output_schema(schema: pyarrow.Schema, *, added: Iterable[str], drop: Collection[str]) -> pyarrow.Schema:
    """Return the schema less ``drop``, then ``added``; the metadata stay."""
    import pyarrow as pa

    fields = [field for field in schema if field.name not in drop]
    for name in added:
        steps = name == "step_scores"
        fields.append(pa.field(name, pa.list_(pa.float64()) if steps else pa.type_for_alias(ADDED_TYPES.get(name, "double"))))
    return pa.schema(fields, metadata=schema.metadata)


@contextmanager
def open_rows(path: Path, schema: pyarrow.Schema) -> Iterator[Callable[[dict[str, object]], None]]:
    """Yield a function that adds a row, whose columns are those of the schema; rows are written ``WRITE_ROWS`` at a time."""
    import pyarrow as pa

    rows: list[dict[str, object]] = []
    with _arrow().ParquetWriter(path, schema) as writer:

        def flush() -> None:
            try:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
                raise InputError(f"{path.name}: the rows cannot be held in Parquet: {first_line(error)}") from error
            rows.clear()

        def write(row: dict[str, object]) -> None:
            rows.append(row)
            if len(rows) >= WRITE_ROWS:
                flush()

        yield write
        if rows:
            flush()


def json_text(values: Mapping[str, object], where: str) -> str:
    """Return the row as a JSON object, with dates as ISO text and null for numbers that are not finite."""
    try:
        text = json.dumps(_finite(dict(values)), ensure_ascii=False, default=_json_form)
        # half a surrogate pair, which JSON may hold and UTF-8 may not
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
    except TypeError as error:
        raise InputError(f"{where}: {error}; write .parquet instead") from error


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value


def _json_form(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no form in JSON")
