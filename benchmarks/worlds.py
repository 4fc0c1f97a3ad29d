"""How many rollouts work under each rule, in 32 simulated worlds.

    python benchmarks/worlds.py [--seeds 10 11 12] [--steps 60] [--worlds hacking jump] [--json FILE]

A world says how often the verifier misses a correct response or accepts a wrong one, how well scores rank, how hard the
prompts are, and how all that changes during training. A rule sees verdicts and scores, batch after batch, with its state kept;
its advantages are compared with the truth's, the labels less their mean per prompt. Printed: working rollouts, the squared
cosine of the two over all batches, as a multiple of the verifier's alone; and pressure, the cosine with the noise of the reward
model (``hero_rl.measures.alignment``). No policy is trained here: "drift" and "hacking" change the responses on a schedule.

Worlds and settings of ``hero_adaptive`` were chosen on seeds 0 and 1; the default seeds chose nothing. ``hero_adaptive`` has
three rows: as it is, with the recall of the world, and with twice that recall (at most 1). Rules that the package does not ship
are in ``rivals``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from compared import RULES
from hero_rl.measures import update_quality
from hero_rl.rewards import group_advantages, hero_adaptive, verifier_only
from hero_rl.rewards.rules import RewardRule
from hero_rl.types import FloatArray
from rivals import RIVALS, Rival, seen


class World(NamedTuple):
    """A world that a rule meets; pairs are the values at the first and the last step, with straight lines between them."""

    recall: float = 0.3
    false_positives: float = 0.0
    auroc: tuple[float, float] = (0.75, 0.75)
    accuracy: tuple[float, float] = (0.35, 0.35)
    alike: float = 2.0
    """The accuracy of a prompt is Beta(alike x accuracy, alike x (1 - accuracy))."""
    misses_follow_score: float = 0.0
    """Log-odds of a miss per standard deviation of score noise; negative: responses with high scores are missed."""
    readable: float = 1.0
    """Share of prompts on which the verifier can accept at all, with a recall of ``recall / readable``."""
    tails: float = math.inf
    """Degrees of freedom of the score's noise; infinite: normal."""
    patchy: float = 0.0
    """Standard deviation, over prompts, of how far the scores separate right from wrong, as a share of the mean."""
    prompts: int = 32
    size: int = 8
    offset: float = 0.5
    """Spread of the mean scores of prompts, in units of the noise."""
    hacked: float = 0.0
    """Share, at the last step, of responses that are wrong and score 2 standard deviations above the other wrong ones."""
    drift: float = 0.0
    """Rise of all scores over the run."""
    jump: float = 1.0
    """Factor on all scores from the middle of the run on."""


WORLDS: dict[str, World] = {
    "base": World(),
    "recall .1": World(recall=0.1),
    "recall .2": World(recall=0.2),
    "recall .7": World(recall=0.7),
    "recall .95": World(recall=0.95),
    "AUROC .5": World(auroc=(0.5, 0.5)),
    "AUROC .6": World(auroc=(0.6, 0.6)),
    "AUROC .85": World(auroc=(0.85, 0.85)),
    "AUROC .95": World(auroc=(0.95, 0.95)),
    "recall .1, AUROC .5": World(recall=0.1, auroc=(0.5, 0.5)),
    "recall .95, AUROC .5": World(recall=0.95, auroc=(0.5, 0.5)),
    "recall .1, AUROC .9": World(recall=0.1, auroc=(0.9, 0.9)),
    "accuracy .05": World(accuracy=(0.05, 0.05)),
    "accuracy .6": World(accuracy=(0.6, 0.6)),
    "accuracy .9": World(accuracy=(0.9, 0.9)),
    "prompts alike": World(alike=50.0),
    "prompts all or nothing": World(alike=0.4),
    "false positives 1%": World(false_positives=0.01),
    "false positives 5%": World(false_positives=0.05),
    "false positives 10%": World(false_positives=0.1),
    "low scores are missed": World(misses_follow_score=1.0),
    "high scores are missed": World(misses_follow_score=-1.0),
    "half the prompts unreadable": World(readable=0.5),
    "heavy tails": World(tails=2.5),
    "reliable on some prompts": World(patchy=1.0),
    "groups of 2": World(size=2, prompts=128),
    "groups of 64": World(size=64, prompts=8),
    "4 prompts": World(prompts=4),
    "drift": World(accuracy=(0.15, 0.7), auroc=(0.85, 0.65), drift=3.0),
    "hacking": World(hacked=0.3, auroc=(0.75, 0.6), drift=2.0),
    "hacking, recall .1": World(recall=0.1, hacked=0.3, auroc=(0.75, 0.6), drift=2.0),
    "jump of scale x5": World(jump=5.0),
}


