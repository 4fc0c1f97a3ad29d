"""Hostile clients, rows and neighbours against the service and the commands, on this machine's loopback only.

    python benchmarks/hostile.py [--rounds 50] [--large] [--json]

Each attack is bounded and says what must hold; exit code 1 where one did not. `--rounds` counts the pairs of writers; `--large`
adds bodies of 60 MiB. `benchmarks/service.py --soak 600` is the long one, `hero verify --attack` the one on verifiers.

Claims that only a quiet machine can show (an answer within so many milliseconds) are printed and decide nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2 as httpx

MIB = 2**20
FAULTS = ("1", '""', "{}", '{"response":1}', "[[]]", '"\\ud800"')
ROOMY_MIB = 64
"""Memory that a request may take beyond twice its size: what Python allocates for half a million small values."""
BURNS = '''
import time

def judge(rollout):
    """Correct where it says 1; a response "burn ..." takes a minute of CPU time, and one "die" ends the process."""
    if rollout.response.startswith("burn"):
        end = time.process_time() + 60
        while time.process_time() < end:
            pass
    if rollout.response == "die":
        import os
        os._exit(1)
    return "1" in rollout.response
'''


class Found(NamedTuple):
    """What an attack did."""

    name: str
    held: bool
    figures: dict[str, Any]


class Server:
    """A real `hero serve` with a verifier function, in a process of its own."""

    def __init__(self, folder: Path, *settings: str, verifier: str, body_mib: int) -> None:
        """Start it in ``folder``."""
        (folder / "burns.py").write_text(BURNS)
        chosen = [part for one in settings for part in ("--set", one)]
        command = [sys.executable, "-m", "hero_rl.cli", "serve", "--port", "0", "--json", "--verifier", verifier,
                   "--rule", "verifier_only", "--max-body-mib", str(body_mib), *chosen]  # fmt: skip
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
        assert self.process.stdout
        self.url: str = json.loads(self.process.stdout.readline())["url"]
        self.http = httpx.Client(base_url=self.url, timeout=300.0)

    def peak_mib(self) -> float:
        """Return the most memory that the process has had."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

    def score(self, responses: list[str], run_id: str) -> httpx.Response:
        """Score one group."""
        return self.http.post(
            "/v1/score_group", json={"problem": "n?", "reference": "1", "responses": responses, "run_id": run_id}
        )


@contextmanager
def serving(*settings: str, verifier: str = "burns:judge", body_mib: int = 64) -> Iterator[Server]:
    """Serve for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), *settings, verifier=verifier, body_mib=body_mib)
        try:
            yield server
        finally:
            server.http.close()
            server.process.terminate()
            server.process.wait(60)


def body_of(fault: str, size: int) -> bytes:
    """Return a group of about ``size`` bytes whose responses are all the same fault."""
    return ('{"problem":"n?","reference":"1","responses":[' + ",".join([fault] * (size // (len(fault) + 1))) + "]}").encode()


def malformed_bodies(sizes: list[int]) -> Found:
    """Hold: refused with a short answer, in at most twice their size of memory, and health goes on answering."""
    figures: dict[str, Any] = {}
    held = True
    for size in sizes:
        with serving() as server:
            server.score(["1"], "warm")
            before, slowest, answers = server.peak_mib(), 0.0, []
            for fault in FAULTS:
                stop = threading.Event()
                waits: list[float] = []
                watcher = threading.Thread(target=_watch_health, args=(server.url, stop, waits))
                watcher.start()
                began = time.monotonic()
                header = {"content-type": "application/json"}
                answer = server.http.post("/v1/score_group", content=body_of(fault, size), headers=header)
                slowest = max(slowest, time.monotonic() - began)
                stop.set()
                watcher.join()
                answers.append((answer.status_code in (413, 422), len(answer.content), max(waits)))
            grown = server.peak_mib() - before
        held &= all(ok and length < 1000 for ok, length, _ in answers) and grown <= 2 * size / MIB + ROOMY_MIB
        figures[f"{size // MIB} MiB"] = {
            "grown_mib": round(grown), "slowest_answer_s": round(slowest, 2),
            "slowest_health_s": round(max(wait for *_, wait in answers), 3),
        }  # fmt: skip
    return Found("malformed bodies", held, figures)


def _watch_health(url: str, stop: threading.Event, waits: list[float]) -> None:
    with httpx.Client(base_url=url, timeout=60.0) as http:
        while not stop.is_set() or not waits:
            began = time.monotonic()
            http.get("/healthz")
            waits.append(time.monotonic() - began)
            time.sleep(0.01)


def wide_texts(limit_mib: int) -> Found:
    """Hold: whatever characters a body has, it takes twice the limit at most, and what fits the limit in memory is served."""
    score, cut = "/v1/score_groups", "/get_reward"
    two, four = "\u2265", "\U0001f600"
    cases = ((score, "", 0.95, 200), (score, two, 0.6, 200), (score, two, 0.95, 413), (score, four, 0.38, 200),
             (score, four, 0.95, 413), (cut, "", 0.6, 200), (cut, four, 0.2, 200), (cut, "", 0.95, 413))  # fmt: skip
    figures: dict[str, Any] = {}
    held = True
    for path, wide, share, status in cases:
        text = "So it is 3. " * 500 + wide
        count = int(share * limit_mib * MIB / 6100) // 20
        group = {"problem": "n?", "responses": [{"response": text, "correct": 1}] * count}
        query = {"query": [text] * 20 * count, "prompts": ["So"] * 20 * count, "labels": [str(n) for n in range(20)] * count}
        body = {"groups": [group] * 20, "idempotency_key": "a"} if path == score else query
        with serving(verifier="column:correct" if path == score else "exact", body_mib=limit_mib) as server:
            before = server.peak_mib()
            content, header = json.dumps(body, ensure_ascii=False).encode(), {"content-type": "application/json"}
            answer = server.http.post(path, content=content, headers=header)
            grown = server.peak_mib() - before
        held &= answer.status_code == status and grown <= 2 * limit_mib + ROOMY_MIB
        figures[f"{path} {share:.0%} {len(wide.encode())}"] = {"status": answer.status_code, "grown_mib": round(grown)}
    return Found(f"wide texts, {limit_mib} MiB", held, figures)


def idle_connections() -> Found:
    """Hold: 600 idle connections, more than the service keeps, lock nobody out."""
    with serving() as server:
        address = urlsplit(server.url)
        idle = [socket.create_connection((address.hostname or "", address.port or 0)) for _ in range(600)]
        began = time.monotonic()
        answer = server.score(["1", "2"], "a")
        waited = time.monotonic() - began
        for one in idle:
            one.close()
    return Found("idle connections", answer.status_code == 200, {"connections": len(idle), "answer_s": round(waited, 2)})


def too_hard_answers(groups: int) -> Found:
    """Hold: groups of eight answers that cannot be evaluated are abstentions, and the run goes on; a dead verifier ends it."""
    with serving("verifier.deadline_s=0.1") as server:
        replies = [server.score([f"burn {group} {number}" for number in range(8)], "hard") for group in range(groups)]
        abstained = all(
            reply.status_code == 200 and all(row["verdict"] is None and not row["failed"] for row in reply.json()["responses"])
            for reply in replies
        )
        dead = next((number for number in range(1, 101) if server.score(["die"] * 8, "dead").status_code == 503), None)
    return Found("answers that cannot be evaluated", abstained and dead is not None,
                 {"groups": groups, "stopped_at_group_of_a_dead_verifier": dead})  # fmt: skip


def a_quick_client() -> Found:
    """Hold: two easy rows are answered while another client's 64 hard ones are at work."""
    with serving("verifier.workers=1", "verifier.deadline_s=3") as server:
        server.score(["1", "2"], "warm")

        async def both() -> tuple[float, bool]:
            async with httpx.AsyncClient(base_url=server.url, timeout=600.0) as http:
                hard = {
                    "problem": "n?",
                    "reference": "1",
                    "run_id": "hard",
                    "responses": [f"burn {number}" for number in range(64)],
                }
                slow = asyncio.create_task(http.post("/v1/score_group", json=hard))
                await asyncio.sleep(0.5)
                began = time.monotonic()
                easy = {"problem": "n?", "reference": "1", "run_id": "easy", "responses": ["1 ", "2 "]}
                answer = await http.post("/v1/score_group", json=easy)
                waited, first = time.monotonic() - began, not slow.done()
                slow.cancel()
                await asyncio.gather(slow, return_exceptions=True)
                return waited, first and answer.status_code == 200

        waited, first = asyncio.run(both())
    return Found("a quick client beside a slow one", first, {"answer_s": round(waited, 2)})


