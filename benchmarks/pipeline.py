"""What it costs to run verifier and reward model together, and what a repeated batch costs with the cache warm.

    python benchmarks/pipeline.py [--data FILE.jsonl] [--rows 512] [--rounds 5] [--hidden 64] [--layers 2] [--json]

A batch of real responses is judged and scored on this machine: by a verifier whose comparisons run in one sandbox process, and
by a reward model with random weights of a real architecture, one thread. Four ways in turn, in an order that rotates from round
to round: verifier alone, reward model alone, both by ``HybridReward.measure``, both by ``HybridReward.ameasure``. Each round
gives one ratio of "both" to the slower one alone: 1 is perfect; "one after the other" is what it would be without overlap.
Target: at most 1.1.

A second figure does not suffer from what else the machine does: the same wall time over the slower of the two *within the same
run*. It is 1 where both really ran side by side, however slowly, and up to 2 where one waited for the other.

Two verifiers. ``math_verify`` sends every row to its sandbox process and takes about as long as the reward model, which is
where overlap pays most. ``math`` decides most rows in this process within a tenth of a second, and competes with the reward
model for it.

Then the same batch through ``CachedVerifier`` and ``CachedScorer``: with an empty cache, again, and again by new objects that
open the file anew. Target: a repeated batch costs less than 2%.

It needs two free cores: on a machine that is busy, both work slower together than alone, whatever the pipeline does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from hero_rl.cache import Cache, CachedScorer, CachedVerifier
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero
from hero_rl.scorers import LocalScorer
from hero_rl.types import FloatArray, Rollout, Scorer, Verdict, Verifier
from hero_rl.verifiers import MathVerifier, MathVerifyVerifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DATA = Path(__file__).parents[2] / "shared" / "data" / "processbench_math.jsonl"
TARGET_TOGETHER = 1.1
TARGET_WARM = 0.02


def read_rows(path: Path, count: int) -> list[Rollout]:
    """The first rows of a file of responses."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(count), file, strict=False)]
    return [
        Rollout(
            prompt_id=str(row.get("prompt_id", row.get("id"))), problem=row["problem"], reference=row["reference"],
            response=row["response"],
        )
        for row in rows
    ]  # fmt: skip


def build_scorer(texts: Sequence[str], hidden: int, layers: int) -> LocalScorer:
    """A reward model with random weights, and a tokenizer made of these texts, so that token counts are real ones."""
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    torch.manual_seed(0)
    tokenizer = build_tokenizer(texts)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=8192, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    return LocalScorer(Qwen2ForSequenceClassification(config), tokenizer=tokenizer, template="plain")


def build_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with 8,000 entries."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=8000, special_tokens=["<pad>", "<eos>"], show_progress=False)
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


