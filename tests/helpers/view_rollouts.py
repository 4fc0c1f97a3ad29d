"""A small file of rollouts for `hero view`."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

# two prompts at step 1, the first again at step 2; quartiles of the eleven scores: -0.5 and 1.25
TABLE = [
    # prompt, step, verdict, score, response
    ("a", 1, 1, 2.0, "so \\boxed{2}"), ("a", 1, 0, 1.0, "no 50% sure"), ("a", 1, 0, -1.0, "long " * 20),
    ("a", 1, None, 0.0, "?"),
    ("b", 1, 0, 0.5, "x"), ("b", 1, 0, 0.5, "x"), ("b", 1, 0, 0.5, "x"),
    ("a", 2, 1, -2.0, "Two"), ("a", 2, 1, 3.0, "two"), ("a", 2, 0, 1.5, "certain"), ("a", 2, 0, -2.0, "three"),
]  # fmt: skip


def rows() -> list[dict[str, Any]]:
    return [
        {"prompt_id": prompt, "problem": f"What is {prompt}?", "reference": [prompt, 2], "response": response, "step": step,
         "verdict": verdict, "rm_score": score, "reason": "equal" if verdict else "different"}
        for prompt, step, verdict, score, response in TABLE
    ]  # fmt: skip


def write(path: Path, table: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist([{**row, "reference": "2"} for row in table]), path)
    else:
        text = "".join(json.dumps(row) + "\n" for row in table).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
