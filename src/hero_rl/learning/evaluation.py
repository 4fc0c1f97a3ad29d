"""How good a reward model or a verifier is, on prompts that it has not seen; every number with an interval.

Intervals are bootstraps over whole prompts: responses to one prompt resemble each other, and counting each as independent would
promise more than the data hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from hero_rl import measures
from hero_rl.errors import InputError
from hero_rl.learning.labelled import LabelledRow, check_both_classes
from hero_rl.learning.splits import Split, problem_key, seen_by
from hero_rl.measures import CalibrationBin, Estimate, InsidePrompts
from hero_rl.rewards.groups import index_groups
from hero_rl.types import BoolArray, FloatArray, IntArray, Verdict, json_number

FALSE_POSITIVE_RATES = (0.01, 0.05)
BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSettings:
    """How the intervals are made."""

    draws: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError(f"draws={self.draws} must be at least 1")


class Report(NamedTuple):
    """Measures, and what they are from."""

    rows: int
    """Rows that the numbers are from."""
    prompts: int
    mixed_prompts: int
    """Prompts with correct and incorrect responses: the only ones inside which a score can rank."""
    share_correct: float
    missing: int
    """Rows without a score; in no number."""
    estimates: dict[str, Estimate]
    """By name; a NaN where the rows do not allow it."""
    curve: list[CalibrationBin]
    curve_of: str
    """The meaning of the curve's probability; empty where there is no curve."""
    inside: InsidePrompts | None = None
    """Whether the scores rank better than chance; None where there are no scores."""


class Unseen(NamedTuple):
    """Rows that may be graded on."""

    rows: list[LabelledRow]
    left_out: int
    """Rows on problems that a model learned from or was calibrated on."""
    new: int
    """Rows kept whose problem none of the splits knows; all where there is no split."""


def unseen(rows: Sequence[LabelledRow], splits: Sequence[Split]) -> Unseen:
    """The rows on problems that no model behind the splits learned from."""
    kept = [row for row in rows if not seen_by(splits, row.rollout)]
    new = sum(all(split.part_of(row.rollout) is None for split in splits) for row in kept)
    return Unseen(kept, len(rows) - len(kept), new)


def evaluate_scores(rows: Sequence[LabelledRow], scores_B: FloatArray, settings: EvalSettings | None = None) -> Report:
    """How well scores tell correct responses from incorrect ones.

    Calibration is that of pairs: a reward model's sigmoid(difference) is meant as the probability that the better response wins
    (Bradley-Terry), while one score alone means nothing. It is shown on pairs of one prompt, with the model's own favourite
    first, so that the probability begins at a half.

    Args:
        rows: labelled rollouts.
        scores_B: shape (B,), one a row; NaN where missing.
        settings: of the intervals.

    Raises:
        InputError: only one kind of response has a score, or no prompt has both kinds.
    """
    settings = settings or EvalSettings()
    data = _data(rows, scores_B)
    if not data.scores.size:
        raise InputError(f"none of {len(rows)} rows has a score")
    check_both_classes([row for row, score in zip(rows, scores_B.tolist(), strict=True) if math.isfinite(score)], "evaluation")
    _check_mixed(data)
    pairs = _pair_probabilities(data)
    found = _bootstrap(data, settings)
    estimates = {**_ranking(found, data), **_length_bias(found, data)}
    estimates["pair_ece"] = found(
        lambda w: measures.expected_calibration_error(pairs.p, pairs.won, low=0.5, bins=BINS, weights_B=w[pairs.row])
    )
    curve = measures.calibration_curve(pairs.p, pairs.won, low=0.5, bins=BINS)
    meaning = "sigmoid(score difference) of a pair, against how often its higher one is correct"
    return _report(data, estimates, curve, meaning)._replace(inside=_inside(data))


