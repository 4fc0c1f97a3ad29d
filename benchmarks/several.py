"""Do several reward models as one rank better than the best of them, chosen without labels?

    python benchmarks/several.py FILE [--recalls .1 .4 .7] [--draws 12] [--json FILE]

The file is that of ``reward_models.py``, with two reward models or more. Responses are drawn and verdicts simulated as there.
Ways to make one column of several, all inside prompts and in units of each model's usual spread inside a prompt:

    mean          of all
    consensus     weights of the first principal component: models that agree with the others (no verdicts), at least 0
    verdicts      weights proportional to the covariance with the verdicts, at least 0
    one           the model with the largest covariance with the verdicts: what one would do without labels
    joint         (S + I) / 2 inverse times that covariance, S the correlations of the models inside prompts
    best          the model with the highest AUROC, by labels: no one can do that without them

Weights are fitted on the other half of the prompts. Printed per recall: AUROC inside prompts, and alignment minus the
verifier's of two rules with the column as scores. Then the same for random twos, threes and fives of models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hero_rl.measures import auroc_of_groups, update_quality
from hero_rl.rewards import group_advantages, hero, hero_adaptive, verifier_only
from hero_rl.rewards.groups import Groups, group_moments, index_groups
from hero_rl.types import FloatArray
from reward_models import Scored, read, sample

Weigh: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]
"""From standardised scores (B, M) and centred verdicts (B,) to a weight per model."""
SUBSETS = 60
"""Random sets of so many models."""


def excess(scores_BM: FloatArray, groups: Groups) -> FloatArray:
    """Return scores less the mean of their prompt, in units of the median spread inside prompts; missing ones are 0."""
    columns = []
    for column in scores_BM.T:
        moments = group_moments(column, groups)
        unit = float(np.nanmedian(moments.std_P)) or 1.0
        columns.append(np.clip(np.nan_to_num((column - moments.mean_P[groups.index_B]) / unit), -3.0, 3.0))
    return np.stack(columns, axis=1)


def _mean(x_BM: FloatArray, v_B: FloatArray) -> FloatArray:
    return np.ones(x_BM.shape[1])


def _consensus(x_BM: FloatArray, v_B: FloatArray) -> FloatArray:
    first = np.linalg.eigh(np.corrcoef(x_BM.T))[1][:, -1]
    return np.maximum(first * np.sign(first.sum()), 0.0)


def _verdicts(x_BM: FloatArray, v_B: FloatArray) -> FloatArray:
    return np.maximum(v_B @ x_BM, 0.0)


def _one(x_BM: FloatArray, v_B: FloatArray) -> FloatArray:
    return np.eye(x_BM.shape[1])[np.argmax(v_B @ x_BM)]


def _joint(x_BM: FloatArray, v_B: FloatArray) -> FloatArray:
    together = (np.corrcoef(x_BM.T) + np.eye(x_BM.shape[1])) / 2.0
    return np.linalg.solve(together, v_B @ x_BM)


WAYS: dict[str, Weigh] = {"mean": _mean, "consensus": _consensus, "verdicts": _verdicts, "one": _one, "joint": _joint}


def combine(x_BM: FloatArray, verdicts: FloatArray, groups: Groups, weigh: Weigh) -> FloatArray:
    """Return one score per response, by weights that were fitted on the other half of the prompts."""
    v_B = verdicts - group_moments(verdicts, groups).mean_P[groups.index_B]
    out = np.empty(verdicts.size)
    for half in (0, 1):
        here = groups.index_B % 2 == half
        weights = weigh(x_BM[~here], v_B[~here])
        total = float(np.abs(weights).sum())
        out[here] = x_BM[here] @ (weights / total if total else np.ones_like(weights) / weights.size)
    return out


def inside(scores: FloatArray, drawn: Scored) -> float:
    """Return the mean AUROC inside prompts."""
    return float(np.nanmean(auroc_of_groups(scores, drawn.right == 1, drawn.groups, ~np.isnan(scores))))


def alignments(scores: FloatArray, verdicts: FloatArray, drawn: Scored, recall: float) -> list[float]:
    """Return the alignment of ``hero(weighting=False)`` and ``hero_adaptive`` (recall known), minus the verifier's."""
    found = []
    for rule in (verifier_only(), hero(weighting=False), hero_adaptive(recall=recall)):
        output = rule.apply(verdicts, scores, drawn.groups, rule.init())
        advantages = group_advantages(output.rewards, drawn.groups, weights_B=output.weights)
        found.append(float(np.nan_to_num(update_quality(advantages, drawn.right, scores, drawn.groups).alignment.value)))
    return [one - found[0] for one in found[1:]]


