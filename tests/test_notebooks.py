"""The notebooks in docs/notebooks run from top to bottom, and say what their committed outputs say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
BIN = Path(sys.executable).parent


def cells(name: str) -> list[dict[str, Any]]:
    notebook = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"] if cell["cell_type"] == "code"]


def script(name: str) -> str:
    """The notebook as a program; ``%%bash`` and ``%%writefile`` are the only magic that it may use."""
    lines = ["import subprocess", "from pathlib import Path"]
    for cell in cells(name):
        first, _, rest = cell["source"].partition("\n")
        if first.startswith("%%writefile "):
            lines.append(f"Path({first.split()[1]!r}).write_text({rest + chr(10)!r})")
        elif first == "%%bash":
            lines.append(
                f"print(subprocess.run(['bash', '-ec', {rest!r}], check=True, stdout=subprocess.PIPE, text=True).stdout)"
            )
        else:
            assert not re.search(r"^[%!]", cell["source"], re.MULTILINE), first
            lines.append(cell["source"])
    return "\n".join(lines)


def run(name: str, folder: Path) -> str:
    (folder / "notebook.py").write_text(script(name), encoding="utf-8")
    # PATH: the hero of this environment; Agg: no window
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "Agg", "COLUMNS": "110"}
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_rollouts_are_scored_audited_and_written_as_a_page(tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    pytest.importorskip("matplotlib")
    pytest.importorskip("duckdb")
    printed = run("score-and-view.ipynb", tmp_path)
    kept = "".join("".join(output.get("text", "")) for cell in cells("score-and-view.ipynb")[:3] for output in cell["outputs"])
    assert "verdict 1  score +2.4" in kept
    for line in filter(None, kept.splitlines()):
        assert line in printed
    assert (tmp_path / "audit" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "view.html").stat().st_size > 10_000


@pytest.mark.slow  # trains a lab's models
def test_a_rule_of_ones_own_is_written_and_trained_beside_the_others(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    printed = run("write-a-rule.ipynb", tmp_path)
    kept = "".join("".join(output.get("text", "")) for cell in cells("write-a-rule.ipynb")[1:2] for output in cell["outputs"])
    assert "cautious" in kept
    for line in filter(None, kept.splitlines()):
        assert line in printed
    assert "| cautious |" in printed
    assert len(list((tmp_path / "study" / "runs").glob("*.json"))) == 3
