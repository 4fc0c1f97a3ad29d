"""Alignment, pressure and scale of each rule with real reward models, from scored and labelled rollouts alone.

    python benchmarks/reward_models.py FILE_OR_FOLDER... [--recalls .1 .4 .7] [--draws 12] [--json FILE]

Rollouts are JSON lines: one row per response with `prompt_id`, `correct` (0 or 1) and one column of numbers per reward model;
or one row per prompt with a list `correct` and `scores`, a list per reward model by name. A list of step scores counts as its
smallest, or with ``--steps future`` as the mean over steps of the sum from there on (VeriGate). Of each prompt ``--size``
responses are drawn; a verifier is simulated that misses right responses at random and accepts no wrong one; each rule sees all
prompts as its first batch. Means over draws of ``hero_rl.measures.update_quality``: alignment with the truth as a difference
from the verifier alone, pressure, scale. ``hero_adaptive, recall known`` gets the recall of the simulated verifier. Rules that
the package does not ship are in ``rivals``. The last row chooses by the labels how much a score counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compared import RULES
from hero_rl.measures import UpdateQuality, auroc_of_groups, update_quality
from hero_rl.rewards import group_advantages, hero, hero_adaptive, naive_sum, verifier_only
from hero_rl.rewards.groups import group_moments, index_groups
from hero_rl.rewards.rules import RewardRule
from hero_rl.rewards.weights import saturated_share
from hero_rl.types import FloatArray
from rivals import RIVALS, Rival, centred, seen, standardised

SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5)
"""Log-odds per standard deviation of the score that the last row chooses from."""
BY_LABELS = "posterior, slope by labels"
USEFUL = 0.55
"""Reward models with an AUROC inside prompts above this have a mean of their own."""
NOT_SCORES = {"correct", "sample", "id", "step"}


class Scored(NamedTuple):
    """The rollouts of one file under one reward model, shape (B,) each."""

    source: str
    model: str
    groups: np.ndarray
    right: FloatArray
    scores: FloatArray
    lengths: FloatArray
    """Number of step scores of the first process reward model of the file; all 1 where there is none."""


def read(path: Path, steps: str = "min") -> Iterator[Scored]:
    """Yield a file's rollouts once per reward model; ``steps``: "min" or "future", see the top."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows or "correct" not in rows[0] or "prompt_id" not in rows[0]:
        raise SystemExit(f"{path}: no rows with `prompt_id` and `correct`; give scored rollouts with trusted labels")
    if isinstance(rows[0]["correct"], list):
        names = list(rows[0]["scores"])
        sizes = [len(row["correct"]) for row in rows]
        right = np.concatenate([row["correct"] for row in rows]).astype(float)
        columns: dict[str, list[Any]] = {name: [one for row in rows for one in row["scores"][name]] for name in names}
        groups = np.repeat(np.arange(len(rows)), sizes)
    else:
        names = [name for name, value in rows[0].items() if name not in NOT_SCORES and isinstance(value, int | float | list)]
        right = np.array([row["correct"] for row in rows], dtype=float)
        columns = {name: [row.get(name) for row in rows] for name in names}
        groups = index_groups([str(row["prompt_id"]) for row in rows]).index_B
    stepwise = next((values for values in columns.values() if isinstance(values[0], list)), None)
    lengths = np.array([max(len(one), 1) for one in stepwise] if stepwise else np.ones(right.size), dtype=float)
    for name in names:
        flat = [_one_score(one, steps) if isinstance(one, list) else one for one in columns[name]]
        yield Scored(path.stem, name, groups, right, np.array(flat, dtype=float), lengths)


def _one_score(steps: list[float], how: str) -> float | None:
    if how == "future" and steps:
        return float(np.cumsum(steps[::-1]).mean())
    return min(steps, default=None)


