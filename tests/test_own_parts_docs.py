"""Every snippet of `docs/own-parts.md` runs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from helpers import forks
from helpers.commands import hero
from helpers.places import DOCS

PAGE = (DOCS / "own-parts.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (hero .*)$", PAGE, re.MULTILINE)


def accepted(folder: Path, *arguments: str) -> None:
    done = hero(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, each under the name in its first line, and rollouts."""
    folder = tmp_path_factory.mktemp("own")
    for text in re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL):
        named = re.match(r"# (\w+\.\w+)\n", text)
        (folder / (named[1] if named else "use.py")).write_text(text)
    row = {"prompt_id": "p", "problem": "1+1?", "reference": "2", "rm_score": 0.5, "hint": "add"}
    answers = ["Answer: 2", "Answer: 3", "So 2", "Answer: 2, I think"]
    (folder / "rollouts.jsonl").write_text("".join(json.dumps({**row, "response": answer}) + "\n" for answer in answers))
    return folder


def verdicts(path: Path) -> list[int | None]:
    return [json.loads(line)["verdict"] for line in path.read_text().splitlines()]


def test_the_parts_work_in_python(folder: Path) -> None:
    assert len((folder / "my_parts.py").read_text().strip().splitlines()) <= 17
    done = forks.run(["use.py"], cwd=folder)
    assert done.stdout == "[ 0.45 -0.45]\n", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str, folder: Path) -> None:
    accepted(folder, *shlex.split(command)[1:])
    if command.startswith("hero score") and "my_parts" in command:
        assert verdicts(folder / "scored.jsonl") == [1, 0, 0, 0]
    if "word=So" in command:
        assert verdicts(folder / "verdicts.jsonl") == [0, 0, 1, 0]


@pytest.mark.parametrize(
    "verifier",
    [
        "any_of:math,my_parts:my_verifier", "by:hint:add=my_parts:my_verifier", "my_server:by_batch", "my_server:by_server",
        "my_makers:Asked",
    ],
)  # fmt: skip
def test_they_go_where_a_name_goes(verifier: str, folder: Path) -> None:
    out = folder / "out.jsonl"
    accepted(folder, "verify", "rollouts.jsonl", "-o", str(out), "--verifier", verifier)
    assert None not in verdicts(out)


def test_as_a_fallback_too(folder: Path) -> None:
    arguments = ["--verifier", "my_makers:Asked", "--set", "verifier.fallback=my_server:by_batch", "--set", "verifier.ask=both"]
    accepted(folder, "verify", "rollouts.jsonl", "-o", "out.jsonl", *arguments)
    assert verdicts(folder / "out.jsonl") == [1, 0, 1, 1]
