"""Rollouts as other tools write them: the same twelve responses in each format give the same audit and the same scores.

What the real library writes where it is installed here: TRL (a run of HeroTrainer), datasets, pandas, csv. verl, NeMo-Gym, prime-rl
and OpenRLHF are not; their rows have the fields that their sources write (see ``data.formats``).
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from helpers.commands import fails, run_json
from hero_rl.cli import main
from hero_rl.data import Columns, read_rollouts

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
            "id": f"t{number}", "task": task, "agent": {"name": "solver"}, "rewards": {"right": {"score": s.score, "weight": 1.0}},
            "nodes": [{"message": {**USER, "content": s.problem}, "sampled": False},
                      {"parent": 0, "message": {"role": "assistant", "content": s.response}, "sampled": True}],
        }  # fmt: skip
        episode = {"id": f"e{number}", "env": {"id": "gsm8k"}, "task": task, "group": {"id": f"g{number // 4}"},
                   "run": {"type": "train", "id": "r", "work": {"type": "train", "step": s.step}}, "traces": [trace]}  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(episode) + "\n")
    return folder / "rollouts" / "step_*" / "train" / "all" / "*.jsonl"


def verifiers_rows(folder: Path) -> Path:
    for step in (1, 2):
        lines(
            folder / f"step_{step}" / "train_rollouts.jsonl",
            [
                {"example_id": 7, "prompt": chat(s), "completion": reply(s), "answer": s.reference, "reward": s.score, "metrics": {}}
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
        {"extra_info": {"question": s.problem, "step": s.step}, "meta": {"gold": [s.reference]}, "text": s.response, "rm": s.score}
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
    rows = [
        row.rollout
        for row in read_rollouts(source, Columns(places=dict(one.split("=") for one in columns)))
    ]
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

    found = run_json(capsys, "audit", source, "-o", tmp_path / "audit", *named, "--verifier", "math", "--attack", "0")
    assert (found["rows"], found["prompts"]) == (12, 3)
    assert [one["name"] for one in found["reward_models"]] == ["column:rm_score"]
