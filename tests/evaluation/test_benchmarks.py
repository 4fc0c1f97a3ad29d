"""Where problems come from: the table, files, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.places import SHARED
from hero_rl.errors import InputError
from hero_rl.evaluation.benchmarks import BENCHMARKS, find_benchmark, load_problems


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_table_has_the_papers_benchmarks_and_protocol() -> None:
    assert set(BENCHMARKS) == {
        "math500", "amc23", "minerva", "olympiadbench", "aime24", "aime25", "hardverify_math", "textbook_reasoning",
    }  # fmt: skip
    hard = {name for name, one in BENCHMARKS.items() if one.grading == "judge"}
    assert hard == {"hardverify_math", "textbook_reasoning"}
    assert {one.samples for name, one in BENCHMARKS.items() if name not in hard} == {8}
    assert {BENCHMARKS[name].samples for name in hard} == {1}


def test_a_file_may_call_its_columns_as_is_usual(tmp_path: Path) -> None:
    file = write(
        tmp_path / "p.jsonl", {"id": "a", "problem": "1+1?", "answers": ["2", "two", "2"]}, {"problem": "2+2?", "reference": 4},
        {"question": "3+3?", "answer": "6"},
    )  # fmt: skip
    found = load_problems("mine", file)
    assert [(p.id, p.text, p.references) for p in found.problems] == [
        ("a", "1+1?", ("2", "two")), ("1", "2+2?", ("4",)), ("2", "3+3?", ("6",)),
    ]  # fmt: skip
    assert found.source == "p.jsonl"


def test_the_fingerprint_is_that_of_the_problems_not_of_the_file(tmp_path: Path) -> None:
    rows = [{"id": "a", "problem": "p", "reference": "1"}, {"id": "b", "problem": "q", "reference": "2"}]
    one = load_problems("x", write(tmp_path / "one.jsonl", *rows))
    other = load_problems("y", write(tmp_path / "other.jsonl", *[{**row, "extra": 1} for row in rows]))
    changed = load_problems("x", write(tmp_path / "three.jsonl", rows[0], {**rows[1], "reference": "3"}))
    assert one.fingerprint == other.fingerprint != changed.fingerprint


@pytest.mark.parametrize(
    ("row", "message"),
    [({"problem": "p"}, "none of the columns reference"), ({"reference": "1"}, "none of the columns problem"),
     ({"problem": " ", "reference": "1"}, "not empty"), ({"problem": "p", "answers": []}, "not empty"),
     ({"problem": "p", "answers": ["1", None]}, "not empty"), ({"problem": "p", "reference": True}, "not empty")],
)  # fmt: skip
def test_a_bad_row_is_named_with_file_and_line(tmp_path: Path, row: object, message: str) -> None:
    file = write(tmp_path / "p.jsonl", {"problem": "p", "reference": "1"}, row)
    with pytest.raises(InputError, match=r"p\.jsonl:2: .*" + message):
        load_problems("x", file)


def test_ids_must_tell_problems_apart(tmp_path: Path) -> None:
    row = {"id": 7, "problem": "p", "reference": "1"}
    with pytest.raises(InputError, match=r"p\.jsonl:2: the id '7' is that of .*p\.jsonl:1"):
        load_problems("x", write(tmp_path / "p.jsonl", row, row))


def test_an_empty_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no rows"):
        load_problems("x", write(tmp_path / "p.jsonl"))


def test_names_and_local_copies() -> None:
    assert find_benchmark("math500") == ("math500", None)
    assert find_benchmark("textbook_reasoning=tbr.jsonl") == ("textbook_reasoning", Path("tbr.jsonl"))
    for spec, message in [("maths", "unknown; choose one of math500"), ("math500=", "nothing after"),
                          ("textbook_reasoning", "not published; prepare the file yourself")]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            find_benchmark(spec)


def test_offline_a_benchmark_is_one_clear_line() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(InputError, match="cannot get the data set 'math-ai/amc23:test' from Hugging Face") as found:
        load_problems("amc23")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("name", "rows"), [("amc", 83), ("math", 500), ("minerva", 272), ("olympiad_bench", 675)])
def test_real_benchmark_files_are_read(name: str, rows: int) -> None:
    file = SHARED / f"bench_{name}.jsonl"
    if not file.is_file():
        pytest.skip("the shared benchmark files are not beside this checkout")
    found = load_problems(name, file)
    assert len(found.problems) == rows
    assert all(problem.references for problem in found.problems)
