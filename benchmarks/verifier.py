"""Verifiers on labelled rollouts, side by side in one run: how right, how often they speak, how fast, whether they hang.

    python benchmarks/verifier.py FILE.jsonl [...] [--verifiers math,math_verify,hendrycks,exact,package.module:function]

FILE has one JSON object a line with `reference`, `response`, `correct` (0/1) and, if there is one, `problem`; files of
probes with `ref` and `expected` ("correct"/"incorrect") are read too. Rows marked `label_suspect` or `doubtful` are left out.
A grader `module:function` takes (reference, response) and returns
something true or false; it runs in the sandbox, so it may hang. Graders other than `math` and `exact` get a bare answer
inside a box, and the reference without `$` around it: they are made for that.

Every row is checked alone, on one core, and timed from call to verdict, the way to the worker process included; workers are
warm. "binary" counts an abstention as incorrect; "balanced" leaves it out. FPR: wrong responses called correct. Wrong
rejections: right responses called incorrect, of all right ones. Read the ratios: machines differ.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hero_rl.loop import run_sync
from hero_rl.sandbox import Sandbox, SandboxSettings
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers import ExactVerifier, HendrycksVerifier, MathVerifier, MathVerifyVerifier
from hero_rl.verifiers.math.antlr import antlr_version

DEADLINE_S = 5.0
MAX_BARE_CHARS = 300


class Row(NamedTuple):
    """One labelled response."""

    rollout: Rollout
    correct: bool
    category: str


class Run(NamedTuple):
    """What one verifier made of one file."""

    verdicts: list[Verdict]
    seconds: list[float]


class PluggedIn(Verifier):
    """Any installed grader, `module:function`, in the sandbox."""

    def __init__(self, function: str):
        self.name = function
        self._sandbox = Sandbox(SandboxSettings(workers=1, deadline_s=DEADLINE_S))

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout."""
        outcomes = await self._sandbox.run(self.name, [(one.reference, one.response) for one in rollouts])
        return [
            Verdict("correct" if one.value else "incorrect", "said")
            if one.kind == "value"
            else Verdict("abstain", one.kind, failed=True, detail=one.detail)
            for one in outcomes
        ]

    def warm(self) -> None:
        """Start the worker."""
        run_sync(self._sandbox.run(self.name, [("1", r"\boxed{1}")], deadline_s=60.0))

    def close(self) -> None:
        """End the worker."""
        self._sandbox.close()


MAKERS: dict[str, Callable[[], Any]] = {
    "math": lambda: MathVerifier(policy="balanced", workers=1, deadline_s=DEADLINE_S),
    "math_verify": lambda: MathVerifyVerifier(workers=1, deadline_s=DEADLINE_S),
    "hendrycks": HendrycksVerifier,
    "exact": ExactVerifier,
}


