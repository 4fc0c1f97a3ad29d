"""Files that are whole or absent: everything is written to `NAME.partial` beside its place and renamed at the end.

And files that somebody else writes to while they are read: found out, and refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from hero_rl.errors import InputError

Stamps: TypeAlias = list[tuple[int, int, int]]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of ``path`` when the block ends well, and is removed when it does not.

    The content is on the disk before the name is: after a power cut there is the old file or the new one.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:  # Ctrl-C included: nothing half-written stays behind
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` in UTF-8 and return the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


@contextmanager
def unchanged(*paths: Path, before: Stamps | None = None) -> Iterator[None]:
    """Raise InputError at the end of the block if a file is not what it was at the start, or at the time of ``before``."""
    before = before or stamps(*paths)
    yield
    for path, then, now in zip(paths, before, stamps(*paths), strict=True):
        if then != now:
            raise changed(path)


def stamps(*paths: Path) -> Stamps:
    """Return what tells whether files were changed."""
    return [(found.st_ino, found.st_size, found.st_mtime_ns) for found in map(os.stat, paths)]


def changed(path: Path) -> InputError:
    """Return the error to raise if a file changed while it was being read."""
    return InputError(f"{path}: changed while it was being read; run again when nobody writes to it")