def rules(recall: float) -> dict[str, RewardRule | Rival]:
    """Return every rule by the name of its row."""
    return {
        "verifier_only": verifier_only(),
        **RULES,
        "hero, sigma=calibrated": hero(sigma="calibrated"),
        "naive_sum, .9": naive_sum(rule_weight=0.9),
        "hero_adaptive, recall known": hero_adaptive(recall=recall),
        "hero_adaptive, recall x 2": hero_adaptive(recall=min(1.0, 2.0 * recall)),
        **RIVALS,
    }


def sample(scored: Scored, size: int, rng: np.random.Generator) -> Scored:
    """Return at most ``size`` responses of each prompt, drawn without replacement."""
    order = np.lexsort((rng.random(scored.groups.size), scored.groups))
    groups = scored.groups[order]
    place = np.arange(groups.size) - np.searchsorted(groups, groups)
    kept = order[place < size]
    return scored._replace(**{name: getattr(scored, name)[kept] for name in ("groups", "right", "scores", "lengths")})


def by_labels(drawn: Scored, verdicts: FloatArray, recall: float) -> UpdateQuality:
    """Return the figures of the posterior whose slope aligns best with the labels, told recall and accuracy as well.

    Accepted responses count 1, rejected ones P(correct | rejected, score) with log-odds linear in the score's excess over its
    prompt's mean: what ``hero_adaptive`` would have without a budget, if it estimated nothing wrongly.
    """
    groups, share = index_groups(drawn.groups), drawn.right.mean()
    prior = share * (1.0 - recall) / (1.0 - recall * share)
    x_B = np.clip(standardised(drawn.scores, groups), -3.0, 3.0)
    found = []
    for slope in SLOPES:
        odds_B = prior / (1.0 - prior) * np.exp(slope * x_B)
        advantages_B = centred(np.where(verdicts == 1.0, 1.0, odds_B / (1.0 + odds_B)), groups)
        found.append(update_quality(advantages_B, drawn.right, drawn.scores, drawn.groups))
    return max(found, key=lambda quality: quality.alignment.value)


def measure(scored: Scored, recalls: Sequence[float], *, size: int, draws: int) -> dict[str, Any]:
    """Return a reward model's own figures and, by rule and recall, alignment, pressure and scale: means over draws."""
    known = ~np.isnan(scored.scores)
    groups = index_groups(scored.groups)
    spread_P = group_moments(scored.scores, groups).std_P
    auroc = float(np.nanmean(auroc_of_groups(scored.scores, scored.right == 1, scored.groups, known)))
    found: dict[str, Any] = {}
    saturated = []
    for recall in recalls:
        made: dict[str, list[tuple[float, float, float]]] = {name: [] for name in (*rules(recall), BY_LABELS)}
        for draw in range(draws):
            rng = np.random.default_rng([draw, round(100 * recall)])
            drawn = sample(scored, size, rng)
            verdicts = drawn.right * (rng.random(drawn.right.size) < recall)
            for name, rule in rules(recall).items():
                if isinstance(rule, RewardRule):
                    output = rule.apply(verdicts, drawn.scores, drawn.groups, rule.init())
                    advantages = group_advantages(output.rewards, drawn.groups, weights_B=output.weights)
                    if name == "hero":
                        saturated.append(saturated_share(output.weights, w_min=0.4, w_max=3.0))
                else:
                    right, lengths, chance = drawn.right, drawn.lengths, np.random.default_rng(draw)
                    advantages = rule(
                        seen(verdicts, drawn.scores, drawn.groups, right, recall=recall, rng=chance, lengths=lengths)
                    )
                made[name].append(_three(update_quality(advantages, drawn.right, drawn.scores, drawn.groups)))
            made[BY_LABELS].append(_three(by_labels(drawn, verdicts, recall)))
        for name, values in made.items():
            means = np.nan_to_num(np.array(values)).mean(axis=0).round(4).tolist()
            found.setdefault(name, {})[f"{recall:g}"] = dict(zip(("alignment", "pressure", "scale"), means, strict=True))
    own = {"auroc": round(auroc, 3), "spread": float(f"{np.nanmean(spread_P):.3g}"), "saturated": round(np.mean(saturated), 3)}
    return {"source": scored.source, "model": scored.model, "prompts": groups.size, **own, "rules": found}


