"""``Cache``: keys to values in one SQLite file that several processes may use at once.

SQLite in write-ahead mode: readers do not wait for the writer, and a process that is killed in mid-write loses its own last
transaction only. The file has to lie on a local disk.

A cache can be lost without harm: trouble with the file while a run goes on (a full disk, a lock held for long, damage) costs
stored results and a warning, never the run.
"""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from hero_rl.errors import InputError, first_line

DEFAULT_MAX_BYTES = 1 << 30
TOUCH_AFTER_S = 300.0
"""A row that is read again within this time keeps its time of use, so that reading a hot row costs no write."""

_APPLICATION_ID = 0x4845524F  # "HERO"
_SCHEMA_VERSION = 1
_CHUNK = 900  # below the 999 variables that every SQLite allows in one statement
_EVICTED_MORE = 100
_EVICTIONS = 20
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX entries_used ON entries (used)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)

T = TypeVar("T")
_logger = logging.getLogger(__name__)
_abandoned: list[sqlite3.Connection] = []
"""Connections that were opened before a fork: closing them here would drop the locks of the parent."""


class CacheStats(NamedTuple):
    """The size of a cache, and what this process did to it; ``str()`` gives one line."""

    rows: int
    bytes: int
    """Pages in use."""
    max_bytes: int
    evicted: int
    """Rows that this process removed to keep within ``max_bytes``."""
    errors: int
    """Reads and writes of this process that failed; each counts as "not found" or "not stored"."""

    def __str__(self) -> str:
        """One line for a log."""
        return (
            f"{self.rows} rows, {self.bytes / 1e6:.1f} of {self.max_bytes / 1e6:.1f} MB, {self.evicted} evicted, "
            f"{self.errors} errors"
        )


class Cache:
    """A bounded store of small values by 32-byte keys, in one file.

    Safe from any thread, from several processes, across a fork, and after ``close`` (it opens again when used). The rows that
    were used longest ago go first when the file is full.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES, busy_timeout_s: float = 30.0
    ) -> None:
        """Open the file, or make it.

        Args:
            path: of the file; SQLite keeps two more beside it (``-wal``, ``-shm``) while it is in use.
            max_bytes: about how large the file may grow; it does not shrink again, but reuses its space.
            busy_timeout_s: how long to wait for another process that is writing.

        Raises:
            InputError: the path cannot be used, or holds something that is no cache.
        """
        if max_bytes < 1:
            raise InputError(f"max_bytes={max_bytes} must be at least 1")
        if not busy_timeout_s >= 0:
            raise InputError(f"busy_timeout_s={busy_timeout_s} must be 0 or more")
        self.path, self.max_bytes, self.busy_timeout_s = Path(path).expanduser(), max_bytes, busy_timeout_s
        self._lock, self._process = threading.RLock(), os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._evicted = self._errors = 0
        self._warned: set[str] = set()
        try:
            self._connect()
        except (OSError, sqlite3.Error) as error:
            message = f"cannot be used: {first_line(error)}; give the path of a file on a local disk"
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
                message = "this file is no cache of hero-rl, or a damaged one; give another path, or delete it"
            raise InputError(f"cache {self.path}: {message}") from error

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of the keys that are there."""
        found: dict[bytes, bytes] = {}
        touched: list[tuple[int, int]] = []
        now = int(time.time())

        def read(connection: sqlite3.Connection) -> None:
            for begin in range(0, len(keys), _CHUNK):
                chunk = keys[begin : begin + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = connection.execute(f"SELECT id, key, value, used FROM entries WHERE key IN ({marks})", chunk)
                for row, key, value, used in rows:
                    found[key] = value
                    if used <= now - TOUCH_AFTER_S:
                        touched.append((now, row))

        def touch(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.executemany("UPDATE entries SET used = ? WHERE id = ?", touched)

        if keys:
            self._guarded(read, None)
        if touched:
            self._guarded(touch, None)
        return found

    def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        """Store values under keys; a key that is there keeps its value, for the key says what the value is."""
        now = int(time.time())

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                rows = [(key, value, now) for key, value in entries.items()]
                connection.executemany("INSERT OR IGNORE INTO entries (key, value, used) VALUES (?, ?, ?)", rows)
                self._evict(connection, 2 * len(rows) + _EVICTED_MORE)

        if entries:
            self._guarded(write, None)

    def delete_many(self, keys: Sequence[bytes]) -> None:
        """Forget these keys."""

        def delete(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

        self._guarded(delete, None)

    def stats(self) -> CacheStats:
        """Return the counts now."""

        def count(connection: sqlite3.Connection) -> tuple[int, int]:
            return connection.execute("SELECT count(*) FROM entries").fetchone()[0], _bytes_used(connection)

        rows, size = self._guarded(count, (0, 0))
        return CacheStats(rows, size, self.max_bytes, self._evicted, self._errors)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._own_lock():
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Return what opens the same file."""
        options = {"max_bytes": self.max_bytes, "busy_timeout_s": self.busy_timeout_s}
        return functools.partial(Cache, str(self.path), **options), ()

    def _evict(self, connection: sqlite3.Connection, step: int) -> None:
        """Remove what was used longest ago until the rest fits; a bounded number of rows, so that no call takes seconds."""
        for _ in range(_EVICTIONS):
            if _bytes_used(connection) <= self.max_bytes:
                return
            oldest = "SELECT id FROM entries ORDER BY used, id LIMIT ?"
            self._evicted += connection.execute(f"DELETE FROM entries WHERE id IN ({oldest})", (step,)).rowcount

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Return what ``work`` does; ``otherwise``, and a warning, where the file makes trouble."""
        with self._own_lock():
            try:
                return work(self._connect())
            except (sqlite3.Error, InputError, OSError) as error:
                self._errors += 1
                message = first_line(error)
                if message not in self._warned:  # a full disk would say so at every batch
                    self._warned.add(message)
                    _logger.warning("cache %s: %s; going on without what it would have stored or found", self.path, message)
                return otherwise

    def _own_lock(self) -> threading.RLock:
        """Return the lock of this process: one inherited by a fork may be held by a thread that does not exist here."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.RLock()
            if self._connection is not None:
                _abandoned.append(self._connection)
                self._connection = None
        return self._lock

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path.absolute(), timeout=self.busy_timeout_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if _ask(connection, "application_id") != _APPLICATION_ID:
            with _transaction(connection):  # several processes may be the first
                if _ask(connection, "application_id") != _APPLICATION_ID:
                    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                        raise InputError(f"cache {self.path}: this SQLite file holds something else; give another path")
                    for statement in _SCHEMA:
                        connection.execute(statement)
        version = _ask(connection, "user_version")
        if version != _SCHEMA_VERSION:
            raise InputError(
                f"cache {self.path}: of version {version}, and this hero-rl reads version {_SCHEMA_VERSION}; delete it or give "
                "another path"
            )
        _use_write_ahead(connection, self.busy_timeout_s)
        # safe in write-ahead mode against every crash of a process; a power cut may cost the last results
        connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write or roll back, also at Ctrl-C: the others must not wait for a lock that nobody gives back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _ask(connection: sqlite3.Connection, pragma: str) -> int:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _bytes_used(connection: sqlite3.Connection) -> int:
    return (_ask(connection, "page_count") - _ask(connection, "freelist_count")) * _ask(connection, "page_size")


def _use_write_ahead(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch the mode, which SQLite does not wait for while another process does the same."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
