"""The real study: SmolLM2-135M trained with each reward rule on word problems whose references are hard to verify.

    python benchmarks/real_study/study.py [--out runs/real] [--processes 2] [--minutes N] [--plan FILE] [--report-only]

First it makes what all runs share, once: the starting policy (pruned vocabulary, a light cold start on right solutions),
labelled rollouts of it on other problems, and a reward model of `hero rm train` on these. Then it does the runs of the plan,
each in a process of its own with one thread; a run that has its result is not repeated, one that was interrupted goes on from
its last checkpoint, and none begins after ``--minutes``. At the end, and with ``--report-only``, it writes report.html, the
table and the figure from the results that are there, in ``--out`` or kept in results/real. It needs `make real-model`.

A step of 64 responses takes 13 seconds of a core that has bfloat16 instructions, and a run about eight minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from policy import cold_start, prune
from problems import FORMS
from runs import (
    COLD_START_SEED,
    REWARD_SEED,
    RunPlan,
    fast_bf16,
    held_out,
    measure,
    others,
    references,
    sample,
    train,
)

from hero_lab.results import write_json
from hero_rl.files import replacing

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / "results" / "real"
COLD_START = {"count": 160, "epochs": 2, "learning_rate": 1e-4}
REWARD_PROBLEMS, REWARD_SAMPLES = 300, 8
"""Labelled rollouts that the reward model is trained on."""
REWARD_MODEL = ("--model", "minilm", "--learning-rate", "1e-4", "--epochs", "3")


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    plans = read_plan(arguments.plan)
    out: Path = arguments.out
    if not arguments.report_only:
        models = prepare(out)
        waiting = [plan for plan in plans if not any((folder / f"{plan.file}.json").is_file() for folder in (out, KEPT))]
        print(f"{len(plans)} runs, {len(waiting)} to do", flush=True)
        _run_all(waiting, models, out, arguments.processes, arguments.minutes)
    from page import write_report

    print(write_report(plans, [KEPT, out], out))


def read_plan(path: Path) -> list[RunPlan]:
    """Return the runs of a plan, the first seeds of all arms first."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    shared = content.get("run", {})
    runs = [(seed, arm) for arm in content["arm"] for seed in arm.pop("seeds")]
    plans = [RunPlan(seed=seed, **shared, **arm) for seed, arm in sorted(runs, key=lambda run: run[0])]
    if len({plan.file for plan in plans}) < len(plans):
        raise SystemExit(f"{path}: two runs have the same name and seed; give each arm a name of its own")
    return plans


def prepare(out: Path) -> Path:
    """Return the folder of the shared models; what is missing is made: policy, rollouts, reward-model, start.json."""
    models = out / "models"
    models.mkdir(parents=True, exist_ok=True)
    for name, make in (
        ("policy", _policy),
        ("rollouts.jsonl", _rollouts),
        ("reward-model", _reward_model),
        ("start.json", _start),
    ):
        if not (models / name).exists():
            print(f"making {name}", flush=True)
            make(models, models / name)
    return models


def _policy(models: Path, target: Path) -> None:
    from hero_rl.models.known import resolve

    taught = others(COLD_START["count"], seed=COLD_START_SEED)
    vocabulary = [*held_out(), *others(3000, seed=REWARD_SEED), *taught]
    texts = [one.prompt + one.response(form) for one in vocabulary for form in FORMS]
    model, tokenizer = prune(resolve("smollm2"), texts)
    cold_start(
        model, tokenizer, taught, epochs=COLD_START["epochs"], learning_rate=COLD_START["learning_rate"], seed=0,
        scratch=models / "scratch", bf16=fast_bf16(),
    )  # fmt: skip
    with replacing(target) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _rollouts(models: Path, target: Path) -> None:
    model, tokenizer = _load(models)
    problems = others(REWARD_PROBLEMS, seed=REWARD_SEED)
    rows = sample(model, tokenizer, problems, count=REWARD_SAMPLES, temperature=1.0, seed=REWARD_SEED)
    refs = references(problems, seed=REWARD_SEED)
    with replacing(target) as partial, partial.open("w", encoding="utf-8") as file:
        for one, reference, row in zip(problems, refs, rows, strict=True):
            for text, ended in row:
                line = {
                    "prompt_id": one.prompt, "problem": one.prompt, "reference": reference, "response": text, "finished": ended,
                    "correct": int(one.is_right(text, finished=ended)),
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")


def _reward_model(models: Path, target: Path) -> None:
    command = [
        sys.executable, "-m", "hero_rl", "rm", "train", str(models / "rollouts.jsonl"), "-o", str(target), *REWARD_MODEL,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def _start(models: Path, target: Path) -> None:
    from hero_rl.scorers import LocalScorer

    model, tokenizer = _load(models)
    write_json(target, measure(model, tokenizer, LocalScorer(models / "reward-model", device="cpu")))


def _load(models: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if fast_bf16() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(models / "policy", dtype=dtype).eval()
    return model, AutoTokenizer.from_pretrained(models / "policy")


def _run_all(plans: Sequence[RunPlan], models: Path, out: Path, processes: int, minutes: float | None) -> None:
    """Do the runs, ``processes`` at a time; none is begun after ``minutes``."""
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    context = multiprocessing.get_context("spawn")
    waiting, running = list(plans), []
    while waiting or running:
        while waiting and len(running) < processes and time.monotonic() < deadline:
            plan = waiting.pop(0)
            running.append((plan, context.Process(target=_run_one, args=(plan, models, out))))
            running[-1][1].start()
            print(f"{plan.file}: begins", flush=True)
        if not running:
            break
        time.sleep(2)
        for plan, process in [one for one in running if not one[1].is_alive()]:
            running.remove((plan, process))
            print(f"{plan.file}: {'done' if process.exitcode == 0 else f'failed, see {plan.file}.log'}", flush=True)


def _run_one(plan: RunPlan, models: Path, out: Path) -> None:
    log = os.open(out / f"{plan.file}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    write_json(out / f"{plan.file}.json", train(plan, models, out / plan.file))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--plan", type=Path, default=HERE / "plan.toml")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--report-only", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