def evaluate_verdicts(
    rows: Sequence[LabelledRow],
    verdicts: Sequence[Verdict],
    logits_B: FloatArray | None,
    settings: EvalSettings | None = None,
) -> Report:
    """How well verdicts agree with labels and, where there are logits, how well these rank and what they mean.

    Args:
        rows: labelled rollouts.
        verdicts: one a row.
        logits_B: shape (B,), whose sigmoid is the probability of "correct"; NaN where the model was not asked. None: the
            verifier has none.
        settings: of the intervals.

    Raises:
        InputError: only one kind of response.
    """
    settings = settings or EvalSettings()
    check_both_classes(rows, "evaluation")
    whole = _data(rows, np.zeros(len(rows)))
    estimates = _decisions(_bootstrap(whole, settings), whole, verdicts)
    if logits_B is None:
        return _report(whole, estimates, [], "")
    data = _data(rows, logits_B)
    missing = len(rows) - data.scores.size
    if data.labels.all() or not data.labels.any():  # of one kind or none at all: nothing to rank
        return _report(whole, estimates, [], "")._replace(missing=missing)
    found = _bootstrap(data, settings)
    p_B = 1.0 / (1.0 + np.exp(-np.clip(data.scores, -500, 500)))
    estimates |= {**_ranking(found, data), **_length_bias(found, data)}
    estimates["ece"] = found(lambda w: measures.expected_calibration_error(p_B, data.labels, bins=BINS, weights_B=w))
    curve = measures.calibration_curve(p_B, data.labels, bins=BINS)
    return _report(whole, estimates, curve, "the model's probability, against the share that is correct")._replace(
        missing=missing, inside=_inside(data)
    )


def held_out_facts(scores_B: FloatArray, right_B: BoolArray, names: Sequence[str]) -> dict[str, object]:
    """Return what scores of held-out responses are worth, as JSON; ``names`` are those of their prompts.

    The verdict is the audit's (``measures.ranking_inside``); ``auroc``, over all responses, also credits knowing which prompts
    are easy.
    """
    known = np.isfinite(scores_B)
    scores, right, prompts = scores_B[known], right_B[known], index_groups(np.array(names)[known]).index_B
    inside = measures.ranking_inside(scores, right, prompts, np.ones(scores.size, dtype=np.bool_))
    counts = measures.pair_counts(scores, right, prompts)
    return {
        "responses": scores.size, "auroc": _plain(measures.auroc_interval(scores, right, prompts)),
        "auroc_in_mixed_prompts": _plain(inside.mean), "mixed_prompts": inside.prompts, "pairs": int(counts.pairs.sum()),
        "pair_accuracy": json_number(measures.pair_accuracy(counts)), "ranks": inside.ranks, "verdict": inside.words(),
    }  # fmt: skip


class _Data(NamedTuple):
    scores: FloatArray
    labels: BoolArray
    prompts: IntArray
    """A number for each ``prompt_id``."""
    clusters: IntArray
    """A number for each problem: two spellings of one problem are drawn together."""
    lengths: FloatArray
    missing: int


_Bootstrap: TypeAlias = Callable[[Callable[[FloatArray], float]], Estimate]
"""From a measure of weighted rows to its estimate."""


def _bootstrap(data: _Data, settings: EvalSettings) -> _Bootstrap:
    """Return a bootstrap over the prompts of some rows."""
    return lambda measure: measures.bootstrap(
        measure, data.clusters, draws=settings.draws, level=settings.level, seed=settings.seed
    )


def _data(rows: Sequence[LabelledRow], scores_B: FloatArray) -> _Data:
    known = np.isfinite(scores_B)
    kept = [row for row, good in zip(rows, known.tolist(), strict=True) if good]
    return _Data(
        np.asarray(scores_B, dtype=np.float64)[known],
        np.array([row.correct for row in kept], dtype=np.bool_),
        index_groups([row.rollout.prompt_id for row in kept]).index_B,
        index_groups([problem_key(row.rollout.problem, row.rollout.prompt_id) for row in kept]).index_B,
        np.array([len(row.rollout.response) for row in kept], dtype=np.float64),
        int((~known).sum()),
    )


def _mixed(data: _Data) -> int:
    correct = np.bincount(data.prompts, weights=data.labels)
    return int(((correct > 0) & (correct < np.bincount(data.prompts))).sum())


def _inside(data: _Data) -> InsidePrompts:
    return measures.ranking_inside(data.scores, data.labels, data.prompts, np.ones(data.scores.size, dtype=np.bool_))


def _check_mixed(data: _Data) -> None:
    if not _mixed(data):
        raise InputError(
            f"none of {int(data.prompts.max()) + 1} prompts has both correct and incorrect responses with a score, so that "
            "nothing can be ranked inside a prompt; give more responses per prompt, or prompts of middling difficulty"
        )


