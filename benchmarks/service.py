"""The reward service under load, against the cost of the pure functions, in one run; or a soak with hostile answers.

    python benchmarks/service.py [--seconds 5] [--json]
    python benchmarks/service.py --postgres postgresql://USER@HOST/DATABASE [--json]
    python benchmarks/service.py --soak 600 [--json]

The load: a real `hero serve` with the column verifier and scorer and its state on disk; groups of 16 responses of 200
characters, each with an idempotency key of its own; 1, 8 and 64 connections. The clients run in this process, so on two cores
they take about as much as they leave.

With --postgres: groups one a request from 8 clients, each with a run of its own, and whole batches, with one service on SQLite
and with one and two on that PostgreSQL, in turns.

The soak: `hero serve` with the maths verifier; 8 clients, each with a run of its own. Four are polite, work alone for a tenth
of the time. Then come four of whose answers 5% are hostile, and who hang up before the answer of one request in ten and come
back with the same key. Exit code 1 where a verdict is wrong, a group is lost or counted twice, memory or open files grow by
over a quarter, or a process is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import group_advantages, hero
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout
from hero_rl.verifiers import ColumnVerifier

GROUP_SIZE, RESPONSE_CHARS, BATCH_GROUPS = 16, 200, 64
CLIENTS = (1, 8, 64)
MAX_GROWTH = 1.25
ROUNDS = 5
HOSTILE = [
    # the first two pass all guards and hang sympy until the worker is killed
    r"\int (x+y+z+w)^{399} dx",
    r"\sum_{a=1}^{399}\sum_{b=1}^{399}\sum_{c=1}^{399}\frac{1}{abc+1}",
    "9^{9^{9^{9}}}", "(10^{10})^{(10^{10})}", "600!!!!!", r"\sum_{k=1}^{10^{10}} \frac{1}{k}", "(x+1)^{1000000}",
    r"\int_0^{10^9} x^{x^x} dx", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}^{10^{9}}", "x^" * 600 + "2", "1+" * 900 + "1",
    r"\sqrt{" * 80 + "2" + "}" * 80, r"\text{" * 300, "{" * 900, "7" * 1900, "\u0000\u202e\ufffe" * 50,
]  # fmt: skip


class Reply(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class Connection:
    """A bare keep-alive connection: the client's own cost must not hide the server's."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), int(address.port or 80)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request and leave its answer unread."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._streams[1].write(head.encode() + body)
        await self._streams[1].drain()

    async def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """The answer to a request."""
        await self.send(method, path, body)
        assert self._streams
        head = (await self._streams[0].readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        reply = Reply(int(head.split()[1]), await self._streams[0].readexactly(length))
        if "connection: close" in head:
            self.hang_up()
        return reply

    def hang_up(self) -> None:
        """Close at once."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None


class Service:
    """A `hero serve` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "hero_rl.cli", "serve", "--port", "0", "--json", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert self.process.stdout
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def stop(self) -> int:
        """The exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def columns_group(rng: np.random.Generator, key: str, run: int = 0) -> bytes:
    """A request with one group for the column verifier and scorer."""
    rows = [
        {"response": "x" * RESPONSE_CHARS, "rm_score": float(score), "correct": int(label)}
        for score, label in zip(rng.normal(size=GROUP_SIZE), rng.integers(0, 2, GROUP_SIZE), strict=True)
    ]
    body = {"run_id": f"run-{run}", "problem": "p" * 100, "reference": "2", "responses": rows, "idempotency_key": key}
    return json.dumps(body).encode()


def pure_seconds() -> dict[str, float]:
    """Seconds a group of the same size takes in this process: the rule alone, and with the signals read from columns."""
    rng = np.random.default_rng(0)
    verdicts, scores = rng.integers(0, 2, GROUP_SIZE).astype(np.float64), rng.normal(size=GROUP_SIZE)
    groups, rule = np.zeros(GROUP_SIZE, dtype=np.intp), hero()
    rollouts = [
        Rollout(prompt_id="p", problem="", reference="", response="x", extra={"rm_score": float(s), "correct": int(v)})
        for s, v in zip(scores, verdicts, strict=True)
    ]
    verifier, scorer = ColumnVerifier("correct"), ColumnScorer("rm_score")
    reward = HybridReward(verifier, scorer, rule)

    def shape() -> None:
        output = rule.apply(verdicts, scores, groups, rule.init())
        group_advantages(output.rewards, groups, weights_B=output.weights)

    def whole() -> None:
        reward.batch(Signals.of(verifier.verify(rollouts), scorer.score(rollouts)), groups)

    result: dict[str, float] = {}
    for name, function in (("rule_s", shape), ("columns_and_rule_s", whole)):
        times = []
        for _ in range(2000):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
        result[name] = float(np.median(times))
    return result


def cpu_seconds(pid: int) -> float:
    """What a process has used of the CPUs: unlike the clock, it does not depend on what else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(services: Sequence[Service], clients: int, seconds: float, runs: int = 1) -> dict[str, float]:
    """Requests a second and latencies with that many clients, spread over the services and over so many runs."""
    rng = np.random.default_rng(clients)
    latencies: list[float] = []
    refused = 0
    start = time.perf_counter()
    ready = [
        [columns_group(rng, f"{clients}-{start}-{client}-{n}", client % runs) for n in range(20)] for client in range(clients)
    ]
    start, cpu_start = time.perf_counter(), all_cpu_seconds(services)

    async def client(number: int) -> None:
        nonlocal refused
        connection, step = Connection(services[number % len(services)].url), 0
        while time.perf_counter() - start < seconds:
            body = ready[number][step % 20].replace(b'"idempotency_key": "', b'"idempotency_key": "%d-' % step, 1)
            began = time.perf_counter()
            reply = await connection.ask("POST", "/v1/score_group", body)
            latencies.append(time.perf_counter() - began)
            refused += reply.status != 200
            step += 1
        connection.hang_up()

    await asyncio.gather(*(client(number) for number in range(clients)))
    elapsed = time.perf_counter() - start
    return {
        "clients": clients,
        "groups_per_s": round(len(latencies) / elapsed, 1),
        "responses_per_s": round(len(latencies) * GROUP_SIZE / elapsed),
        "p50_ms": round(float(np.percentile(latencies, 50)) * 1e3, 2),
        "p99_ms": round(float(np.percentile(latencies, 99)) * 1e3, 2),
        "server_cpu_us_per_group": round((all_cpu_seconds(services) - cpu_start) / len(latencies) * 1e6),
        "not_200": refused,
    }


def all_cpu_seconds(services: Sequence[Service]) -> float:
    """``cpu_seconds`` of all services."""
    return sum(cpu_seconds(one.process.pid) for one in services)


def postgres_cpu_seconds() -> float:
    """``cpu_seconds`` of every PostgreSQL process of this machine."""
    total = 0.0
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            total += cpu_seconds(int(name.parent.name)) if name.read_text().strip() == "postgres" else 0.0
    return total


async def load_batches(service: Service, seconds: float) -> dict[str, float]:
    """One client that sends whole batches."""
    url = service.url
    rng = np.random.default_rng(9)
    connection, latencies, step = Connection(url), [], 0
    groups = [json.loads(columns_group(rng, "")) for _ in range(BATCH_GROUPS)]
    for group in groups:
        del group["idempotency_key"], group["run_id"]
    start, cpu_start = time.perf_counter(), cpu_seconds(service.process.pid)
    while time.perf_counter() - start < seconds:
        body = json.dumps({"groups": groups, "run_id": "batches", "idempotency_key": f"b-{start}-{step}"}).encode()
        began = time.perf_counter()
        reply = await connection.ask("POST", "/v1/score_groups", body)
        assert reply.status == 200, reply.body
        latencies.append(time.perf_counter() - began)
        step += 1
    connection.hang_up()
    per_s = BATCH_GROUPS / float(np.mean(latencies))
    cpu_s = (cpu_seconds(service.process.pid) - cpu_start) / (BATCH_GROUPS * len(latencies))
    return {
        "groups_per_request": BATCH_GROUPS, "groups_per_s": round(per_s, 1), "responses_per_s": round(per_s * GROUP_SIZE),
        "p50_ms": round(float(np.median(latencies)) * 1e3, 2), "p99_ms": round(float(np.percentile(latencies, 99)) * 1e3, 2),
        "server_cpu_us_per_group": round(cpu_s * 1e6),
    }  # fmt: skip


def benchmark(seconds: float) -> dict[str, Any]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory() as state:
        service = Service("--verifier", "column:correct", "--reward-model", "column:rm_score", "--state", state)
        try:
            asyncio.run(load([service], 2, 1.0))  # warm
            rows = [asyncio.run(load([service], clients, seconds)) for clients in CLIENTS]
            batches = asyncio.run(load_batches(service, seconds))
            pure = pure_seconds()
        finally:
            code = service.stop()
    single_us, batch_us = min(row["server_cpu_us_per_group"] for row in rows), batches["server_cpu_us_per_group"]
    pure_us = pure["columns_and_rule_s"] * 1e6
    return {
        "group_size": GROUP_SIZE, "cpus": os.cpu_count(), "one_group_a_request": rows, "batches": batches,
        "pure_us_per_group": {name: round(value * 1e6, 1) for name, value in pure.items()},
        "cpu_over_pure": {"one_group_a_request": round(single_us / pure_us, 1), "batches": round(batch_us / pure_us, 1)},
        "load_average": os.getloadavg()[0], "exit_code": code,
    }  # fmt: skip


def replicas(url: str, seconds: float) -> dict[str, Any]:
    """One service on SQLite against one and two on PostgreSQL: medians of rounds in which they take turns."""
    columns = ("--verifier", "column:correct", "--reward-model", "column:rm_score", "--state")
    with tempfile.TemporaryDirectory() as state:
        alone, *both = services = [Service(*columns, place) for place in (state, url, url)]
        setups = {"sqlite, 1 service": [alone], "postgres, 1 replica": both[:1], "postgres, 2 replicas": both}
        rows: dict[str, list[dict[str, float]]] = {}
        try:
            for used in setups.values():
                asyncio.run(load(used, 4, 1.0))  # warm
            for _ in range(ROUNDS):
                for runs in (1, 8):
                    for name, used in setups.items():
                        before = postgres_cpu_seconds()
                        row = asyncio.run(load(used, 8, seconds, runs))
                        groups = row["groups_per_s"] * seconds
                        row["postgres_cpu_us_per_group"] = round((postgres_cpu_seconds() - before) / groups * 1e6)
                        rows.setdefault(f"{name}, {runs} runs", []).append(row)
                for name, used in list(setups.items())[:2]:  # one client has one service
                    rows.setdefault(f"{name}, batches", []).append(asyncio.run(load_batches(used[0], seconds)))
        finally:
            codes = [service.stop() for service in services]
    medians = {name: {key: float(np.median([one[key] for one in found])) for key in found[0]} for name, found in rows.items()}
    return {"rounds": ROUNDS, "seconds": seconds, "cpus": os.cpu_count(), "exit_codes": codes, **medians}


class Soak:
    """What the clients of a soak have found."""

    def __init__(self, url: str, *, hostile: float, vanish: float) -> None:
        self.url, self.hostile, self.vanish = url, hostile, vanish
        self.groups = self.responses = self.hostile_sent = self.vanished = self.mistakes = self.retries = 0
        self.worst_s = 0.0
        self.polite_s: dict[str, list[float]] = {"alone": [], "run": []}
        """Seconds of the requests of polite clients, before and while there are others."""
        self.reasons: dict[str, int] = {}

    def make(self, source: random.Random, run_id: str, step: int, hostile: float) -> tuple[bytes, list[int | None]]:
        """A request, and the verdicts that it must get; None: any but 1."""
        a, b = source.randint(2, 999), source.randint(2, 999)
        kind = source.randrange(3)
        reference, right, wrong = (
            (rf"\frac{{{a}}}{{{b}}}", rf"\frac{{{3 * a}}}{{{3 * b}}}", rf"\frac{{{2 * a}}}{{{b}}}")
            if kind == 0
            else (rf"x^2+{2 * a}x+{a * a}", rf"(x+{a})^2", rf"(x+{a + 1})^2")
            if kind == 1
            else (str(a * b), str(a * b), str(a * b + 1))
        )
        rows, expected = [], []
        for _ in range(8):
            answer, label = ((right, 1), (wrong, 0))[source.randrange(2)]
            if source.random() < hostile:
                answer, label = source.choice(HOSTILE), None
                self.hostile_sent += 1
            rows.append({"response": f"So it is \\boxed{{{answer}}}.", "rm_score": source.gauss(0, 1)})
            expected.append(label)
        body = {"run_id": run_id, "problem": "", "reference": reference, "responses": rows, "idempotency_key": f"step-{step}"}
        return json.dumps(body).encode(), expected

    async def client(self, number: int, seconds: float, phase: str = "run") -> int:
        """Groups that were counted for this client's run; even numbers are polite."""
        source, run_id, step = random.Random(number), f"{phase}-{number}", 0
        polite = number % 2 == 0
        end = time.monotonic() + seconds
        connection = Connection(self.url)
        while time.monotonic() < end:
            body, expected = self.make(source, run_id, step, 0.0 if polite else self.hostile)
            began = time.monotonic()
            if not polite and source.random() < self.vanish:
                await connection.send("POST", "/v1/score_group", body)
                await asyncio.sleep(source.random() * 0.03)
                connection.hang_up()
                self.vanished += 1
            reply = await connection.ask("POST", "/v1/score_group", body)
            while reply.status in (429, 503):
                self.retries += 1
                await asyncio.sleep(0.5)
                reply = await connection.ask("POST", "/v1/score_group", body)
            self.worst_s = max(self.worst_s, time.monotonic() - began)
            if polite:
                self.polite_s[phase].append(time.monotonic() - began)
            self.check(reply, expected, step)
            step += 1
        connection.hang_up()
        return step

    def check(self, reply: Reply, expected: list[int | None], step: int) -> None:
        """Compare an answer with what it must be."""
        self.groups += 1
        self.responses += len(expected)
        answer = json.loads(reply.body)
        if reply.status != 200 or answer["updates"] != step + 1 or len(answer["responses"]) != len(expected):
            self.mistakes += 1
            return
        for row, label in zip(answer["responses"], expected, strict=True):
            self.mistakes += row["verdict"] == 1 if label is None else row["verdict"] != label
            self.reasons[row["reason"]] = self.reasons.get(row["reason"], 0) + 1


def processes(pid: int) -> list[int]:
    """The process and all below it."""
    below = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [pid, *(one for child in below for one in processes(child))]


def resident_mib(pid: int) -> int:
    """Resident memory of one process."""
    return round(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)


def zombies(pids: Iterable[int]) -> int:
    """How many of the processes have ended and were not waited for."""
    states = [
        Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] for pid in pids if Path(f"/proc/{pid}").exists()
    ]
    return states.count("Z")


