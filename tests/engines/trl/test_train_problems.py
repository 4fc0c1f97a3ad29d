"""Problems become prompts: rendered as asked, filtered by length, and refused with file and line where a row is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers import tiny, tiny_files
from hero_rl.engines.trl.problems import Problems, load_cold_start, load_eval_problems, load_problems
from hero_rl.engines.trl.recipe import Loaded, load_recipe
from hero_rl.errors import InputError

ROWS = [{"problem": "1+1=", "reference": "2"}, {"problem": "10+10=", "reference": 20}]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def recipe(extra: str = "", rows: list[dict[str, Any]] | None = None) -> Loaded:
    tiny_files.write_rows(Path("p.jsonl"), ROWS if rows is None else rows)
    Path("r.toml").write_text(f'reward_model.name = "local:owner/rm"\npolicy.model = "m"\n[data]\npath = "p.jsonl"\n{extra}')
    return load_recipe("r.toml")


def load(extra: str = "", rows: list[dict[str, Any]] | None = None) -> Problems:
    return load_problems(recipe(extra, rows), tiny.tokenizer())


def refused(message: str, extra: str = "", rows: list[dict[str, Any]] | None = None) -> None:
    with pytest.raises(InputError, match=message):
        load(extra, rows)


def test_plain_prompts_fill_the_template_and_a_number_is_a_reference() -> None:
    loaded = load("format = 'plain'\nprompt_template = \"Q{x} {problem}\\n\"")
    assert loaded.dataset.column_names == ["prompt", "problem", "reference"]
    assert loaded.dataset["prompt"][:] == ["Q{x} 1+1=\n", "Q{x} 10+10=\n"]
    assert loaded.dataset["problem"][:] == ["1+1=", "10+10="]
    assert loaded.dataset["reference"][:] == ["2", "20"]


def test_columns_that_decide_verdicts_stay_and_others_go() -> None:
    rows = [
        {**ROWS[0], "level": 3, "source": "quiz"},
        {**ROWS[1], "source": "sums", "unit": "m", "options": {"A": "2", "B": "3"}, "tolerance": "1%"},
    ]
    loaded = load("[verifier]\nname = 'by:source:quiz=choice,sums=math'", rows).dataset
    assert loaded.column_names == ["prompt", "problem", "reference", "source", "options", "tolerance", "unit"]
    assert loaded["unit"][:] == [None, "m"]
    assert loaded[1]["options"] == {"A": "2", "B": "3"}
    refused(
        "one of the columns .*tolerance.* is not of one type",
        "",
        [{**ROWS[0], "tolerance": "1%"}, {**ROWS[1], "tolerance": [1]}],
    )


def test_chat_is_the_default_of_a_tokenizer_with_a_template() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "1+1="}]
    assert load("system_prompt = 's'").dataset[0]["prompt"] == turns
    assert load().dataset[0]["prompt"] == turns[1:]


def test_plain_is_the_default_of_a_tokenizer_without_one() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = None
    assert load_problems(recipe(), tokenizer).dataset[0]["prompt"] == "1+1="
    with pytest.raises(InputError, match=r"r\.toml:5: format = 'chat' and the policy's tokenizer has no chat template"):
        load_problems(recipe("format = 'chat'"), tokenizer)
    with pytest.raises(InputError, match=r"r\.toml:5: plain prompts have no system turn"):
        load_problems(recipe("system_prompt = 's'"), tokenizer)


def test_prompts_longer_than_the_limit_are_left_out_and_counted() -> None:
    loaded = load("format = 'plain'\nmax_prompt_length = 4")
    assert (len(loaded.dataset), loaded.too_long) == (1, 1)
    # <|user|>1+1=<|assistant|> has 8 + 4 + 13 characters
    assert load("max_prompt_length = 25").too_long == 1
    refused("all 2 prompts are longer than max_prompt_length=24", "max_prompt_length = 24")


def test_limit_takes_the_first_rows() -> None:
    assert load("limit = 1").dataset["problem"][:] == ["1+1="]


def test_columns_can_have_other_names() -> None:
    rows = [{"question": "1+1=", "expected_answer": "2", "more": [1]}]
    loaded = load("[data.columns]\nproblem = 'question'\nreference = 'expected_answer'", rows)
    assert loaded.dataset.to_list() == [{"prompt": [{"role": "user", "content": "1+1="}], "problem": "1+1=", "reference": "2"}]


def test_columns_can_be_paths_and_a_problem_the_last_user_turn_of_a_conversation() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "0+0="}, {"role": "assistant", "content": "0"},
             {"role": "user", "content": "1+1="}]  # fmt: skip
    row = {"prompt": turns, "reward_model": {"ground_truth": "2"}, "extra_info": {"question": "what is 1+1"}}
    columns = "[data.columns]\nproblem = '{}'\nreference = 'reward_model.ground_truth'"
    for path, problem in (("prompt", "1+1="), ("extra_info.question", "what is 1+1"), ("prompt.1.content", "0+0=")):
        assert load(columns.format(path), [row]).dataset.to_list() == [
            {"prompt": [{"role": "user", "content": problem}], "problem": problem, "reference": "2"}
        ]
    refused(
        r"p\.jsonl:1: missing column 'extra_info\.answer' \(this row has: prompt, reward_model, extra_info; 'answer' is not in "
        r"an object .*\); or name it with data\.columns\.problem",
        columns.format("extra_info.answer"),
        [row],
    )
    refused("column 'prompt' holds", columns.format("prompt"), [{**row, "prompt": turns[:1]}])


def test_parquet_is_read_as_json_lines_are() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([{"problem": "1+1=", "reference": "2"}]), "p.parquet")
    Path("r.toml").write_text(
        'reward_model.name = "local:owner/rm"\npolicy.model = "m"\n[data]\npath = "p.parquet"\nformat = "plain"'
    )
    assert load_problems(load_recipe("r.toml"), tiny.tokenizer()).dataset["prompt"][:] == ["1+1="]


def test_evaluation_problems_are_a_file_of_their_own() -> None:
    assert load_eval_problems(recipe(), tiny.tokenizer()) is None
    tiny_files.write_rows(Path("e.jsonl"), [{"problem": "3+3=", "reference": "6"}])
    held_out = load_eval_problems(recipe("eval_path = 'e.jsonl'\nformat = 'plain'"), tiny.tokenizer())
    assert held_out is not None
    assert held_out.dataset["prompt"][:] == ["3+3="]


def test_the_cold_start_uses_the_prompts_of_the_recipe() -> None:
    tiny_files.write_rows(Path("s.jsonl"), [{"problem": "1+1=", "response": "2"}])
    for extra, prompt, completion in (
        ("format = 'plain'\nprompt_template = 'Q {problem}'", "Q 1+1=", "2"),
        ("", [{"role": "user", "content": "1+1="}], [{"role": "assistant", "content": "2"}]),
    ):
        loaded = recipe(extra + "\n[sft]\npath = 's.jsonl'")
        assert loaded.recipe.sft is not None
        examples = load_cold_start(loaded, loaded.recipe.sft, tiny.tokenizer())
        assert examples.to_list() == [{"prompt": prompt, "completion": completion}]


def test_bad_rows_are_named_with_file_and_line() -> None:
    good = ROWS[0]
    refused(
        r"p\.jsonl:2: missing column 'reference' \(this row has: problem, answer\)",
        rows=[good, {"problem": "x", "answer": "1"}],
    )
    refused(r"p\.jsonl:2: column 'problem' holds '3'; it must be a text", rows=[good, {"problem": 3, "reference": "1"}])
    refused(r"p\.jsonl:1: column 'reference' holds 'None'", rows=[{"problem": "x", "reference": None}])
    refused(r"p\.jsonl:1: column 'problem' holds '  '", rows=[{"problem": "  ", "reference": "1"}])
    refused(r"p\.jsonl: has no rows", rows=[])
    loaded = recipe()
    Path("p.jsonl").write_text('{"problem": \n')
    with pytest.raises(InputError, match=r"p\.jsonl:1: not JSON"):
        load_problems(loaded, tiny.tokenizer())


def test_a_missing_file_is_named_with_the_line_of_the_recipe() -> None:
    loaded = recipe()
    Path("p.jsonl").unlink()
    with pytest.raises(InputError, match=r"r\.toml:4: p\.jsonl: no such file"):
        load_problems(loaded, tiny.tokenizer())


def test_a_dataset_that_cannot_be_had_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.toml").write_text(
        'reward_model.name = "local:owner/rm"\npolicy.model = "m"\n[data]\npath = "no-such-owner/no-such-data"\n'
    )
    with pytest.raises(InputError, match=r"r\.toml:4: cannot get the data set 'no-such-owner/no-such-data:train'"):
        load_problems(load_recipe("r.toml"), tiny.tokenizer())
