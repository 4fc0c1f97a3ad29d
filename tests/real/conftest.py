"""The models and the servers of the session: each is started once, when a test first asks for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

from helpers import real
from hero_rl.cli import main
from hero_rl.models.known import is_there, models_folder

ON_A_CPU = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--generation-config", "vllm"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real)
            item.add_marker(pytest.mark.timeout(1200))


def _model(name: str) -> Path:
    if not is_there(name):
        pytest.skip(f"{name} is not on this machine: hero models get {name}")
    return models_folder() / name


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct: a policy, a judge, and the base of a reward model."""
    return _model("smollm2")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2: the base of a learned verifier."""
    return _model("minilm")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with problems.jsonl and labelled rollouts.jsonl."""
    folder = tmp_path_factory.mktemp("real")
    real.write_problems(folder / "problems.jsonl", 6)
    real.write_rollouts(folder / "rollouts.jsonl", 16)
    return folder


@pytest.fixture(scope="session")
def reward_model(smollm2: Path, place: Path) -> Path:
    """SmolLM2 after a few steps of `hero rm train`."""
    folder = place / "reward-model"
    arguments = ["rm", "train", place / "rollouts.jsonl", "-o", folder, "--model", smollm2]
    assert main([*map(str, arguments), "--pairs-per-prompt", "2", "--learning-rate", "1e-4", "--batch-size", "8"]) == 0
    return folder


@pytest.fixture(scope="session")
def policy_server(smollm2: Path, place: Path) -> Iterator[str]:
    """SmolLM2 behind vLLM's chat completions."""
    command = [real.need(real.VLLM / "vllm"), "serve", smollm2, *ON_A_CPU, "--served-model-name", "smollm2"]
    with real.serving(command, place / "policy.log", alive="/health", environment=real.VLLM_ENVIRONMENT) as url:
        yield url


@pytest.fixture(scope="session")
def reward_server(reward_model: Path, place: Path) -> Iterator[str]:
    """The reward model behind vLLM's pooling runner."""
    command = [real.need(real.VLLM / "vllm"), "serve", reward_model, *ON_A_CPU, "--runner", "pooling", "--convert", "classify"]
    with real.serving(command, place / "reward.log", alive="/health", environment=real.VLLM_ENVIRONMENT) as url:
        yield url


@pytest.fixture(scope="session")
def infinity_server(reward_model: Path, place: Path) -> Iterator[str]:
    """The reward model behind Infinity, whose transformers 4 reads what transformers 5 saves otherwise, without a word."""
    program, folder = real.need(real.INFINITY / "infinity_emb"), place / "for-infinity"
    shutil.copytree(reward_model, folder)
    theta = json.loads((folder / "config.json").read_text())["rope_parameters"]["rope_theta"]
    _change(folder / "config.json", rope_theta=theta)
    _change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    command = [program, "v2", "--model-id", folder, "--device", "cpu", "--dtype", "float32", "--engine", "torch"]
    plain = ["--no-bettertransformer", "--no-model-warmup"]
    with real.serving([*command, *plain], place / "infinity.log", alive="/health", environment=real.OFFLINE) as url:
        yield url


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
