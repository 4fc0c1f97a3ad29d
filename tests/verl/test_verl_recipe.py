"""The recipe is a configuration that verl's own command accepts, with the paper's numbers in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hero_rl.cli import main
from hero_rl.engines.verl.settings import check_config, read_settings

MODELS = {"qwen3-4b": (8, 8192, False), "octothinker-8b": (16, 4096, True), "Qwen/Qwen3-8B": (8, 4096, False)}


def composed(folder: Path, model: str, regime: str, *options: str) -> dict[str, Any]:
    """What `./run.sh --cfg job` prints: verl's command composes everything and stops before it starts Ray."""
    problems = folder / "problems.jsonl"
    problems.write_text('{"problem": "1+1?", "reference": "2"}\n')
    target = folder / "it's a run"
    arguments = ["recipe", "verl", "--model", model, "--regime", regime, "--problems", str(problems), "-o", str(target)]
    assert main([*arguments, *options]) == 0
    return read(f"{shlex.quote(str(target / 'run.sh'))} --cfg job --resolve", folder)


def read(command: str, folder: Path) -> dict[str, Any]:
    """What the command prints: a configuration in YAML, below whatever is logged."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return yaml.safe_load(re.sub(r"^[A-Z]+:.*\n", "", done.stdout, flags=re.MULTILINE))


def test_the_command_in_the_documentation_is_one_that_the_rule_can_work_with(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "verl.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```sh\n(python -m verl.*?)```", page, re.DOTALL)
    config = read(command.replace("python", sys.executable, 1).rstrip() + " --cfg job --resolve", tmp_path)
    settings = read_settings(config["hero"])
    assert check_config(config, settings) == []
    assert settings.rule.settings["alpha"] == 0.05
    assert config["reward"]["custom_reward_function"]["reward_kwargs"]["hero"] == config["hero"]
    assert config["hero"]["reward_model"]["name"].startswith("vllm:")


@pytest.mark.parametrize(
    ("model", "regime"), [("qwen3-4b", "verifiable"), ("octothinker-8b", "hard"), ("Qwen/Qwen3-8B", "mixed")]
)
def test_verls_command_accepts_the_recipe(model: str, regime: str, tmp_path: Path) -> None:
    config = composed(tmp_path, model, regime)
    n, length, kl = MODELS[model]
    actor, rollout = config["actor_rollout_ref"]["actor"], config["actor_rollout_ref"]["rollout"]
    assert (rollout["n"], config["data"]["max_response_length"], actor["use_kl_loss"]) == (n, length, kl)
    assert (config["data"]["train_batch_size"], actor["ppo_mini_batch_size"], actor["optim"]["lr"]) == (512, 128, 1e-6)
    assert (actor["clip_ratio_low"], actor["clip_ratio_high"], config["trainer"]["total_epochs"]) == (0.2, 0.28, 20)
    assert config["data"]["train_files"].endswith("it's a run/train.parquet")
    assert Path(config["data"]["train_files"]).is_file()

    assert config["reward"]["custom_reward_function"]["reward_kwargs"]["hero"] == config["hero"]
    assert config["hero"]["verifier"] == {"name": "math", "policy": "binary", "workers": 2}
    settings = read_settings(config["hero"])
    assert check_config(config, settings) == []
    rule = settings.rule
    alpha = 0.05 if regime == "verifiable" else 0.1
    assert (rule.name, rule.settings["alpha"], rule.settings["beta"], rule.settings["decay"]) == ("hero", alpha, alpha, 0.9)
    assert (rule.settings["w_min"], rule.settings["w_max"], rule.settings["k"]) == (0.4, 3.0, 6.0)
    assert rule.settings["eps"] == 1e-6