def measure(models: Sequence[Scored], recall: float, *, size: int, draws: int) -> dict[str, list[float]]:
    """Return by way of combining: AUROC and the alignments of two rules, means over draws."""
    made: dict[str, list[list[float]]] = {}
    best = int(np.argmax([inside(one.scores, one) for one in models]))
    for draw in range(draws):
        rng = np.random.default_rng([draw, round(100 * recall)])
        numbers = np.arange(models[0].groups.size, dtype=float)
        drawn = sample(models[0]._replace(scores=numbers), size, rng)
        scores_BM = np.stack([one.scores[drawn.scores.astype(int)] for one in models], axis=1)
        verdicts = drawn.right * (rng.random(drawn.right.size) < recall)
        groups = index_groups(drawn.groups)
        x_BM = excess(scores_BM, groups)
        columns = {name: combine(x_BM, verdicts, groups, weigh) for name, weigh in WAYS.items()}
        columns["best"] = scores_BM[:, best]
        for name, column in columns.items():
            made.setdefault(name, []).append([inside(column, drawn), *alignments(column, verdicts, drawn, recall)])
    return {name: np.mean(values, axis=0).round(4).tolist() for name, values in made.items()}


def subsets(models: Sequence[Scored], count: int, recall: float, *, size: int, draws: int) -> dict[str, list[float]]:
    """Return by way, minus "one": mean AUROC, share of subsets above, least; mean alignment of ``hero_adaptive``, least."""
    rng = np.random.default_rng(count)
    chosen = [rng.choice(len(models), count, replace=False) for _ in range(SUBSETS)]
    found = [measure([models[index] for index in one], recall, size=size, draws=draws) for one in chosen]
    out = {}
    for name in found[0]:
        gain = np.array([one[name][0] - one["one"][0] for one in found])
        align = np.array([one[name][2] - one["one"][2] for one in found])
        out[name] = [round(float(x), 4) for x in (gain.mean(), (gain > 0).mean(), gain.min(), align.mean(), align.min())]
    return out


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="rollouts with labels and the scores of several reward models")
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.1, 0.4, 0.7], help="of the simulated verifier")
    parser.add_argument("--size", type=int, default=8, help="responses drawn per prompt")
    parser.add_argument("--draws", type=int, default=12, help="of responses and verdicts")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    models = list(read(options.path))
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for recall in options.recalls:
        of = found[f"{recall:g}"] = {"all": measure(models, recall, size=options.size, draws=options.draws)}
        print(f"\nrecall {recall:g}, all {len(models)}: AUROC, alignment minus the verifier's of two rules")
        for name, (auroc, *gains) in of["all"].items():
            print(f"{name:<12}{auroc:7.3f}" + "".join(f"{gain:+8.3f}" for gain in gains))
        for count in (2, 3, 5):
            of[f"subsets of {count}"] = subsets(models, count, recall, size=options.size, draws=2)
            print(f"subsets of {count}: AUROC minus that of `one`, share above, smallest; alignment of hero_adaptive, smallest")
            for name, (gain, share, least, align, worst) in of[f"subsets of {count}"].items():
                print(f"{name:<12}{gain:+7.3f}{share:8.0%}{least:+8.3f}{align:+8.3f}{worst:+8.3f}")
    if options.json:
        settings = {"recalls": options.recalls, "size": options.size, "draws": options.draws, "numpy": np.__version__}
        names = {"models": [one.model for one in models], "fields": ["auroc", "hero_unweighted", "hero_adaptive_recall_known"]}
        options.json.write_text(json.dumps({**settings, **names, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
