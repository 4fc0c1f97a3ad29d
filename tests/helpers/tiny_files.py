"""On disk what the recipe `tiny-cpu` names: a policy, a reward model, problems and a cold start, in a folder `tiny`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers import tiny


def write(root: Path) -> Path:
    """Make ``root/tiny``; run the command in ``root``."""
    import torch
    from transformers import LlamaForSequenceClassification

    folder = root / "tiny"
    policy = tiny.model(hidden=64)
    policy.save_pretrained(folder / "policy")
    torch.manual_seed(1)
    config = policy.config.__class__(**{**policy.config.to_dict(), "num_labels": 1, "hidden_size": 32, "intermediate_size": 64})
    reward_model = LlamaForSequenceClassification(config)
    reward_model.save_pretrained(folder / "reward-model")
    for name in ("policy", "reward-model"):
        tiny.tokenizer().save_pretrained(folder / name)
    sums = [(a, b) for a in range(8) for b in range(8)]
    write_rows(folder / "problems.jsonl", [{"problem": f"{a}+{b}=", "reference": str(a + b)} for a, b in sums])
    write_rows(folder / "cold-start.jsonl", [{"problem": f"{a}+{b}=", "response": str(a + b)} for a, b in sums])
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