def two_writers(rounds: int) -> Found:
    """Hold: of two commands with one output, one succeeds, the other says who holds it, and a planted link is not followed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [{"prompt_id": str(n // 4), "problem": "n?", "reference": "1", "response": str(n % 4), "rm_score": n % 7 / 7,
                 "correct": int(n % 4 == 1)} for n in range(4000)]  # fmt: skip
        source, out, victim = folder / "in.jsonl", folder / "out.jsonl", folder / "victim"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        victim.write_text("mine")
        (folder / "out.jsonl.partial").symlink_to(victim)
        command = [sys.executable, "-m", "hero_rl.cli", "score", str(source), "-o", str(out), "--verifier", "column:correct",
                   "--reward-model", "column:rm_score"]  # fmt: skip
        codes: list[tuple[int, int]] = []
        held = True
        for _ in range(rounds):
            both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
            said = [one.communicate()[1] for one in both]
            codes.append((both[0].returncode, both[1].returncode))
            lines = out.read_text().splitlines()
            held &= set(codes[-1]) <= {0, 2} and 0 in codes[-1] and len(lines) == len(rows)
            held &= all(isinstance(json.loads(line), dict) for line in lines)
            held &= all("process" in text for text, code in zip(said, codes[-1], strict=True) if code == 2)
        held &= victim.read_text() == "mine"
    return Found("two writers of one output", held, {"rounds": rounds, "refused": sum(2 in pair for pair in codes)})


def main() -> None:
    """Run every attack, say what held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="pairs of writers")
    parser.add_argument("--groups", type=int, default=100, help="groups that cannot be evaluated")
    parser.add_argument("--large", action="store_true", help="bodies of 60 MiB, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    attacks: list[Callable[[], Found]] = [
        lambda: malformed_bodies([2 * MIB, *([60 * MIB] if options.large else [])]),
        lambda: wide_texts(64 if options.large else 16), idle_connections, a_quick_client,
        lambda: too_hard_answers(options.groups), lambda: two_writers(options.rounds),
    ]  # fmt: skip
    found = [attack() for attack in attacks]
    if options.json:
        print(json.dumps([one._asdict() for one in found]))
    else:
        for one in found:
            print(f"{'held' if one.held else 'BROKE'}  {one.name}: {json.dumps(one.figures)}")
    sys.exit(0 if all(one.held for one in found) else 1)


if __name__ == "__main__":
    main()
