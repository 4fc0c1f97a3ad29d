"""States of runs and recent answers on disk; both change in one transaction, so that a retried group counts once.

SQLite in write-ahead mode: a killed process loses nothing that was answered. After a power cut the last answers before it may
be lost, never half of one.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.errors import InputError
from hero_rl.files import locked

FILE = "service.sqlite3"
VERSION = 2
_SCHEMA = """
CREATE TABLE runs (run_id TEXT PRIMARY KEY, state TEXT NOT NULL, updated REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, body BLOB NOT NULL,
    created REAL NOT NULL, UNIQUE (run_id, key)
);
"""


class RequestKey(NamedTuple):
    """Identifies a request and its retries."""

    run_id: str
    key: str


class _Kept(NamedTuple):
    number: int
    digest: str
    size: int
    created: float


class StateStore:
    """One folder with one owner. All methods but ``digest`` belong to the thread that changes states."""

    def __init__(self, folder: Path | None, settings: ServiceSettings, *, clock: Callable[[], float] = time.monotonic):
        """Open or make the file; without a ``folder`` nothing outlives the process.

        The ages of answers are counted on ``clock`` while a store is open, so that no change of the date expires them.

        Raises:
            InputError: the folder cannot be made or read, is in use, or is of another version.
        """
        self._settings, self._path = settings, folder / FILE if folder else None
        self._lock = ExitStack()
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock.enter_context(locked(folder))  # two services would each count on their own
            self._db = sqlite3.connect(self._path or ":memory:", timeout=1.0, isolation_level=None, check_same_thread=False)
            self._prepare(folder)
            self._kept = self._read_kept()
            self._inode = self._path.stat().st_ino if self._path else 0
        except OSError as error:
            raise InputError(f"--state {folder}: cannot be written to: {error.strerror}") from error
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise InputError(f"--state {folder}: another process uses {FILE}; give another folder") from error
            raise InputError(f"--state {folder}: {FILE} cannot be used: {error}; is it a file of hero serve?") from error
        self._bytes = sum(one.size for one in self._kept.values())
        self.runs = self._count_runs()
        since = max((one.created for one in self._kept.values()), default=time.time()) - clock()
        self._clock = lambda: since + clock()

    def digest(self, request: RequestKey) -> str | None:
        """Return the digest of the request with this key, if its answer is kept; safe from any thread."""
        kept = self._kept.get(request)
        return kept.digest if kept and kept.created >= self._clock() - self._settings.answer_age_s else None

    def answer(self, request: RequestKey) -> bytes | None:
        """Return the kept answer."""
        row = self._db.execute("SELECT body FROM answers WHERE run_id = ? AND key = ?", request).fetchone()
        return zlib.decompress(row[0]) if row else None

    def state(self, run_id: str) -> dict[str, Any] | None:
        """Return the run's state, from ``HybridReward.state_dict``."""
        row = self._db.execute("SELECT state FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return json.loads(row[0]) if row else None

    def recent(self, most: int) -> list[tuple[str, dict[str, Any], float]]:
        """Return runs, their states and the times of their last updates, the last one first."""
        rows = self._db.execute("SELECT run_id, state, updated FROM runs ORDER BY updated DESC, run_id LIMIT ?", (most,))
        return [(run_id, json.loads(state), updated) for run_id, state, updated in rows]

    def commit(
        self, run_id: str, state: dict[str, Any], *, request: RequestKey | None = None, digest: str = "", body: bytes = b""
    ) -> None:
        """Keep the run's new state and the answer that came of it, both or neither; raises RequestError if that fails."""
        now = self._clock()
        packed = zlib.compress(body, 1) if request else b""
        doomed = self._doomed(now, packed, request)
        number = 0
        with self._transaction(run_id):
            self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run_id, json.dumps(state), time.time()))
            self._db.executemany("DELETE FROM answers WHERE number = ?", [(self._kept[one].number,) for one in doomed])
            if request:
                cursor = self._db.execute(
                    "INSERT INTO answers (run_id, key, digest, body, created) VALUES (?, ?, ?, ?, ?)",
                    (*request, digest, packed, now),
                )
                number = int(cursor.lastrowid or 0)
        self._forget(doomed)
        if request:
            self._kept[request] = _Kept(number, digest, len(packed), now)
            self._bytes += len(packed)

    def delete(self, run_id: str, *, answers_only: bool = False) -> None:
        """Forget a run's answers, and the run; raises RequestError if that fails."""
        with self._transaction(run_id):
            self._db.execute("DELETE FROM answers WHERE run_id = ?", (run_id,))
            if not answers_only:
                self._db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))
        self._forget([request for request in self._kept if request.run_id == run_id])

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()
        self._lock.close()

    @contextmanager
    def _transaction(self, run_id: str) -> Iterator[None]:
        """Make the changes of the block, all or none of them."""
        self._check_file(run_id)
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                runs = self._count_runs()
        except sqlite3.Error as error:
            raise RequestError("state_not_saved", f"the state of run {run_id!r} could not be written: {error}") from error
        self.runs = runs

    def _check_file(self, run_id: str) -> None:
        """Raise RequestError unless the open file is still there: what goes into a deleted one is lost with the process."""
        with suppress(OSError):
            if self._path is None or self._path.stat().st_ino == self._inode:
                return
        why = f"{FILE} was deleted or replaced while the service ran; start the service again"
        raise RequestError("state_not_saved", f"the state of run {run_id!r} could not be written: {why}")

    def _count_runs(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM runs").fetchone()[0])

    def _prepare(self, folder: Path | None) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # even when the lock's file is deleted
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise InputError(
                f"--state {folder}: written by another release (version {version}, here {VERSION}); use a new folder"
            )

    def _read_kept(self) -> OrderedDict[RequestKey, _Kept]:
        rows = self._db.execute("SELECT run_id, key, number, digest, length(body), created FROM answers ORDER BY number")
        return OrderedDict((RequestKey(run_id, key), _Kept(*rest)) for run_id, key, *rest in rows)

    def _doomed(self, now: float, packed: bytes, request: RequestKey | None) -> list[RequestKey]:
        """Return the oldest answers, as many as must go."""
        limits = self._settings
        answers, total = len(self._kept) + (request is not None), self._bytes + len(packed)
        # a kept answer to this request is too old to be replayed, or it would have been
        doomed = [request] if request and request in self._kept else []
        for one, kept in self._kept.items():
            fits = answers <= limits.max_answers and total <= limits.max_answer_bytes
            if fits and kept.created >= now - limits.answer_age_s:
                break
            if one != request:
                doomed.append(one)
            answers, total = answers - 1, total - kept.size
        return doomed

    def _forget(self, requests: Sequence[RequestKey]) -> None:
        for request in requests:
            self._bytes -= self._kept.pop(request).size
