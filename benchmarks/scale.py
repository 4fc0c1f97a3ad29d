"""How far the logged scale of each rule's advantages (`hero/scale_estimate`) is from the truth.

    python benchmarks/scale.py [--rewards FILE...] [--json FILE]

Every rule runs through the 32 worlds of ``worlds.py``, and through scored rollouts of real reward models (as
``reward_models.py`` reads them) with a simulated verifier; no policy is trained. Printed per rule: the estimate over the truth,
as the median over worlds or models with the smallest and the largest; once with the recall known and once without. The truth is
sum A A* / sum A*^2 of the same batches with the same decay. Worlds where the truth is below .05 in size are left out and
counted: nothing is there to be measured. The last lines are the largest factor between two rules of one world of how far each
is off: what one KL coefficient for all rules is wrong by. Seeds 0 and 1 chose the estimator; the default seeds chose nothing.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from compared import RULES
from hero_rl.rewards import group_advantages, hero_adaptive, verifier_only
from hero_rl.rewards.groups import group_sum, number_groups
from hero_rl.rewards.rules import RewardRule
from hero_rl.rewards.scale import ScaleEstimate
from reward_models import read, sample
from worlds import WORLDS, Batch, batches

LEAST = 0.05
"""Smallest scale, in size, that an estimate is compared with."""


def rules(recall: float) -> dict[str, RewardRule]:
    """Return every rule by the name of its row."""
    return {"verifier_only": verifier_only(), **RULES, "hero_adaptive, recall known": hero_adaptive(recall=recall)}


def of_run(rule: RewardRule, run: Iterable[Batch], recall: float | None) -> tuple[float, float]:
    """Return the estimate and the truth, means over the last two thirds of the batches."""
    state, estimate, values, truths = rule.init(), ScaleEstimate.of(rule, recall=recall), [], []
    signal = size = 0.0
    for batch in run:
        groups = number_groups(batch.groups)
        output = rule.apply(batch.verdicts, batch.scores, groups, state)
        state = output.state
        advantages = group_advantages(output.rewards, groups, weights_B=output.weights)
        estimate = estimate.after(batch.verdicts, batch.scores, groups, advantages)
        truth = batch.right - (group_sum(batch.right, groups) / np.bincount(groups.index_B))[groups.index_B]
        fade = estimate.reliability.decay
        signal, size = fade * signal + float((advantages * truth).sum()), fade * size + float((truth**2).sum())
        values.append(estimate.value)
        truths.append(signal / size)
    first = len(values) // 3
    return float(np.mean(values[first:])), float(np.mean(truths[first:]))


def of_world(name: str, *, steps: int, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return estimates and truth of every rule in a simulated world, means over seeds."""
    world = WORLDS[name]
    runs = [list(batches(world, steps, 1000 * seed + list(WORLDS).index(name))) for seed in seeds]
    return of_runs(runs, world.recall)


def of_runs(runs: Sequence[Sequence[Batch]], recall: float) -> dict[str, dict[str, float]]:
    """Return estimates and truth of every rule, means over runs."""
    found: dict[str, dict[str, float]] = {}
    for name, rule in rules(recall).items():
        known, unknown = (np.array([of_run(rule, run, given) for run in runs]).mean(axis=0) for given in (recall, None))
        found[name] = {"truth": round(known[1], 4), "known": round(known[0], 4), "unknown": round(unknown[0], 4)}
    return found


def of_rewards(path: Path, recall: float, *, draws: int, size: int = 8) -> dict[str, dict[str, dict[str, float]]]:
    """Return the same by reward model of a file; a batch is a draw of responses to all prompts, judged anew."""
    found = {}
    for scored in read(path):
        rng, run = np.random.default_rng([7, round(100 * recall)]), []
        for _ in range(draws):
            drawn = sample(scored, size, rng)
            verdicts = drawn.right * (rng.random(drawn.right.size) < recall)
            run.append(Batch(verdicts, drawn.scores, drawn.groups, drawn.right))
        found[f"{scored.source}, {scored.model}, recall {recall:g}"] = of_runs([run], recall)
    return found


def show(title: str, by_place: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float | str]]:
    """Print one line per rule, and return them."""
    out: dict[str, dict[str, float | str]] = {}
    print(f"\n{title}: estimate / truth, median [smallest, largest]{'':<6}recall known{'':<22}recall unknown")
    for rule in rules(0.5):
        line: dict[str, float | str] = {}
        kept = {place: of[rule] for place, of in by_place.items() if abs(of[rule]["truth"]) >= LEAST}
        for how in ("known", "unknown"):
            ratios = {place: of[how] / of["truth"] for place, of in kept.items()}
            low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
            line |= {how: float(np.median(list(ratios.values()))), f"{how}_low": ratios[low], f"{how}_high": ratios[high]}
            line |= {f"{how}_low_in": low, f"{how}_high_in": high}
        out[rule] = line | {"places": len(kept)}
        cells = ["{:5.2f} [{:5.2f}, {:5.2f}] {:<26.26}".format(*(line[how + end] for end in ("", "_low", "_high", "_high_in")))
                 for how in ("known", "unknown")]  # fmt: skip
        print(f"{rule:<30}{len(kept):3d} of {len(by_place)}  " + "  ".join(cells))
    for how in ("known", "unknown"):
        apart = [
            max(logs) - min(logs)
            for of in by_place.values()
            if len(logs := [math.log(one[how] / one["truth"]) for one in of.values()
                            if one["truth"] >= LEAST and one[how] > 0.0]) > 1
        ]  # fmt: skip
        print(f"largest factor between two rules of one place, recall {how}: median {math.exp(np.median(apart)):.2f}")
        out[f"between rules, {how}"] = {"median": math.exp(float(np.median(apart)))}
    return out


def main() -> None:
    """Measure, print, and write as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12], help="one run of every world per seed")
    parser.add_argument("--steps", type=int, default=60, help="batches per run")
    parser.add_argument("--rewards", type=Path, nargs="*", default=[], help="scored rollouts with trusted labels")
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.1, 0.4, 0.7], help="of the simulated verifier")
    parser.add_argument("--draws", type=int, default=12, help="batches per real reward model")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    worlds = {name: of_world(name, steps=options.steps, seeds=options.seeds) for name in WORLDS}
    models = {}
    for path in options.rewards:
        for recall in options.recalls:
            models |= of_rewards(path, recall, draws=options.draws)
    summary = {title: show(title, places) for title, places in (("worlds", worlds), ("reward models", models)) if places}
    if options.json:
        settings = {"seeds": options.seeds, "steps": options.steps, "draws": options.draws, "numpy": np.__version__}
        options.json.write_text(
            json.dumps({**settings, "summary": summary, "worlds": worlds, "models": models}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
