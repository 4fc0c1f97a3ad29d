"""What judges the rollouts of 1,000 GPUs: verifier cores, reward-model replicas, and how long a training step waits for them.

    python benchmarks/capacity.py [--gpus 1000] [--prompts 8192] [--responses 8] [--steps 200] [--json] [--figure FILE.png]

A simulation: nothing here was run on a GPU. Each step samples prompts x responses, one after the other in time as memory
bandwidth allows; every finished response goes to a verifier core and to a reward-model replica (a queue each, first come first
served; a replica takes as many waiting responses as its token budget holds). The step waits from the end of sampling until the
last reward is there. ``streamed``: judged as they finish (verl, slime, TRL's asynchronous trainer). ``at_the_end``: all at once
(TRL's synchronous trainer, and every engine that judges a whole batch).

Every assumption is an option. Measured ones are read from results/benchmarks/ (made on two CPU cores); the rest are
estimates from data sheets and operation counts, given as ranges. docs/capacity.md has the arithmetic.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hero_rl.report.figures import Curve, Panel, curve_panels, save_png

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
MFUS = (0.2, 0.35, 0.5)
LAYOUT_QWEN3_4B = 2 * 36 * 8 * 128 * 2
"""Bytes of cache a token: keys and values, 36 layers, 8 heads of 128, two bytes (the model's published configuration)."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Assumptions; each is an option of the command line."""

    gpus: int = 1000
    """That sample and train; the reward model's come on top."""
    prompts: int = 8192
    responses: int = 8
    """To a prompt. 65,536 responses a step is 66 a GPU; the paper has 4,096 on 32, which is 128."""
    prompt_tokens: int = 200
    mean_tokens: float = 2000.0
    """Of a response: log-normal, cut off at ``max_tokens``."""
    sigma: float = 0.6
    max_tokens: int = 8192
    policy_params: float = 4e9
    reward_params: float = 7e9
    reward_layers: int = 28
    reward_width: int = 3584
    peak_flops: float = 989e12
    """Dense bfloat16 of an H100 SXM (data sheet)."""
    bandwidth: float = 3.35e12
    """Bytes/s of its memory (data sheet)."""
    decode_efficiency: float = 0.5
    """Share of the bandwidth that decoding reaches."""
    cache_bytes: float = LAYOUT_QWEN3_4B
    train_mfu: float = 0.35
    reward_tokens_per_batch: int = 40960
    reward_jitter: float = 0.1
    """Standard deviation of the logarithm of a batch's time."""
    p_stall: float = 1e-5
    """That a replica hangs on a batch until the client's timeout; one step in thirty sees it."""
    stall_s: float = 60.0
    verify_per_s: float = 3000.0
    """Responses a second and core, of those that do not hang."""
    p_hang: float = 1e-3
    """Answers that run into the verifier's deadline."""
    deadline_s: float = 3.0
    service_per_s: float = 6500.0
    """Responses a second through one `hero serve`, signals being there."""
    seed: int = 0


class Served(NamedTuple):
    """What came out of a queue."""

    done: np.ndarray
    """Shape (jobs,): when each was finished."""
    busy_s: float
    """Of all servers together."""


def sample_lengths(inputs: Inputs, rng: np.random.Generator) -> np.ndarray:
    """Shape (gpus, responses of each): tokens. Every GPU has equally many, rounded up."""
    each = -(-inputs.prompts * inputs.responses // inputs.gpus)
    location = np.log(inputs.mean_tokens) - inputs.sigma**2 / 2
    lengths = rng.lognormal(location, inputs.sigma, (inputs.gpus, each))
    return np.ceil(np.minimum(lengths, inputs.max_tokens))


def sampling_times(lengths: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Shape as ``lengths``, sorted within each GPU: when each response is finished.

    A decoding step reads the weights once and the cache of every response that still runs, so it gets faster as others finish.
    """
    ordered = np.sort(lengths, axis=1)
    steps = np.diff(ordered, axis=1, prepend=0.0)
    running = ordered.shape[1] - np.arange(ordered.shape[1])
    context = inputs.prompt_tokens + ordered - steps / 2
    read = 2 * inputs.policy_params + running * inputs.cache_bytes * context
    return np.cumsum(steps * read / (inputs.bandwidth * inputs.decode_efficiency), axis=1)


def serve(arrivals: np.ndarray, work_s: np.ndarray, servers: int) -> Served:
    """One queue, first come first served.

    Args:
        arrivals: shape (jobs,), sorted.
        work_s: shape (jobs,).
        servers: how many work at it.
    """
    free = [0.0] * servers
    done = np.empty(len(arrivals))
    for job, (arrival, work) in enumerate(zip(arrivals.tolist(), work_s.tolist(), strict=True)):
        done[job] = max(arrival, free[0]) + work
        heapq.heapreplace(free, done[job])
    return Served(done, float(work_s.sum()))


def serve_batches(arrivals: np.ndarray, work_s: np.ndarray, tokens: np.ndarray, servers: int, budget: int) -> Served:
    """As ``serve``, but a server that is free takes all that wait, up to ``budget`` tokens, and finishes them together."""
    free = [0.0] * servers
    done = np.empty(len(arrivals))
    when, work, size = arrivals.tolist(), work_s.tolist(), tokens.tolist()
    first = 0
    while first < len(when):
        start = max(when[first], free[0])
        last, taken = first + 1, size[first]
        while last < len(when) and when[last] <= start and taken + size[last] <= budget:
            taken += size[last]
            last += 1
        end = start + sum(work[first:last])
        heapq.heapreplace(free, end)
        done[first:last] = end
        first = last
    return Served(done, float(work_s.sum()))


def reward_tokens_per_s(inputs: Inputs, mfu: float) -> float:
    """Of one replica (one GPU): operations that a token needs, into what the GPU does of its peak.

    2 per weight, and 4 x width x earlier tokens in each layer; responses of mean length, so half of it are earlier on average.
    """
    earlier = (inputs.prompt_tokens + inputs.mean_tokens) / 2
    operations = 2 * inputs.reward_params + 4 * inputs.reward_width * earlier * inputs.reward_layers
    return mfu * inputs.peak_flops / operations


class Step(NamedTuple):
    """One step's responses, in the order in which they finish."""

    finished: np.ndarray
    tokens: np.ndarray
    end_s: float


def sample_step(inputs: Inputs, rng: np.random.Generator) -> Step:
    """A step's sampling."""
    lengths = sample_lengths(inputs, rng)
    times = sampling_times(lengths, inputs)
    order = np.argsort(times, axis=None)
    return Step(times.ravel()[order], np.sort(lengths, axis=1).ravel()[order] + inputs.prompt_tokens, float(times.max()))


def reward_wait(step: Step, inputs: Inputs, replicas: int, mfu: float, streamed: bool, rng: np.random.Generator) -> float:
    """Seconds from the end of sampling to the last score."""
    work = step.tokens / reward_tokens_per_s(inputs, mfu) * rng.lognormal(0.0, inputs.reward_jitter, len(step.tokens))
    per_batch = inputs.reward_tokens_per_batch / step.tokens.mean()
    work = work + inputs.stall_s * (rng.random(len(work)) < inputs.p_stall / per_batch)
    arrivals = step.finished if streamed else np.full(len(step.finished), step.end_s)
    served = serve_batches(arrivals, work, step.tokens, replicas, inputs.reward_tokens_per_batch)
    return float(served.done.max() - step.end_s)


def verify_wait(step: Step, inputs: Inputs, cores: int, streamed: bool, rng: np.random.Generator) -> float:
    """Seconds from the end of sampling to the last verdict."""
    jobs = len(step.finished)
    work = rng.exponential(1 / inputs.verify_per_s, jobs)
    work = np.where(rng.random(jobs) < inputs.p_hang, inputs.deadline_s, work)
    arrivals = step.finished if streamed else np.full(jobs, step.end_s)
    return float(serve(arrivals, work, cores).done.max() - step.end_s)


def on_paper(inputs: Inputs) -> dict[str, Any]:
    """The arithmetic without queues, from the mean of one sampled step."""
    step = sample_step(inputs, np.random.default_rng(inputs.seed))
    count, tokens = len(step.tokens), float(step.tokens.sum())
    training = 8 * inputs.policy_params * tokens / (inputs.gpus * inputs.peak_flops * inputs.train_mfu)
    cycle = step.end_s + training
    verify_core_s = count * ((1 - inputs.p_hang) / inputs.verify_per_s + inputs.p_hang * inputs.deadline_s)
    per_second = np.bincount(step.finished.astype(int))
    rates = {mfu: reward_tokens_per_s(inputs, mfu) for mfu in MFUS}
    return {
        "responses_per_step": count, "tokens_per_step": tokens, "sampling_s": step.end_s, "training_s": training,
        "half_finished_s": float(np.median(step.finished)), "cycle_s": cycle,
        "responses_per_s": {"mean": count / cycle, "while_sampling": count / step.end_s, "peak": int(per_second.max())},
        "verifier": {"core_s_per_step": verify_core_s, "of_it_hanging": count * inputs.p_hang * inputs.deadline_s,
                     "cores_at_least": verify_core_s / step.end_s},
        "reward_model": {str(mfu): {"tokens_per_s": rate, "gpu_s_per_step": tokens / rate,
                                    "replicas_at_least": tokens / rate / step.end_s, "colocated_s": tokens / rate / inputs.gpus}
                         for mfu, rate in rates.items()},
        "service": {"s_per_step": count / inputs.service_per_s, "load": count / inputs.service_per_s / cycle},
    }  # fmt: skip


def simulate(inputs: Inputs, steps: int, replicas: Sequence[int], cores: Sequence[int]) -> dict[str, Any]:
    """p50 and p99 of what a step waits, for every number of replicas and of cores; the same steps for all."""
    sampled = [sample_step(inputs, np.random.default_rng([inputs.seed, number])) for number in range(steps)]
    rows: dict[str, Any] = {"reward_model": [], "verifier": []}
    for streamed in (True, False):
        way = "streamed" if streamed else "at_the_end"
        for mfu in MFUS:
            for count in replicas:
                waits = [reward_wait(step, inputs, count, mfu, streamed, np.random.default_rng([inputs.seed, number, 1]))
                         for number, step in enumerate(sampled)]  # fmt: skip
                rows["reward_model"].append({"way": way, "mfu": mfu, "replicas": count} | quantiles(waits))
        for count in cores:
            waits = [verify_wait(step, inputs, count, streamed, np.random.default_rng([inputs.seed, number, 2]))
                     for number, step in enumerate(sampled[: max(20, steps // 4)])]  # fmt: skip
            rows["verifier"].append({"way": way, "cores": count} | quantiles(waits))
    return rows


def quantiles(waits: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {"p50_s": float(np.percentile(waits, 50)), "p99_s": float(np.percentile(waits, 99))}


def measured() -> dict[str, Any]:
    """What this project has measured, where the files are there: on two busy cores of one machine."""
    found: dict[str, Any] = {}
    pipeline, service = RESULTS / "pipeline.json", RESULTS / "service.json"
    if pipeline.is_file():
        report = json.loads(pipeline.read_text(encoding="utf-8"))
        found["verify_per_s"] = round(report["data"]["rows"] / report["together"]["math"]["seconds"]["verifier"]["median"])
    if service.is_file():
        found["service_per_s"] = json.loads(service.read_text(encoding="utf-8"))["load"]["batches"]["responses_per_s"]
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Waiting against replicas, a panel for each way of judging and each quantile."""

    def curve(way: str, mfu: float, quantile: str) -> Curve:
        chosen = [row for row in rows if (row["way"], row["mfu"]) == (way, mfu)]
        waits_SN = np.array([[row[quantile] for row in chosen]])
        return Curve(label=f"MFU {mfu:g}", steps=[row["replicas"] for row in chosen], values_SN=waits_SN)

    panels = [
        Panel(title=f"{said}: {what}, seconds", log=True, curves=[curve(way, mfu, quantile) for mfu in MFUS])
        for what, quantile in (("median wait", "p50_s"), ("99th percentile", "p99_s"))
        for way, said in (("streamed", "judged as they finish"), ("at_the_end", "judged at the end"))
    ]
    save_png(curve_panels(panels, x_label="reward-model GPUs", across=2, same_scale=True), path)


def parse() -> argparse.Namespace:
    """The command line: every field of ``Inputs``, and how much to simulate."""
    parser = argparse.ArgumentParser(description="Capacity for judging rollouts, simulated.")
    defaults = Inputs(**measured())
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default {value:g}")
    parser.add_argument("--steps", type=int, default=200, help="training steps simulated (default 200)")
    parser.add_argument(
        "--replicas", type=int, nargs="+", default=[48, 64, 80, 96, 128, 160, 192, 256], help="reward-model GPUs"
    )
    parser.add_argument("--cores", type=int, nargs="+", default=[4, 8, 16, 32, 64, 256, 1000], help="verifier cores")
    parser.add_argument("--figure", type=Path, help="write a figure here (PNG)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def main() -> None:
    """Compute, simulate, print."""
    options = parse()
    inputs = Inputs(**{name: getattr(options, name) for name in asdict(Inputs())})
    report = {"inputs": asdict(inputs), "measured": measured(), "steps": options.steps, "on_paper": on_paper(inputs)}
    report |= {"simulated": simulate(inputs, options.steps, options.replicas, options.cores)}
    if options.figure:
        draw(report["simulated"]["reward_model"], options.figure)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(json.dumps(report["on_paper"], indent=2))
    for part, rows in report["simulated"].items():
        for row in rows:
            print(
                part, *(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in row.items())
            )


if __name__ == "__main__":
    main()