class Timed(Verifier, Scorer):
    """A verifier or reward model that keeps how long its last call took."""

    def __init__(self, part: Any) -> None:
        self.part, self.name, self.took_s = part, part.name, 0.0

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return the verifier's verdicts."""
        return await self._timed(self.part.averify(rollouts))

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the reward model's scores."""
        return await self._timed(self.part.ascore(rollouts))

    async def _timed(self, work: Awaitable[Any]) -> Any:
        started = time.perf_counter()
        try:
            return await work
        finally:
            self.took_s = time.perf_counter() - started


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_together(verifier: Verifier, scorer: Scorer, rows: list[Rollout], rounds: int) -> dict[str, Any]:
    """Alone and together, in turns."""
    parts = Timed(verifier), Timed(scorer)
    reward = HybridReward(*parts, hero())
    ways: dict[str, Callable[[], object]] = {
        "verifier": lambda: verifier.verify(rows),
        "scorer": lambda: scorer.score(rows),
        "both": lambda: reward.measure(rows),
        "both_async": lambda: asyncio.run(reward.ameasure(rows)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    within: dict[str, list[float]] = {"both": [], "both_async": []}
    reward.measure(rows)  # starts workers, loads what is loaded late
    for place in range(rounds):
        names = list(ways)
        for name in names[place % 4 :] + names[: place % 4]:
            times[name].append(seconds(ways[name]))
            if name in within:
                within[name].append(times[name][-1] / max(part.took_s for part in parts))
    alone = np.maximum(times["verifier"], times["scorer"])
    ratios = {name: np.array(times[name]) / alone for name in ("both", "both_async")}
    serial = (np.array(times["verifier"]) + times["scorer"]) / alone
    return {
        "seconds": {name: spread(values) for name, values in times.items()},
        "ratio": {name: spread(values) for name, values in ratios.items()},
        "within": {name: spread(values) for name, values in within.items()},
        "one_after_the_other": spread(serial),
    }


def measure_cache(verifier: Verifier, scorer: Scorer, rows: list[Rollout], rounds: int) -> dict[str, Any]:
    """The batch with an empty cache, again, and again after the file was opened anew."""
    times: dict[str, list[float]] = {"cold": [], "again": [], "reopened": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.sqlite"
            for names in (("cold", "again"), ("reopened",)):
                with Cache(path) as cache:
                    reward = HybridReward(CachedVerifier(verifier, cache), CachedScorer(scorer, cache), hero())
                    for name in names:
                        times[name].append(seconds(lambda reward=reward: reward.measure(rows)))
    cold = np.array(times["cold"])
    return {
        "seconds": {name: spread(values) for name, values in times.items()},
        "share": {name: spread(np.array(times[name]) / cold) for name in ("again", "reopened")},
    }


def spread(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Median and extremes."""
    return {"median": float(np.median(values)), "low": float(np.min(values)), "high": float(np.max(values))}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, with what was run."""
    import torch
    import transformers

    rows = read_rows(options.data, options.rows)
    load_before = os.getloadavg()[0]
    scorer = build_scorer([row.problem + row.response for row in rows], options.hidden, options.layers)
    together: dict[str, Any] = {}
    with MathVerifyVerifier(workers=1) as slow, MathVerifier(workers=1) as quick:
        for verifier in (slow, quick):
            verifier.warm()
            together[verifier.name] = measure_together(verifier, scorer, rows, options.rounds)
        cache = measure_cache(slow, scorer, rows, max(1, min(options.rounds, 3)))
    return {
        "settings": {name: value for name, value in vars(options).items() if name not in ("data", "json")},
        "data": {"file": options.data.name, "rows": len(rows), "characters": sum(len(r.problem + r.response) for r in rows)},
        "targets": {"together": TARGET_TOGETHER, "warm": TARGET_WARM},
        "together": together,
        "cache": cache,
        "load": {"before": load_before, "after": os.getloadavg()[0], "cores": os.cpu_count()},
        "versions": {
            "torch": torch.__version__, "transformers": transformers.__version__, "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Verifier and reward model together, and with a warm cache.")
    parser.add_argument("--data", type=Path, default=DATA, help="rows with problem, reference and response (JSONL)")
    for name, default, what in (
        ("rows", 512, "rows of the batch"),
        ("rounds", 5, "turns of each way"),
        ("hidden", 64, "width of the reward model"),
        ("layers", 2, "its layers"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default {default})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parse()
    if not options.data.is_file():
        sys.exit(f"skipped: there is no {options.data.name} at the usual place; give a file of responses with --data")
    logging.disable(logging.WARNING)
    report = measure(options)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    load = report["load"]
    print(f"{report['data']['rows']} rows; load {load['before']:.1f} to {load['after']:.1f} on {load['cores']} cores")
    print(
        f"{'verifier':12} {'verifier':>9} {'scorer':>9} {'both':>9} {'async':>9}   both / slower (range)     within    serial"
    )
    for name, row in report["together"].items():
        times = " ".join(f"{row['seconds'][way]['median']:>7.2f} s" for way in ("verifier", "scorer", "both", "both_async"))
        ratio = row["ratio"]["both"]
        print(
            f"{name:12} {times}   {ratio['median']:.3f} ({ratio['low']:.3f} .. {ratio['high']:.3f})   "
            f"{row['within']['both']['median']:.3f}     {row['one_after_the_other']['median']:.3f}"
        )
    for name, share in report["cache"]["share"].items():
        took = report["cache"]["seconds"][name]["median"]
        print(f"cache {name:9} {1e3 * took:8.1f} ms, {share['median']:.2%} of the cold batch (at most {share['high']:.2%})")
    print(f"targets: together at most {TARGET_TOGETHER:.2f}, repeated less than {TARGET_WARM:.0%}")


if __name__ == "__main__":
    main()