async def run_soak(service: Service, seconds: float, clients: int, soak: Soak) -> dict[str, Any]:
    """Clients at work while memory is looked at; then the counts of every run."""
    memory: list[int] = []
    files: list[int] = []
    worst_zombies = 0

    async def watch() -> None:
        nonlocal worst_zombies
        while True:
            await asyncio.sleep(max(1.0, seconds / 20))
            memory.append(resident_mib(service.process.pid))
            files.append(len(os.listdir(f"/proc/{service.process.pid}/fd")))
            first = zombies(processes(service.process.pid))
            await asyncio.sleep(0.5)  # a child that has just ended is none yet
            worst_zombies = max(worst_zombies, min(first, zombies(processes(service.process.pid))))

    await asyncio.gather(*(soak.client(number, seconds / 10, "alone") for number in range(0, clients, 2)))
    watching = asyncio.create_task(watch())
    steps = await asyncio.gather(*(soak.client(number, seconds) for number in range(clients)))
    watching.cancel()
    connection, lost = Connection(service.url), 0
    for number, expected in enumerate(steps):
        state = json.loads((await connection.ask("GET", f"/v1/runs/run-{number}")).body)
        lost += abs(state["state"]["state"]["updates"] - expected)
    metrics = (await connection.ask("GET", "/metrics")).body.decode()
    connection.hang_up()
    live = {line.split()[0]: float(line.split()[1]) for line in metrics.splitlines() if not line.startswith("#")}
    return {
        "own_mib": memory, "open_files": files, "zombies": worst_zombies, "lost_or_double": lost,
        "running_at_end": live["hero_running"], "queued_at_end": live["hero_queue_depth"],
    }  # fmt: skip


