"""The table that `hero audit` looks situations up in, from the kept results of the studies.

    python results/study/lookup.py

Reads situations.toml and phase.toml with their kept results beside this file and writes src/hero_rl/audit/situations.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hero_lab.study.collect import collect, read_kept
from hero_lab.study.plan import TablePlan, read_plan
from hero_lab.study.tables import values_SP
from hero_rl.measures import crossed_interval

HERE = Path(__file__).parent
PLANS = ("situations", "phase")
RULES = ("verifier_only", "rm_only", "naive_sum", "hero", "hero_adaptive")
TAG_WORDS = {"V": "verifiable", "H": "hard"}


def main() -> None:
    """Write the table."""
    rows: list[dict[str, Any]] = []
    for name in PLANS:
        plan = read_plan(HERE / f"{name}.toml")
        files = [path for table in plan.tables if (path := HERE / f"{table.name}.jsonl.gz").is_file()]
        found = collect(plan, Path("nowhere"), read_kept(files, plan))
        for table in plan.tables:
            entries = [entry for entry in found if entry.table == table.name]
            for cell in dict.fromkeys(entry.cell for entry in entries):
                by_arm: dict[str, dict[int, Mapping[str, Any]]] = {}
                for entry in entries:
                    if entry.cell == cell:
                        by_arm.setdefault(entry.arm, {})[entry.seed] = entry.result
                rows += situations_of(table, by_arm)
    target = HERE.parents[1] / "src/hero_rl/audit/situations.json"
    target.write_text(
        json.dumps({"source": [f"results/study/{name}.toml" for name in PLANS], "situations": rows}, indent=1) + "\n"
    )
    print(f"{len(rows)} situations in {target}")


def situations_of(table: TablePlan, by_arm: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One entry a kind of held-out prompts that was trained on."""
    arms = [arm for arm in RULES if arm in by_arm]
    seeds = sorted(set.intersection(*(set(by_arm[arm]) for arm in arms))) if len(arms) > 1 else []
    if len(seeds) < 2:
        return []
    one = by_arm["hero"][seeds[0]]
    settings = one["settings"]
    rows = []
    for tag in one["held_out"]["end"]:
        if tag not in TAG_WORDS:
            continue
        values = {arm: values_SP(by_arm[arm], seeds, tag, max(table.horizons), "accuracy") for arm in arms}
        known = {arm: value for arm, value in values.items() if value is not None}
        best = max(known, key=lambda arm: known[arm].mean())
        starts = [by_arm["hero"][seed]["held_out"]["start"][tag] for seed in seeds]
        mixed = " of mixed data" if settings["regime"] == "mixed" else ""
        noise = f" with noise {settings['score_noise']:g}" if settings["score_noise"] else ""
        rows.append({
            "name": f"{settings['task']}, {TAG_WORDS[tag]} prompts{mixed}, {settings['tier']} reward model{noise}",
            "recall": round(mean_recall(starts), 3),
            "auroc": round(float(np.mean([start["rm_auroc_within"] for start in starts])), 3),
            "seeds": len(seeds),
            "rules": {arm: compared(known[arm], known[best]) for arm in known},
        })  # fmt: skip
    return rows


def mean_recall(starts: Sequence[Mapping[str, Any]]) -> float:
    """Of the verifier that the run is trained on; without wrong acceptances, accepted over right."""
    own = [start.get("own_verifier_recall") for start in starts]
    if all(value is not None for value in own):
        return float(np.mean(own))
    return float(np.mean([start["verifier_pass"] / start["accuracy"]["mean"] for start in starts]))


def compared(values: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    """A rule beside the best one."""
    behind = crossed_interval(best - values) if values is not best else None
    return {
        "accuracy": round(float(values.mean()), 4),
        "behind": round(behind.value, 4) if behind else 0.0,
        "clearly": bool(behind and behind.low > 0),
    }


if __name__ == "__main__":
    main()
