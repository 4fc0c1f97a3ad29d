"""Local reward-model scoring against one padded forward over the generation batch, as TRL 1.16 scores a reward model.

    python benchmarks/scorer.py --data DIR [--rounds 4] [--batches 1] [--hidden 128] [--layers 2] [--json]

DIR holds ``processbench_gsm8k.jsonl``, ``processbench_math.jsonl`` (about one response a problem) and ``math_rm_scores.jsonl``
(eight responses a problem, which is what shared prefixes need); they are not part of this project. The model is a Llama with
random weights in float32, the tokenizer a byte-level BPE trained on this repository's own text. GRPOTrainer's way is written
out in ``padded_forward``: tokenize all texts with padding on the right, one forward, no token budget.

In one run: the largest difference of the scores, both clocks as a ratio (in turns A B B A, so that what else the machine does
reaches both), the share of computed tokens that are real, and the peak memory of fresh processes for more and more rows.
Targets: the same scores to 1e-5, at least twice the throughput, at least 95% real tokens, and memory that does not grow with
the batch. ``benchmarks/scorer_gpu.py`` measures tokens/s on a GPU.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from hero_rl.types import FloatArray, Rollout

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from hero_rl.scorers import LocalScorer

ROOT = Path(__file__).parents[1]
FILES = ("processbench_gsm8k", "processbench_math", "math_rm_scores")
ROWS = 64
"""Responses of one generation batch."""
MEMORY_FILE = "processbench_gsm8k"
MEMORY_ROWS = {"padded_forward": (20, 200), "hero_rl": (20, 200, 400)}
"""400 is the whole file."""
TARGETS = {"largest_difference": 1e-5, "throughput": 2.0, "real_tokens": 0.95}


class Ratio(NamedTuple):
    """Time of the padded forward over ours."""

    median: float
    low: float
    high: float
    """Smallest and largest round."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 4096 tokens over this repository's documents and sources."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    core = ByteLevelBPETokenizer()
    texts = sorted(str(path) for pattern in ("docs/**/*.md", "src/**/*.py") for path in ROOT.glob(pattern))
    core.train(texts, vocab_size=4096, special_tokens=["<pad>", "<end>"], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=core._tokenizer, pad_token="<pad>", eos_token="<end>")


def build_model(hidden: int, layers: int) -> PreTrainedModel:
    """An untrained Llama with one output."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=hidden, intermediate_size=8 * hidden // 3, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=8192, num_labels=1, pad_token_id=0,
        bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config).eval()
    torch.nn.init.normal_(model.score.weight, std=hidden**-0.5)  # scores of about unit size
    return model


def build_scorer(options: argparse.Namespace) -> LocalScorer:
    """Ours with its defaults, on the text that TRL's way reads: problem + response without an end."""
    from hero_rl.scorers import LocalScorer

    return LocalScorer(build_model(options.hidden, options.layers), tokenizer=build_tokenizer(), eos="never")


def padded_forward(scorer: LocalScorer, rollouts: Sequence[Rollout]) -> tuple[FloatArray, int, int]:
    """Scores, real and computed tokens, as ``GRPOTrainer._calculate_rewards`` gets them for a plain-text reward model."""
    import torch

    texts = [rollout.problem + rollout.response for rollout in rollouts]
    inputs = scorer.local.tokenizer(
        text=texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False,
    )  # fmt: skip
    with torch.inference_mode():
        scores = scorer.local.model(**inputs).logits[:, 0]
    return scores.double().numpy(), int(inputs["attention_mask"].sum()), inputs["input_ids"].numel()


def read(folder: Path, name: str, seed: int = 0) -> list[Rollout]:
    """Rows of a file in groups of one prompt, the groups shuffled, so that each batch has the file's spread of lengths."""
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    groups: dict[str, list[Rollout]] = {}
    for row in rows:
        prompt = row.get("prompt_id", row["problem"])
        rollout = Rollout(prompt_id=prompt, problem=row["problem"], reference="", response=row["response"])
        groups.setdefault(prompt, []).append(rollout)
    order = np.random.default_rng(seed).permutation(len(groups))
    grouped = list(groups.values())
    return [rollout for place in order for rollout in grouped[place]]


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(scorer: LocalScorer, batches: list[list[Rollout]], rounds: int) -> dict[str, Any]:
    """One file: agreement, tokens and both clocks."""
    padded = [padded_forward(scorer, batch) for batch in batches]
    ours, works = [], []
    for batch in batches:
        ours.append(scorer.score(batch))
        works.append(scorer.last_work)
    base_s, ours_s = [], []
    for number in range(rounds):
        arms = [(base_s, lambda batch: padded_forward(scorer, batch)), (ours_s, scorer.score)]
        for clocks, arm in arms if number % 2 == 0 else reversed(arms):
            turns = [timed(lambda batch=batch, arm=arm: arm(batch)) for batch in batches]
            clocks.append(np.sum(turns, axis=0))
    base, hero = np.array(base_s), np.array(ours_s)
    real = sum(item[1] for item in padded)
    return {
        "responses": sum(map(len, batches)), "tokens": real, "score_spread": float(np.std(np.concatenate(ours))),
        "largest_difference": float(max(np.abs(a[0] - b).max() for a, b in zip(padded, ours, strict=True))),
        "real_tokens": {
            "padded_forward": real / sum(item[2] for item in padded),
            "hero_rl": sum(work.real_tokens for work in works) / sum(work.computed_tokens for work in works),
        },
        "saved_by_shared_prefixes": sum(work.saved_tokens for work in works) / real,
        "forwards": sum(work.forwards for work in works),
        "tokens_per_s": {
            "padded_forward": real / float(np.median(base[:, 0])), "hero_rl": real / float(np.median(hero[:, 0]))
        },
        "throughput": {clock: ratio(base[:, i], hero[:, i])._asdict() for i, clock in enumerate(("wall", "cpu"))},
    }  # fmt: skip


