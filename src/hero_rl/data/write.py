"""Files out: lines, or the rows of another file with columns added; and the checks before work starts."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, TypeAlias

from hero_rl.data import jsonl
from hero_rl.data.rollouts import Columns, is_as_it_stands, rollout_records
from hero_rl.data.tables import Record, file_format
from hero_rl.errors import InputError
from hero_rl.files import locked, replacing

ROW_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
"""Endings of the names of rollouts that are written."""
WriteRow: TypeAlias = Callable[[Record, Mapping[str, object]], object]
"""Takes the rows of the input one after the other, each with the columns to add."""


@contextmanager
def open_lines(path: Path) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes a line, with its line break; compressed if the name ends in `.gz`."""
    zipped = path.name.endswith(".gz")
    # mtime=0: the same lines give the same bytes
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) if zipped else nullcontext(raw) as file:
        yield lambda line: file.write(line.encode("utf-8"))


def json_line(row: Mapping[str, object]) -> str:
    """Return the row as a line; ASCII, because a text may hold half a surrogate pair."""
    return json.dumps(row, allow_nan=False) + "\n"


def put_line(spool: BinaryIO, line: str) -> int:
    """Append a line to a temporary file, for texts that are too much for memory, and return its place."""
    place = spool.seek(0, os.SEEK_END)
    spool.write(line.encode("utf-8", "surrogatepass"))
    return place


def line_at(spool: BinaryIO, place: int) -> str:
    """Return the line that ``put_line`` put there."""
    spool.seek(place)
    return spool.readline().decode("utf-8", "surrogatepass")


def check_target(path: Path, *sources: str | Path, suffixes: tuple[str, ...] = (".jsonl", ".jsonl.gz")) -> None:
    """Raise InputError unless the file can be written: it has one of the suffixes, a folder, and is none of the sources."""
    if not path.name.endswith(suffixes):
        raise InputError(f"{path}: the name of the output must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {str(path.parent)!r} does not exist; make it first")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is a folder, a pipe or a device; give the name of a regular file")
    check_not_input(path, *sources)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: no permission to write in {str(path.parent)!r}")


def check_not_input(path: Path, *sources: str | Path) -> None:
    """Raise InputError if writing the file would overwrite a source."""
    for source in map(Path, sources):
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: is the input itself; write to another file")
        in_pattern = not source.exists() and path.absolute().match(str(source.absolute()))
        if in_pattern or (source.is_dir() and path.resolve().parent == source.resolve()):
            raise InputError(f"{path}: would be one of the input files; write to another folder")


@contextmanager
def open_rows(path: Path, *, source: Path, columns: Columns, added: tuple[str, ...]) -> Iterator[WriteRow]:
    """Yield a writer of the source's rows with the columns ``added``, in the format that ``path`` ends in.

    The file appears when the block ends well, and not before. Columns of the same names are replaced.

    Raises:
        InputError: another process is writing ``path``.
    """
    drop = frozenset(added)

    def text_of(row: Record) -> str:
        if row.text is not None:
            return row.text
        from hero_rl.data import parquet

        return parquet.json_text(row.values, row.where)

    with locked(path), replacing(path) as partial:
        if file_format(path) != ".parquet":
            with open_lines(partial) as write:
                yield lambda row, new: write(jsonl.format_row(text_of(row), row.values, new, drop=drop))
            return
        from hero_rl.data import parquet

        if source.suffix == ".parquet" and source.is_file() and is_as_it_stands(source, columns):
            schema = parquet.read_schema(source)
        else:
            schema = parquet.infer_schema(source, (record.values for record in rollout_records(source, columns)))
        with parquet.open_rows(partial, parquet.output_schema(schema, added=added, drop=drop)) as write:
            yield lambda row, new: write({**{name: value for name, value in row.values.items() if name not in drop}, **new})