def _three(quality: UpdateQuality) -> tuple[float, float, float]:
    return quality.alignment.value, quality.pressure.value, quality.scale.value


def over_models(models: Sequence[dict[str, Any]], recalls: Sequence[float]) -> dict[str, Any]:
    """Return per rule and recall: mean alignment less the verifier's, its smallest and whose, mean pressure and scale."""
    out: dict[str, Any] = {}
    for name in models[0]["rules"]:
        for recall in (f"{recall:g}" for recall in recalls):
            cells = [model["rules"][name][recall] for model in models]
            more = [
                cell["alignment"] - model["rules"]["verifier_only"][recall]["alignment"]
                for cell, model in zip(cells, models, strict=True)
            ]
            out.setdefault(name, {})[recall] = {
                "more_alignment": round(float(np.mean(more)), 4),
                "smallest": round(min(more), 4),
                "smallest_of": models[int(np.argmin(more))]["model"],
                "pressure": round(float(np.mean([cell["pressure"] for cell in cells])), 3),
                "scale": round(float(np.mean([cell["scale"] for cell in cells])), 3),
            }
    return out


def print_rules(title: str, summary: dict[str, Any], recalls: Sequence[float]) -> None:
    """Print one line per rule: per recall, mean difference in alignment (smallest), pressure and scale."""
    print(f"\n{title}: alignment less the verifier's (smallest), pressure, scale, at recall {', '.join(map(str, recalls))}")
    for name, by_recall in summary.items():
        cells = (
            "{more_alignment:+.3f} ({smallest:+.3f}) {pressure:5.2f} {scale:5.2f}".format(**cell) for cell in by_recall.values()
        )
        print(f"{name:<28}  " + "   ".join(cells))


def main() -> None:
    """Measure every reward model of every file; print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", help="files, or folders of *.jsonl")
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.1, 0.4, 0.7], help="of the simulated verifier")
    parser.add_argument("--size", type=int, default=8, help="responses drawn per prompt")
    parser.add_argument("--draws", type=int, default=12, help="of responses and verdicts")
    parser.add_argument("--steps", choices=["min", "future"], default="min", help="how step scores make one score")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    files = [file for path in options.paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    by_source: dict[str, list[dict[str, Any]]] = {}
    for scored in (scored for file in files for scored in read(file, options.steps)):
        found = measure(scored, options.recalls, size=options.size, draws=options.draws)
        by_source.setdefault(scored.source, []).append(found)
    summaries: dict[str, Any] = {}
    for source, models in by_source.items():
        print(f"\n{source}: {models[0]['prompts']} prompts")
        print(f"{'reward model':<20}{'AUROC':>7}{'spread':>9}{'weights at a limit':>20}")
        for model in sorted(models, key=lambda one: -one["auroc"]):
            print(f"{model['model']:<20}{model['auroc']:7.2f}{model['spread']:9.3g}{model['saturated']:20.0%}")
        useful = [model for model in models if model["auroc"] > USEFUL]
        for title, chosen in (("all reward models", models), (f"{len(useful)} with AUROC > {USEFUL:g}", useful)):
            if chosen and (chosen is models or len(useful) < len(models)):
                summaries[f"{source}, {title}"] = summary = over_models(chosen, options.recalls)
                print_rules(title, summary, options.recalls)
    if options.json:
        settings = {"recalls": options.recalls, "size": options.size, "draws": options.draws, "numpy": np.__version__}
        every = [model for models in by_source.values() for model in models]
        options.json.write_text(json.dumps({**settings, "summary": summaries, "models": every}, indent=1) + "\n")


if __name__ == "__main__":
    main()
