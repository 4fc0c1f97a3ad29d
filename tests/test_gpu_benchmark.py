"""benchmarks/gpu.sh, which cannot be tried on a GPU before it is needed there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import BENCHMARKS


def run(python: Path | str, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(BENCHMARKS / "gpu.sh"), "--toy"], env={**os.environ, "PYTHON": str(python), "OUT": str(out)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_a_part_that_fails_is_named_and_does_not_stop_the_others(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "  *trainer.py) echo out of memory >&2; exit 3;;\n"
        """  benchmarks/*) echo '{"summary": "measured"}';;\n"""
        f'  *) exec {sys.executable} "$@";;\n'
        "esac\n"
    )
    python.chmod(0o755)
    done = run(python, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == "failed: trainer\n"
    assert "out of memory" in done.stdout
    assert [line for line in done.stdout.splitlines() if "measured" in line] == ["scorer: measured", "study: measured"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["gpu-scorer.json", "gpu-study.json"]


@pytest.mark.slow  # three programs that each import torch and TRL
@pytest.mark.timeout(600)
def test_every_part_runs_at_toy_size(tmp_path: Path) -> None:
    done = run(sys.executable, tmp_path)
    assert done.returncode == 0, done.stdout
    reports = {name: json.loads((tmp_path / f"gpu-{name}.json").read_text()) for name in ("scorer", "trainer", "study")}
    for report in reports.values():
        assert report["device"] == "CPU"
        assert report["command"].startswith("python benchmarks/")
        assert report["versions"]["torch"]
        assert report["summary"] in done.stdout
    assert reports["scorer"]["models"]["toy"]["share_of_matmul"] > 0
    assert reports["trainer"]["clocks"]["wall"]["base_s"] > 0
    assert reports["study"]["responses"] == 8
    assert reports["study"]["step_s"] > sum(reports["study"]["parts_s"][part] for part in ("generation", "rewards")) > 0
