"""The lab's results by situation: which rule won with a verifier and a reward model that were about as good.

``situations.json`` beside this file is written by ``results/study/lookup.py`` from the kept results of the lab's studies. A
situation is a task, a regime and a pair of signals, with the verifier's recall and the reward model's AUROC inside prompts *on
the starting policy*, as an audit measures them, and the accuracy of every rule at the end of training.

These are no laws. The lab's models have 150 thousand parameters, and how easily a reward model is hacked, which decides a
lot, cannot be seen in a file of rollouts.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("situations.json")
RECALL_UNIT, AUROC_UNIT = 0.3, 0.1
"""Differences that count as equally large."""
FAR = 1.5
"""Beyond this distance nothing in the lab is like it."""


class RuleResult(NamedTuple):
    """How a rule did in a situation."""

    accuracy: float
    """On held-out prompts at the end, mean over seeds."""
    behind: float
    """Distance to the best rule of the situation, >= 0."""
    clearly: bool
    """Whether the paired 95% interval of that difference is clear of 0."""


class Situation(NamedTuple):
    """One cell of a study of the lab."""

    name: str
    """Task, kind of prompts and reward model, in words."""
    recall: float
    auroc: float
    seeds: int
    rules: dict[str, RuleResult]

    @property
    def best(self) -> str:
        """The rule with the highest accuracy."""
        return max(self.rules, key=lambda rule: self.rules[rule].accuracy)

    def distance(self, recall: float, auroc: float) -> float:
        """Return the distance from these figures; 1 is a difference of ``RECALL_UNIT`` or ``AUROC_UNIT``."""
        return (((self.recall - recall) / RECALL_UNIT) ** 2 + ((self.auroc - auroc) / AUROC_UNIT) ** 2) ** 0.5


@lru_cache(maxsize=1)
def situations() -> tuple[Situation, ...]:
    """Return all situations, in the order of the studies."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["situations"]
    return tuple(
        Situation(row["name"], row["recall"], row["auroc"], row["seeds"],
                  {rule: RuleResult(**result) for rule, result in row["rules"].items()})
        for row in rows
    )  # fmt: skip


def alike(recall: float, auroc: float, *, most: int = 3) -> list[Situation]:
    """Return the situations that are most like these figures, the nearest first; none beyond ``FAR``."""
    near = [one for one in situations() if one.distance(recall, auroc) <= FAR]
    return sorted(near, key=lambda one: one.distance(recall, auroc))[:most]


def advised_rule(found: list[Situation]) -> str:
    """Return the rule that is clearly behind the best in the fewest of these situations, then the one that is least behind."""
    shared = set.intersection(*(set(one.rules) for one in found))

    def loss(rule: str) -> tuple[int, float]:
        results = [one.rules[rule] for one in found]
        return sum(result.clearly for result in results), sum(result.behind for result in results)

    return min(sorted(shared), key=loss)


def sentence(found: list[Situation], recall: float, auroc: float) -> str:
    """Return the results of these situations in words."""
    parts = []
    for one in found:
        order = sorted(one.rules, key=lambda rule: -one.rules[rule].accuracy)
        results = ", ".join(f"{rule} {one.rules[rule].accuracy:.3f}" for rule in order)
        parts.append(f"{one.name} (recall {one.recall:.2f}, AUROC {one.auroc:.2f}, {one.seeds} seeds): {results}")
    return (
        f"verifier recall {recall:.2f} and reward-model AUROC {auroc:.2f} inside prompts; accuracy after training in the lab's "
        f"most similar situations: {'; '.join(parts)}"
    )
