"""How far each verifier can be relied on, and where two of them disagree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.measures import Estimate, share_interval


class VerifierReport(NamedTuple):
    """One verifier. Recall, precision, FPR and accuracy need labels; an abstention counts as "not correct" in them."""

    name: str
    rows: int
    correct: Estimate
    """Share of all rows called correct."""
    coverage: Estimate
    """Share of all rows decided: not abstained."""
    labelled_rows: int
    recall: Estimate
    precision: Estimate
    fpr: Estimate
    accuracy: Estimate
    accuracy_decided: Estimate
    """Among the rows that it decided."""
    wrong_rejections: Estimate
    """Share of its "incorrect" that are right: what a reward built on it punishes wrongly."""
    failures: int
    reasons: Mapping[str, int]


class Agreement(NamedTuple):
    """Two verifiers on the rows that both decided."""

    first: str
    second: str
    rows: int
    agree: Estimate
    first_only: int
    """Rows that only the first calls correct."""
    second_only: int


def verifier_report(table: Table, name: str) -> VerifierReport:
    """Measure one verifier; NaN for what needs labels that the file lacks."""
    verdict, groups = table.verdicts[name], table.groups
    yes, decided = verdict > 0.0, ~np.isnan(verdict)
    known, right = ~np.isnan(table.labels), table.labels == 1.0
    return VerifierReport(
        name=name,
        rows=table.rows,
        correct=share_interval(yes, np.ones(table.rows), groups),
        coverage=share_interval(decided, np.ones(table.rows), groups),
        labelled_rows=int(known.sum()),
        recall=share_interval(yes, known & right, groups),
        precision=share_interval(right, known & yes, groups),
        fpr=share_interval(yes, known & ~right, groups),
        accuracy=share_interval(yes == right, known, groups),
        accuracy_decided=share_interval(yes == right, known & decided, groups),
        wrong_rejections=share_interval(right, known & decided & ~yes, groups),
        failures=table.failures.get(name, 0),
        reasons=table.reasons.get(name, {}),
    )


def agreements(table: Table) -> list[Agreement]:
    """Compare every pair of verifiers, in the order they were named."""
    return [_agreement(table, first, second) for first, second in combinations(table.verdicts, 2)]


def _agreement(table: Table, first: str, second: str) -> Agreement:
    a, b = table.verdicts[first], table.verdicts[second]
    both, yes_a, yes_b = ~np.isnan(a) & ~np.isnan(b), a > 0.0, b > 0.0
    agree = share_interval(yes_a == yes_b, both, table.groups)
    return Agreement(
        first, second, int(both.sum()), agree, int((both & yes_a & ~yes_b).sum()), int((both & yes_b & ~yes_a).sum())
    )
