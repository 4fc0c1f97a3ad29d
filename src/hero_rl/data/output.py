"""Rows out, in the format that the file's name ends in; whole or absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hero_rl.data import jsonl
from hero_rl.data.lines import check_target, open_lines
from hero_rl.data.rollouts import SUFFIXES, Record, file_format, place, read_records
from hero_rl.files import replacing


class RowWriter(Protocol):
    """Takes the rows of the input one after the other, each with the columns to add."""

    def __call__(self, row: Record, added: Mapping[str, object], /) -> None:
        """Write one row."""
        ...


def check_writable(path: Path, *, source: Path) -> None:
    """Raise unless the output can be written.

    Raises:
        InputError: an unknown suffix, a missing folder, no permission, or the input itself.
    """
    file_format(path)
    check_target(path, source, suffixes=SUFFIXES)


@contextmanager
def open_writer(path: Path, *, source: Path, added: tuple[str, ...]) -> Iterator[RowWriter]:
    """A writer of the source's rows with columns added, in the format that ``path`` ends in.

    Args:
        path: the file to write; it appears when the block ends well, and not before.
        source: the file the rows come from.
        added: names of the columns that every row gets, in order; columns of the same name are replaced.
    """
    drop = frozenset(added)
    with replacing(path) as partial:
        if file_format(path) == ".parquet":
            with _parquet_writer(partial, source=source, added=added, drop=drop) as write:
                yield write
        else:
            with _json_writer(partial, source=source, drop=drop, like=path) as write:
                yield write


@contextmanager
def _json_writer(partial: Path, *, source: Path, drop: frozenset[str], like: Path) -> Iterator[RowWriter]:
    with open_lines(partial, like=like) as lines:

        def write(row: Record, added: Mapping[str, object], /) -> None:
            text = row.text
            if text is None:
                from hero_rl.data import parquet

                text = parquet.json_text(row.values, place(source, row.number))
            lines.write(jsonl.format_row(text, row.values, added, drop=drop))

        yield write


@contextmanager
def _parquet_writer(partial: Path, *, source: Path, added: tuple[str, ...], drop: frozenset[str]) -> Iterator[RowWriter]:
    from hero_rl.data import parquet

    if file_format(source) == ".parquet":
        schema = parquet.read_schema(source)
    else:
        schema = parquet.infer_schema(source, (record.values for record in read_records(source)))
    sink = parquet.ParquetSink(partial, parquet.output_schema(schema, added=added, drop=drop))

    def write(row: Record, columns: Mapping[str, object], /) -> None:
        sink.write({**{name: value for name, value in row.values.items() if name not in drop}, **columns})

    try:
        yield write
    except BaseException:
        sink.abandon()
        raise
    sink.close()