def load(path: Path, limit: int | None) -> list[Row]:
    """The rows of a file that count."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    kept = [row for row in rows if not row.get("label_suspect") and not row.get("doubtful")]
    return [_row(row, number) for number, row in enumerate(kept[:limit])]


def _row(row: dict[str, Any], number: int) -> Row:
    reference, correct = row.get("reference", row.get("ref")), row.get("correct")
    label = bool(correct) if correct is not None else row["expected"] == "correct"
    rollout = Rollout(
        prompt_id=str(number), problem=row.get("problem") or "", reference=str(reference), response=row["response"]
    )
    return Row(rollout, label, str(row.get("category", "")))


def eased(rollout: Rollout) -> Rollout:
    """The rollout with a bare answer put in a box, and without dollar signs around the reference."""
    bare = "\\boxed" not in rollout.response and 0 < len(rollout.response.strip()) <= MAX_BARE_CHARS
    response = f"\\boxed{{{rollout.response}}}" if bare else rollout.response
    reference = rollout.reference.strip()
    if len(reference) > 2 and reference[0] == reference[-1] == "$" and "$" not in reference[1:-1]:
        reference = reference[1:-1]
    return Rollout(prompt_id=rollout.prompt_id, problem=rollout.problem, reference=reference, response=response)


def run(name: str, rows: Sequence[Row]) -> Run:
    """Every row, one at a time."""
    verifier = MAKERS[name]() if name in MAKERS else PluggedIn(name)
    verdicts: list[Verdict] = []
    seconds: list[float] = []
    try:
        verifier.warm()
        for row in rows:
            rollout = row.rollout if name in ("math", "exact") else eased(row.rollout)
            start = time.perf_counter()
            verdicts += verifier.verify([rollout])
            seconds.append(time.perf_counter() - start)
    finally:
        verifier.close()
    return Run(verdicts, seconds)


def share(part: float, whole: float) -> float:
    """Part / whole, NaN where there is nothing."""
    return part / whole if whole else float("nan")


def measure(rows: Sequence[Row], result: Run) -> dict[str, float]:
    """The figures of one verifier on one file."""
    truth = np.array([row.correct for row in rows])
    label = np.array([verdict.label for verdict in result.verdicts])
    yes, spoke = label == "correct", label != "abstain"
    true_yes = float((yes & truth).sum())
    precision, recall = share(true_yes, yes.sum()), share(true_yes, truth.sum())
    seconds = np.array(result.seconds)
    return {
        "rows": len(rows),
        "accuracy": float((yes == truth).mean()),
        "precision": precision,
        "recall": recall,
        "F1": share(2 * precision * recall, precision + recall) if true_yes else 0.0,
        "FPR": share((yes & ~truth).sum(), (~truth).sum()),
        "coverage": float(spoke.mean()),
        "accuracy spoken": share(((yes == truth) & spoke).sum(), spoke.sum()),
        "wrong rejections": share(((label == "incorrect") & truth).sum(), truth.sum()),
        "checks/s": len(rows) / seconds.sum(),
        "p50 ms": 1e3 * float(np.percentile(seconds, 50)),
        "p99 ms": 1e3 * float(np.percentile(seconds, 99)),
        "worst ms": 1e3 * float(seconds.max()),
        "hangs": sum(verdict.reason == "timeout" for verdict in result.verdicts),
    }


def by_category(rows: Sequence[Row], result: Run) -> dict[str, dict[str, float]]:
    """Share right, wrong accepts and times for each category of probes; `all but dos` sums the rest up."""
    table: dict[str, dict[str, float]] = {}
    names = sorted({row.category for row in rows})
    for name in [*names, "all but dos"]:
        chosen = [i for i, row in enumerate(rows) if (row.category == name if name in names else row.category != "dos")]
        yes = [result.verdicts[i].label == "correct" for i in chosen]
        truth = [rows[i].correct for i in chosen]
        times = np.array([result.seconds[i] for i in chosen])
        table[name] = {
            "rows": len(chosen),
            "right": sum(a == b for a, b in zip(yes, truth, strict=True)) / len(chosen),
            "wrong accepts": sum(a and not b for a, b in zip(yes, truth, strict=True)),
            "median ms": 1e3 * float(np.median(times)),
            "worst ms": 1e3 * float(times.max()),
        }
    return table


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a table: one line a name, one column a figure."""
    columns = list(next(iter(table.values())))
    width = max(len(name) for name in table) + 2
    print(f"\n{title}\n" + " " * width + "".join(f"{column:>17}" for column in columns))
    for name, figures in table.items():
        print(f"{name:<{width}}" + "".join(f"{_figure(figures[column]):>17}" for column in columns))


def _figure(value: float) -> str:
    if float(value).is_integer() and abs(value) > 1:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--verifiers", default="math,math_verify,hendrycks,exact")
    parser.add_argument("--limit", type=int, default=None, help="rows of each file")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(None if arguments is None else list(arguments))
    report: dict[str, Any] = {"antlr": antlr_version()}
    for path in options.files:
        rows = load(path, options.limit)
        results = {name: run(name, rows) for name in options.verifiers.split(",")}
        table = {name: measure(rows, result) for name, result in results.items()}
        report[path.name] = table
        probes = {name: by_category(rows, result) for name, result in results.items() if any(row.category for row in rows)}
        if probes:
            report[f"{path.name} by category"] = probes
        if not options.json:
            show(f"{path.name}   (antlr {report['antlr']})", table)
            for name, categories in probes.items():
                show(f"{path.name}: {name}, by category", categories)
            if "math" in table and "math_verify" in table:
                print(
                    f"\nmath against math_verify: {table['math']['checks/s'] / table['math_verify']['checks/s']:.1f} times "
                    f"the checks a second"
                )
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
