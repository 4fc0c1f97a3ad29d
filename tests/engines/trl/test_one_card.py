"""What one card needs: an adapter, the packaged recipes for it, and the estimate of memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from helpers import forks, tiny, tiny_files
from hero_rl.cli import main
from hero_rl.engines.trl import memory
from hero_rl.engines.trl.arguments import grpo_given
from hero_rl.engines.trl.recipe import Loaded, load_recipe
from hero_rl.errors import InputError, install_command

ON_A_CPU = {
    "policy.model": "tiny/qwen3", "policy.dtype": "float32", "data.path": "tiny/dapo.jsonl", "data.name": "", "vllm": "false",
    "reward_model.name": "local:tiny/reward-model", "reward_model.dtype": "float32", "verifier.name": "exact",
    "batch.prompts_per_generation": 4, "batch.prompts_per_step": 2, "batch.responses_per_device": 16,
    "trl.max_completion_length": 8, "trl.bf16": "false", "trl.learning_rate": 1e-2, "trl.max_steps": 5, "trl.save_steps": 2,
}  # fmt: skip
"""The packaged recipe, made small: everything else is as it is."""


def sets(values: dict[str, Any]) -> list[str]:
    return [text for key, value in values.items() for text in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models of the architectures that the recipes name, and problems in the columns of DAPO-Math-17k-Processed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    root = tmp_path_factory.mktemp("one-card")
    tiny_files.write(root)
    torch.manual_seed(0)
    shape = tiny.model().config.to_dict() | {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256}
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "head_dim", "max_position_embeddings", "pad_token_id", "bos_token_id", "eos_token_id")  # fmt: skip
    Qwen3ForCausalLM(Qwen3Config(**{key: shape[key] for key in keys})).save_pretrained(root / "tiny/qwen3")
    tiny.tokenizer().save_pretrained(root / "tiny/qwen3")
    rows = [{"prompt": f"{a}+{b}=", "solution": str(a + b), "extra_info": {"index": a}} for a in range(4) for b in range(4)]
    tiny_files.write_rows(root / "tiny/dapo.jsonl", rows)
    return root


def adapter(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    import torch

    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_packaged_recipe_trains_an_adapter_and_resumes_it_exactly(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    command = ["train", "1gpu/qwen3-1.7b", *sets(ON_A_CPU), "--output"]
    killed = forks.hero(*command, "killed", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not Path("killed/checkpoint-2/trainer_state.json").exists():
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    for late in ("killed/checkpoint-5", "killed/final"):  # of a kill that came late
        shutil.rmtree(late, ignore_errors=True)
    assert main([*command, "whole"]) == 0
    assert main([*command, "killed", "--resume"]) == 0
    end = adapter(Path("whole/final"))
    assert_same(end, adapter(Path("killed/final")))
    assert any(value.abs().max() > 0 for name, value in end.items() if "lora_B" in name)
    states = [json.loads(Path(run, "checkpoint-4/trainer_state.json").read_text()) for run in ("whole", "killed")]
    assert states[0]["stateful_callbacks"]["hero_rl"] == states[1]["stateful_callbacks"]["hero_rl"]
    assert main([*command, "other", "--set", "seed=1", "--set", "trl.max_steps=1"]) == 0
    first = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    assert (adapter(Path("other/final"))[first] - end[first]).abs().max() > 0.05, "another seed begins with another adapter"


def test_the_adapter_goes_onto_the_model_that_the_recipe_names(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a cold start, whose policy is the reference of the KL term; the weights themselves stay as they are."""
    import torch
    from peft import AutoPeftModelForCausalLM

    monkeypatch.chdir(workplace)
    more = {"policy.lora.r": 4, "policy.lora.alpha": 8, "trl.beta": 0.1, "trl.max_steps": 3, "trl.save_steps": 1}
    assert main(["train", "tiny-cpu", *sets(more), "--output", "cold"]) == 0
    history = [json.loads(line) for line in Path("cold/history.jsonl").read_text().splitlines()]
    assert history[0]["kl"] < 1e-6 < history[2]["kl"]
    start, end = adapter(Path("cold/sft/final")), adapter(Path("cold/final"))
    assert start.keys() == end.keys()
    assert all(value.abs().max() > 0 for value in start.values()), "the cold start trained it"
    assert any(not torch.equal(start[name], end[name]) for name in start)
    loaded = AutoPeftModelForCausalLM.from_pretrained("cold/final")
    tokens = torch.tensor([[2, 3, 4]])
    with torch.no_grad(), loaded.disable_adapter():
        base = tiny.model(hidden=64)(tokens).logits
        torch.testing.assert_close(loaded(tokens).logits, base)
    assert (loaded(tokens).logits - base).abs().max() > 1e-3
    # a run that lost its last steps goes on from the adapter of the checkpoint, with the reference of the start
    (Path("cold") / "metrics.json").unlink()
    for gone in ("final", "checkpoint-3"):
        shutil.rmtree(Path("cold") / gone)
    assert main(["train", "tiny-cpu", *sets(more), "--output", "cold", "--resume"]) == 0
    assert_same(adapter(Path("cold/final")), end)


