"""Lines out: the files of `hero data`, plain or compressed, and the checks before work starts."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hero_rl.errors import InputError


class LineWriter(Protocol):
    """Takes lines."""

    def write(self, line: str, /) -> object:
        """Write one line, with its line break."""
        ...


@contextmanager
def open_lines(path: Path, *, like: Path) -> Iterator[LineWriter]:
    """A writer of lines to ``path``, compressed where the name of ``like`` ends in `.gz`."""
    with path.open("wb") as raw:
        # mtime=0: the same lines give the same bytes
        file = gzip.GzipFile("", "wb", 6, raw, mtime=0) if like.suffix == ".gz" else raw

        class _Writer:
            def write(self, line: str, /) -> object:
                return file.write(line.encode("utf-8"))

        yield _Writer()
        if file is not raw:
            file.close()


def check_target(path: Path, *sources: str | Path, suffixes: tuple[str, ...] = (".jsonl", ".jsonl.gz")) -> None:
    """Raise unless the file can be written.

    Raises:
        InputError: a suffix that is not among ``suffixes``, a missing folder, no permission, or one of the sources.
    """
    if not path.name.endswith(suffixes):
        raise InputError(f"{path}: the name of the output must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {str(path.parent)!r} does not exist; make it first")
    if path.exists():
        if not path.is_file():
            raise InputError(f"{path}: is a folder, a pipe or a device; give the name of a regular file")
        check_not_input(path, *sources)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: no permission to write in {str(path.parent)!r}")


def check_not_input(path: Path, *sources: str | Path) -> None:
    """Nothing, where writing the file does not overwrite a source.

    Raises:
        InputError: it is one of them.
    """
    if path.exists() and any(path.samefile(source) for source in map(Path, sources) if source.exists()):
        raise InputError(f"{path}: is the input itself; write to another file")