class Batch(NamedTuple):
    """One step's signals and the truth, shape (B,) each."""

    verdicts: FloatArray
    scores: FloatArray
    groups: np.ndarray
    right: FloatArray


def batches(world: World, steps: int, seed: int) -> Iterator[Batch]:
    """Yield the batches of one run."""
    rng, groups = np.random.default_rng(seed), np.repeat(np.arange(world.prompts), world.size)
    for step in range(steps):
        at = step / max(1, steps - 1)
        auroc, accuracy = (low + at * (high - low) for low, high in (world.auroc, world.accuracy))
        share = rng.beta(world.alike * accuracy, world.alike * (1 - accuracy), world.prompts)
        hacked = rng.random(groups.size) < at * world.hacked
        right = (rng.random(groups.size) < share[groups]) & ~hacked
        noise = rng.normal(size=groups.size) if math.isinf(world.tails) else rng.standard_t(world.tails, groups.size)
        apart = math.sqrt(2.0) * NormalDist().inv_cdf(auroc) * (1 + world.patchy * rng.normal(size=world.prompts))[groups]
        readable = rng.random(world.prompts) < world.readable
        odds = math.log(world.recall / world.readable) - math.log1p(-min(world.recall / world.readable, 1 - 1e-9))
        found = rng.random(groups.size) < 1 / (1 + np.exp(-odds - world.misses_follow_score * noise))
        lucky = rng.random(groups.size) < world.false_positives
        verdicts = np.where(right, found & readable[groups], lucky).astype(float)
        scores = apart * right + 2.0 * hacked + noise + world.offset * rng.normal(size=world.prompts)[groups] + world.drift * at
        yield Batch(verdicts, scores * (world.jump if at >= 0.5 else 1.0), groups, right.astype(float))


def rules() -> dict[str, Callable[[World], RewardRule | Rival]]:
    """Return every rule under the name of its row; the settings of some depend on the world."""
    return {
        **{name: (lambda world, rule=rule: rule) for name, rule in (RULES | RIVALS).items()},
        "hero_adaptive, recall known": lambda world: hero_adaptive(recall=world.recall, false_positives=world.false_positives),
        "hero_adaptive, recall x 2": lambda world: hero_adaptive(
            recall=min(1.0, 2.0 * world.recall), false_positives=world.false_positives
        ),
    }


class Figures(NamedTuple):
    """Of one rule in one world."""

    working: float
    """Times as many working rollouts as under the verifier alone, over the seeds."""
    pressure: float


def advantages_of(rule: RewardRule | Rival, run: Sequence[Batch], recall: float) -> Iterator[FloatArray]:
    """Yield the advantages of each batch of a run."""
    if not isinstance(rule, RewardRule):
        rng = np.random.default_rng(0)
        yield from (rule(seen(one.verdicts, one.scores, one.groups, one.right, recall=recall, rng=rng)) for one in run)
        return
    state = rule.init()
    for batch in run:
        output = rule.apply(batch.verdicts, batch.scores, batch.groups, state)
        state = output.state
        yield group_advantages(output.rewards, batch.groups, weights_B=output.weights)


