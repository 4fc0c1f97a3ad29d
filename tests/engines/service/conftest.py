"""A PostgreSQL for all tests of a process, and a place for states in each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What ``--state`` takes."""
    return str(tmp_path / "state") if request.param == "sqlite" else request.getfixturevalue("postgres").new()
