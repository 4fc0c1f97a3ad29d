"""`hero train` for real: the tiny recipe through the command, killed and resumed, on two processes, and with bad input."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers import forks, tiny_files
from helpers.commands import hero
from helpers.places import DOCS
from hero_rl.cli import main
from hero_rl.engines.trl.run_folder import last_values

SHORT = ["--set", "trl.max_steps=6", "--set", "trl.save_steps=2"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the tiny recipe names."""
    root = tmp_path_factory.mktemp("train")
    tiny_files.write(root)
    return root


@pytest.fixture(scope="module")
def finished(workplace: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run of the tiny recipe that nobody interrupted, and what the command said."""
    result = hero("train", "tiny-cpu", "--json", "--output", "runs/whole", *SHORT, folder=workplace)
    assert result.returncode == 0, result.stderr
    return workplace / "runs" / "whole", result


def weights(folder: Path) -> dict[str, object]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    import torch

    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def rule_state(folder: Path) -> object:
    state = json.loads((folder / "trainer_state.json").read_text())
    return state["stateful_callbacks"]["hero_rl"]


def test_stdout_is_one_json_object_with_the_result(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    result = json.loads(finished[1].stdout)
    assert (result["recipe"], result["rule"], result["step"]) == ("tiny-cpu", "hero", 6)
    assert result["reward"]["rule"]["alpha"] == 0.1
    assert result["train"]["hero/failure_rate"] == 0.0


def test_progress_is_on_stderr_one_line_a_logged_step(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    lines = finished[1].stderr.splitlines()
    logged = [line for line in lines if " after " not in line]  # which comes where a step takes half a minute
    assert [line.split()[1] for line in logged if line.startswith("train ")] == [f"{step}/6" for step in range(1, 7)]
    assert sum(line.startswith("sft ") for line in logged) == 8
    look = next(at for at, line in enumerate(lines) if line.startswith("the first batch, 32 responses: "))
    assert look < next(at for at, line in enumerate(lines) if line.startswith("train 1/6"))
    assert "Traceback" not in finished[1].stderr


def test_the_report_is_there_from_the_start_and_at_the_end(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    lines = finished[1].stderr.splitlines()
    assert next(at for at, line in enumerate(lines) if line.startswith("report: runs/whole/report.html")) < next(
        at for at, line in enumerate(lines) if line.startswith("sft ")
    )
    assert json.loads(finished[1].stdout)["report"] == "runs/whole/report.html"
    page = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert "Finished: step 6 of 6; the verifier accepts " in page
    assert all(f"<h2>{heading}</h2>" in page for heading in ("Verdicts and scores", "Groups and gradient", "Responses by step"))
    assert "refresh" not in page


def test_the_run_folder_says_what_was_run(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = finished[0]
    recipe = tomllib.loads((folder / "recipe.toml").read_text())
    assert (recipe["trl"]["max_steps"], recipe["rule"]["alpha"], recipe["seed"]) == (6, 0.1, 0)
    facts = json.loads((folder / "run.json").read_text())
    assert {"torch", "trl", "hero-rl"} <= facts["packages"].keys()
    assert (facts["seed"], facts["problems"], facts["cold_start_examples"], facts["scale_rewards"]) == (0, 64, 64, "none")
    assert facts["rule"]["w_max"] == 3.0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["step"] == 6
    assert metrics["train"]["hero/sigma_mean"] > 0
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history if "reward" in entry] == [1, 2, 3, 4, 5, 6]
    assert list(folder.glob("runs/*/events.out.tfevents.*"))
    assert (folder / "sft" / "final" / "tokenizer.json").is_file()
    cards = [(path / "README.md").read_text() for path in (folder / "sft", folder)]
    assert "None" not in "".join(cards)
    assert "a fine-tuned version of `tiny/policy`" in cards[0].replace("./tiny", "tiny")
    assert 'model="runs/whole/checkpoint-6"' in cards[1]
    assert not list(folder.rglob("*.partial"))


def test_training_changed_the_policy_and_the_cold_start_came_first(
    finished: tuple[Path, subprocess.CompletedProcess[str]], workplace: Path
) -> None:
    import torch

    stages = [weights(path) for path in (workplace / "tiny" / "policy", finished[0] / "sft" / "final", finished[0] / "final")]
    for before, after in itertools.pairwise(stages):
        assert any(not torch.equal(before[name], after[name]) for name in before)


def test_killed_in_the_middle_and_resumed_equals_uninterrupted(
    finished: tuple[Path, subprocess.CompletedProcess[str]], workplace: Path
) -> None:
    folder = workplace / "runs" / "killed"
    command = ["train", "tiny-cpu", "--output", folder, *SHORT]
    process = forks.hero(*command, cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (folder / "checkpoint-2" / "trainer_state.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (folder / "metrics.json").exists()
    assert main(["train", "--report", str(folder)]) == 0
    assert "Not finished: step " in (folder / "report.html").read_text(encoding="utf-8")
    # what a kill in the middle of writing leaves behind is passed over
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "trainer_state.json").write_text('{"global_st')

    result = hero("train", "tiny-cpu", "--resume", "--output", str(folder), *SHORT, folder=workplace)
    assert result.returncode == 0, result.stderr
    assert "sft " not in result.stderr
    assert_same_weights(folder / "final", finished[0] / "final")
    assert rule_state(folder / "checkpoint-6") == rule_state(finished[0] / "checkpoint-6")
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history if "reward" in entry] == [1, 2, 3, 4, 5, 6]


def test_two_processes_train_one_policy(workplace: Path) -> None:
    folder = workplace / "runs" / "two"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "hero_rl.cli", "train",
        "tiny-cpu", "--json", "--output", str(folder), "--set", "trl.max_steps=2", "--set", "trl.use_cpu=true",
        "--set", "sft.trl.use_cpu=true", "--set", "sft.limit=32", "--set", "batch.responses_per_device=8",
    ]  # fmt: skip
    result = subprocess.run(command, cwd=workplace, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads(result.stdout)["step"] == 2
    facts = json.loads((folder / "run.json").read_text())
    assert (facts["processes"], facts["cold_start_examples"]) == (2, 32)
    assert (folder / "final" / "model.safetensors").is_file()
    assert "Finished: step 2 of 2; " in (folder / "report.html").read_text(encoding="utf-8")
    assert sum('"reward"' in line for line in (folder / "history.jsonl").read_text().splitlines()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_a_process_of_torchrun_ends_with_it(
    finished: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[0].parents[1])
    kernel, signal_at_death = ctypes.CDLL(None), ctypes.c_int()
    for launcher, expected in ((None, 0), ("1", signal.SIGKILL)):
        if launcher:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", launcher)
        assert main(["train", "tiny-cpu", "--output", str(finished[0])]) == 2  # there is a run in it
        kernel.prctl(2, ctypes.byref(signal_at_death), 0, 0, 0)
        kernel.prctl(1, 0, 0, 0, 0)
        assert signal_at_death.value == expected


def test_a_folder_with_a_run_in_it_is_refused_without_resume(
    finished: tuple[Path, subprocess.CompletedProcess[str]], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished[0].rglob("*")}
    assert main(["train", "tiny-cpu", "--output", str(finished[0])]) == 2
    assert "is not empty, and a new run would mix with what is there; go on with --resume" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in finished[0].rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SHORT], "this run is finished; to go on, raise trl.max_steps"),
        (["--set", "trl.max_steps=4", "--set", "trl.save_steps=2"], "this run is finished"),
        ([*SHORT, "--set", "rule.alpha=0.2", "--set", "seed=1"], "differs from that of the run to resume in rule.alpha, seed;"),
    ],
)
def test_resuming_what_cannot_go_on_is_refused(
    arguments: list[str], message: str, finished: tuple[Path, subprocess.CompletedProcess[str]], workplace: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(workplace)
    assert main(["train", "tiny-cpu", "--resume", "--output", "runs/whole", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_resuming_without_a_run_or_a_checkpoint_is_refused(
    finished: tuple[Path, subprocess.CompletedProcess[str]], workplace: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(workplace)
    assert main(["train", "tiny-cpu", "--resume", "--output", "runs/absent"]) == 2
    assert "there is no run to resume here" in capsys.readouterr().err
    os.makedirs("runs/early")
    shutil.copy(finished[0] / "recipe.toml", "runs/early")
    assert main(["train", "tiny-cpu", "--resume", "--output", "runs/early", *SHORT]) == 2
    assert "there is no checkpoint to resume from" in capsys.readouterr().err


BAD = {
    "no recipe": ([], "no recipe given"),
    "unknown recipe": (["tiny-gpu"], "tiny-gpu: no such recipe"),
    "unknown key": (
        ["--set", "policy.modle=x"],
        "--set policy.modle=x: unknown key 'policy.modle'; did you mean 'policy.model'?",
    ),
    "wrong type": (["--set", "data.limit=few"], "--set data.limit=few: data.limit = 'few': input should be a valid integer"),
    "overlapping bands": (
        ["--set", "rule.alpha=0.6", "--set", "rule.beta=0.6"],
        "alpha=0.6 and beta=0.6 make the two bands",
    ),
    "unknown rule": (["--set", "rule.name=heor"], "--set rule.name=heor: rule 'heor' is unknown; did you mean 'hero'?"),
    "unknown rule setting": (["--set", "rule.alhpa=0.1"], "unknown key 'rule.alhpa'; did you mean 'rule.alpha'?"),
    "rule setting of the wrong type": (["--set", "rule.alpha=wide"], "--set rule.alpha=wide: "),
    "unknown TRL argument": (["--set", "trl.max_step=3"], "unknown key 'trl.max_step'; did you mean 'trl.max_steps'?"),
    "unknown SFT argument": (["--set", "sft.trl.packin=true"], "unknown key 'sft.trl.packin'; did you mean 'sft.trl.packing'?"),
    "TRL refuses": (
        ["--set", "batch=false", "--set", "trl.num_generations=3"],
        "[trl]: generation_batch_size (8) must be divisible by",
    ),
    "no reward model": (
        ["--set", "reward_model=false"],
        "the rule 'hero' needs reward-model scores; name one (reward_model.name",
    ),
    "no verdicts": (["--set", "verifier.name=none"], "--set verifier.name=none: the rule 'hero' needs verdicts"),
    "unknown verifier": (["--set", "verifier.name=maths"], "--set verifier.name=maths: maths: unknown; did you mean 'math'?"),
    "a column": (["--set", "verifier.name=column:c"], "'column:c' reads a column of a file, and a response that is yet to be"),
    "scores in a column": (["--set", "reward_model.name=column:s"], "'column:s' reads a column of a file"),
    "served model's option": (
        ["--set", "reward_model.name=vllm:http://localhost:1", "--set", "reward_model.dtype=float32"],
        "unknown key 'reward_model.dtype'; settings of vllm:http://localhost:1: name, cache",
    ),
    "verifier option": (
        ["--set", "verifier.policy=binary"],
        "--set verifier.policy=binary: unknown key 'verifier.policy'; settings of exact: name, fallback",
    ),
    "missing policy": (
        ["--set", "policy.model=./absent"],
        "--set policy.model=./absent: policy.model: no such folder as ./absent",
    ),
    "policy not on the hub": (["--set", "policy.model=no-one/none"], "policy.model: cannot get 'no-one/none'"),
    "missing reward model": (
        ["--set", "reward_model.name=local:./absent"],
        "--set reward_model.name=local:./absent: local:./absent: no such",
    ),
    "policy as reward model": (["--set", "reward_model.name=local:tiny/policy"], "the model has 2 outputs (num_labels)"),
    "missing data": (["--set", "data.path=absent.jsonl"], "--set data.path=absent.jsonl: absent.jsonl: no such file"),
    "missing column": (["--set", "data.columns.reference=answer"], "tiny/problems.jsonl:1: missing column 'answer'"),
    "missing cold start": (["--set", "sft.path=absent.jsonl"], "--set sft.path=absent.jsonl: absent.jsonl: no such file"),
    "too few problems": (["--set", "data.limit=7"], "7 problems are fewer than the 8 of one generation batch"),
    "no such token": (["--set", "policy.eos_token=<end>"], "--set policy.eos_token=<end>: the tokenizer has no token '<end>'"),
    "odd batch": (["--set", "batch.responses_per_device=5"], "= 32 do not divide by 5 a device x 1 processes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_exit_code_2_and_no_run_folder(
    case: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(workplace)
    recipe = [] if case in ("no recipe", "unknown recipe") else ["tiny-cpu"]
    assert main(["train", *recipe, *arguments, "--output", "runs/bad"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("error: ") == 1
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not Path("runs/bad").exists()


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
def test_vllm_that_is_not_installed_is_named_before_data_is_read(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    sets = ["--set", "vllm.mode=colocate", "--set", "data.path=absent.jsonl"]
    assert main(["train", "tiny-cpu", *sets, "-o", "runs/bad"]) == 2
    assert "vllm is not installed: pip install 'trl[vllm]'" in capsys.readouterr().err


def test_bfloat16_on_a_cpu_is_refused_before_data_is_read(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(workplace)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "tiny-cpu", "--set", "trl.bf16=true", "--set", "data.path=absent.jsonl", "-o", "runs/bad"]) == 2
    assert "[trl]: Your setup doesn't support bf16" in capsys.readouterr().err


def test_a_checkpoint_whose_weights_are_missing_leaves_no_run_folder(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    shutil.copytree("tiny/policy", "tiny/hollow", ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    assert main(["train", "tiny-cpu", "--set", "policy.model=tiny/hollow", "--output", "runs/bad"]) == 2
    assert "--set policy.model=tiny/hollow: SFTTrainer refuses this" in capsys.readouterr().err
    assert not Path("runs/bad").exists()


def test_the_last_value_of_each_metric_counts_where_one_generation_serves_several_updates() -> None:
    history: list[dict[str, object]] = [
        {"step": 1, "loss": 0.5, "reward": 0.2, "hero/correct": 0.4},
        {"step": 2, "loss": 0.4},
        {"step": 2, "eval_reward": 0.7},
        {"step": 2, "train_runtime": 1.0},
    ]
    assert last_values(history, evaluation=False) == {"step": 2, "loss": 0.4, "reward": 0.2, "hero/correct": 0.4}
    assert last_values(history, evaluation=True) == {"step": 2, "eval_reward": 0.7}


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list", "--json"]) == 0
    recipes = json.loads(capsys.readouterr().out)["recipes"]
    assert {"tiny-cpu", "paper/qwen3-4b-hard"} <= recipes.keys()
    assert all(recipes.values())
    assert main(["train", "--list"]) == 0
    assert "paper/octothinker-8b-mixed" in capsys.readouterr().out


def test_show_prints_the_recipe_with_assignments_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "paper/qwen3-4b-mixed", "--show", "--set", "trl.beta=0.001", "--set", "sft=false"]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    assert (shown["trl"]["beta"], shown["policy"]["dtype"], "sft" in shown) == (0.001, "float32", False)


def test_the_files_that_the_documentation_makes_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "training-reference.md").read_text(encoding="utf-8")
    blocks = text.split("## Smallest run")[1].split("```python\n")[1:]
    assert len(blocks) == 1
    (tmp_path / "make.py").write_text(blocks[0].split("```")[0])
    monkeypatch.chdir(tmp_path)
    runpy.run_path("make.py")
    assert main(["train", "tiny-cpu", "--set", "trl.max_steps=1", "--set", "sft.limit=16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 1
