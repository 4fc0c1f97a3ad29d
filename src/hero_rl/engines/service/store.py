"""States of runs and recent answers in a database; both change in one transaction, so that a retried group counts once.

The database is an SQLite file of one process, or a PostgreSQL that several share. Their SQL is the same but for two types.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.sqlite import SqliteDatabase, raise_if_full
from hero_rl.errors import InputError, require

VERSION = 3
POSTGRES = ("postgresql://", "postgres://")
_SCHEMA = """
CREATE TABLE hero_store (version INTEGER NOT NULL, reward TEXT NOT NULL);
CREATE TABLE hero_runs (run_id TEXT PRIMARY KEY, state TEXT NOT NULL, updated DOUBLE PRECISION NOT NULL);
CREATE TABLE hero_answers (
    number {number} PRIMARY KEY, run_id TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, body {blob} NOT NULL,
    UNIQUE (run_id, key)
)"""
_FIND = """
SELECT hero_store.reward, hero_runs.state, hero_answers.digest, hero_answers.body FROM hero_store
LEFT JOIN hero_runs ON hero_runs.run_id = ? LEFT JOIN hero_answers ON hero_answers.run_id = ? AND hero_answers.key = ?"""
_SAVE = """
INSERT INTO hero_runs VALUES (?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET state = excluded.state, updated = excluded.updated"""
_RECENT = "SELECT run_id, state, updated FROM hero_runs ORDER BY updated DESC, run_id LIMIT ?"
_TRIM = """
DELETE FROM hero_answers WHERE number IN (SELECT number FROM (
    SELECT number, row_number() OVER newest AS place, sum(length(body)) OVER newest AS bytes
    FROM hero_answers WINDOW newest AS (ORDER BY number DESC)
) AS counted WHERE place > 1 AND (place > ? OR bytes > ?))"""
_SPARE = 64
"""Answers are trimmed when those added since are this part of what may be kept: to look at each costs as much as to keep it."""
_TURN_OF_ALL = "\n"
"""No run has this name."""


class RequestKey(NamedTuple):
    """Identifies a request and its retries."""

    run_id: str
    key: str


class Found(NamedTuple):
    """The stored state of a run, and the kept answer of a request."""

    state: str | None
    """The run's, in the text that ``save`` returned; None: there is no such run."""
    digest: str | None = None
    packed: bytes | None = None

    @property
    def body(self) -> bytes:
        """The kept answer, where there is a ``digest``."""
        return zlib.decompress(self.packed or b"")


class Database(Protocol):
    """A database of which one thread at a time makes use, and which goes on after an error once its cause is gone."""

    name: str
    """For people; without a password."""
    number: str
    """The type of a column that counts rows."""
    blob: str
    find_table: str
    """SQL that finds a row if the database has the table ?."""

    @property
    def errors(self) -> type[Exception]:
        """The exception that its methods raise."""
        ...

    def execute(self, sql: str, values: tuple[object, ...] = (), /) -> Any:
        """Run one statement, with a ? per value."""
        ...

    def write(self, sql: str, values: tuple[object, ...] = (), /) -> object:
        """Run one statement without rows, here or later in the transaction."""
        ...

    def transaction(self, turn: str, /) -> AbstractContextManager[None]:
        """Make the changes of the block, all or none; nobody in a block of the same ``turn`` changes what it reads."""
        ...

    def close(self) -> None:
        """Close; safe to call twice."""
        ...


def open_database(place: str | Path | None) -> Database:
    """Open a folder's SQLite file, or the PostgreSQL at a URL; None: in memory. Raises InputError if that fails."""
    scheme, url, _ = str(place).partition("://")
    if not url:
        return SqliteDatabase(None if place is None else Path(place))
    if not str(place).startswith(POSTGRES):
        raise InputError(f"--state {scheme}://...: no such database; give a folder, or postgresql://USER@HOST/DATABASE")
    require("psycopg", extra="postgres", purpose="hero serve --state postgresql://...")
    from hero_rl.engines.service.postgres import PostgresDatabase

    return PostgresDatabase(str(place))


class StateStore:
    """The states and answers of one service or of several replicas; its methods belong to one thread at a time."""

    def __init__(self, place: str | Path | None, settings: ServiceSettings, *, reward: str = ""):
        """Open or make the tables; without a ``place`` nothing outlives the process.

        Replicas share a state only if they compute the same ``reward``: the last one to start decides which, and ``find``
        raises in those with another.

        Args:
            place: folder, or URL of a PostgreSQL.
            settings: limits.
            reward: text that differs where rewards may.

        Raises:
            InputError: the place cannot be used, is in use, or is of another version.
            OSError: the disk is full.
        """
        self._settings, self._reward = settings, hashlib.sha256(reward.encode()).hexdigest()
        self._db = open_database(place)
        self.name = self._db.name
        self._new_answers = self._new_bytes = 0
        try:
            with self._db.transaction(_TURN_OF_ALL):
                self._prepare()
                self.count()
        except self._db.errors as error:
            self._db.close()
            raise_if_full(self.name, error)
            raise InputError(f"--state {self.name}: {_flat(error)}; may this user create tables there?") from error
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        if self._db.execute(self._db.find_table, ("hero_store",)).fetchone() is None:
            for statement in _SCHEMA.format(number=self._db.number, blob=self._db.blob).split(";"):
                self._db.write(statement)
            self._db.write("INSERT INTO hero_store VALUES (?, ?)", (VERSION, self._reward))
        (version,) = self._db.execute("SELECT version FROM hero_store").fetchone()
        if version != VERSION:
            raise InputError(
                f"--state {self.name}: written by another release (version {version}, here {VERSION}); use a new one"
            )
        self._db.write("UPDATE hero_store SET reward = ?", (self._reward,))

    def find(self, run_id: str, request: RequestKey | None = None) -> Found:
        """Return what is kept of the run and of the request; raises RequestError if a replica has another reward."""
        with self._typed():
            keys = (run_id, run_id, _hash(request.key) if request else "")
            reward, *found = self._db.execute(_FIND, keys).fetchone()
        if reward != self._reward:
            raise RequestError(
                "other_reward",
                f"a replica with another reward, or of another release, was started on {self.name} after this one; stop this "
                "replica, or start it again with the same reward file",
            )
        return Found(*found)

    def recent(self, most: int) -> list[tuple[str, dict[str, Any], float]]:
        """Return runs, their states and the times of their last updates, the last one first."""
        with self._typed():
            rows = self._db.execute(_RECENT, (most,)).fetchall()
        return [(run_id, json.loads(state), updated) for run_id, state, updated in rows]

    @contextmanager
    def turn(self, run_id: str) -> Iterator[None]:
        """Make the changes of the block, all or none; no replica in a block of the same run changes what it reads meanwhile.

        Raises:
            RequestError: the database failed.
        """
        with self._typed(), self._db.transaction(run_id):
            yield
        limits = self._settings
        if max(self._new_answers / limits.max_answers, self._new_bytes / limits.max_answer_bytes) * _SPARE >= 1:
            with suppress(RequestError):  # the block is done
                self._trim()

    def save(
        self, run_id: str, state: dict[str, Any], *, request: RequestKey | None = None, digest: str = "", body: bytes = b""
    ) -> str:
        """Keep the run's new state, and the answer that came of it; return the state's text. For the run's ``turn``."""
        text = json.dumps(state)
        self._db.write(_SAVE, (run_id, text, time.time()))
        if request:
            packed = zlib.compress(body, 1)
            row = (run_id, _hash(request.key), digest, packed)
            self._db.write("INSERT INTO hero_answers (run_id, key, digest, body) VALUES (?, ?, ?, ?)", row)
            self._new_answers, self._new_bytes = self._new_answers + 1, self._new_bytes + len(packed)
        return text

    def forget_answers(self, run_id: str) -> None:
        """Forget a run's answers. For the run's ``turn``."""
        self._db.write("DELETE FROM hero_answers WHERE run_id = ?", (run_id,))

    def delete(self, run_id: str) -> None:
        """Forget a run and its answers. For the run's ``turn``."""
        self.forget_answers(run_id)
        self._db.write("DELETE FROM hero_runs WHERE run_id = ?", (run_id,))

    def count(self) -> int:
        """Return the number of runs, which is also in ``runs`` from then on."""
        self.runs = int(self._db.execute("SELECT count(*) FROM hero_runs").fetchone()[0])
        return self.runs

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._db.close()

    def _trim(self) -> None:
        """Forget the oldest answers, as many as must go."""
        with self._typed(), self._db.transaction(_TURN_OF_ALL):
            self._db.write(_TRIM, (self._settings.max_answers, self._settings.max_answer_bytes))
        self._new_answers = self._new_bytes = 0

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """Turn errors of the database into an answer."""
        try:
            yield
        except self._db.errors as error:
            raise RequestError(
                "state_not_saved",
                f"states cannot be read or written in {self.name}: {_flat(error)}; try again with the same key",
            ) from error


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())


def _hash(key: str) -> str:
    """Return what stands for an idempotency key: PostgreSQL takes no text with a NUL."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
