"""Step time of ``HeroTrainer`` over ``GRPOTrainer`` with the same verifier and reward model as plain reward functions.

    python benchmarks/trainer.py [--rounds 12] [--steps 4] [--hidden 256] [--layers 4] [--rows 32] [--tokens 32] [--json]

Both train a policy made from scratch, in one process and in turns (A B B A ...), a few steps each turn, in bfloat16 on a GPU
where there is one, else on the CPU; the first step of a turn is not counted. Learning rate 0 and a fixed completion length keep
their work equal, and the signals cost next to nothing, so that whatever HeroTrainer adds shows. Two clocks: wall time is what a
user waits; the CPU time of the process says the same on a machine that others use too. Target: at most 3%.

Steps vary by more than the target, so a third line is timed within them: the part of a step from the call of the reward
functions to the finished batch of advantages, which is where HeroTrainer differs from GRPOTrainer.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from hero_rl.types import FloatArray, Rollout, RowVerifier, Scorer, Verdict
from machine import describe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast
    from trl import GRPOTrainer

ALPHABET = "0123456789+=? "
TARGET = 0.03


class Digits(RowVerifier, Scorer):
    """A verifier that looks for a digit and a reward model that counts; a microsecond a row each."""

    name = "digits"

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Correct where the response has the reference in it."""
        return Verdict("correct", "found") if rollout.reference in rollout.response else Verdict("incorrect", "absent")

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Characters that are spaces."""
        return np.array([float(row.response.count(" ")) for row in rollouts])


def verdict(completions: list[str], reference: list[str], **_: Any) -> list[float]:
    """The verdict of ``Digits`` as a plain TRL reward function."""
    return [float(answer in text) for text, answer in zip(completions, reference, strict=True)]


def score(completions: list[str], **_: Any) -> list[float]:
    """The score of ``Digits`` as a plain TRL reward function."""
    return [float(text.count(" ")) for text in completions]


class Timed:
    """Keeps the seconds of the parts of each step of a trainer."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        begun = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)  # pyright: ignore[reportAttributeAccessIssue]
        self.__dict__.setdefault("generation_s", []).append(self.started - begun)
        self.__dict__.setdefault("rewards_s", []).append(time.perf_counter() - self.started)
        return output

    def _calculate_rewards(self, *args: Any) -> Any:
        self.started = time.perf_counter()
        return super()._calculate_rewards(*args)  # pyright: ignore[reportAttributeAccessIssue]


class Steps(NamedTuple):
    """Seconds of each counted step."""

    wall: FloatArray
    cpu: FloatArray


