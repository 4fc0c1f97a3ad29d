"""Rows in, as they stand: JSON Lines, JSON, CSV, Parquet, folders and patterns of such files, saved Hugging Face data sets.

Not a data-frame library: it reads rows in order and never holds more than a few of them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from hero_rl.data import jsonl
from hero_rl.errors import InputError, first_line, require
from hero_rl.models.hub import hub_or_cache

PACKED = (".gz", ".zst")
SUFFIXES = (*(kind + packed for kind in (".jsonl", ".json", ".csv") for packed in ("", *PACKED)), ".parquet")
KINDS = ".jsonl, .json, .csv (each also .gz or .zst) or .parquet"
READ_ROWS = 1024
ROLLOUTS = "rollouts"
"""In the folder of a training run."""
_STEP = re.compile(r"(?:.*[_-])?(?:(?:global_)?step|completions|rollouts?)[_-]?(\d+)|(\d+)")
_DIGITS = re.compile(r"(\d+)")


class Record(NamedTuple):
    """One row as it stands in the file."""

    number: int
    """Line number in JSON Lines and CSV, else row number; both from 1."""
    values: Mapping[str, object]
    """Every column, in the file's order."""
    text: str | None
    """The line of a JSON Lines file; None elsewhere."""
    path: Path

    @property
    def where(self) -> str:
        """File and row, as messages name them."""
        return place(self.path, self.number)


def file_format(path: Path) -> str:
    """Return the suffix in ``SUFFIXES`` that the file's name ends in; raises InputError if none does."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise InputError(f"{path}: unknown kind of file; the name must end in {KINDS}")


def place(path: Path, number: int) -> str:
    """Return file and row: `rollouts.jsonl:12` or `rollouts.parquet, row 12`."""
    by_line = path.name.endswith(SUFFIXES) and file_format(path).startswith((".jsonl", ".csv"))
    return f"{path}:{number}" if by_line else f"{path}, row {number}"


def label_of(source: Path) -> str:
    """Return a name for a source: that of the file or folder, or of the folder in which a pattern begins."""
    parts = [part for part in source.parts if not set("*?[") & set(part)]
    return source.name if source.exists() or not parts else Path(*parts).name


def files_of(source: Path) -> list[Path]:
    """Return the file itself, the files of a folder, or those that a pattern finds, 2 before 10.

    Of the folder of a training run, those of its rollouts.

    Raises:
        InputError: there is none, or a path is a pipe, has no known suffix, or cannot be read.
    """
    files = sorted(
        _candidates(source), key=lambda path: [int(part) if part.isdecimal() else part for part in _DIGITS.split(str(path))]
    )
    if not files and source.is_dir():
        splits = sorted(child.name for child in source.iterdir() if _is_saved(child))
        hint = f"give one of its splits, such as {source / splits[0]}" if splits else f"files must end in {KINDS}"
        raise InputError(f"{source}: is a folder without files to read; {hint}")
    if not files:
        raise InputError(f"{source}: no such file")
    for path in files:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise InputError(f"{path}: is {kind}; give a regular file, because it is read more than once")
        if path.suffix != ".arrow":
            file_format(path)
        try:
            path.open("rb").close()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return files


def _candidates(source: Path) -> Iterator[Path]:
    if (source / ROLLOUTS).is_dir():
        source = source / ROLLOUTS
    if _is_saved(source):
        return source.glob("*.arrow")
    if (source / "dataset_dict.json").is_file():
        return iter(())
    if source.is_dir():
        return (path for path in source.iterdir() if path.name.endswith(SUFFIXES) and path.name[0] not in "._")
    return iter([source]) if source.exists() else map(Path, glob(str(source), recursive=True))


def read_records(source: Path) -> Iterator[Record]:
    """Yield the rows of a source as they stand, unchecked.

    Where a folder or pattern has one file per training step (`12.jsonl`, `step_12.parquet`, `completions_00012.parquet`,
    `step_12/rollouts.jsonl`), rows without a column `step` get one.

    Raises:
        InputError: a broken row (the message has file and line), or no rows.
        MissingDependencyError: a package that the kind of file needs is not installed.
    """
    files = files_of(source)
    if _is_saved(source):
        rows = _saved_rows(source)
    elif files == [source]:
        rows = _rows(source)
    else:
        rows = chain.from_iterable(_rows_of_step(path) for path in files)
    record = None
    for record in rows:
        yield record
    if record is None:
        raise InputError(f"{source}: has no rows; expected one JSON object per line")


def read_values(source: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield place and columns of every row; raises as ``read_records``."""
    for record in read_records(source):
        yield record.where, record.values


