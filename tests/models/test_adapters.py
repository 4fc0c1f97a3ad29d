"""An adapter's folder is a model: it is loaded on the model that it names, wherever a folder is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import tiny, tiny_files
from hero_rl.cli import main
from hero_rl.errors import InputError
from hero_rl.models.generator import Generator
from hero_rl.models.local import LocalModel, open_model

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny policy, and in `adapter` one to it, without a tokenizer."""
    tiny_files.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained("./tiny/policy")
    trained = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weights in trained.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.5)
    trained.save_pretrained("adapter")
    return tmp_path


def opened(folder: str) -> LocalModel:
    return open_model(folder, "AutoModelForCausalLM", name="policy", of_what="a language model", device="cpu")


def test_it_computes_and_generates_as_peft_loads_it(workplace: Path) -> None:
    whole, ours = opened("tiny/policy"), opened("adapter")
    expected = peft.AutoPeftModelForCausalLM.from_pretrained("adapter").eval()
    tokens = torch.tensor([[2, 3, 4, 12]])
    with torch.inference_mode():
        logits = [model(tokens).logits for model in (expected, ours.model, whole.model)]
    assert torch.equal(logits[0], logits[1])
    assert (logits[1] - logits[2]).abs().max() > 0.1
    with ours.in_use():
        [reply] = Generator(ours).generate([[2, 3, 4, 12]], 5)
    greedy = expected.generate(input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=5, do_sample=False)
    assert reply.text == tiny.tokenizer().decode(greedy[0, 4:], skip_special_tokens=True)
    assert ours.identity()["weights"] != whole.identity()["weights"]


def test_hero_eval_takes_it(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", "tiny/problems.jsonl", "--limit", "2", "--samples", "2", "--max-tokens", "4", "--verifier", "exact"]
    assert main(["eval", "adapter", *options, "--format", "plain", "-o", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["problems"]["counts"]["responses"] == 4


def test_training_from_it_is_refused_and_a_lost_base_is_named(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["train", "tiny-cpu", "--set", "policy.model=adapter", "-o", "out"],
        ["rm", "train", "tiny/problems.jsonl", "--model", "adapter", "-o", "out"],
    ):
        assert main(command) == 2
        assert "adapter is an adapter to ./tiny/policy; merge both into a whole model first" in capsys.readouterr().err
    (workplace / "tiny/policy").rename(workplace / "moved")
    with pytest.raises(InputError, match="policy: base of the adapter: no such folder as ./tiny/policy"):
        opened("adapter")
