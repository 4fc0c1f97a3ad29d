"""The short form of `benchmarks/hostile.py`: every attack once."""

from __future__ import annotations

import json
import subprocess
import sys

from helpers.places import BENCHMARKS


def test_what_must_hold_under_attack_holds() -> None:
    command = [sys.executable, str(BENCHMARKS / "hostile.py"), "--rounds", "1", "--groups", "3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(done.stdout)) == 6
