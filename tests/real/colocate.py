"""One step of HeroTrainer whose responses vLLM samples inside the process; prints what was logged as JSON.

.venv-vllm/bin/python tests/real/colocate.py MODEL FOLDER, in the environment that tests/real gives vLLM.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig
from trl.generation import vllm_generation
from vllm.model_executor.layers import utils

from helpers import real
from hero_rl import HybridReward, hero
from hero_rl.engines.trl import HeroTrainer
from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier


def main(model: str, folder: str) -> None:
    """Train one step."""
    rows = [
        {"prompt": [{"role": "user", "content": problem}], "reference": str(answer)}
        for problem, answer, _ in real.word_problems(2)
    ]
    settings = GRPOConfig(
        folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", disable_tqdm=True, max_steps=1,
        logging_steps=1, per_device_train_batch_size=8, num_generations=4, max_completion_length=16, scale_rewards="none",
        learning_rate=1e-4, use_vllm=True, vllm_mode="colocate", vllm_max_model_length=256,
        model_init_kwargs={"dtype": "float32"}, seed=1,
    )  # fmt: skip
    utils.dispatch_cpu_unquantized_gemm = _keep_weights
    # TRL has no options for them: vLLM would take bfloat16 for float32 weights, and compile for ten minutes on two cores
    vllm_generation.LLM = partial(vllm_generation.LLM, enforce_eager=True, dtype="float32")
    with MathVerifier(workers=1) as verifier:
        trainer = HeroTrainer(
            model, HybridReward(verifier, _length, hero(alpha=0.1, beta=0.1)), settings, train_dataset=Dataset.from_list(rows)
        )
        trainer.train()
    sys.stdout.write(json.dumps(trainer.state.log_history) + "\n")


def _keep_weights(layer: Any, remove_weight: bool) -> None:
    """In place of vLLM's own, which packs the weights for a CPU, so that it can be given no new ones after a step."""
    layer.cpu_linear = torch.nn.functional.linear


def _length(rollouts: Sequence[Rollout]) -> list[float]:
    return [float(len(one.response)) for one in rollouts]


if __name__ == "__main__":
    main(*sys.argv[1:3])
