"""Tokens/s and MFU of local scoring on a GPU: 1.5B and 7B models with random weights in bfloat16.

    python benchmarks/scorer_gpu.py

MFU: the floating-point operations that the scored tokens need, per second, over what a large bfloat16 matrix multiplication
reaches on the same card in the same run. Counted: 2 per weight of the layers and token, and 4 * width for each earlier token
and layer; padding counts as nothing, so that it lowers the figure. Lengths are log-normal, about the spread of maths responses.
``benchmarks/scorer.py`` runs this where it finds a GPU. Written without one at hand: this file has not been run yet.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

ROWS = 512
LONGEST = 4096
MATRIX = 8192


class Shape(NamedTuple):
    """Sizes of a Qwen2 decoder."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int


SHAPES = {"1.5B": Shape(1536, 8960, 28, 12, 2), "7B": Shape(3584, 18944, 28, 28, 4)}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of ``work`` with the card's queue empty before and after; the first call is not counted."""
    import torch

    times = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def matmul_flops() -> float:
    """Operations per second of a square bfloat16 matrix multiplication: the limit that MFU refers to."""
    import torch

    left, right = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    calls = 20

    def multiply() -> None:
        for _ in range(calls):
            left @ right

    return calls * 2 * MATRIX**3 / seconds(multiply, 5)


def build_model(shape: Shape) -> torch.nn.Module:
    """A Qwen2 classifier with random weights, made on the card."""
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    config = Qwen2Config(
        vocab_size=151_936, hidden_size=shape.hidden, intermediate_size=shape.inner, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, max_position_embeddings=LONGEST,
        num_labels=1, pad_token_id=0,
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return Qwen2ForSequenceClassification(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def needed_flops(model: torch.nn.Module, shape: Shape, lengths: np.ndarray) -> float:
    """Operations that rows of these lengths need at least."""
    weights = sum(weight.numel() for name, weight in model.named_parameters() if ".layers." in name)
    return float(2.0 * weights * lengths.sum() + 2.0 * shape.layers * shape.hidden * (lengths.astype(float) ** 2).sum())


def measure_gpu() -> dict[str, Any]:
    """The card's limit, and each model against it."""
    import torch

    from hero_rl.models.batching import BATCH_SIZE
    from hero_rl.models.classifier import Classifier, Limits
    from hero_rl.models.local import MAX_TOKENS_PER_BATCH

    limit = matmul_flops()
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(500), 0.6, ROWS).astype(int), 16, LONGEST)
    report: dict[str, Any] = {
        "card": torch.cuda.get_device_name(), "torch": torch.__version__, "matmul_flops_per_s": limit,
        "rows": ROWS, "tokens": int(lengths.sum()), "token_budget": MAX_TOKENS_PER_BATCH, "models": {},
    }  # fmt: skip
    rows = [rng.integers(1, 151_936, length, dtype=np.int32) for length in lengths]
    for name, shape in SHAPES.items():
        model = build_model(shape)
        limits = Limits(BATCH_SIZE, MAX_TOKENS_PER_BATCH)
        classifier = Classifier(model, limits, pad_id=0, share=False)  # pyright: ignore[reportArgumentType]
        classifier.causal  # noqa: B018  # the trial is not part of the time
        torch.cuda.reset_peak_memory_stats()

        def score(classifier: Classifier = classifier) -> Any:
            return classifier.run(rows, range(ROWS), max_length=LONGEST)

        elapsed, work = seconds(score, 3), classifier.last_work
        report["models"][name] = {
            "tokens_per_s": work.real_tokens / elapsed, "mfu": needed_flops(model, shape, lengths) / elapsed / limit,
            "real_tokens": work.real_tokens / work.computed_tokens, "forwards": work.forwards,
            "peak_bytes": torch.cuda.max_memory_allocated(),
        }  # fmt: skip
        del model, classifier, score
        torch.cuda.empty_cache()
    return report


def main() -> None:
    """Measure and print JSON."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/scorer_gpu.py needs a GPU that torch sees")
    print(json.dumps(measure_gpu(), indent=2))


if __name__ == "__main__":
    main()
