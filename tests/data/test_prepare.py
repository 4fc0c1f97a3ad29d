"""`hero data prepare`: what comes in and what goes out, the same bytes for every order of the input."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.places import SHARED
from hero_rl.data.problems_prepare import PrepareSettings, PrepareSummary, prepare
from hero_rl.data.sources import KNOWN, SourceSettings
from hero_rl.errors import InputError

WORDS = [f"{first}{second}" for first in ("ba", "ce", "do", "fi", "gu", "ha") for second in ("l", "m", "n", "r", "s", "t")]
DATA = SHARED


def text(number: int) -> str:
    words = " ".join(random.Random(number).choices(WORDS, k=18))
    return f"A box holds {number} pieces of {words} and {number * 7} more are put in; how many are in it?"


def rows(count: int) -> list[dict[str, Any]]:
    return [{"problem": text(number), "reference": str(8 * number)} for number in range(1, count + 1)]


def write(path: Path, content: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(
    source: Path | str,
    target: Path,
    *,
    against: Sequence[Path] = (),
    said: SourceSettings | None = None,
    **settings: Any,
) -> PrepareSummary:
    return prepare(
        str(source), target, source=said, against=[str(path) for path in against], settings=PrepareSettings(**settings),
        progress=lambda *_: None,
    )  # fmt: skip


def test_problems_come_out_tidied_with_an_id_that_depends_on_the_text_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"problem": " What  is\t1+1? ", "reference": 2, "other": [1]}])
    run(source, tmp_path / "out.jsonl")
    (row,) = read(tmp_path / "out.jsonl")
    # the first 32 hex digits of SHA-256 of "What is 1+1?"
    assert row == {
        "prompt_id": "31adf3e245f99d7bfdceed22dd4c241c", "problem": "What is 1+1?", "reference": "2", "source": "in.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize("limit", [None, 7])
def test_the_order_of_the_input_does_not_matter(limit: int | None, tmp_path: Path) -> None:
    # equal texts with other references and sources, near-duplicates in a chain: the places where order could slip in
    content = rows(20) + [{**row, "reference": "0", "source": "b"} for row in rows(6)] + [{**rows(3)[2], "source": "a"}]
    content += [{"problem": text(9).replace("a", "A").replace(";", ","), "reference": "72"}]
    content += [{"problem": text(9) + extra, "reference": "72"} for extra in (" Say.", " Say it now.", " Say it now, please.")]
    outputs = set()
    for attempt in range(4):
        random.Random(attempt).shuffle(content)
        folder = tmp_path / str(attempt)
        folder.mkdir()
        summary = run(write(folder / "in.jsonl", content), folder / "out.jsonl", limit=limit, seed=3)
        outputs.add(((folder / "out.jsonl").read_bytes(), (folder / "out.dropped.jsonl").read_bytes(), str(summary.counts)))
    assert len(outputs) == 1
    assert summary.counts["equal, with another reference"] == 6


def test_another_seed_gives_another_sample_and_a_larger_limit_keeps_the_smaller_one(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", rows(30))

    def sample(limit: int, seed: int) -> list[str]:
        run(source, tmp_path / "out.jsonl", limit=limit, seed=seed)
        return [row["problem"] for row in read(tmp_path / "out.jsonl")]

    assert sample(10, 0) == sample(10, 0) == sample(20, 0)[:10]
    assert set(sample(10, 0)) != set(sample(10, 1))
    assert sample(99, 0) != sample(99, 1)
    assert set(sample(99, 0)) == set(sample(99, 1)) == {row["problem"] for row in rows(30)}


def test_a_second_run_gives_the_same_bytes_in_all_three_files(tmp_path: Path) -> None:
    source, bench = write(tmp_path / "in.jsonl", rows(9)), write(tmp_path / "bench.jsonl", rows(3))
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(source, tmp_path / name / "out.jsonl.gz", against=[bench], seed=5)
        files = ("out.jsonl.gz", "out.dropped.jsonl", "out.manifest.json")
        contents.append([(tmp_path / name / file).read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert len(gzip.decompress(contents[0][0]).splitlines()) == 6


def test_the_most_frequent_reference_counts_and_disputes_are_counted(tmp_path: Path) -> None:
    content = [{"problem": "How much is it?", "reference": reference} for reference in ("5", "4", "5", "3", "3", "5")]
    summary = run(write(tmp_path / "in.jsonl", content), tmp_path / "out.jsonl")
    assert [row["reference"] for row in read(tmp_path / "out.jsonl")] == ["5"]
    assert summary.counts["equal to another"] == 5
    assert summary.counts["equal, with another reference"] == 1


def test_overlaps_are_left_out_and_listed_with_the_benchmark_problem(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", rows(8))
    bench = write(tmp_path / "bench.jsonl", [{"id": "b-4", "question": text(4).upper(), "answer": 1}])
    summary = run(source, tmp_path / "out.jsonl", against=[bench])
    assert text(4) not in {row["problem"] for row in read(tmp_path / "out.jsonl")}
    (dropped,) = read(tmp_path / "out.dropped.jsonl")
    assert dropped["problem"] == text(4)
    assert (dropped["why"], dropped["overlap"]) == ("overlap with a benchmark", 1.0)
    assert (dropped["benchmark"], dropped["benchmark_id"]) == ("bench.jsonl", "b-4")
    assert dropped["benchmark_problem"] == text(4).upper()
    assert summary.by_benchmark == {"bench.jsonl": 1}
    assert summary.counts["written"] == 7


def test_near_duplicates_are_left_out_and_listed_with_what_they_are_near(tmp_path: Path) -> None:
    content = [*rows(3), {"problem": text(2).replace(";", " -- "), "reference": "16"}]
    source = write(tmp_path / "in.jsonl", content)
    assert run(source, tmp_path / "all.jsonl", near=0).counts["written"] == 4
    summary = run(source, tmp_path / "out.jsonl", near=0.7)
    assert summary.counts["near-duplicates"] == 1
    (dropped,) = read(tmp_path / "out.dropped.jsonl")
    assert dropped["near"] in {row["prompt_id"] for row in read(tmp_path / "out.jsonl")}


def test_the_manifest_adds_up_and_vouches_for_the_files(tmp_path: Path) -> None:
    import hashlib

    content = [*rows(5), rows(1)[0], {"problem": "No answer", "reference": None}, {"problem": " ", "reference": "1"}]
    source = write(tmp_path / "in.jsonl", content)
    run(source, tmp_path / "out.jsonl", limit=4, seed=8)
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert manifest["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert manifest["outputs"]["out.jsonl"]["sha256"] == hashlib.sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    counts = manifest["counts"]
    assert counts["rows"] == 8
    assert counts["rows"] == sum(
        counts[name] for name in ("different problems", "equal to another", "without a problem", "without a reference")
    )
    assert counts["written"] == manifest["outputs"]["out.jsonl"]["rows"] == 4
    assert (manifest["seed"], manifest["options"]["limit"]) == (8, 4)
    assert str(tmp_path) not in json.dumps(manifest)


def test_alternatives_are_kept_beside_the_reference(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"problem": "Q", "answers": ["0.5", "1/2"]}, {"problem": "R", "answers": ["1"]}])
    run(source, tmp_path / "out.jsonl")
    found = {row["problem"]: row for row in read(tmp_path / "out.jsonl")}
    assert (found["Q"]["reference"], found["Q"]["references"]) == ("0.5", ["0.5", "1/2"])
    assert found["R"]["reference"] == "1"
    assert "references" not in found["R"]
    run(source, tmp_path / "out.jsonl", said=SourceSettings(several="together"))
    assert {row["reference"] for row in read(tmp_path / "out.jsonl")} == {"0.5, 1/2", "1"}


def test_parquet_and_other_column_names_are_read(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = [{"q": text(1), "a": ["8"], "level": "hard"}, {"q": text(2), "a": ["16"], "level": "easy"}]
    parquet.write_table(pa.Table.from_pylist(content), tmp_path / "in.parquet")
    said = SourceSettings(columns={"problem": "q", "reference": "a"}, where={"level": "hard"})
    summary = run(tmp_path / "in.parquet", tmp_path / "out.jsonl", said=said)
    assert [row["reference"] for row in read(tmp_path / "out.jsonl")] == ["8"]
    assert summary.counts["left out by --where"] == 1
    with pytest.raises(InputError, match=r"in\.parquet, row 1: no column for a problem"):
        run(tmp_path / "in.parquet", tmp_path / "out.jsonl")


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder"])
def test_columns_can_be_paths_into_them_and_conversations(kind: str, tmp_path: Path) -> None:
    content = [
        {"prompt": [{"role": "user", "content": text(number)}], "reward_model": {"ground_truth": str(number), "style": "rule"},
         "extra_info": {"split": "ab"[number % 2]}}
        for number in range(1, 5)
    ]  # fmt: skip
    source = write(tmp_path / "in.jsonl", content)
    if kind != "jsonl":
        pytest.importorskip("datasets")
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        source = tmp_path / "copy/train.parquet"
        source.parent.mkdir()
        parquet.write_table(pa.Table.from_pylist(content), source)
    said = SourceSettings(
        columns={"problem": "prompt", "reference": "reward_model.ground_truth"}, where={"extra_info.split": "b"}
    )
    run(source.parent if kind == "folder" else source, tmp_path / "out.jsonl", said=said)
    assert {(row["problem"], row["reference"]) for row in read(tmp_path / "out.jsonl")} == {(text(1), "1"), (text(3), "3")}
    wrong = SourceSettings(columns={"problem": "prompt", "reference": "reward_model.truth"})
    with pytest.raises(InputError, match=r"missing column 'reward_model\.truth' .*'truth' is not in an object.*--columns"):
        run(source, tmp_path / "out.jsonl", said=wrong)


def test_a_copy_of_a_known_data_set_is_streamed_from_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kinds = ("has_answer_extracted", "converted_proof", "no_answer_extracted")
    content = [
        {"problem": text(number // 2), "expected_answer": str(number // 2), "problem_type": kinds[number % 5 % 3],
         "generated_solution": "long " * 50}
        for number in range(40)
    ]  # fmt: skip
    folder = tmp_path / "copy"
    folder.mkdir()
    for shard in range(2):
        parquet.write_table(pa.Table.from_pylist(content[shard::2]), folder / f"cot-{shard}.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: cot\n    path: cot-*\n---\n"
    )
    said = SourceSettings(like="openmathreasoning", split="cot")
    summary = run(folder, tmp_path / "out.jsonl", said=said)
    wanted = {row["problem"] for row in content if row["problem_type"] == "has_answer_extracted"}
    assert {row["problem"] for row in read(tmp_path / "out.jsonl")} == wanted
    assert {row["source"] for row in read(tmp_path / "out.jsonl")} == {"openmathreasoning"}
    assert summary.counts["rows"] == 40
    assert json.loads(summary.manifest.read_text())["source"]["split"] == "cot"
    with pytest.raises(InputError, match="split 'test', it cannot be read"):
        run(folder, tmp_path / "out.jsonl", said=SourceSettings(like="openmathreasoning", split="test"))


CACHE = """
import os, shutil, sys
from pathlib import Path
import datasets
made = Path(datasets.load_dataset(sys.argv[1], split="train").cache_files[0]["filename"]).parent
cached = made.parents[3] / "someone___cached/default/0.0.0" / ("0123456789" * 4)
cached.mkdir(parents=True)
for file in made.iterdir():
    shutil.copy(file, cached / file.name.replace("copy-", "cached-"))