class Result(NamedTuple):
    """One clock's comparison."""

    base_s: float
    """Median step of GRPOTrainer."""
    hero_s: float
    """Median step of HeroTrainer."""
    ratio: float
    """Median over rounds of (HeroTrainer's mean step / GRPOTrainer's mean step)."""
    low: float
    high: float
    """95% interval of that median, by bootstrap over rounds."""
    spread: float
    """Interquartile range of GRPOTrainer's steps, as a share of their median."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate(["<pad>", "<eos>", *ALPHABET])}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def build_policy(hidden: int, layers: int) -> PreTrainedModel:
    """An untrained Llama."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(ALPHABET) + 2, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=hidden // 64, num_key_value_heads=hidden // 64, max_position_embeddings=512, pad_token_id=0,
        bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def build_trainers(options: argparse.Namespace, folder: str) -> tuple[GRPOTrainer, GRPOTrainer]:
    """The plain trainer and ours, alike in everything else."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from hero_rl.engines.trl.trainer import HeroTrainer
    from hero_rl.pipeline import HybridReward
    from hero_rl.rewards import hero

    class Plain(Timed, GRPOTrainer):
        pass

    class Ours(Timed, HeroTrainer):
        pass

    gpu = torch.cuda.is_available()
    args = GRPOConfig(
        output_dir=folder, use_cpu=not gpu, bf16=gpu, gradient_checkpointing=False, report_to="none", save_strategy="no",
        per_device_train_batch_size=options.rows, num_generations=8, max_completion_length=options.tokens,
        generation_kwargs={"min_new_tokens": options.tokens}, max_steps=options.steps + 1, learning_rate=0.0,
        scale_rewards="none", logging_steps=1, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    data = Dataset.from_dict({"prompt": [f"{i}+{i}=?" for i in range(10)], "reference": [str(2 * i) for i in range(10)]})
    shared = {"args": args, "train_dataset": data, "processing_class": build_tokenizer()}
    digits = Digits()
    return (
        Plain(build_policy(options.hidden, options.layers), [verdict, score], **shared),
        Ours(build_policy(options.hidden, options.layers), HybridReward(digits, digits, hero()), **shared),
    )


def run_turn(trainer: GRPOTrainer) -> Steps:
    """A few steps, the first one left out. A step: generation, rewards, loss, gradient, optimizer and logging."""
    from transformers import PrinterCallback, TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.wall: list[float] = []
            self.cpu: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.wall.append(time.perf_counter())
            self.cpu.append(time.process_time())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.on_step_begin()

    clock = Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    trainer.remove_callback(clock)
    return Steps(np.diff(clock.wall)[1:], np.diff(clock.cpu)[1:])


def compare(base: list[FloatArray], hero: list[FloatArray], seed: int = 0) -> Result:
    """Paired by round: what else the machine did then, it did to both."""
    ratios = np.array([ours.mean() / plain.mean() for plain, ours in zip(base, hero, strict=True)])
    generator = np.random.default_rng(seed)
    medians = np.median(ratios[generator.integers(0, len(ratios), (2000, len(ratios)))], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    steps = np.concatenate(base)
    quarter, three_quarters = np.percentile(steps, [25, 75])
    return Result(
        float(np.median(steps)), float(np.median(np.concatenate(hero))), float(np.median(ratios)), float(low), float(high),
        float((three_quarters - quarter) / np.median(steps)),
    )  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both clocks, with what was run."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = build_trainers(options, folder)
        turns: dict[str, list[Steps]] = {"plain": [], "ours": []}
        for trainer in (plain, ours):  # caches, lazy imports
            run_turn(trainer)
        for place in range(options.rounds):
            order = [("plain", plain), ("ours", ours)]
            for name, trainer in order if place % 2 == 0 else reversed(order):
                turns[name].append(run_turn(trainer))
        part = [float(np.median(trainer.__dict__["rewards_s"])) for trainer in (plain, ours)]
        size = sum(parameter.numel() for parameter in plain.model.parameters())  # pyright: ignore[reportOptionalMemberAccess]
    results = {
        clock: compare([getattr(turn, clock) for turn in turns["plain"]], [getattr(turn, clock) for turn in turns["ours"]])
        for clock in Steps._fields
    }
    wall, added_s = results["wall"], part[1] - part[0]
    return {
        **describe(), "parameters": size, "settings": vars(options), "target": TARGET,
        "clocks": {clock: result._asdict() for clock, result in results.items()},
        "reward_part": {"base_s": part[0], "hero_s": part[1], "share": added_s / wall.base_s},
        "summary": f"HeroTrainer / GRPOTrainer: {wall.ratio:.3f} ({wall.low:.3f} to {wall.high:.3f}) of {wall.base_s:.2f} s; "
        f"the rewards take {added_s:.4f} s more",
    }  # fmt: skip


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Step time of HeroTrainer over GRPOTrainer.")
    for name, default, what in (
        ("rounds", 12, "turns of each trainer"),
        ("steps", 4, "counted steps a turn"),
        ("hidden", 256, "width of the policy"),
        ("layers", 4, "its layers"),
        ("rows", 32, "completions a step, in groups of 8"),
        ("tokens", 32, "tokens a completion"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default {default})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parse()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    report = measure(options)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(
        f"{report['parameters'] / 1e6:.1f}M parameters, {options.rows} x {options.tokens} tokens a step, "
        f"{options.rounds} rounds of {options.steps} steps each, {report['threads']} thread, TRL {report['versions']['trl']}"
    )
    print(f"{'clock':6} {'GRPOTrainer':>12} {'HeroTrainer':>12} {'overhead':>9} {'95% interval':>18} {'spread of steps':>16}")
    for clock, row in report["clocks"].items():
        interval = f"{row['low'] - 1:+.1%} .. {row['high'] - 1:+.1%}"
        print(
            f"{clock:6} {row['base_s']:>10.3f} s {row['hero_s']:>10.3f} s {row['ratio'] - 1:>+9.1%} {interval:>18} "
            f"{row['spread']:>16.1%}"
        )
    part = report["reward_part"]
    print(f"{'within':6} {part['base_s']:>10.4f} s {part['hero_s']:>10.4f} s {part['share']:>+9.2%}   of a step")
    print(f"target: at most {TARGET:+.0%}")


if __name__ == "__main__":
    main()
