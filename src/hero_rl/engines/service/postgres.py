"""States in a PostgreSQL that several replicas share: a run's turn is an advisory lock, which ends with its transaction.

Nothing waits for ever: connecting, statements and replicas that hold a turn have limits, and a connection on which a
transaction takes longer than all of them is cut.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from hero_rl.errors import InputError

CONNECT_S = 5
STATEMENT_S = 5
"""Also the longest that a statement waits for another replica's turn."""
TURN_S = 10
"""The longest that a replica may have a turn, and a server may take for it."""
RETRY_S = 1.0
"""After a failure to connect, requests fail at once for so long."""
_PLAIN = re.compile(r"[a-z]+://([^@/?#]*@)?[^@]*")
# Each statement sees what was committed before it began, so those after the lock see the last turn. The limits are set here and
# not once per connection, because a pooler such as PgBouncer gives the next transaction another one.
_BEGIN = f"""BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '{STATEMENT_S}s';
SET LOCAL idle_in_transaction_session_timeout = '{TURN_S}s'; SELECT pg_advisory_xact_lock"""


class PostgresDatabase:
    """One connection, which is opened again when it is needed after a failure."""

    errors = psycopg.Error
    number, blob = "BIGINT GENERATED ALWAYS AS IDENTITY", "BYTEA"
    find_table = "SELECT 1 WHERE to_regclass(?) IS NOT NULL"

    def __init__(self, url: str):
        """Connect; raises InputError if that fails."""
        # what libpq says of an address that it cannot read quotes parts of it, which may be the password
        wrong = "--state postgresql://...: no address of a database; give postgresql://USER@HOST/DATABASE"
        wrong += " (in a password, @ is written %40, / is %2F and ? is %3F)"
        if not _PLAIN.fullmatch(url):
            raise InputError(wrong)
        defaults = {
            "connect_timeout": CONNECT_S, "tcp_user_timeout": STATEMENT_S * 1000, "application_name": "hero serve",
            "client_encoding": "utf8",  # or text of an SQL_ASCII database would be bytes
        }  # fmt: skip
        try:
            self._options: dict[str, Any] = {**defaults, **conninfo_to_dict(url)}
        except psycopg.Error:
            raise InputError(wrong) from None
        self._connection: psycopg.Connection | None = None
        self._socket: socket.socket | None = None
        self._retry_at, self._why = 0.0, ""
        self._inside = self._begun = False
        self._waiting: list[tuple[str, tuple[object, ...]]] = []
        self._due, self._closed = math.inf, threading.Event()
        threading.Thread(target=self._watch, name="hero-state-watch", daemon=True).start()
        try:
            with self._watched():
                info = self._connect().info
        except psycopg.Error as error:
            self.close()
            raise InputError(f"--state postgresql://...: {' '.join(str(error).split())}; is it there?") from error
        self.name = f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> psycopg.Cursor:
        """Run one statement."""
        if self._inside:
            return self._send(sql, values)
        with self._watched():
            return self._send(sql, values)

    def write(self, sql: str, values: tuple[object, ...] = ()) -> None:
        """Have one statement run at the end of the transaction, or before its next one with rows: they travel together."""
        assert self._inside
        self._waiting.append((sql, values))

    @contextmanager
    def transaction(self, turn: str) -> Iterator[None]:
        """Make the changes of the block, all or none; from its first rows on no other connection is in a block of the turn."""
        lock = int.from_bytes(hashlib.sha256(turn.encode()).digest()[:8], "big", signed=True)
        with self._watched():
            self._waiting = [(f"{_BEGIN}({lock})", ())]
            self._inside, self._begun = True, False
            try:
                yield
                self._send("COMMIT")
            except psycopg.Error:
                raise
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._inside = False
                self._waiting.clear()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._closed.set()
        self._drop()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Cut the connection if the block takes too long, and drop it after an error."""
        self._due = time.monotonic() + TURN_S
        try:
            yield
        except psycopg.Error:
            self._drop()
            raise
        finally:
            self._due = math.inf

    def _watch(self) -> None:
        while not self._closed.wait(0.5):
            if time.monotonic() > self._due and (cut := self._socket) is not None:
                with suppress(OSError):
                    cut.shutdown(socket.SHUT_RDWR)

    def _roll_back(self) -> None:
        self._waiting.clear()
        if self._begun:
            try:
                self._send("ROLLBACK")
            except psycopg.Error:
                self._drop()

    def _send(self, sql: str, values: tuple[object, ...] = ()) -> psycopg.Cursor:
        """Run the statements that wait and then this one, on a new connection if the server has closed the old one."""
        statements = [*self._waiting, (sql, values)]
        self._waiting.clear()
        query = "; ".join(text for text, _ in statements).replace("?", "%s").encode()
        parameters = [value for _, more in statements for value in more] or None
        again = sql != "COMMIT" and not (self._inside and self._begun)
        self._begun = True
        try:
            cursor = (self._connection or self._connect()).execute(query, parameters)
        except psycopg.OperationalError:
            if not again or self._connection is None or not self._connection.broken or time.monotonic() > self._due:
                raise
            self._drop()
            cursor = self._connect().execute(query, parameters)
        while cursor.nextset():
            pass
        return cursor

    def _connect(self) -> psycopg.Connection:
        if time.monotonic() < self._retry_at:
            raise psycopg.OperationalError(self._why)
        try:
            connection = self._connection = psycopg.connect(
                **self._options, autocommit=True, cursor_factory=psycopg.ClientCursor
            )
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        except psycopg.Error as error:
            self._retry_at, self._why = time.monotonic() + RETRY_S, str(error)
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        cut, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        if cut is not None:
            cut.close()
