"""Tokens/s of ``LocalScorer`` on a GPU and the share of its speed: models of 1.5B and 7B random weights in bfloat16.

    python benchmarks/scorer_gpu.py [--models 1.5B,7B] [--rows 512] [--longest 4096] [--matrix 8192]

Counted are the floating-point operations that the scored tokens need: 2 per weight of the layers and token, and 4 * width for
each earlier token and layer. Padding counts as nothing, so it lowers the figure, and so does tokenization, which is part of the
time. The share is given of what a large bfloat16 matrix multiplication reaches on the same device in the same run, and of the
data sheet. Lengths are log-normal, about the spread of maths responses; the texts are this repository's. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout
from machine import describe
from scorer import ROOT, build_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DATA_SHEET = {"H100": 989e12, "H200": 989e12}
"""Dense bfloat16 operations per second."""


class Shape(NamedTuple):
    """Sizes of a Qwen2 decoder."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int


SHAPES = {
    "1.5B": Shape(1536, 8960, 28, 12, 2),
    "7B": Shape(3584, 18944, 28, 28, 4),
    "toy": Shape(64, 128, 2, 4, 2),
}


def device() -> str:
    """Return the GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of ``work`` with an idle GPU before and after; the first call is not counted."""
    import torch

    times = []
    for _ in range(repeats + 1):
        if device() == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device() == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def matmul_flops(size: int) -> float:
    """Return the operations per second of a square bfloat16 matrix multiplication."""
    import torch

    left, right = (torch.randn(size, size, device=device(), dtype=torch.bfloat16) for _ in range(2))
    calls = 20

    def multiply() -> None:
        for _ in range(calls):
            left @ right

    return calls * 2 * size**3 / seconds(multiply, 5)


def build_model(shape: Shape, longest: int) -> PreTrainedModel:
    """Return a Qwen2 classifier with random weights, made on the device."""
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    config = Qwen2Config(
        vocab_size=151_936, hidden_size=shape.hidden, intermediate_size=shape.inner, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, max_position_embeddings=longest,
        num_labels=1, pad_token_id=0,
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device()):
            return Qwen2ForSequenceClassification(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def draw_rollouts(tokenizer: PreTrainedTokenizerFast, rows: int, longest: int) -> list[Rollout]:
    """Return one response per prompt, a piece of this repository's documents each."""
    rng = np.random.default_rng(0)
    ids = tokenizer("".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md")))).input_ids
    lengths = np.clip(rng.lognormal(np.log(500), 0.6, rows).astype(int), 16, longest - 16)
    pieces = [
        ids[start : start + length] for start, length in zip(rng.integers(len(ids) - longest, size=rows), lengths, strict=True)
    ]
    return [
        Rollout(prompt_id=str(row), problem="Continue: ", reference="", response=tokenizer.decode(piece))
        for row, piece in enumerate(pieces)
    ]  # fmt: skip


def needed_flops(model: PreTrainedModel, shape: Shape, lengths: np.ndarray) -> float:
    """Return the least operations that rows of these lengths need."""
    weights = sum(weight.numel() for name, weight in model.named_parameters() if ".layers." in name)
    return float(2.0 * weights * lengths.sum() + 2.0 * shape.layers * shape.hidden * (lengths.astype(float) ** 2).sum())


def measure_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> dict[str, float]:
    """Return one model's speed, in tokens and in operations."""
    import torch

    model = build_model(shape, options.longest)
    scorer = LocalScorer(model, tokenizer=tokenizer, share_prefix=False)
    rollouts = draw_rollouts(tokenizer, options.rows, options.longest)
    lengths = np.array([len(scorer.encode(rollout)) for rollout in rollouts])
    if device() == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elapsed = seconds(lambda: scorer.score(rollouts), 3)
    work = scorer.last_work
    return {
        "tokens": work.real_tokens, "tokens_per_s": work.real_tokens / elapsed,
        "flops_per_s": needed_flops(model, shape, lengths) / elapsed, "real_tokens": work.real_tokens / work.computed_tokens,
        "forwards": work.forwards, "peak_bytes": torch.cuda.max_memory_allocated() if device() == "cuda" else 0,
    }  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the device's limits and each model against them."""
    report: dict[str, Any] = {**describe(), "settings": vars(options)}
    limit = report["matmul_flops_per_s"] = matmul_flops(options.matrix)
    peak = report["data_sheet_flops_per_s"] = next((DATA_SHEET[card] for card in DATA_SHEET if card in report["device"]), None)
    tokenizer = build_tokenizer()
    models = report["models"] = {}
    for name in options.models.split(","):
        row = measure_model(SHAPES[name], tokenizer, options)
        shares = {"share_of_matmul": row["flops_per_s"] / limit, "share_of_data_sheet": peak and row["flops_per_s"] / peak}
        models[name] = row | shares
    report["summary"] = "; ".join(
        f"{name}: {row['tokens_per_s']:,.0f} tokens/s, {row['share_of_matmul']:.0%} of a matrix multiplication's speed"
        + (f", {row['share_of_data_sheet']:.0%} of the data sheet's" if peak else "")
        for name, row in models.items()
    )
    return report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Tokens/s of LocalScorer and its share of the GPU's speed.")
    parser.add_argument("--models", default="1.5B,7B", help=f"of {', '.join(SHAPES)} (default 1.5B,7B)")
    for name, default, what in (
        ("rows", 512, "responses"),
        ("longest", 4096, "most tokens of a response"),
        ("matrix", 8192, "rows of the matrices that are multiplied"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default {default})")
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
