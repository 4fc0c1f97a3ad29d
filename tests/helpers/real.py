"""For tests/real: word problems, responses to them, and real servers that end with their whole process group."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.servers import unused_url
from hero_rl.data import read_rollouts
from hero_rl.types import Rollout

ROOT = Path(__file__).parents[2]
VLLM = ROOT / ".venv-vllm" / "bin"
INFINITY = ROOT / ".venv-infinity" / "bin"
START_S = 400.0
"""A server loads its model in 20 s on quiet cores, and in minutes on busy ones."""
LIFE_S = 3600
"""A server that outlives its session is killed after so long."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "DO_NOT_TRACK": "1"}
VLLM_ENVIRONMENT = OFFLINE | {
    "VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip


def need(program: Path) -> Path:
    """The program, or a skip that says how to get it."""
    if not program.exists():
        folder = program.parents[1].name
        pytest.skip(f"{program.name} is not installed: make {folder}/installed")
    return program


@contextmanager
def serving(command: Sequence[object], log: Path, *, alive: str, environment: Mapping[str, str] = OFFLINE) -> Iterator[str]:
    """The address of a server that answers at ``alive``; at the end its whole process group is killed."""
    url = unused_url()
    host, port = url.removeprefix("http://").split(":")
    words = ["timeout", "--kill-after=5", str(LIFE_S), *map(str, command), "--host", host, "--port", port]
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        end = time.monotonic() + START_S
        while not _answers(url + alive):
            assert process.poll() is None, f"{command[0]} ended:\n{log.read_text(errors='replace')[-3000:]}"
            assert time.monotonic() < end, f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}"
            time.sleep(0.5)
        yield url
    finally:
        _end(process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            break
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            continue
    process.wait(15)


def word_problems(count: int) -> list[tuple[str, int, str]]:
    """(problem, answer, how it is computed); the same ones every time, and all different."""
    draw = random.Random(0)
    found: dict[str, tuple[str, int, str]] = {}
    while len(found) < count:
        name, thing = draw.choice(["Tom", "Mia", "Ben", "Eva"]), draw.choice(["apples", "coins", "pens", "cards"])
        a, b = draw.randint(2, 9), draw.randint(2, 9)
        problem = f"{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now?"
        found[problem] = (problem, a + b, f"{a} + {b}")
    return list(found.values())


def write_problems(path: Path, count: int) -> Path:
    rows = [{"problem": problem, "reference": str(answer)} for problem, answer, _ in word_problems(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_rollouts(path: Path, count: int) -> Path:
    """Four responses to each problem, two of them right; the wrong ones differ in the number alone."""
    rows: list[dict[str, Any]] = []
    for place, (problem, answer, sum_) in enumerate(word_problems(count)):
        for shift, words in ((0, "So"), (0, "Together:"), (1, "So"), (-2, "Together:")):
            value = answer + shift
            response = f"{words} {sum_} = {value}. The answer is \\boxed{{{value}}}."
            row = {"prompt_id": f"p{place}", "problem": problem, "reference": str(answer), "response": response}
            rows.append({**row, "correct": shift == 0, "finished": True})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rollouts(path: Path) -> list[Rollout]:
    return [row.rollout for row in read_rollouts(path)]