def test_the_type_of_weights_is_the_devices_choice_for_an_adapter_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def dtype(*assignments: str) -> str:
        return load_recipe("tiny-cpu", assignments).resolved()["policy"]["dtype"]

    assert (dtype(), dtype("policy.lora.r=4"), dtype("policy.dtype=float16")) == ("float32", "float32", "float16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert (dtype(), dtype("policy.lora.r=4"), dtype("policy.lora.r=4", "policy.dtype=float32")) == (
        "float32", "bfloat16", "float32",
    )  # fmt: skip


def test_adamw_in_bfloat16_moves_an_adapter_and_no_weights_of_usual_size() -> None:
    """Why it is not the default where the weights themselves are trained."""
    import torch

    torch.manual_seed(0)
    moved = {}
    for dtype in (torch.bfloat16, torch.float32):
        weights = torch.nn.Parameter((0.02 * torch.randn(10_000)).to(dtype))
        before = weights.detach().clone()
        optimizer = torch.optim.AdamW([weights], lr=1e-6, weight_decay=0.0)
        for _ in range(50):
            weights.grad = torch.ones_like(weights)
            optimizer.step()
        moved[dtype] = float((weights != before).float().mean())
    assert moved[torch.bfloat16] < 0.05
    assert moved[torch.float32] > 0.99