def soak_service(seconds: float, *, clients: int = 8, hostile: float = 0.05, vanish: float = 0.1) -> dict[str, Any]:
    """The figures of a soak."""
    with tempfile.TemporaryDirectory() as state:
        service = Service(
            "--verifier", "math", "--set", "verifier.deadline_s=1", "--set", "verifier.workers=2",
        "--reward-model", "column:rm_score", "--state", state,
            "--max-failure-rate", "0.5", "--keep-answers", "500",
        )  # fmt: skip
        soak = Soak(service.url, hostile=hostile, vanish=vanish)
        try:
            found = asyncio.run(run_soak(service, seconds, clients, soak))
            family = processes(service.process.pid)
        finally:
            code = service.stop()
        time.sleep(0.5)
        left = [pid for pid in family if Path(f"/proc/{pid}").exists()]
    memory = found["own_mib"]
    return {
        "seconds": seconds, "clients": clients, "groups": soak.groups, "responses": soak.responses,
        "hostile": soak.hostile_sent, "vanished": soak.vanished, "retries": soak.retries, "mistakes": soak.mistakes,
        "worst_s": round(soak.worst_s, 2), **found,
        "polite_ms": {phase: [round(1000 * float(np.quantile(times, q)), 1) for q in (0.5, 0.99)]
                      for phase, times in soak.polite_s.items()},
        "growth": round(memory[-1] / memory[len(memory) // 4], 3) if memory else None,
        "exit_code": code, "processes_left": len(left),
        "reasons": dict(sorted(soak.reasons.items(), key=lambda item: -item[1])),
    }  # fmt: skip


def main() -> None:
    """Run the benchmark or the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--postgres", metavar="URL", help="compare one service on SQLite with replicas on this database")
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS", help="soak for that long instead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.postgres:
        report = replicas(options.postgres, options.seconds)
    else:
        report = soak_service(options.soak) if options.soak else benchmark(options.seconds)
    if options.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<22}{value}")
    if options.soak:
        files = report["open_files"]
        grown = report["growth"] is not None and (
            report["growth"] > MAX_GROWTH or files[-1] > MAX_GROWTH * files[len(files) // 4]
        )
        bad = report["mistakes"] or report["lost_or_double"] or report["zombies"] or report["processes_left"] or grown
        sys.exit(1 if bad or report["exit_code"] or report["running_at_end"] or report["queued_at_end"] else 0)


if __name__ == "__main__":
    main()
