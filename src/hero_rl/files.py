"""Files that are whole or absent: everything is written to `NAME.partial` beside its place and renamed at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` when the block ends well and is removed when it does not.

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
    """The path of a file that now holds ``text`` in UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
