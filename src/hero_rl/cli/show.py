"""Output for people and programs: tables or one JSON object on stdout, progress and warnings on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol, TextIO, TypeAlias

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from hero_rl.errors import InputError, clip, printable

EVERY_S = 30.0
"""Without a terminal, the longest time without a line about progress."""

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def check_folder(option: str, path: Path) -> None:
    """Raise InputError if ``path`` or one of its parents is a file."""
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise InputError(f"{option} {path}: {part} is a file; give a folder")
            return


def warn(message: str) -> None:
    """Print a warning on stderr."""
    sys.stderr.write(f"warning: {printable(message)}\n")


def note(message: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{printable(message)}\n")


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


def print_notes(title: str, notes: Sequence[tuple[str, str]]) -> None:
    """Print what and why, each as a paragraph, on stdout."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(f"{title}:")
    for what, why in notes:
        console.print(Padding(f"- {what}", (0, 0, 0, 2)))
        console.print(Padding(why, (0, 0, 0, 6)))


def number(value: float | None) -> str:
    """Return a number for a table; a dash for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def percent(value: float) -> str:
    """Return a share for a table."""
    return f"{value:.1%}"


def shortened(text: object, most: int) -> str:
    """Return a text on one line of at most so many characters."""
    return clip(" ".join(str(text).split()), most)


def command_line() -> str:
    """Return the command as it was typed."""
    return " ".join(["hero", *sys.argv[1:]])


def redraws(console: Console) -> bool:
    """Return whether lines that are written again stay one line on screen.

    Notebooks and CI set FORCE_COLOR: rich takes their logs for terminals, where each redrawing would stay as lines of its own.
    """
    return console.is_terminal and sys.stderr.isatty()


class Bar(Protocol):
    """Shows how far a stage is, and a note beside it."""

    def __call__(self, stage: str, done: int, total: int | None, /, note: str = "") -> None:
        """Show it."""
        ...


@contextmanager
def progress_bar(*, keep: bool = False) -> Iterator[Bar]:
    """Yield a function that moves progress bars on stderr, one line per stage; see ``_lines`` if it is not a terminal.

    Args:
        keep: leave the bars there at the end, and give notes the rest of the line.
    """
    console = Console(stderr=True)
    if not redraws(console):
        with _lines() as write:
            yield write
        return
    rest = Column(ratio=1 if keep else None, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description:<16}"), BarColumn(bar_width=12 if keep else 40), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}", table_column=rest),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=not keep, expand=keep) as display:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int | None, /, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total, note="")
            if note:
                display.update(tasks[stage], note=note)
            display.update(tasks[stage], completed=done, total=total)

        yield update


@contextmanager
def _lines() -> Iterator[Bar]:
    """Yield a function that writes a line for each note; where ``EVERY_S`` pass without one, the newest state is written."""
    start = written = time.monotonic()
    newest, ended = "nothing done yet", threading.Event()

    def write(text: str) -> None:
        nonlocal written
        written = time.monotonic()
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            note(text)
            sys.stderr.flush()

    def update(stage: str, done: int, total: int | None, /, note: str = "") -> None:
        nonlocal newest
        newest = f"{stage} {done}" + ("" if total is None else f"/{total}")
        if note:
            write(f"{newest} {note}")

    def repeat() -> None:
        while not ended.wait(max(0.0, written + EVERY_S - time.monotonic())):
            if time.monotonic() >= written + EVERY_S:
                write(f"{newest} after {time.monotonic() - start:.0f} s")

    repeating = threading.Thread(target=repeat, name="hero-progress", daemon=True)
    repeating.start()
    try:
        yield update
    finally:
        ended.set()
        repeating.join()
