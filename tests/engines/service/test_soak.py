"""A minute of hostile answers and clients that hang up; `benchmarks/service.py --soak SECONDS` for a longer one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from helpers.places import BENCHMARKS

PROGRAM = BENCHMARKS / "service.py"


@pytest.mark.slow  # a minute, for what comes together by chance; each claim alone is in test_lifecycle.py and test_limits.py
def test_hostile_answers_and_vanishing_clients_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--soak", "60", "--json"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert (report["mistakes"], report["lost_or_double"], report["zombies"], report["processes_left"]) == (0, 0, 0, 0), report
    assert (report["running_at_end"], report["queued_at_end"], report["exit_code"]) == (0, 0, 0)
    assert report["groups"] > 20
    assert report["hostile"] > 5
    assert report["vanished"] > 1
    assert report["reasons"]["too_hard"] > 0
    assert report["own_mib"][-1] < 1.5 * report["own_mib"][0]
