"""A long run of the maths verifier on mixed answers, some of them hostile: nothing lost, nothing out of order, no leak.

    python benchmarks/soak.py [--checks 100000] [--hostile 0.01] [--batch 1000] [--workers 2] [--json]

Every answer is generated with the verdict that it must get, so that a row that was lost or swapped shows. Memory is the
resident size of this process and of its workers, after each tenth of the run. Exit code 1 where a verdict is wrong or
memory grew by more than a quarter between the second tenth and the last one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier

HOSTILE = [
    "9^{9^{9^{9}}}", "(10^{10})^{(10^{10})}", "40000000!", "600!!!!!", r"\sum_{k=1}^{10^{10}} \frac{1}{k}", "(x+1)^{1000000}",
    "1+" * 900 + "1",
    r"\sqrt{" * 80 + "2" + "}" * 80, "7" * 1900, r"\int_0^{10^9} x^{x^x} dx", r"\frac{1}{1+" * 50 + "x" + "}" * 50,
    "x^" * 600 + "2",
    r"\lim_{x \to 0} x^{x^{x}}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}^{10^{9}}", r"\text{" * 300, "{" * 900,
]  # fmt: skip
MAX_GROWTH = 1.25


class Row(NamedTuple):
    """One generated rollout and the label it must get; None: any but correct."""

    rollout: Rollout
    label: str | None


def make_row(number: int, source: random.Random, hostile: float) -> Row:
    """A row of one of several kinds, different from all others."""
    n, m = source.randint(2, 10**6), source.randint(2, 999)
    if source.random() < hostile:
        return _row(number, "5", source.choice(HOSTILE), None)
    kind = number % 8
    right = source.random() < 0.5
    wrong = 0 if right else 1
    label = "correct" if right else "incorrect"
    if kind == 0:
        return _row(number, str(n), str(n + wrong), label)
    if kind == 1:
        return _row(number, rf"\frac{{{n}}}{{{m}}}", rf"\dfrac{{{2 * n + 2 * wrong * m * 9}}}{{{2 * m}}}", label)
    if kind == 2:
        return _row(number, rf"x^2+{2 * m}x+{m * m}", rf"(x+{m + wrong})^2", label)
    if kind == 3:
        return _row(number, f"{m}, {n}, -{m}", f"-{m}, {n + wrong}, {m}", label)
    if kind == 4:
        return _row(number, f"({m}, {n})", f"({m + wrong}, {n})", label)
    if kind == 5:
        return _row(number, f"[{m}, {m + n})", f"{m} \\le x < {m + n + wrong}", label)
    if kind == 6:
        return _row(number, rf"{m}\sqrt{{8}}", rf"{2 * m + 20 * m * wrong}\sqrt{{2}}", label)
    return _row(number, rf"\int_0^{{{m}}} x dx", rf"\frac{{{m * m}}}{{2}}" if right else "-7", "correct" if right else None)


def _row(number: int, reference: str, answer: str, label: str | None) -> Row:
    rollout = Rollout(prompt_id=str(number), problem="", reference=reference, response=f"So it is \\boxed{{{answer}}}.")
    return Row(rollout, label)


def resident_bytes(pids: Iterable[int]) -> int:
    """The resident memory of some processes together; one that is gone counts nothing."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


def soak(*, checks: int, hostile: float, batch: int, workers: int) -> dict[str, object]:
    """Run it; the figures of the run."""
    source = random.Random(7)
    mistakes, worst_s, done = 0, 0.0, 0
    own: list[int] = []
    with MathVerifier(workers=workers) as verifier:
        verifier.warm()
        start = time.perf_counter()
        while done < checks:
            rows = [make_row(done + i, source, hostile) for i in range(min(batch, checks - done))]
            began = time.perf_counter()
            verdicts = verifier.verify([row.rollout for row in rows])
            worst_s = max(worst_s, time.perf_counter() - began)
            mistakes += len(rows) != len(verdicts)
            for row, verdict in zip(rows, verdicts, strict=False):
                mistakes += verdict.label == "correct" if row.label is None else verdict.label != row.label
            done += len(rows)
            if done * 10 // checks > len(own):
                own.append(resident_bytes([os.getpid()]))
        seconds = time.perf_counter() - start
        stats = str(verifier.stats)
        pool = resident_bytes(verifier._sandbox.worker_pids)
    return {
        "checks": done,
        "mistakes": mistakes,
        "seconds": round(seconds, 1),
        "checks_per_s": round(done / seconds),
        "worst_batch_s": round(worst_s, 2),
        "own_mib": [round(one / 2**20) for one in own],
        "workers_mib_at_end": round(pool / 2**20),
        "growth": round(own[-1] / own[min(1, len(own) - 1)], 3),
        "stats": stats,
    }


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=100_000)
    parser.add_argument("--hostile", type=float, default=0.01, help="share of hostile answers")
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(None if arguments is None else list(arguments))
    report = soak(checks=options.checks, hostile=options.hostile, batch=options.batch, workers=options.workers)
    if options.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<20}{value}")
    failed = bool(report["mistakes"]) or float(str(report["growth"])) > MAX_GROWTH
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