def alignment(rule: RewardRule | Rival, runs: Sequence[Sequence[Batch]], recall: float) -> tuple[float, float]:
    """Return the alignment and pressure of a rule over all batches of all runs; 0 where it gives no advantage at all."""
    advantages = [each for run in runs for each in advantages_of(rule, run, recall)]
    rows, prompts = [], 0
    for run in runs:
        for batch in run:
            rows.append(batch.groups + prompts)
            prompts += int(batch.groups[-1]) + 1
    every = [batch for run in runs for batch in run]
    # in units of the batch, or a jump of scale would leave one half of the run without weight
    scores = np.concatenate([batch.scores / batch.scores.std() for batch in every])
    right = np.concatenate([batch.right for batch in every])
    quality = update_quality(np.concatenate(advantages), right, scores, np.concatenate(rows))
    return float(np.nan_to_num(quality.alignment.value)), float(np.nan_to_num(quality.pressure.value))


def measure(
    names: Sequence[str], makers: Mapping[str, Callable[[World], RewardRule | Rival]], *, steps: int, seeds: Sequence[int]
) -> dict[str, dict[str, Figures]]:
    """Return the figures of every rule in every named world."""
    found: dict[str, dict[str, Figures]] = {name: {} for name in makers}
    for name in names:
        world = WORLDS[name]
        runs = [list(batches(world, steps, 1000 * seed + list(WORLDS).index(name))) for seed in seeds]
        alone = alignment(verifier_only(), runs, world.recall)[0]
        for rule, make in makers.items():
            cosine, pressure = alignment(make(world), runs, world.recall)
            found[rule][name] = Figures(round(math.copysign((cosine / alone) ** 2, cosine), 4), round(pressure, 4))
    return found


def summary(by_world: dict[str, Figures]) -> dict[str, float]:
    """Return the figures of one rule over its worlds; a rule that points away from the truth somewhere has no mean."""
    working = np.array([figures.working for figures in by_world.values()])
    return {
        "geometric_mean": round(float(np.exp(np.log(working).mean())), 4) if (working > 0).all() else math.nan,
        "worst": float(working.min()),
        "below_.96": int((working < 0.96).sum()),
        "pressure": round(float(np.mean([figures.pressure for figures in by_world.values()])), 4),
    }


def main() -> None:
    """Measure, print a table per world and one over worlds, and write both as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12], help="one run of every world per seed")
    parser.add_argument("--steps", type=int, default=60, help="batches per run")
    parser.add_argument("--worlds", nargs="+", default=[], help="only worlds whose name holds one of these")
    parser.add_argument("--rules", nargs="+", default=[], help="only these rules")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    names = [name for name in WORLDS if not options.worlds or any(part in name for part in options.worlds)]
    makers = {name: make for name, make in rules().items() if not options.rules or name in options.rules}
    found = measure(names, makers, steps=options.steps, seeds=options.seeds)
    print("working rollouts, times the verifier's alone")
    print(" " * 28 + "".join(f"{number:>6}" for number in range(1, len(found) + 1)))
    for name in names:
        print(f"{name:<28}" + "".join(f"{by_world[name].working:6.2f}" for by_world in found.values()))
    print(f"\n{'rule':<36}{'geo. mean':>10}{'worst':>8}{'<.96':>6}{'pressure':>10}  worst world")
    overall = {rule: summary(by_world) for rule, by_world in found.items()}
    for number, (rule, of) in enumerate(overall.items(), 1):
        worst = min(names, key=lambda name: found[rule][name].working)
        print(f"{number:>2} {rule:<33}" + "{:10.3f}{:8.2f}{:6d}{:10.2f}".format(*of.values()) + f"  {worst}")
    if options.json:
        figures = {rule: {name: one._asdict() for name, one in by_world.items()} for rule, by_world in found.items()}
        settings = {"seeds": options.seeds, "steps": options.steps, "numpy": np.__version__}
        found_all = {**settings, "summary": overall, "worlds": figures}
        options.json.write_text(json.dumps(found_all, indent=1).replace("NaN", "null") + "\n")


if __name__ == "__main__":
    main()