def test_peft_is_asked_for_by_name(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setitem(sys.modules, "peft", None)
    assert main(["train", "tiny-cpu", "--set", "policy.lora.r=4", "--output", "none"]) == 2
    assert (
        f"[policy.lora] needs the package 'peft', which is not installed: {install_command('train')}" in capsys.readouterr().err
    )
    assert not Path("none").exists()


def test_the_table_vllm_is_trls_arguments_without_their_prefix(tmp_path: Path) -> None:
    def given(text: str) -> dict[str, Any]:
        (tmp_path / "r.toml").write_text(f'reward_model.name = "local:a/b"\npolicy.model = "m"\ndata.path = "p.jsonl"\n{text}')
        return grpo_given(load_recipe(str(tmp_path / "r.toml")))

    assert given("[vllm]\n") == {"use_vllm": True}
    assert given('[vllm]\nmode = "server"\nserver_port = 8001\n') == {
        "use_vllm": True, "vllm_mode": "server", "vllm_server_port": 8001,
    }  # fmt: skip
    assert given("vllm = false\n") == {}
    for text, message in (
        ("[vllm]\nmod = 1\n", r"r\.toml:5: unknown key 'vllm\.mod'; did you mean 'vllm\.mode'\?"),
        ("[vllm]\nserver_port = 'x'\n", r"r\.toml:5: vllm\.server_port = 'x'"),
        ("[trl]\nuse_vllm = true\n", r"r\.toml:5: 'trl\.use_vllm' is set by a table \[vllm\]"),
        ("[trl]\nvllm_mode = 'server'\n", r"r\.toml:5: 'trl\.vllm_mode' is set by vllm\.mode"),
    ):
        with pytest.raises(InputError, match=message):
            given(text)


# The estimate of memory


def qwen3(folder: Path, *, hidden: int, intermediate: int) -> Path:
    """The config of a Qwen3: 0.6B has hidden 1024, intermediate 3072."""
    from transformers import Qwen3Config

    Qwen3Config(
        architectures=["Qwen3ForCausalLM"], vocab_size=151_936, hidden_size=hidden, intermediate_size=intermediate,
        num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen3(tmp_path_factory.mktemp("0.6b"), hidden=1024, intermediate=3072)


def parts(loaded: Loaded, sizes: memory.Sizes, reward_model: memory.Sizes | None) -> dict[str, float]:
    return memory.parts(loaded, grpo_given(loaded), sizes, reward_model, 16.0)


def recipe(folder: Path, *assignments: str) -> Loaded:
    named = [f"policy.model={folder}", f"reward_model.name=local:{folder}", "reward_model.max_tokens_per_batch=16384"]
    return load_recipe("1gpu/qwen3-0.6b", [*named, *assignments])


def test_the_sizes_of_qwen3_0_6b_are_those_on_paper(small: Path) -> None:
    from transformers import AutoConfig

    sizes = memory.sizes_of(AutoConfig.from_pretrained(small))
    # a layer: q and o of 1024 x 2048, k and v of 1024 x 1024, three matrices of 1024 x 3072, four norms
    layer = 2 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072 + 2 * 1024 + 2 * 128
    assert sizes.parameters == 151_936 * 1024 + 28 * layer + 1024 == 596_049_920
    assert sizes.per_token == 4 * 1024 + 3 * 2048 + 4 * 3072 == 22_528
    lora = load_recipe("1gpu/qwen3-0.6b").recipe.policy.lora
    assert lora is not None
    # of rank 32: 32 x (inputs + outputs) of each linear layer but the output
    assert memory.adapter_size(sizes, lora) == 28 * 32 * (2 * 3072 + 2 * 2048 + 3 * 4096)
    only = lora.model_copy(update={"target_modules": ["q_proj"]})
    assert memory.adapter_size(sizes, only) == 28 * 32 * 3072


def test_the_parts_are_those_worked_out_by_hand(small: Path) -> None:
    from transformers import AutoConfig

    sizes = memory.sizes_of(AutoConfig.from_pretrained(small))
    tokens = 4 * (512 + 2048)
    found = parts(recipe(small), sizes, sizes)
    by_hand = {
        "weights": 596_049_920 * 2,
        "training": 16 * 28 * 32 * 22_528,
        "activations": tokens * (28 * 1024 * 2 + (4 + 2) * 22_528),
        "logits": 2 * 4 * 4096 * 32_768,
        "reward model": 596_049_920 * 2 + 16_384 * 22_528 * 2,
        "sampling": 0.35 * 16 * 2**30,
        "CUDA": 2**30,
    }
    assert {name: size * 2**30 for name, size in found.items()} == pytest.approx(by_hand)
    # vLLM sleeps while the policy learns: its share is larger than what it makes room for
    assert memory.total(found, sleeps=True) == pytest.approx(sum(found.values()) - found["activations"] - found["logits"])

    whole = [
        "policy.lora=false",
        "policy.dtype=float32",
        "trl.beta=0.01",
        "vllm=false",
        "machine.cards=4",
        "machine.sharded=true",
    ]
    found = parts(recipe(small, *whole), sizes, None)
    assert found["training"] == pytest.approx(3 * found["weights"]) == pytest.approx(3 * 596_049_920 * 4 / 4 / 2**30)
    assert found["reference"] == found["weights"]
    # keys and values of 32 x 8 responses over 4 cards, 8 heads of 128 in 28 layers
    assert found["sampling"] == pytest.approx(64 * 2560 * 2 * 1024 * 28 * 2 / 2**30)
    assert "reward model" not in found
    stored = parts(recipe(small, "trl.activation_checkpointing=false"), sizes, None)["activations"]
    assert stored == pytest.approx(tokens * (28 * 4 + 2) * 22_528 / 2**30)


def test_a_layer_with_an_adapter_keeps_four_bytes_for_each_number_that_the_estimate_counts() -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3Model

    def kept(layers: int) -> int:
        """Bytes that the backward pass of 64 tokens waits for."""
        config = Qwen3Config(vocab_size=100, hidden_size=512, intermediate_size=1536, num_hidden_layers=layers,
                             num_attention_heads=4, num_key_value_heads=2, head_dim=128)  # fmt: skip
        model = get_peft_model(Qwen3Model(config).to(torch.bfloat16), LoraConfig(r=8, target_modules="all-linear"))
        own = {each.untyped_storage().data_ptr() for each in model.parameters()}
        seen: dict[int, torch.Tensor] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            return seen.setdefault(tensor.untyped_storage().data_ptr(), tensor) if tensor.numel() else tensor

        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: (keep(tensor), tensor)[1], lambda tensor: tensor):
            output = model(torch.zeros(1, 64, dtype=torch.long)).last_hidden_state
        assert output.requires_grad
        return sum(each.untyped_storage().nbytes() for place, each in seen.items() if place not in own)

    numbers = 4 * 512 + 3 * 4 * 128 + 4 * 1536
    assert (kept(4) - kept(2)) / 2 / 64 == pytest.approx(4 * numbers, rel=0.1)


def test_show_says_what_fits_and_what_does_not(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*assignments: str) -> str:
        named = [f"policy.model={small}", f"reward_model.name=local:{small}", "reward_model.max_tokens_per_batch=16384"]
        given = [*named, *assignments]
        assert main(["train", "1gpu/qwen3-0.6b", "--show", *[text for one in given for text in ("--set", one)]]) == 0
        out = capsys.readouterr().out
        assert tomllib.loads(out)["machine"]["cards"] == 1
        return out

    assert "of 16.0 GiB" in shown()
    assert "does not fit" not in shown()
    tight = shown("batch.responses_per_device=64")
    assert "does not fit, by" in tight
    assert "activations (batch.responses_per_device)" in tight
    large = qwen3(tmp_path, hidden=2048, intermediate=6144)
    assert "does not fit" not in shown(f"policy.model={large}", "machine.card_gib=24")
    assert "cannot be known here: the config of no-one/none is not on this machine" in shown("policy.model=no-one/none")
    assert main(["train", "1gpu/qwen3-0.6b", "--show", "--set", "trl.max_step=1"]) == 2
    assert "did you mean 'trl.max_steps'?" in capsys.readouterr().err
    assert main(["train", "tiny-cpu", "--show"]) == 0
    assert "cannot be known here: no card is found on this machine" in capsys.readouterr().out