"""


def test_a_data_set_in_the_cache_is_read_without_a_network_and_its_commit_is_noted(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "copy"
    folder.mkdir()
    write(folder / "train.jsonl", rows(3))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    target = tmp_path / "out.jsonl"
    for command in (["-c", CACHE, str(folder)], ["-m", "hero_rl.cli", "data", "prepare", "someone/cached", "-o", str(target)]):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, timeout=120, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
    assert {row["reference"] for row in read(target)} == {"8", "16", "24"}
    source = json.loads((tmp_path / "out.manifest.json").read_text())["source"]
    assert (source["dataset"], source["revision"]) == ("someone/cached", "0123456789" * 4)


def test_a_folder_of_json_files_is_read_like_gsm8k(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "copy"
    folder.mkdir()
    write(folder / "train.jsonl", [{"question": text(1), "answer": "First 8.\n#### 8"}, {"question": "Q", "answer": "none"}])
    summary = run(folder, tmp_path / "out.jsonl", said=SourceSettings(like="gsm8k"))
    assert [row["reference"] for row in read(tmp_path / "out.jsonl")] == ["8"]
    assert summary.counts["without a reference"] == 1


@pytest.mark.parametrize("name", [*KNOWN, "someone/no-such-dataset"])
def test_a_data_set_that_cannot_be_reached_is_bad_input(name: str, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    said = SourceSettings(columns={"problem": "p", "reference": "r"})
    with pytest.raises(InputError, match=r"no such file or folder here, and as a Hugging Face dataset.* cannot be read"):
        run(name, tmp_path / "out.jsonl", said=said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the benchmark problems in ../shared/data")
def test_real_benchmarks_are_read_and_are_clean_of_each_other(tmp_path: Path) -> None:
    for name, size in (("math", 500), ("olympiad_bench", 675)):
        summary = run(DATA / f"bench_{name}.jsonl", tmp_path / f"{name}.jsonl", against=[DATA / "bench_amc.jsonl"])
        assert summary.counts["rows"] == size
        assert summary.counts["written"] >= 0.99 * size
        # against itself nothing is left
        with pytest.raises(InputError, match=f"no problem is left .*overlap with a benchmark: {size}"):
            run(DATA / f"bench_{name}.jsonl", tmp_path / "none.jsonl", against=[DATA / f"bench_{name}.jsonl"])
