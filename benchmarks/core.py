"""Speed of the reward core: shaped responses a second, against a plain Python loop and against torch, in one run.

    python benchmarks/core.py [--json] [--largest 1e7]

Shaping means everything between the raw signals and the policy update: bands (Eq. 3), weights (Eq. 4), advantages. All three
implementations run on one core on the same batch (groups of 8, 30% correct) and must agree to 1e-6 before they are timed. The
figure of each is the best of several repeats; machines differ, so read the ratios.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch

from hero_rl.rewards import group_advantages, hero
from hero_rl.types import FloatArray

ALPHA = BETA = 0.05
EPS, W_MIN, W_MAX, K = 1e-6, 0.4, 3.0, 6.0
GROUP_SIZE = 8


def shape_numpy(verdicts: FloatArray, scores: FloatArray, groups: np.ndarray) -> FloatArray:
    """hero_rl's own way; without its tie tolerance, which the other two do not have."""
    rule = hero(alpha=ALPHA, beta=BETA, tie_tolerance=0.0)
    output = rule.apply(verdicts, scores, groups, rule.init())
    return group_advantages(output.rewards, groups, weights_B=output.weights)


def shape_loop(verdicts: FloatArray, scores: FloatArray, groups: np.ndarray) -> FloatArray:
    """The way it is written first: a Python loop over prompts, small numpy calls inside."""
    members = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    sigmas = {group: scores[rows].std() for group, rows in members.items()}
    sigma_mean = float(np.mean(list(sigmas.values())))
    advantages = np.empty_like(scores)
    for group, rows in members.items():
        reward = np.empty(len(rows))
        for value, low, width in ((0.0, -ALPHA, 2 * ALPHA), (1.0, 1 - BETA, 2 * BETA)):
            stratum = verdicts[rows] == value
            if stratum.any():
                part = scores[rows][stratum]
                reward[stratum] = low + width * (part - part.min()) / (part.max() - part.min() + EPS)
        weight = W_MIN + (W_MAX - W_MIN) / (1 + math.exp(-K * (sigmas[group] - sigma_mean)))
        advantages[rows] = weight * (reward - reward.mean())
    return advantages


def shape_torch(verdicts: FloatArray, scores: FloatArray, groups: np.ndarray) -> FloatArray:
    """A torch implementation for equal contiguous groups, the layout of TRL: what an engine would do inside."""
    v, s = torch.from_numpy(verdicts).view(-1, GROUP_SIZE), torch.from_numpy(scores).view(-1, GROUP_SIZE)
    reward = torch.zeros_like(s)
    for value, low, width in ((0.0, -ALPHA, 2 * ALPHA), (1.0, 1 - BETA, 2 * BETA)):
        stratum = v == value
        smallest = s.masked_fill(~stratum, math.inf).amin(1, keepdim=True)
        largest = s.masked_fill(~stratum, -math.inf).amax(1, keepdim=True)
        reward = torch.where(stratum, low + width * (s - smallest) / (largest - smallest + EPS), reward)
    sigma = s.std(1, correction=0, keepdim=True)
    weight = W_MIN + (W_MAX - W_MIN) * torch.sigmoid(K * (sigma - sigma.mean()))
    return (weight * (reward - reward.mean(1, keepdim=True))).view(-1).numpy()


def batch(size: int) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Random signals in contiguous groups."""
    rng = np.random.default_rng(size)
    groups = np.arange(size) // GROUP_SIZE
    return (rng.random(size) < 0.3).astype(np.float64), rng.normal(size=size), groups


def best_of(function: Callable[..., FloatArray], arguments: tuple, repeats: int) -> float:
    """Seconds of the fastest repeat."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Time all three at growing sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--largest", type=float, default=1e7, help="responses in the largest batch")
    options = parser.parse_args()
    torch.set_num_threads(1)

    rows = []
    for exponent in range(3, round(math.log10(options.largest)) + 1):
        size = 10**exponent // GROUP_SIZE * GROUP_SIZE
        arguments = batch(size)
        ours, theirs = shape_numpy(*arguments), shape_torch(*arguments)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        row = {
            "responses": size,
            "hero_rl_s": best_of(shape_numpy, arguments, 5),
            "torch_s": best_of(shape_torch, arguments, 5),
            "loop_s": None,
            "shuffled_s": best_of(shape_numpy, (*arguments[:2], np.random.default_rng(0).permutation(arguments[2])), 3),
        }
        if size <= 1_000_000:  # the loop needs minutes beyond
            np.testing.assert_allclose(ours, shape_loop(*arguments), atol=1e-6)
            row["loop_s"] = best_of(shape_loop, arguments, 1 if size > 100_000 else 3)
        rows.append(row)

    if options.json:
        print(json.dumps({"numpy": np.__version__, "torch": torch.__version__, "rows": rows}))
        return
    print(f"{'responses':>10} {'hero_rl':>12} {'torch':>12} {'loop':>12} {'vs torch':>9} {'vs loop':>8} {'shuffled':>12}")
    for row in rows:
        seconds = [row[key] for key in ("hero_rl_s", "torch_s", "loop_s")]
        rates = [f"{row['responses'] / value / 1e6:8.2f} M/s" if value else " " * 12 for value in seconds]
        loop = f"{row['loop_s'] / row['hero_rl_s']:7.1f}x" if row["loop_s"] else ""
        shuffled = f"{row['responses'] / row['shuffled_s'] / 1e6:8.2f} M/s"
        print(f"{row['responses']:>10} {' '.join(rates)} {row['torch_s'] / row['hero_rl_s']:8.2f}x {loop:>8} {shuffled}")
    largest = rows[-1]
    print(f"{largest['responses']:,} responses shaped in {largest['hero_rl_s']:.2f} s on one core")


if __name__ == "__main__":
    main()
