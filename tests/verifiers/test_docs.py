"""The page on verifiers tells the truth: its table of reasons is the code's, and its examples are judged as it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from helpers.places import ROOT
from hero_rl.sandbox.outcomes import Kind
from hero_rl.types import Rollout, Verifier
from hero_rl.verifiers.math import compare

CODE = ROOT / "src" / "hero_rl" / "verifiers"
PAGE = (ROOT / "docs" / "verifiers.md").read_text(encoding="utf-8")
TABLES = (ROOT / "docs" / "math-reference.md").read_text(encoding="utf-8")
JUDGES = (ROOT / "docs" / "judge-reference.md").read_text(encoding="utf-8")

_PLACES = {"equal": 0, "different": 0, "unsure": 0, "Finding": 1, "Verdict": 1, "Decision": 1}
"""Calls that take a reason, and where."""
_RETURNED = {"math/guards.py": "too_heavy", "compat/math_verify.py": "check"}
"""Functions that return a reason, by file."""


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> set[str]:
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([a-z_0-9]+)`", cell)}


def constants(tree: ast.AST) -> Iterator[str]:
    """The texts that an expression may have as its value; what it compares with is none of them."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    elif isinstance(tree, ast.IfExp):
        yield from (*constants(tree.body), *constants(tree.orelse))
    elif isinstance(tree, ast.BoolOp):
        yield from (text for value in tree.values for text in constants(value))


def reasons_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            place = _PLACES.get(name, -1)
            if 0 <= place < len(node.args):
                found.update(constants(node.args[place]))
            found.update(text for one in node.keywords if one.arg in ("doubt", "reason") for text in constants(one.value))
    wanted = _RETURNED.get(path.relative_to(CODE).as_posix())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            returned = (one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None)
            found.update(text for value in returned for text in constants(value))
    return {text for text in found if text}


def reasons(*, judges: bool) -> set[str]:
    paths = [path for path in CODE.rglob("*.py") if ("judge" in path.relative_to(CODE).parts) is judges]
    return {reason for path in paths for reason in reasons_in(path)}


def test_the_table_of_reasons_has_every_reason_of_the_code_and_no_other() -> None:
    broken = {kind for kind in get_args(Kind) if kind not in ("value", "memory")}  # memory: too_hard
    assert first_column(section(TABLES, "Reasons")) == reasons(judges=False) | broken


def test_the_table_of_the_judges_has_every_reason_that_they_give() -> None:
    assert reasons(judges=True) <= first_column(section(JUDGES, "What the reasons mean"))


def pairs(column: int) -> list[tuple[str, str, str]]:
    r"""Reference, answer and question of each "`a`, `b`" in a column of the tables of examples."""
    lines = section(TABLES, "What is understood").splitlines()
    rows = [line.strip("|").split(" | ") for line in lines if line.startswith("| ")]
    cells = [row[column] for row in rows if len(row) == 4]
    found = [pair for cell in cells for pair in re.findall(r"`([^`]+)`, `([^`]+)`(?: \(asked: \"([^\"]+)\"\))?", cell)]
    assert len(found) > 15
    assert sum(cell.count("`") for cell in cells) == 4 * len(found)
    return found


@pytest.mark.parametrize(("column", "label"), [(1, "correct"), (2, "incorrect"), (3, "abstain")])
def test_the_examples_are_judged_as_the_page_says(column: int, label: str) -> None:
    wrong = [(pair, verdict) for pair in pairs(column) if (verdict := compare(*pair)).label != label]
    assert wrong == []


def test_the_python_of_the_page_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in blocks:
        exec(block, names)
        assert capsys.readouterr().out.splitlines() == re.findall(r"^print\(.*\)  +# (.+)$", block, re.MULTILINE)
    length = names["LengthVerifier"]()
    assert isinstance(length, Verifier)
    assert isinstance(names["ByField"]("source", {"a": length}), Verifier)
    long = Rollout(prompt_id="p", problem="", reference="", response="x" * 101)
    assert [verdict.reason for verdict in length.verify([long])] == ["too_long"]
