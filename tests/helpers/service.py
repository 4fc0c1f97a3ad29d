"""A real `hero serve` (or a service with a sleepy verifier) in a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

from helpers import forks

COLUMNS = ("--verifier", "column:correct", "--reward-model", "column:rm_score")
HELPERS = Path(__file__).parent


class Server:
    """The process, once it listens."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **env}
        self.process = forks.Process(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], 200)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            raise AssertionError(f"the server did not start: {self.process.communicate()[1]}")
        self.said: dict[str, Any] = json.loads(line)
        self.url: str = self.said["url"]
        self.http = httpx.Client(base_url=self.url, timeout=30.0)

    @property
    def pid(self) -> int:
        return self.process.pid

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def metric(self, name: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code."""
        self.http.close()
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.stderr = self.process.stderr.read() if self.process.stderr else ""
        self.process.close()
        return code


@contextmanager
def serving(*arguments: str | Path, **env: str) -> Iterator[Server]:
    """`hero serve ARGUMENTS`."""
    with _running(["-m", "hero_rl.cli", "serve", "--port", "0", "--json", *map(str, arguments)], env) as server:
        yield server


@contextmanager
def sleepy(**settings: object) -> Iterator[Server]:
    """A service whose verifier sleeps as long as the response says (see ``sleepy_service.py``)."""
    with _running([str(HELPERS / "sleepy_service.py"), json.dumps(settings)], {}) as server:
        yield server


@contextmanager
def _running(arguments: list[str], env: dict[str, str]) -> Iterator[Server]:
    server = Server(arguments, env)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def save_reward_model(folder: Path) -> Path:
    """A small Llama with one output, a chat template, and room for long texts."""
    import torch
    from transformers import LlamaForSequenceClassification

    from helpers import tiny

    torch.manual_seed(1)
    config = tiny.model().config
    config = config.__class__(**config.to_dict() | {"num_labels": 1, "max_position_embeddings": 2048})
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def group(*scores: float | None, correct: tuple[int | None, ...] = (), **more: Any) -> dict[str, Any]:
    """A group for the column verifier and scorer."""
    labels = correct or tuple(place % 2 for place in range(len(scores)))
    rows = [
        {"response": f"answer {place}", "rm_score": score, "correct": label}
        for place, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]
    return {"problem": "1 + 1?", "reference": "2", "responses": rows, **more}


def wait_until(condition: Any, *, seconds: float = 10.0) -> None:
    """Nothing, once ``condition()`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
