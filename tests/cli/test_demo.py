"""`hero demo`: what comes with the package is scored, audited and viewed, without torch."""

import json
import subprocess
import sys

from helpers.commands import hero
from hero_rl.cli.demo import ROLLOUTS

DEMO = """
import sys
from hero_rl.cli import main
code = main(["demo", "-o", "my demo"])
print("torch" in sys.modules)
sys.exit(code)
"""


def test_the_demo_writes_what_it_names_without_torch(tmp_path):
    done = subprocess.run([sys.executable, "-c", DEMO], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("False\n")
    rows = [json.loads(line) for line in (tmp_path / "my demo/scored.jsonl").read_text().splitlines()]
    accepted = [row for row in rows if row["verdict"] == 1]
    assert {row["correct"] for row in accepted} == {1}
    assert any(row["correct"] and row["verdict"] is None for row in rows)  # something for a second verifier to find
    for file in ("view.html", "audit/report.html"):
        assert f"my demo/{file}" in done.stdout.splitlines()[-2]
        assert (tmp_path / "my demo" / file).stat().st_size > 10_000
    assert "$ hero score 'my demo'/rollouts.jsonl" in done.stdout  # the line can be pasted into a shell


def test_the_file_is_small():
    assert ROLLOUTS.stat().st_size <= 40_000


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "here").write_text("")
    done = hero("demo", "-o", "here", folder=tmp_path)
    assert done.returncode == 2
    assert "here is a file; give a folder" in done.stderr
