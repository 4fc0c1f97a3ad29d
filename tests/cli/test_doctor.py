"""`hero doctor`, `hero --version` and the command list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import hero_rl
from helpers import forks
from helpers.places import ROOT
from hero_rl import cli
from hero_rl.cli import doctor, main

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_doctor_reports_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["numpy"] == metadata.version("numpy")
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(report["missing"]) <= set(PROJECT["optional-dependencies"])


def test_doctor_prints_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "installed" in out
    assert "extras" in out


def test_doctor_needs_none_of_the_extras(tmp_path: Path) -> None:
    """An installation with nothing but the base packages, made by hiding all others from a fresh interpreter."""
    code = """
import sys
from importlib import metadata
real = metadata.version
hidden = {"torch", "trl", "transformers", "pyarrow", "math-verify", "matplotlib", "scipy"}
def version(name):
    if name in hidden:
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from hero_rl.cli import main
code = main(["doctor", "--json"])
assert not {"torch", "trl", "transformers", "pyarrow", "math_verify", "matplotlib", "scipy"} & set(sys.modules), "heavy import"
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["devices"] == []
    assert "torch" in report["missing"]["train"]
    assert report["missing"]["math"] == ["math-verify"]


def test_the_tested_antlr_runtime_is_the_pinned_one() -> None:
    assert f"antlr4-python3-runtime=={doctor.TESTED_ANTLR[0]}" in PROJECT["optional-dependencies"]["math"]


@pytest.mark.parametrize(
    ("version", "tested"), [("1.6.0", True), ("1.16", True), ("1.5.9", False), ("1.6.0.dev0", False), ("1.16.1+cpu", True)]
)
def test_a_version_outside_the_tested_ones_is_a_problem(
    version: str, tested: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version if name == "trl" else real(name))
    assert main(["doctor", "--json"]) == 0
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert tested != any(problem.startswith(f"trl {version} is not a tested version") for problem in problems)


def test_another_antlr_runtime_is_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "4.7.2" if name == "antlr4-python3-runtime" else real(name))
    assert main(["doctor", "--json"]) == 0
    problems = " ".join(json.loads(capsys.readouterr().out)["problems"])
    assert "tested with ANTLR 4.13.2, 4.11.0, 4.9.3; 4.7.2 may change verdicts" in problems


def test_version_and_command_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == main(["version"]) == 0
    assert capsys.readouterr().out == 2 * f"hero-rl {hero_rl.__version__}\n"
    assert main(["--help"]) == 0
    listed = re.findall(r"^  ([a-z]+) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert [name for name in listed if name in cli.COMMANDS] == list(cli.COMMANDS)
    assert main([]) == 2


@pytest.mark.parametrize(
    ("words", "offered"),
    [("hero sc", "score"), ("hero rm tr", "train"), ("hero view --ht", "--html"), ("hero score --reward-m", "--reward-model")],
)
def test_a_shell_completes_commands_and_options(words: str, offered: str) -> None:
    asked = {"_HERO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = forks.run(["-m", "hero_rl.cli"], env={**os.environ, **asked})
    assert offered in done.stdout.split(), done.stderr
    asked = {"_HERO_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
    assert f'"{offered}"' in forks.run(["-m", "hero_rl.cli"], env={**os.environ, **asked}).stdout


def test_a_candidate_and_its_description_are_one_line_in_fish() -> None:
    asked = {"_HERO_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    for words, offered in [("hero da", "data"), ("hero score --fo", "--format")]:
        done = forks.run(["-m", "hero_rl.cli"], env={**os.environ, **asked, "_TYPER_COMPLETE_ARGS": words})
        assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [offered]


def test_a_command_that_is_not_there_does_not_break_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "absent", "A command whose module is missing.")
    assert main(["absent"]) == 2
    assert "this installation does not have the command" in capsys.readouterr().err
    assert main(["doctor", "--json"]) == 0


def test_the_command_starts_without_heavy_packages() -> None:
    code = (
        "import sys; from hero_rl.cli import main; main(['score', '--help']); "
        "print(sorted({'torch', 'transformers', 'trl', 'pyarrow', 'math_verify', 'sympy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
