"""A training step of the real study on a GPU: ``HeroTrainer`` on SmolLM2-135M with 512 responses.

    python benchmarks/study_step.py [--prompts 64] [--group 8] [--steps 8] [--toy]

The policy is the one that ``benchmarks/real_study`` starts from, without its cold start, where `hero models get smollm2` was
run, else one of that size with random weights. Both seldom end a response, so each has the most tokens that the study allows: a
trained policy is faster. The reward model has the size of MiniLM and random weights. A step has three parts: generation, the
rewards (verifier, reward model, rule, files of rollouts), and the rest (loss, gradient, optimizer). Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.append(str(Path(__file__).parent / "real_study"))

import numpy as np
from policy import prune
from problems import FORMS, Problem
from runs import others, references, step_settings

from hero_rl import HybridReward
from hero_rl.models.known import is_there, resolve
from hero_rl.rewards import hero
from hero_rl.scorers import LocalScorer
from hero_rl.verifiers import ExactVerifier
from machine import describe
from scorer import build_tokenizer
from trainer import Timed, run_turn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMOLLM2: dict[str, Any] = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
}  # fmt: skip
MINILM: dict[str, Any] = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12}
TOY: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}


def build_policy(problems: list[Problem], *, toy: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the study's starting policy, or one of its size, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    if not toy and is_there("smollm2"):
        return prune(resolve("smollm2"), [one.prompt + one.response(form) for one in problems for form in FORMS])
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        **(TOY if toy else SMOLLM2), vocab_size=len(tokenizer), max_position_embeddings=8192, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32), tokenizer


def build_scorer(*, toy: bool) -> LocalScorer:
    """Return a reward model with random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = build_tokenizer()
    config = BertConfig(
        **(TOY if toy else MINILM), vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id
    )
    model = BertForSequenceClassification(config)
    return LocalScorer(model, tokenizer=tokenizer, device="cuda" if torch.cuda.is_available() else "cpu")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of a step and of its parts."""
    import torch
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig

    from hero_rl.engines.trl import HeroTrainer

    class Ours(Timed, HeroTrainer):
        pass

    gpu = torch.cuda.is_available()
    rule = hero(alpha=0.05, beta=0.05)
    problems = others(options.prompts * (options.steps + 1), seed=0)
    policy, tokenizer = build_policy(problems, toy=options.toy)
    scorer = build_scorer(toy=options.toy)
    data = {"prompt": [one.prompt for one in problems], "reference": references(problems, seed=0)}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Ours(
            policy, HybridReward(ExactVerifier(), scorer, rule), rollouts=options.prompts,
            args=GRPOConfig(
                **step_settings(options.prompts, options.group, rule), output_dir=folder, max_steps=options.steps + 1,
                learning_rate=1e-5, save_strategy="no", bf16=gpu, use_cpu=not gpu,
            ),
            train_dataset=Dataset.from_dict(data), processing_class=tokenizer,
        )  # fmt: skip
        steps = run_turn(trainer)
        lengths = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    step_s = float(np.median(steps.wall))
    parts = {name: float(np.median(trainer.__dict__[f"{name}_s"][1:])) for name in ("generation", "rewards")}
    responses = options.prompts * options.group
    return {
        **describe(), "settings": vars(options), "responses": responses, "pretrained": not options.toy and is_there("smollm2"),
        "parameters": policy.num_parameters(), "mean_length": float(np.mean(lengths)), "step_s": step_s,
        "parts_s": {**parts, "rest": step_s - sum(parts.values())}, "steps_s": steps.wall.tolist(),
        "peak_bytes": torch.cuda.max_memory_allocated() if gpu else 0,
        "summary": f"the study's step of {responses} responses: {step_s:.2f} s (generation {parts['generation']:.2f} s, "
        f"rewards {parts['rewards']:.2f} s)",
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A training step of the real study.")
    parser.add_argument("--prompts", type=int, default=64, help="prompts per step (default 64)")
    parser.add_argument("--group", type=int, default=8, help="responses per prompt (default 8)")
    parser.add_argument("--steps", type=int, default=8, help="counted steps (default 8)")
    parser.add_argument("--toy", action="store_true", help="tiny models")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(json.dumps(measure(options), indent=2))


if __name__ == "__main__":
    main()
