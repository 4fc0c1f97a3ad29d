"""A PostgreSQL of Debian's packages on a free port, for tests; skipped where it is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

PASSWORD = "s3/cr@t?"
LIMIT_S = 60


class Postgres:
    """A server with its data in a folder of its own."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._data, self._databases = binaries, folder / "data", 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:  # the server refuses to run as root
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        self.run("initdb", "-D", self._data, "-U", "hero", "-A", "scram-sha-256", "--pwfile", folder / "password", "-N")
        self.start()

    def run(self, program: str, *arguments: object) -> None:
        who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        command = [str(self._binaries / program), *map(str, arguments)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=LIMIT_S, text=True,
            cwd="/", env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}, **who,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self._data} -c fsync=off"
        self.run("pg_ctl", "-D", self._data, "-o", options, "-l", self._data / "log", "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    @property
    def pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def new(self) -> str:
        """The URL of a new database."""
        self._databases += 1
        name = f"d{self._databases}"
        self.run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "hero", name)
        return f"postgresql://hero:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    found = [Path(path) for path in (shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))) if path]
    if not found:
        pytest.skip("needs the programs of PostgreSQL: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="hero-postgres-") as name:
        server = Postgres(found[-1].resolve().parent, Path(name))
        try:
            yield server
        finally:
            server.stop("immediate")
