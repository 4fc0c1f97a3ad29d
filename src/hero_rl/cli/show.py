"""What people and programs see: tables or one JSON object on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from hero_rl.errors import InputError
from hero_rl.types import Progress as ProgressFn


def check_share(option: str, value: float) -> None:
    """Nothing, where the value of an option is a share.

    Raises:
        InputError: outside [0, 1].
    """
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{option} {value:g}: must lie in [0, 1]; it is a share of the rows")


def check_folder(option: str, path: Path) -> None:
    """Nothing; raises where a folder cannot be made at ``path``.

    Raises:
        InputError: it, or one of its parents, is a file.
    """
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise InputError(f"{option} {path}: {part} is a file; give a folder")
            return


def warn(message: str) -> None:
    """Print a warning on stderr."""
    sys.stderr.write(f"warning: {message}\n")


_for_json: TextIO | None = None


@contextmanager
def json_alone() -> Iterator[None]:
    """Send to stderr whatever else is printed, as by somebody's own functions; ``print_json`` goes to stdout."""
    global _for_json
    before, _for_json = (_for_json, sys.stdout), sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        _for_json, sys.stdout = before


def print_json(values: Mapping[str, object]) -> None:
    """Print one JSON object on stdout."""
    stream = _for_json or sys.stdout
    stream.write(json.dumps(values, allow_nan=False, ensure_ascii=False) + "\n")
    stream.flush()


def print_table(
    title: str, rows: Sequence[tuple[str, ...]], *, header: Sequence[str] | None = None, right: bool = False
) -> None:
    """Print a small table on stdout; ``right``: with the last column, of numbers, to the right."""
    width = max((len(row) for row in rows), default=2)
    table = Table(title=title, title_justify="left", show_header=header is not None)
    for number in range(width):
        table.add_column(header[number] if header else "", justify="right" if right and number == width - 1 else "left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False, emoji=False).print(table)


def print_notes(title: str, notes: Sequence[tuple[str, str, str]]) -> None:
    """Print what, why and what instead (if anything), each as a paragraph, on stdout."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(f"{title}:")
    for what, why, instead in notes:
        console.print(Padding(f"- {what}", (0, 0, 0, 2)))
        console.print(Padding(f"{why}\ninstead: {instead}" if instead else why, (0, 0, 0, 6)))


def number(value: float | None) -> str:
    """A number for a table; a dash for None."""
    return "-" if value is None else f"{value:.4g}"


def percent(value: float) -> str:
    """A share for a table."""
    return f"{value:.1%}"


@contextmanager
def progress_bar() -> Iterator[ProgressFn]:
    """A progress bar on stderr, one line a stage; nothing where stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as display:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total)
            display.update(tasks[stage], completed=done, total=total)

        yield update