def ratio(base: FloatArray, ours: FloatArray) -> Ratio:
    """Paired by round."""
    ratios = base / ours
    return Ratio(float(np.median(ratios)), float(ratios.min()), float(ratios.max()))


def peak_bytes() -> int:
    """Most memory that this process has had; not ``ru_maxrss``, which a child has from its parent."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def memory_here(options: argparse.Namespace) -> None:
    """Print how far scoring ``options.memory_rows`` rows raised the peak of this process."""
    scorer = build_scorer(options)
    rollouts = read(options.data, MEMORY_FILE)
    scorer.score(rollouts[:2])
    before = peak_bytes()
    if options.memory_arm == "hero_rl":
        scorer.score(rollouts[: options.memory_rows])
    else:
        padded_forward(scorer, rollouts[: options.memory_rows])
    print(peak_bytes() - before)


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Growth of the peak in bytes for few and many rows, each in a fresh process."""
    shape = ["--hidden", str(options.hidden), "--layers", str(options.layers)]
    table: dict[str, Any] = {"rows": MEMORY_ROWS}
    for arm in ("padded_forward", "hero_rl"):
        table[arm] = []
        for rows in MEMORY_ROWS[arm]:
            command = [sys.executable, __file__, "--data", str(options.data), *shape]
            child = subprocess.run(
                [*command, "--memory-arm", arm, "--memory-rows", str(rows)], capture_output=True, text=True, check=True
            )
            table[arm].append(int(child.stdout.split()[-1]))
    return table


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, with what was run."""
    import torch
    import transformers
    import trl

    scorer = build_scorer(options)
    files = {}
    for name in FILES:
        rollouts = read(options.data, name)
        batches = [rollouts[start : start + ROWS] for start in range(0, ROWS * options.batches, ROWS)]
        files[name] = compare(scorer, batches, options.rounds)
    report = {
        "command": "python benchmarks/scorer.py " + " ".join(sys.argv[1:]), "targets": TARGETS,
        "parameters": sum(weight.numel() for weight in scorer.local.model.parameters()), "hidden": options.hidden,
        "layers": options.layers, "rows_per_batch": ROWS, "rounds": options.rounds,
        "token_budget": scorer._classifier.limits.tokens, "files": files,
        "peak_growth_bytes": memory(options) if sys.platform == "linux" else None,
        "versions": {
            "trl": trl.__version__, "torch": torch.__version__, "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    return report


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Local scoring against one padded forward.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the three files")
    for name, default, what in (
        ("rounds", 4, "turns of each arm"),
        ("batches", 1, f"generation batches of {ROWS} responses from each file"),
        ("hidden", 128, "width of the model"),
        ("layers", 2, "its layers"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default {default})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--memory-arm", choices=("padded_forward", "hero_rl"), help=argparse.SUPPRESS)
    parser.add_argument("--memory-rows", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def show(report: dict[str, Any]) -> None:
    """A table for people."""
    print(
        f"{report['parameters'] / 1e6:.1f}M parameters, float32, {report['threads']} thread, batches of {ROWS} responses, "
        f"{report['rounds']} rounds, budget {report['token_budget']} tokens"
    )
    print(f"{'file':20} {'difference':>10} {'wall':>22} {'CPU':>22} {'real: padded':>13} {'ours':>6} {'prefixes save':>14}")
    for name, row in report["files"].items():
        clocks = [f"{clock['median']:.2f}x ({clock['low']:.2f} .. {clock['high']:.2f})" for clock in row["throughput"].values()]
        real = row["real_tokens"]
        print(
            f"{name:20} {row['largest_difference']:>10.1e} {clocks[0]:>22} {clocks[1]:>22} "
            f"{real['padded_forward']:>13.1%} {real['hero_rl']:>6.1%} {row['saved_by_shared_prefixes']:>14.1%}"
        )
    peak = report["peak_growth_bytes"]
    if peak:
        for arm in ("padded_forward", "hero_rl"):
            grown = [f"+{size / 2**20:.0f} MB for {rows} rows" for rows, size in zip(MEMORY_ROWS[arm], peak[arm], strict=True)]
            print(f"peak memory, {arm}: {', '.join(grown)}")
    print("targets: difference at most 1e-5, at least 2x, at least 95% real")


def main() -> None:
    """Measure and print."""
    options = parse()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if options.memory_arm:
        memory_here(options)
        return
    report = measure(options)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
