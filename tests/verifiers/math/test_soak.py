"""A short run of the soak, and the benchmark of verifiers on a small file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.places import load_benchmark

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")


def test_mixed_answers_with_hostile_ones_lose_no_row_and_keep_their_order() -> None:
    report = load_benchmark("soak").soak(checks=600, hostile=0.015, batch=100, workers=1)
    assert (report["checks"], report["mistakes"]) == (600, 0)
    assert report["growth"] < 1.5  # caches fill early in a run this short; the long run is a command of its own


def test_the_benchmark_measures_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"reference": "2x", "response": r"\boxed{x+x}", "correct": 1},
        {"reference": "7", "response": r"\boxed{8}", "correct": 0},
        {"reference": "it depends on the day", "response": r"\boxed{red}", "correct": 1},
        {"reference": "7", "response": r"\boxed{9}", "correct": 1, "label_suspect": True},
        {"reference": "7", "response": "no box", "correct": 0, "steps": ["no box"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    load_benchmark("verifier").main([str(path), "--verifiers", "math,exact,operator:eq", "--json"])
    report = json.loads(capsys.readouterr().out)["rows.jsonl"]
    math = report["math"]
    assert (math["rows"], math["recall"], math["FPR"], math["hangs"]) == (4, 0.5, 0.0, 0)
    assert math["coverage"] == pytest.approx(2 / 4)
    assert (math["accuracy spoken"], math["wrong rejections"]) == (1.0, 0.0)
    assert report["exact"]["recall"] == 0.0
    assert report["operator:eq"]["recall"] == 0.0
