"""The README tells the truth: its Python runs, its targets and commands exist, its links lead somewhere."""

import json
import re
import runpy

import pytest

from helpers import forks, tiny
from helpers.commands import hero
from helpers.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TRL, TEN_LINES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code, folder):
    return forks.run(["-c", code], cwd=folder)


def test_the_ten_lines_print_the_advantages(tmp_path):
    finished = run(TEN_LINES, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert len([line for line in TEN_LINES.splitlines() if line.strip()]) <= 10
    numbers = [float(text) for text in re.findall(r"-?\d*\.\d*", finished.stdout)]
    assert len(numbers) == 6
    assert numbers[0] > 1 > max(numbers[3:]) > 0 > min(numbers[3:])


def test_the_trl_example_trains(tmp_path, monkeypatch, capsys):
    """As it stands, with tiny models of our own in the place of two models from the hub, and one step."""
    import torch
    from transformers import AutoModelForSequenceClassification, LlamaConfig

    tokenizer, policy = tiny.tokenizer(), tiny.model()
    policy.save_pretrained(tmp_path / "policy")
    config = LlamaConfig(**{**policy.config.to_dict(), "num_labels": 1})
    torch.manual_seed(1)
    AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).save_pretrained(tmp_path / "rm")
    for name in ("policy", "rm"):
        tokenizer.save_pretrained(tmp_path / name)
    rows = [{"prompt": f"{i}+{i}=?", "reference": str(2 * i)} for i in range(4)]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code = TRL
    for hub, ours in (
        ('"nvidia/AceMath-7B-RM"', '"rm"'),
        ('"Qwen/Qwen3-4B-Base"', '"policy"'),
        ('scale_rewards="none"', 'scale_rewards="none", max_steps=1, max_completion_length=8'),
    ):
        assert hub in code
        code = code.replace(hub, ours)
    (tmp_path / "train.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("train.py")
    assert "hero/sigma_mean" in capsys.readouterr().out


def test_the_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^    make ([a-z-]+)", README, re.MULTILINE))
    assert named == {"lab", "test"}
    assert named <= targets


COMMANDS = re.findall(r"^    hero (\w+)(?: (init|show|prepare|split|run|compare|train|eval)\b)?(.*)", README, re.MULTILINE)


@pytest.mark.parametrize("command", sorted({(name, sub) for name, sub, _ in COMMANDS}), ids=" ".join)
def test_the_commands_exist_with_the_options_named(command):
    arguments = [*filter(None, command), "--help"]
    text = hero(*arguments).stdout
    for rest in [rest for name, sub, rest in COMMANDS if (name, sub) == command]:
        for option in re.findall(r"\s(--?[a-z-]+)", rest):
            assert option in text


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?:docs/|[A-Z]+\.md)[^)#]*)\)", README))))
def test_the_links_lead_somewhere(target):
    assert (ROOT / target).is_file()
