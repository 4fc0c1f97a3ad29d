"""Rollouts files: what is accepted, what is refused and how the message names file and line, what comes out unchanged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import examples
from hero_rl.data import Columns, read_rollouts
from hero_rl.data import jsonl as jsonl_module
from hero_rl.data.jsonl import format_row, parse_line
from hero_rl.data.tables import read_records
from hero_rl.data.write import open_rows
from hero_rl.errors import InputError
from hero_rl.types import Rollout

ROW = {"prompt_id": "p", "problem": "1+1", "reference": "2", "response": "two"}


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def dumps(**changes: object) -> str:
    return json.dumps({**ROW, **changes})


def test_a_row_becomes_a_rollout_and_keeps_its_other_columns(tmp_path: Path) -> None:
    line = dumps(rm_score=None, steps=["a", "b"], finished=False, note={"x": [1.0, 2]})
    (row,) = read_rollouts(write(tmp_path / "in.jsonl", line))
    assert (row.rollout.prompt_id, row.rollout.response) == ("p", "two")
    assert (row.rollout.steps, row.rollout.finished) == (("a", "b"), False)
    assert row.rollout.extra == {"rm_score": None, "note": {"x": [1.0, 2]}}
    assert row.record.text == line + "\n"


def test_integer_prompt_ids_are_text(tmp_path: Path) -> None:
    (row,) = read_rollouts(write(tmp_path / "in.jsonl", dumps(prompt_id=17)))
    assert row.rollout.prompt_id == "17"


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + dumps().encode() + b"\r\n\r\n   \n" + dumps(response="2").encode())
    rows = list(read_rollouts(path))
    assert [row.record.number for row in rows] == [1, 4]


def test_a_gzip_file_reads_like_the_plain_one(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress((dumps() + "\n" + dumps(response="2") + "\n").encode()))
    assert [row.rollout.response for row in read_rollouts(path)] == ["two", "2"]


BAD_LINES = [
    ('{"prompt_id": "p", ', "not JSON"),
    ('{"prompt_id": "p\t"}', "not JSON: Invalid control character at column 17"),
    ('{"prompt_id": "p"} {"again": 1}', "not JSON: Extra data"),
    ("[1, 2]", "expected a JSON object, got a list"),
    ('"text"', "expected a JSON object, got a string"),
    ("null", "expected a JSON object, got null"),
    ('{"prompt_id": "p", "problem": "", "reference": ""}', "missing column 'response' (this row has: prompt_id, problem"),
    (dumps(prompt_id=None), "column 'prompt_id' must be a string or an integer, got null"),
    (dumps(prompt_id=True), "must be a string or an integer, got the flag True"),
    (dumps(prompt_id=1.5), "must be a string or an integer, got the number 1.5"),
    (dumps(response=[2]), "column 'response' must be a string, got the number 2"),
    (dumps(reference=True), "column 'reference' must be a string, got the flag True"),
    (dumps(rm_score="0.5"), "column 'rm_score' must be a finite number (at most 1e+150) or null, got the string '0.5'"),
    (dumps(rm_score=True), "column 'rm_score' must be a finite number"),
    (dumps(rm_score=float("nan")), "NaN is not JSON; write null"),
    (dumps(extra={"deep": [float("-inf")]}), "-Infinity is not JSON; write null"),
    (dumps()[:-1] + ', "rm_score": 1e999}', "column 'rm_score' must be a finite number"),
    (dumps()[:-1] + ', "rm_score": 1' + "0" * 5000 + "}", "a number of thousands of digits is too long"),
    (dumps()[:-1] + ', "response": "again"}', "column 'response' occurs twice"),
    (dumps(steps="one"), "column 'steps' must be a list of strings"),
    (dumps(finished="yes"), "column 'finished' must be true, false or null"),
    (dumps(deep=0).replace("0}", "[" * 100_000), "nested too deeply"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=[message[:40] for _, message in BAD_LINES])
def test_a_bad_row_is_named_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "in.jsonl", dumps(), "", line)
    with pytest.raises(InputError) as caught:
        list(read_rollouts(path))
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_columns_that_are_asked_for_must_be_there_with_the_right_values(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", dumps(correct=1, rm=0.5), dumps(correct=None, rm=None), dumps(correct="yes", rm=1))
    list(read_rollouts(path, Columns(scores=("rm",))))
    with pytest.raises(InputError, match=r"in\.jsonl:3: column 'correct' must be 0, 1, true, false or null, got the string"):
        list(read_rollouts(path, Columns(labels=("correct",))))
    with pytest.raises(InputError, match=r"in\.jsonl:1: missing column 'score' \(this row has: .*rm\)"):
        list(read_rollouts(path, Columns(scores=("score",))))


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(dumps().encode() + b"\n" + dumps(response="caf_").encode().replace(b"_", b"\xe9") + b"\n")
    with pytest.raises(InputError, match=r"in\.jsonl:2: not UTF-8: byte 0xe9 at position"):
        list(read_rollouts(path))


def test_a_line_over_the_cap_is_refused_without_reading_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_module, "MAX_LINE_BYTES", 2**20)
    path = write(tmp_path / "in.jsonl", dumps(), dumps(response="x" * 2**21))
    with pytest.raises(InputError, match=r"in\.jsonl:2: the line is longer than 1 MiB"):
        list(read_rollouts(path))


def test_cut_off_gzip_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    whole = gzip.compress("".join(dumps(response=str(number)) + "\n" for number in range(1000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut off or damaged"):
        list(read_rollouts(path))
    path.write_bytes(b"not gzip at all")
    with pytest.raises(InputError, match=r":1: the gzip data is cut off or damaged"):
        list(read_rollouts(path))


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="has no rows"):
        list(read_rollouts(path))


def test_paths_that_are_no_rollouts_files_are_errors(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "absent.jsonl", "no such file"),
        (tmp_path, "is a folder without files to read"),
        (write(tmp_path / "rows.txt", "a,b"), "the name must end in .jsonl, .json, .csv"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_rollouts(path))


def test_half_a_surrogate_pair_is_replaced_at_every_door(tmp_path: Path) -> None:
    turn, steps = {"role": "user", "content": "a\ud800"}, ["\ud800", "1"]
    row = {"prompt_id": "\ud83d", "problem": "a\ud800", "reference": "2\udfff", "response": "≤\ud83d\ude00"}
    (read,) = read_rollouts(write(tmp_path / "rows.jsonl", json.dumps({**row, "prompt": [turn], "steps": steps}) + "\n"))
    made = Rollout(**row, messages=(turn,), steps=tuple(steps))
    for rollout in (read.rollout, made):
        assert (rollout.prompt_id, rollout.problem, rollout.reference) == ("\ufffd", "a\ufffd", "2\ufffd")
        assert (rollout.response, rollout.steps) == ("≤\U0001f600", ("\ufffd", "1"))
        assert rollout.messages == ({"role": "user", "content": "a\ufffd"},)
    assert turn["content"] == "a\ud800"  # the caller's own stays as it is


def test_columns_pass_through_character_for_character() -> None:
    line = '  {"a":1.10,"big": 123456789012345678901234567890 ,"u":"\\u00e9\\ud800", "e" : 1E-07, "n":{"a":1,"a":2}}  \n'
    names = parse_line(line, "x")
    assert (
        format_row(line, names, {"new": None}, drop=frozenset({"new"})) == "{" + line.strip()[1:-1].strip() + ', "new": null}\n'
    )
    assert format_row(line, names, {"e": 0.5}, drop=frozenset({"e"})) == (
        '{"a":1.10, "big": 123456789012345678901234567890, "u":"\\u00e9\\ud800", "n":{"a":1,"a":2}, "e": 0.5}\n'
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(row=st.dictionaries(st.text(), JSON_VALUES, min_size=1, max_size=5), data=st.data(), spaced=st.booleans())
@examples(60)
def test_a_formatted_row_is_the_old_row_less_the_dropped_columns(
    row: dict[str, object], data: st.DataObject, spaced: bool
) -> None:
    dropped = data.draw(st.sampled_from(sorted(row)))
    line = json.dumps(row, indent="\t" if spaced else None, ensure_ascii=False).replace("\n", " ")
    parsed = parse_line(line, "x")
    assert parsed == row
    for drop in (frozenset({dropped}), frozenset({"no such column"})):
        expected = {name: value for name, value in row.items() if name not in drop}
        out = json.loads(format_row(line, parsed, {dropped: 1} if dropped in drop else {}, drop=drop))
        assert {name: out[name] for name in expected} == expected
        assert list(out)[: len(expected)] == list(expected)


pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow (extra 'train')")
pq = pytest.importorskip("pyarrow.parquet")


def copy(source: Path, target: Path, **added: object) -> None:
    with open_rows(target, source=source, columns=Columns(), added=tuple(added)) as write_row:
        for record in read_records(source):
            write_row(record, added)


def test_parquet_keeps_types_order_and_metadata_of_other_columns(tmp_path: Path) -> None:
    schema = pa.schema(
        [*((name, pa.string()) for name in ROW), ("small", pa.int16()), ("when", pa.date32()), ("verdict", pa.string())],
        metadata={"made": "by hand"},
    )
    table = pa.Table.from_pylist([{**ROW, "small": 3, "when": None, "verdict": "old"}] * 3, schema=schema)
    pq.write_table(table, tmp_path / "in.parquet")
    copy(tmp_path / "in.parquet", tmp_path / "out.parquet", verdict=1)
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.schema.names == [*ROW, "small", "when", "verdict"]
    assert out.schema.field("small").type == pa.int16()
    assert out.schema.field("verdict").type == pa.int8()
    assert out.schema.metadata[b"made"] == b"by hand"
    assert out.drop_columns("verdict").equals(table.drop_columns("verdict"))


def test_rows_survive_the_way_to_parquet_and_back(tmp_path: Path) -> None:
    rows = [{**ROW, "n": 1, "steps": ["a"], "meta": {"x": 1}}, {**ROW, "n": 2.5, "steps": [], "meta": None}, ROW]
    source = write(tmp_path / "in.jsonl", *(json.dumps(row) for row in rows))
    copy(source, tmp_path / "mid.parquet", weight=0.5)
    copy(tmp_path / "mid.parquet", tmp_path / "out.jsonl.gz", weight=0.25)
    out = [json.loads(line) for line in gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).splitlines()]
    assert [row["n"] for row in out] == [1.0, 2.5, None]
    assert [row["steps"] for row in out] == [["a"], [], None]
    assert [row["meta"] for row in out] == [{"x": 1}, None, None]
    assert {row["weight"] for row in out} == {0.25}


def test_nan_in_parquet_is_missing_and_becomes_null_in_json(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{**ROW, "rm_score": float("nan")}, {**ROW, "rm_score": 1.5}])
    pq.write_table(table, tmp_path / "in.parquet")
    rows = list(read_rollouts(tmp_path / "in.parquet", Columns(scores=("rm_score",))))
    assert [row.rollout.extra["rm_score"] for row in rows] == [None, 1.5]
    copy(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["rm_score"] is None


def test_a_bad_parquet_row_and_a_file_that_is_not_parquet_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ROW, {**ROW, "response": None}]), tmp_path / "in.parquet")
    with pytest.raises(InputError, match=r"in\.parquet, row 2: column 'response' must be a string, got null"):
        list(read_rollouts(tmp_path / "in.parquet"))
    write(tmp_path / "text.parquet", dumps())
    with pytest.raises(InputError, match=r"text\.parquet, after row 0: cannot be read as Parquet"):
        list(read_rollouts(tmp_path / "text.parquet"))


@pytest.mark.parametrize("far", [1, 5000])
def test_a_column_that_parquet_cannot_hold_is_named_and_nothing_is_left_behind(tmp_path: Path, far: int) -> None:
    source = write(tmp_path / "in.jsonl", *[dumps(x=1)] * far, dumps(x="one"))
    with pytest.raises(InputError, match=r"column 'x' cannot be one Parquet column .* write \.jsonl instead"):
        copy(source, tmp_path / "out.parquet", weight=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
