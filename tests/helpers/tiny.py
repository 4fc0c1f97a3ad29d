"""A policy of 20 thousand parameters, its tokenizer, data, and signals with known answers: everything through real TRL.

One token is one character, so a completion is a short random string, and the signals are functions of its letters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hero_rl.types import FloatArray, IntArray, Rollout, RowVerifier, Scorer, StepScorer, StepScores, Verdict

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz+-*=?. \\{}^<|>"
SPECIAL = ("<pad>", "<eos>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a character; ``<eos>`` ends a completion."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate([*SPECIAL, *ALPHABET])}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", chat_template=CHAT_TEMPLATE)


def model(*, hidden: int = 32, layers: int = 2, seed: int = 0) -> PreTrainedModel:
    """An untrained Llama."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(ALPHABET) + len(SPECIAL), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=128, pad_token_id=0, bos_token_id=None,
        eos_token_id=1, initializer_range=0.2, tie_word_embeddings=False,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def loaded(folder: Path) -> PreTrainedModel:
    """A model from a folder, from which TRL loads the reference of a KL term, too."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def problems(count: int = 8, *, chat: bool = False) -> Dataset:
    """Rows of prompt, reference and a column ``difficulty`` that passes through."""
    from datasets import Dataset

    texts = [f"{i}+{i}=?" for i in range(count)]
    prompts: list[Any] = [[{"role": "user", "content": text}] for text in texts] if chat else texts
    return Dataset.from_dict(
        {"prompt": prompts, "reference": [str(2 * i) for i in range(count)], "difficulty": list(range(count))}
    )


def config(folder: Path, **options: Any) -> GRPOConfig:
    """Settings under which a step takes a few milliseconds; ``options`` replace and add."""
    from trl import GRPOConfig

    from hero_rl.engines.trl import HeroConfig

    defaults: dict[str, Any] = {
        "output_dir": str(folder), "use_cpu": True, "bf16": False, "activation_checkpointing": False, "report_to": "none",
        "per_device_train_batch_size": 16, "num_generations": 8, "max_completion_length": 8, "max_steps": 2,
        "learning_rate": 1e-2, "scale_rewards": "none", "logging_steps": 1, "save_strategy": "no",
        "seed": 7, "dataloader_pin_memory": False, "lr_scheduler_type": "constant",
        "generation_kwargs": {"suppress_tokens": [0]},
    }  # fmt: skip
    return (HeroConfig if "kl_unit" in options else GRPOConfig)(**(defaults | options))


class Letters(RowVerifier):
    """A verifier of letters: one of ``ae13`` makes a response correct, and a ``z`` makes it impossible to judge.

    Random completions hold each now and then, so that a batch has all cases. ``seen`` keeps the rollouts of every call.
    """

    name = "letters"

    def __init__(self, *, fail: Callable[[Rollout], bool] = lambda rollout: False, correct: str = "ae13") -> None:
        self.fail, self.correct = fail, set(correct)
        self.seen: list[list[Rollout]] = []

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        self.seen.append(list(rollouts))
        return super().verify(rollouts)

    def judge(self, rollout: Rollout, /) -> Verdict:
        if self.fail(rollout):
            return Verdict("abstain", "broken", failed=True)
        if "z" in rollout.response:
            return Verdict("abstain", "unclear")
        return Verdict("correct", "letter") if self.correct & set(rollout.response) else Verdict("incorrect", "no_letter")


class Characters(Scorer):
    """A reward model of character codes, in sixteenths (exact in float32); a letter ``missing`` makes the score NaN."""

    name = "characters"

    def __init__(self, *, missing: str = "") -> None:
        self.missing = missing

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        return np.array([self._rate(rollout.response) for rollout in rollouts])

    def _rate(self, response: str) -> float:
        if self.missing and self.missing in response:
            return math.nan
        return sum((place + 1) * ord(char) for place, char in enumerate(response)) % 97 / 16.0


class Pairs(Characters, StepScorer):
    """A process reward model whose steps are pairs of characters, scored by the first of them."""

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        steps = tuple(np.array([ord(char) / 64 for char in rollout.response[::2]]) for rollout in rollouts)
        return StepScores(await self.ascore(rollouts), steps)

    def step_ends(self, rollout: Rollout, /) -> IntArray:
        size = len(rollout.response)
        return np.minimum(np.arange(2, size + 2, 2), size)


def sample_by_row(prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
    """A TRL ``rollout_func``: on-policy sampling whose noise belongs to the row of the global batch, not to the process.

    TRL seeds each process differently, so with its own sampler two processes never see the completions that one sees. Here
    row r of generation batch n draws the same Gumbel noise wherever it is, and the tokens follow from it and the policy:
    argmax(logits + noise) is a sample from softmax(logits).
    """
    import torch

    tokens_T = trainer.args.max_completion_length
    rank = trainer.accelerator.process_index
    # Training and evaluation count apart, so that evaluating leaves the noise of training as it is.
    counts = trainer.__dict__.setdefault("batches_sampled", {True: 0, False: 10_000})
    batch = counts[trainer.model.training]
    counts[trainer.model.training] += 1
    ids = [trainer.processing_class(prompt)["input_ids"] for prompt in prompts]
    assert len({len(row) for row in ids}) == 1, "prompts of one length need no padding"
    policy = trainer.accelerator.unwrap_model(trainer.model)
    sequence = torch.tensor(ids)
    noise_BTV = torch.stack([
        -torch.empty(tokens_T, policy.config.vocab_size)
        .exponential_(generator=torch.Generator().manual_seed(100_000 * batch + rank * len(prompts) + row))
        .log()
        for row in range(len(prompts))
    ])  # fmt: skip
    with torch.no_grad():
        for t in range(tokens_T):
            logits = policy(sequence).logits[:, -1].float()
            sequence = torch.cat([sequence, (logits + noise_BTV[:, t]).argmax(-1, keepdim=True)], dim=1)
    completions = [row[: row.index(1) + 1] if 1 in row else row for row in sequence[:, len(ids[0]) :].tolist()]
    return {"prompt_ids": ids, "completion_ids": completions, "logprobs": None}


def leave_out_half(verdicts_B: FloatArray, scores_B: FloatArray, groups_B: IntArray) -> FloatArray:
    """Reward verdict and score, and leave every other response out: a rule for tests."""
    return np.where(np.arange(groups_B.size) % 2 == 0, verdicts_B + 0.01 * scores_B, np.nan)


def parameters(trainer: GRPOTrainer) -> FloatArray:
    """Every parameter of the policy in one array."""
    return flat(trainer.accelerator.unwrap_model(trainer.model))


def flat(policy: PreTrainedModel) -> FloatArray:
    """Every parameter in one array, float32 values exactly."""
    import torch

    return torch.cat([p.detach().reshape(-1) for p in policy.parameters()]).double().numpy()
