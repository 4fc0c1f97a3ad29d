"""Which normalisation, learning rate and band suit each rule: chosen on development prompts of a seed that is not reported.

    python results/lab/tune.py [--out runs/study] [--jobs 2]

Every candidate of every rule trains in the hard and in the verifiable regime, without and with KL. The score of a candidate is
its oracle accuracy at temperature 1 on *development* prompts after the last step. The best of each rule, regime and KL setting
goes into ``hero_lab.presets``; the mixed regime takes what is best on average over the other two. Held-out prompts are not
looked at. Writes tuning.json beside this file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from hero_lab.grid import execute
from hero_lab.results import versions
from hero_lab.settings import plan_runs

SEED = 20
REGIMES = ("hard", "verifiable")
KLS = (0.0, 0.05)
CANDIDATES = {
    "verifier_only": ("scale=group", "scale=none"),
    "rm_only": ("scale=group", "scale=none"),
    "naive_sum": ("scale=group", "scale=none", "scale=none,rule_weight=0.9"),
    "hero": ("scale=none,alpha=0.05,beta=0.05", "scale=none,alpha=0.1,beta=0.1", "scale=none,alpha=0.2,beta=0.2"),
    "hero_group_std": ("scale=group",),
}
LEARNING_RATES = (1.5e-4, 3e-4)


def main() -> None:
    """Run what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    labels = [f"{rule}:{change},learning_rate={rate:g}" for rule, changes in CANDIDATES.items() for change in changes
              for rate in LEARNING_RATES]  # fmt: skip
    runs = []
    for kl in KLS:
        for regime in REGIMES:
            runs += plan_runs(labels, seeds=(SEED,), regime=regime, kl=kl, curve_every=50, held_out_samples=1)
    scores: dict[tuple[str, float], dict[str, dict[str, float]]] = {}
    for event in execute(runs, out=options.out, jobs=options.jobs):
        if event.kind in ("finished", "reused"):
            last = event.data["curve"][-1]
            scores.setdefault((event.run.label, event.run.kl), {})[event.run.regime] = {
                name: last[name] for name in ("accuracy", "greedy", "rm_score")
            }
            print(event.run.label, event.run.regime, event.run.kl, f"{last['accuracy']:.3f}", flush=True)
        elif event.kind == "failed":
            raise SystemExit(f"{event.run.label}: {event.data['error']}")
    rows = [
        {"rule": label.partition(":")[0], "candidate": label.partition(":")[2], "kl": kl, "regimes": by_regime}
        for (label, kl), by_regime in scores.items()
    ]
    content = {"seed": SEED, "versions": versions(), "chosen": choose(rows), "candidates": rows}
    Path(__file__).with_name("tuning.json").write_text(json.dumps(content, indent=1) + "\n")
    for key, choice in content["chosen"].items():
        print(f"{key:36} {choice}")


def choose(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The best candidate of each rule, regime and KL setting; ``mixed`` takes the best on average over the other two."""
    chosen = {}
    for rule in CANDIDATES:
        for kl in KLS:
            own = [row for row in rows if row["rule"] == rule and row["kl"] == kl]
            for regime, parts in (("hard", ("hard",)), ("verifiable", ("verifiable",)), ("mixed", REGIMES)):
                best = max(own, key=lambda row: sum(row["regimes"][part]["accuracy"] for part in parts))
                chosen[f"{rule} {regime} kl={kl:g}"] = best["candidate"]
    return chosen


if __name__ == "__main__":
    main()