def hub_name(dataset: str, config: str | None, split: str, revision: str | None) -> str:
    """Return a name for a part of a Hugging Face data set: `owner/name/config:split@revision`."""
    return f"{dataset}{f'/{config}' if config else ''}:{split}" + (f"@{revision}" if revision else "")


def hub_rows(
    dataset: str, config: str | None, split: str, *, revision: str | None = None, where: str, hint: str
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield place and columns of the rows of a Hugging Face data set.

    Raises:
        InputError: it cannot be downloaded and is not cached; the message begins with ``where`` and ends with ``hint``.
        MissingDependencyError: `datasets` is not installed.
    """
    datasets = require("datasets", extra="train", purpose="a data set from Hugging Face")
    try:
        with hub_or_cache(dataset):
            rows = datasets.load_dataset(dataset, config, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{where}: cannot get the data set {hub_name(dataset, config, split, revision)!r} from Hugging Face, and it is not "
            f"in the cache ({first_line(error)}); {hint}"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{dataset}, row {number}", row


def first_records(source: Path, count: int = 1) -> list[Record]:
    """Return the first rows; raises as ``read_records``."""
    return list(islice(read_records(source), count))


def _rows(path: Path) -> Iterator[Record]:
    kind = file_format(path)
    if kind == ".parquet":
        from hero_rl.data import parquet  # pyarrow is optional

        yield from (Record(number, values, None, path) for number, values in parquet.read_rows(path))
    elif kind.startswith(".csv"):
        yield from _csv_rows(path)
    elif kind.startswith(".json") and not kind.startswith(".jsonl") and jsonl.is_array(path):
        yield from (Record(number, values, None, path) for number, values in jsonl.read_array(path))
    else:
        for number, text in jsonl.read_lines(path):
            yield Record(number, jsonl.parse_line(text, place(path, number)), text, path)


def _rows_of_step(path: Path) -> Iterator[Record]:
    names = (path.name.split(".")[0], *(parent.name for parent in path.parents))
    match = _STEP.fullmatch(names[0]) or next(
        (m for name in names[1:] if "step" in name and (m := _STEP.fullmatch(name))), None
    )
    for record in _rows(path):
        if match is None or "step" in record.values:
            yield record
        else:
            yield record._replace(values={**record.values, "step": int(match[1] or match[2])}, text=None)


def _csv_rows(path: Path) -> Iterator[Record]:
    """Yield the rows of a CSV file with a line of names; every value is a text."""
    csv.field_size_limit(jsonl.MAX_LINE_BYTES)
    with jsonl.open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for values in reader:
                if None in values or None in values.values():
                    raise InputError(f"{place(path, reader.line_num)}: the row has not as many values as the first line names")
                yield Record(reader.line_num, values, None, path)
        except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
            raise InputError(f"{place(path, reader.line_num + 1)}: cannot be read as CSV: {first_line(error)}") from error


def _is_saved(source: Path) -> bool:
    """Return whether ``Dataset.save_to_disk`` wrote this folder."""
    return (source / "state.json").is_file() and (source / "dataset_info.json").is_file()


def _saved_rows(source: Path) -> Iterator[Record]:
    datasets = require("datasets", extra="train", purpose="reading a saved Hugging Face data set")
    try:
        saved = datasets.load_from_disk(str(source)).with_format("arrow")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{source}: cannot be read as a saved data set: {first_line(error)}") from error
    number = 0
    for batch in saved.iter(batch_size=READ_ROWS):
        for values in batch.to_pylist():
            number += 1
            yield Record(number, values, None, source)


def is_csv(record: Record) -> bool:
    """Return whether the row's values are texts alone, whatever they mean."""
    return record.path.name.endswith(SUFFIXES) and file_format(record.path).startswith(".csv")


def listed(names: Sequence[str] | Mapping[str, object]) -> str:
    """Return the columns of a row for a message."""
    return ", ".join(names) or "no columns"
