"""Files that are whole or absent: everything is written to `NAME.partial` beside its place and renamed at the end.

And files that somebody else writes to while they are read: found out, and refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hero_rl.errors import InputError


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
def unchanged(path: Path, before: os.stat_result | None = None) -> Iterator[None]:
    """Raise InputError at the end of the block if the file is not what it was at the start, or at the time of ``before``."""
    before = before or path.stat()
    yield
    after = path.stat()
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise changed(path)


def changed(path: Path) -> InputError:
    """Return the error to raise if a file changed while it was being read."""
    return InputError(f"{path}: changed while it was being read; run again when nobody writes to it")
