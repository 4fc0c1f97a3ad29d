"""Rollouts as other tools write them: the same twelve responses in each format give the same audit and the same scores.

Written by the real library where it is installed here: TRL (a run of HeroTrainer), datasets, pandas, csv. verl, NeMo-Gym,
prime-rl and OpenRLHF are not installed; their rows have the fields that their sources write (see ``data.formats``).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from helpers.commands import fails, run_json
from hero_rl.cli import main
from hero_rl.data import Columns, jsonl, read_rollouts
from hero_rl.errors import InputError

pd = pytest.importorskip("pandas")
datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")
zstandard = pytest.importorskip("zstandard")


class Sample(NamedTuple):
    problem: str
    reference: str
    response: str
    score: float
    step: int


SAMPLES = [
    Sample(f"What is {n} + {n}?", str(2 * n), f"The answer is \\boxed{{{2 * n + (n + k) % 2}}}.", n - k / 4, 1 + (n > 1))
    for n in range(3)
    for k in range(4)
]
"""Three problems, two of them at step 1, with two right and two wrong responses each."""
USER = {"role": "user"}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chat(sample: Sample) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Think."}, {"role": "user", "content": sample.problem}]


def reply(sample: Sample) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": sample.response}]


def plain(sample: Sample) -> dict[str, Any]:
    texts = {"problem": sample.problem, "reference": sample.reference, "response": sample.response}
    return {**texts, "rm_score": sample.score, "step": sample.step}


def verl(folder: Path) -> Path:
    for step in (1, 2):  # `_write_generations`: one file per step, named by it
        lines(
            folder / "dump" / f"{step}.jsonl",
            [
                {"input": s.problem, "output": s.response, "gts": s.reference, "score": s.score, "step": step, "acc": 1.0}
                for s in SAMPLES
                if s.step == step
            ],
        )
    return folder / "dump"


def verl_data(folder: Path) -> Path:
    rows = [
        {
            "data_source": "x", "prompt": chat(some[0]), "ability": "math", "step": some[0].step,
            "reward_model": {"style": "rule", "ground_truth": some[0].reference}, "extra_info": {"index": 0, "split": "train"},
            "responses": [s.response for s in some], "score": [s.score for s in some],
        }
        for some in (SAMPLES[start : start + 4] for start in (0, 4, 8))
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "generated.parquet")
    return folder / "generated.parquet"


def trl_chat(folder: Path) -> Path:
    table = [
        {"step": s.step, "prompt": chat(s), "completion": reply(s), "my_reward": s.score, "answer": int(s.reference),
         "advantage": 0.0}
        for s in SAMPLES
    ]  # fmt: skip
    pd.DataFrame(table).to_parquet(folder / "completions_00002.parquet")
    return folder / "completions_00002.parquet"


def nemo_gym(folder: Path) -> Path:
    return lines(folder / "rollouts.jsonl", [
        {
            "responses_create_params": {"input": [{**turn, "type": "message"} for turn in chat(s)], "tools": []},
            "response": {"id": "resp", "object": "response", "output": [
                {"type": "reasoning", "summary": [{"text": "hm", "type": "summary_text"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": s.response}]},
            ]},
            "reward": s.score, "expected_answer": s.reference, "_ng_task_index": 0, "_ng_rollout_index": 1, "step": s.step,
        }
        for s in SAMPLES
    ])  # fmt: skip


def prime_rl(folder: Path) -> Path:
    """Write episodes as `Episode.to_record` of verifiers 0.4 does, in the folders of prime-rl."""
    for number, s in enumerate(SAMPLES):
        path = folder / "rollouts" / f"step_{s.step}" / "train" / "all" / "traces.jsonl"
        task = {"type": "Gsm8kTask", "data": {"idx": 0, "prompt": s.problem, "answer": s.reference}, "key": "k"}
        trace = {
            "id": f"t{number}", "task": task, "agent": {"name": "solver"}, "rewards": {"right": {"score": s.score}},
            "nodes": [{"message": {**USER, "content": s.problem}, "sampled": False},
                      {"parent": 0, "message": {"role": "assistant", "content": s.response}, "sampled": True}],
        }  # fmt: skip
        episode = {"id": f"e{number}", "env": {"id": "gsm8k"}, "task": task, "group": {"id": f"g{number // 4}"},
                   "run": {"type": "train", "id": "r", "work": {"step": s.step}}, "traces": [trace]}  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(episode) + "\n")
    return folder / "rollouts" / "step_*" / "train" / "all" / "*.jsonl"


def verifiers_rows(folder: Path) -> Path:
    for step in (1, 2):
        lines(
            folder / f"step_{step}" / "train_rollouts.jsonl",
            [
                {
                    "example_id": 7,
                    "prompt": chat(s),
                    "completion": reply(s),
                    "answer": s.reference,
                    "reward": s.score,
                    "metrics": {},
                }
                for s in SAMPLES
                if s.step == step
            ],
        )
    return folder / "step_*" / "train_rollouts.jsonl"


def openrlhf(folder: Path) -> Path:
    return lines(folder / "rm.jsonl", [
        {"input": s.problem, "output": s.response, "reward": s.score, "label": s.reference, "step": s.step} for s in SAMPLES
    ])  # fmt: skip


def comma_separated(folder: Path) -> Path:
    with (folder / "rollouts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, plain(SAMPLES[0]))
        writer.writeheader()
        writer.writerows(plain(s) for s in SAMPLES)
    return folder / "rollouts.csv"


def json_list(folder: Path) -> Path:
    (folder / "rollouts.json").write_text(json.dumps([plain(s) for s in SAMPLES], indent=1))
    return folder / "rollouts.json"


def saved(folder: Path) -> Path:
    datasets.Dataset.from_list([plain(s) for s in SAMPLES]).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def zst(folder: Path) -> Path:
    text = lines(folder / "plain", [plain(s) for s in SAMPLES]).read_bytes()
    (folder / "rollouts.jsonl.zst").write_bytes(zstandard.compress(text))
    return folder / "rollouts.jsonl.zst"


def folder_of_parquet(folder: Path) -> Path:
    for step in (1, 2):
        (folder / "steps").mkdir(exist_ok=True)
        rows = [{name: value for name, value in plain(s).items() if name != "step"} for s in SAMPLES if s.step == step]
        pd.DataFrame(rows).to_parquet(folder / "steps" / f"step_{step:05d}.parquet")
    return folder / "steps"


def own_names(folder: Path) -> Path:
    return lines(folder / "rows.jsonl", [
        {"extra_info": {"question": s.problem, "step": s.step}, "meta": {"gold": [s.reference]}, "text": s.response,
         "rm": s.score}
        for s in SAMPLES
    ])  # fmt: skip


CASES: list[tuple[Callable[[Path], Path], str, list[str]]] = [
    (verl, "verl", ["rm_score=score"]),
    (verl_data, "verl-data", ["rm_score=score"]),
    (trl_chat, "trl", ["rm_score=my_reward"]),
    (nemo_gym, "nemo-gym", ["rm_score=reward"]),
    (prime_rl, "prime-rl", ["rm_score=reward"]),
    (verifiers_rows, "prime-rl", ["rm_score=reward"]),
    (openrlhf, "openrlhf", []),
    (comma_separated, "", []),
    (json_list, "", []),
    (saved, "", []),
    (zst, "", []),
    (folder_of_parquet, "", []),
    (own_names, "hero", [
        "problem=extra_info.question", "reference=meta.gold", "response=text", "rm_score=rm", "step=extra_info.step",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("write", "form", "columns"), CASES, ids=[case[0].__name__ for case in CASES])
def test_audit_and_score_read_what_tools_write_without_a_converter(
    write: Callable[[Path], Path], form: str, columns: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path)
    named = ["--columns", ",".join(columns)] if columns else []
    rows = [row.rollout for row in read_rollouts(source, Columns(places=dict(one.split("=") for one in columns)))]
    assert [(r.problem, r.reference, r.response, r.extra["rm_score"], r.extra["step"]) for r in rows] == SAMPLES
    assert len({r.prompt_id for r in rows}) == 3

    out = tmp_path / "out" / "scored.jsonl"
    out.parent.mkdir()
    signals = ["--verifier", "math", "--reward-model", "column:rm_score"]
    assert main(["score", str(source), "-o", str(out), *signals, *named, "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["rows"], result["groups"], result["correct"], result["abstained"]) == (12, 3, 6, 0)
    assert (f"read as {form} (" in said.err) == bool(form)
    assert ("are a group" in said.err) == (write is not prime_rl)
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["problem"], row["response"], row["verdict"], row["step"]) for row in scored] == [
        (s.problem, s.response, int(f"{{{s.reference}}}" in s.response), s.step) for s in SAMPLES
    ]
    again = run_json(capsys, "score", out, "-o", out.with_name("again.jsonl"), *signals)
    assert again["mean_reward"] == result["mean_reward"]  # what is written is in our own format

    if pytest.importorskip("duckdb") and pytest.importorskip("fastapi"):
        page = tmp_path / "view.html"
        viewed = run_json(capsys, "view", source, *named, "--html", page)
        assert (viewed["responses"], viewed["groups"]) == (12, 3)
        assert all(json.dumps(s.response) in page.read_text() for s in SAMPLES)

    if write in (verl, prime_rl):  # half a minute each, and it reads the others in the same way
        found = run_json(capsys, "audit", source, "-o", tmp_path / "audit", *named, "--verifier", "exact", "--attack", "0")
        assert (found["rows"], found["prompts"]) == (12, 3)
        assert [one["name"] for one in found["reward_models"]] == ["column:rm_score"]


def test_the_tables_of_a_run_of_hero_trainer_are_audited_as_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl")
    from helpers import tiny
    from hero_rl import HybridReward
    from hero_rl.engines.trl import HeroTrainer
    from hero_rl.rewards import hero

    folders: list[Path] = []
    tables: list[Any] = []
    for chat_prompts in (False, True):
        run = tmp_path / f"chat-{chat_prompts}"
        trainer = HeroTrainer(
            tiny.model(), HybridReward(tiny.Letters(), tiny.Characters(), hero(alpha=0.1, beta=0.1)),
            tiny.config(run, max_steps=2, log_completions=True, num_completions_to_print=1),
            train_dataset=tiny.problems(8, chat=chat_prompts), processing_class=tiny.tokenizer(),
        )  # fmt: skip
        trainer.train()
        capsys.readouterr()
        folders.append(run / "completions")
        tables += [pd.read_parquet(path) for path in sorted(folders[-1].iterdir())]
        rows = [row.rollout for row in read_rollouts(folders[-1], Columns(labels=("verdict",), needs_reference=False))]
        assert [row.extra["step"] for row in rows] == [1] * 16 + [2] * 16
        if chat_prompts:
            assert [row.response for row in rows] == [turns[0]["content"] for one in tables[2:] for turns in one["completion"]]
            assert rows[0].messages == ({"role": "user", "content": rows[0].problem},)
        else:
            assert [row.response for row in rows] == [text for one in tables for text in one["completion"]]
    found = run_json(capsys, "audit", folders[0], "-o", tmp_path / "audit")
    assert (found["rows"], found["prompts"]) == (32, sum(one["prompt"].astype(str).nunique() for one in tables[:2]))
    assert [one["name"] for one in found["reward_models"]] == ["column:rm_score"]
    columns = ["--verifier", "column:verdict", "--reward-model", "column:rm_score", "--set", "max_failure_rate=1"]
    scored = run_json(capsys, "score", folders[0], "-o", tmp_path / "scored.parquet", *columns)
    verdicts = pd.concat(tables[:2])["verdict"]
    assert (scored["rows"], scored["correct"]) == (32, int((verdicts == 1).sum()))
    assert main(["score", str(folders[0]), "-o", str(tmp_path / "scored.jsonl"), "--reward-model", "column:rm_score"]) == 2
    assert "name it with --columns reference=COLUMN" in capsys.readouterr().err


def test_a_model_s_yes_in_the_table_of_a_trainer_stays_one(tmp_path: Path) -> None:
    row = {"prompt": "1+1", "completion": "2", "verdict": 0.5, "rm_score": float("nan"), "advantage": 0.0}
    pd.DataFrame([row]).to_parquet(tmp_path / "table.parquet")
    (found,) = read_rollouts(tmp_path / "table.parquet", Columns(labels=("verdict",), needs_reference=False))
    assert (found.rollout.extra["verdict"], found.rollout.extra["learned"], found.rollout.extra["rm_score"]) == (1, True, None)


def test_a_row_with_several_responses_is_several_rollouts_and_lists_beside_it_are_dealt_out(tmp_path: Path) -> None:
    row = {"prompt_id": 7, "problem": "1+1", "reference": [2, "two"], "response": ["2", "3"], "rm_score": [0.5, None],
           "correct": [True, False], "options": ["2", "3"], "tags": ["a"]}  # fmt: skip
    rows = [row.rollout for row in read_rollouts(lines(tmp_path / "in.jsonl", [row]), Columns(labels=("correct",)))]
    assert [(r.prompt_id, r.response, r.reference, r.extra["rm_score"], r.extra["correct"]) for r in rows] == [
        ("7", "2", "2, two", 0.5, True), ("7", "3", "2, two", None, False),
    ]  # fmt: skip
    assert all(r.extra["options"] == ["2", "3"] and r.extra["tags"] == ["a"] for r in rows)


def test_agents_of_one_episode_are_rollouts_of_one_group_and_a_reply_may_be_missing(tmp_path: Path) -> None:
    node = {"message": {"role": "assistant", "content": "2"}, "sampled": True}
    task = {"type": "T", "data": {"prompt": chat(SAMPLES[0]), "answer": "0"}}
    episode = {
        "id": "e",
        "task": task,
        "group": {"id": "g"},
        "traces": [{"nodes": [node]}, {"nodes": [], "rewards": {"a": None}}],
    }
    rows = [row.rollout for row in read_rollouts(lines(tmp_path / "traces.jsonl", [episode]))]
    assert [(r.prompt_id, r.problem, r.response, r.extra["reward"]) for r in rows] == [
        ("g", "What is 0 + 0?", "2", 0.0), ("g", "What is 0 + 0?", "", 0.0),
    ]  # fmt: skip
    assert rows[0].messages[0]["content"] == "Think."


def test_cells_of_csv_are_numbers_only_where_they_are_no_texts(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("prompt_id,problem,reference,response,rm_score,correct,note\n007,1,2.50,2,,True,3\n")
    (row,) = read_rollouts(tmp_path / "in.csv", Columns(scores=("rm_score",), labels=("correct",)))
    assert (row.rollout.prompt_id, row.rollout.reference, row.rollout.response) == ("007", "2.50", "2")
    assert row.rollout.extra == {"rm_score": None, "correct": True, "note": 3}


REFUSED = [
    (
        [{"text": "a", "gold": "b"}], [],
        "missing columns 'problem', 'reference', 'response' (this row has: text, gold); name them with --columns "
        "problem=COLUMN,reference=COLUMN,response=COLUMN",
    ),
    ([{"input": "a", "output": "b"}], ["--format", "verl"], "a row needs input, output, gts (this row has: input, output)"),
    ([{"input": "a"}], ["--format", "ver"], "--format ver: unknown; did you mean verl?"),
    ([plain(SAMPLES[0])], ["--columns", "reference"], "--columns reference: expected NAME=VALUE"),
    ([{"prompt": "a", "completion": 1, "answer": "b"}], [], "in.jsonl:1: column 'response' must be a string, got the number 1"),
    ([plain(SAMPLES[0])], ["--columns", "reference=extra_info.gold"], "missing column 'extra_info.gold'"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "options", "message"), REFUSED, ids=[case[2][:30] for case in REFUSED])
def test_what_cannot_be_read_is_refused_with_the_columns_found_and_the_option_that_helps(
    rows: list[dict[str, Any]], options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = lines(tmp_path / "in.jsonl", rows)
    assert main(["verify", str(source), "-o", str(tmp_path / "out.jsonl"), "--verifier", "exact", *options]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_output_among_the_inputs_and_folders_of_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = verl(tmp_path)
    verify = ["verify", "--verifier", "exact", "-o"]
    assert main([*verify, str(source / "3.jsonl"), str(source)]) == 2
    assert "would be one of the input files" in capsys.readouterr().err
    assert "no such file" in fails(capsys, *verify, tmp_path / "out.jsonl", tmp_path / "*.csv")
    (tmp_path / "none").mkdir()
    assert "is a folder without files to read" in fails(capsys, *verify, tmp_path / "out.jsonl", tmp_path / "none")
    datasets.DatasetDict({"train": datasets.Dataset.from_list([plain(SAMPLES[0])])}).save_to_disk(str(tmp_path / "both"))
    capsys.readouterr()  # a progress bar
    assert f"such as {tmp_path / 'both' / 'train'}" in fails(capsys, *verify, tmp_path / "out.jsonl", tmp_path / "both")


def test_a_damaged_list_and_a_ragged_table_are_named_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([plain(s) for s in SAMPLES])[:-40])
    with pytest.raises(InputError, match=r"in\.json, row 12: not JSON: .*is the list cut off\?"):
        list(read_rollouts(tmp_path / "in.json"))
    (tmp_path / "in.csv").write_text("problem,reference,response\na,b,c\na,b\n")
    with pytest.raises(InputError, match=r"in\.csv:3: the row has not as many values as the first line names"):
        list(read_rollouts(tmp_path / "in.csv"))
    packed = zstandard.compress(b"".join(json.dumps(plain(s)).encode() + b"\n" for s in SAMPLES * 50))
    (tmp_path / "in.jsonl.zst").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"the zstd data is cut off or damaged"):
        list(read_rollouts(tmp_path / "in.jsonl.zst"))


def test_a_long_list_is_read_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_CHUNK_CHARS", 64)  # shorter than any row
    rows = list(read_rollouts(json_list(tmp_path)))
    assert [(row.record.number, row.rollout.response) for row in rows] == [(n, s.response) for n, s in enumerate(SAMPLES, 1)]