def _ranking(found: _Bootstrap, data: _Data) -> dict[str, Estimate]:
    counts = measures.pair_counts(data.scores, data.labels, data.prompts)
    estimates = {
        "pair_accuracy": found(lambda w: measures.pair_accuracy(counts, weights_B=w)),
        "auroc": found(lambda w: measures.auroc(data.scores, data.labels, weights_B=w)),
        "auroc_in_mixed_prompts": found(lambda w: measures.group_auroc(counts, weights_B=w)),
    }
    for rate in FALSE_POSITIVE_RATES:
        recall = partial(measures.recall_at_fpr, data.scores, data.labels, rate)
        estimates[f"recall_at_fpr_{rate:.0%}"] = found(lambda w, recall=recall: recall(weights_B=w))
    return estimates


def _length_bias(found: _Bootstrap, data: _Data) -> dict[str, Estimate]:
    """Correlation of score and length among responses of equal label: over all, and inside prompts."""
    cells, log_length = data.prompts * 2 + data.labels, np.log1p(data.lengths)

    def over_all(stratum: BoolArray) -> Estimate:
        scores, lengths = data.scores[stratum], data.lengths[stratum]
        return found(lambda w: measures.rank_correlation(scores, lengths, weights_B=w[stratum]))

    return {
        "length_bias_correct": over_all(data.labels),
        "length_bias_incorrect": over_all(~data.labels),
        "length_bias_in_prompts": found(lambda w: measures.within_correlation(data.scores, log_length, cells, weights_B=w)),
    }


class _PairProbabilities(NamedTuple):
    p: FloatArray
    won: BoolArray
    row: IntArray


def _pair_probabilities(data: _Data) -> _PairProbabilities:
    """Of every pair inside a prompt: sigmoid(|difference|), and whether the higher one is correct. Ties are left out."""
    p: list[FloatArray] = []
    won: list[BoolArray] = []
    row: list[IntArray] = []
    order = np.argsort(data.prompts, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(data.prompts[order])) + 1):
        correct, wrong = own[data.labels[own]], own[~data.labels[own]]
        margin = (data.scores[correct][:, None] - data.scores[wrong][None, :]).ravel()
        margin = margin[margin != 0]
        p.append(1.0 / (1.0 + np.exp(-np.minimum(np.abs(margin), 500.0))))
        won.append(margin > 0)
        row.append(np.full(margin.size, own[0], dtype=np.intp))
    return _PairProbabilities(np.concatenate(p), np.concatenate(won), np.concatenate(row))


def _decisions(found: _Bootstrap, data: _Data, verdicts: Sequence[Verdict]) -> dict[str, Estimate]:
    yes = np.array([one.label == "correct" for one in verdicts])
    no = np.array([one.label == "incorrect" for one in verdicts])
    everything = np.ones(yes.size, dtype=np.bool_)
    shares = {
        "decided": (yes | no, everything),
        "accuracy_of_decided": (yes == data.labels, yes | no),
        "precision": (data.labels, yes),
        "recall": (yes, data.labels),
        "false_positive_rate": (yes, ~data.labels),
        "false_negative_rate": (no, data.labels),
    }
    return {
        name: found(lambda w, flags=flags, among=among: measures.weighted_share(flags, among, weights_B=w))
        for name, (flags, among) in shares.items()
    }


def _report(data: _Data, estimates: dict[str, Estimate], curve: list[CalibrationBin], curve_of: str) -> Report:
    return Report(
        rows=data.scores.size,
        prompts=int(data.prompts.max()) + 1,
        mixed_prompts=_mixed(data),
        share_correct=float(data.labels.mean()),
        missing=data.missing,
        estimates=estimates,
        curve=curve,
        curve_of=curve_of,
    )


def plain(report: Report) -> dict[str, object]:
    """The report as JSON holds it: NaN is null."""
    return {
        "rows": report.rows,
        "prompts": report.prompts,
        "mixed_prompts": report.mixed_prompts,
        "share_correct": report.share_correct,
        "missing": report.missing,
        "measures": {name: _plain(one) for name, one in report.estimates.items()},
        "ranks": report.inside.ranks if report.inside else None,
        "verdict": report.inside.words() if report.inside else None,
        "calibration_curve": [one._asdict() for one in report.curve],
        "calibration_curve_of": report.curve_of,
    }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: json_number(value) for name, value in estimate._asdict().items()}
