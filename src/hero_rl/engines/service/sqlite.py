"""States in an SQLite file that one process owns.

In write-ahead mode: a killed process loses nothing that was answered. After a power cut the last answers before it may be lost,
never half of one.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hero_rl.errors import InputError
from hero_rl.files import locked

FILE = "service.sqlite3"
_MANY = "several may share a PostgreSQL"
_FULL = re.compile(r"disk is full|no space left|quota exceeded", re.IGNORECASE)


def raise_if_full(name: str, error: Exception) -> None:
    """Raise an OSError that says so if ``error`` of a database means that its disk is full."""
    if _FULL.search(str(error)):
        what = "the disk is full; free some space there, or give another place"
        raise OSError(errno.ENOSPC, what, f"--state {name}") from error


class SqliteDatabase:
    """One folder with one owner, or memory."""

    errors = sqlite3.Error
    number, blob = "INTEGER", "BLOB"
    find_table = "SELECT 1 FROM sqlite_master WHERE name = ?"

    def __init__(self, folder: Path | None):
        """Open or make the file.

        Raises:
            InputError: the folder cannot be made or read, or is in use.
            OSError: the disk is full.
        """
        self.name, self._path = str(folder or "memory"), folder / FILE if folder else None
        self._lock = ExitStack()
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock.enter_context(locked(folder))  # two services would each count on their own
            self._db = sqlite3.connect(self._path or ":memory:", timeout=1.0, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # even when the lock's file is deleted
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            earlier = self._db.execute("PRAGMA user_version").fetchone()[0]
            self._inode = self._path.stat().st_ino if self._path else 0
        except OSError as error:
            raise_if_full(self.name, error)
            raise InputError(f"--state {folder}: cannot be written to: {error.strerror}") from error
        except sqlite3.Error as error:
            raise_if_full(self.name, error)
            if "locked" in str(error):
                raise InputError(f"--state {folder}: another process uses {FILE}; give another folder, or {_MANY}") from error
            raise InputError(f"--state {folder}: {FILE} cannot be used: {error}; is it a file of hero serve?") from error
        if earlier:
            raise InputError(f"--state {folder}: written by an earlier release (version {earlier}); use a new folder")

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._db.execute(sql, values)

    write = execute

    @contextmanager
    def transaction(self, turn: str) -> Iterator[None]:
        """Make the changes of the block, all or none of them."""
        self._check_file()
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()
        self._lock.close()

    def _check_file(self) -> None:
        """Raise unless the open file is still there: what goes into a deleted one is lost with the process."""
        with suppress(OSError):
            if self._path is None or self._path.stat().st_ino == self._inode:
                return
        raise sqlite3.OperationalError(f"{FILE} was deleted or replaced while the service ran; start the service again")
