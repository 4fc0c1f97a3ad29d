"""Published rules that the package does not ship, for the same tables as its own.

A rival is a function from what a verifier and a reward model say to advantages, which are taken as they are: some have no mean
of the prompt to subtract. Papers were read in abstracts and reviews; each docstring says which formula is computed, with the
paper's defaults, and what a rival gets beside verdicts and scores stands in the name of its row.

    python benchmarks/worlds.py; python benchmarks/reward_models.py FILES      # rows of these
    python benchmarks/several.py FILES                                         # several reward models as one
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from hero_rl.rewards.groups import Groups, group_moments, index_groups
from hero_rl.types import FloatArray

JUDGE_RECALL, JUDGE_FALSE_POSITIVES = 0.8, 0.05
"""Of the second verifier that appeals go to, simulated; nobody's measured figures."""
ALPHA_ZVP, ALPHA_GR3 = 0.1, 0.33
EPS = 1e-4


class Seen(NamedTuple):
    """What rivals see of a batch, shape (B,) each."""

    verdicts: FloatArray
    scores: FloatArray
    groups: Groups
    recall: float
    """Of the verifier, as if an audit had told it exactly."""
    judged: FloatArray
    """What the second verifier would say of each response."""
    fooled: FloatArray
    """The same of one that likes what the reward model likes: the log-odds of a "correct" rise by 1 per standard deviation of
    the score inside the prompt and the truth."""
    lengths: FloatArray


Rival: TypeAlias = Callable[[Seen], FloatArray]


def judged_by(right: FloatArray, liking: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the verdicts of the simulated second verifier, shape (B,); ``liking`` is added to its log-odds."""
    rate = np.where(right == 1.0, JUDGE_RECALL, JUDGE_FALSE_POSITIVES)
    return (rng.random(right.size) < 1.0 / (1.0 + (1.0 - rate) / rate * np.exp(-liking))).astype(float)


def seen(
    verdicts: FloatArray, scores: FloatArray, groups: np.ndarray, right: FloatArray, *, recall: float,
    rng: np.random.Generator, lengths: FloatArray | None = None,
) -> Seen:  # fmt: skip
    """Return what rivals see; without lengths, these are log-normal with sigma .4 and say nothing of the truth."""
    inside = standardised(scores, index_groups(np.asarray(groups) * 2 + right.astype(int)))
    judged, fooled = judged_by(right, np.zeros(right.size), rng), judged_by(right, inside, rng)
    drawn = np.exp(0.4 * rng.normal(size=right.size)) if lengths is None else lengths
    return Seen(verdicts, scores, index_groups(groups), recall, judged, fooled, drawn)


def centred(rewards: FloatArray, groups: Groups) -> FloatArray:
    """Return rewards less the mean of their prompt."""
    return rewards - group_moments(rewards, groups).mean_P[groups.index_B]


def standardised(values: FloatArray, groups: Groups, rows: np.ndarray | None = None) -> FloatArray:
    """Return (x - mean) / (std + eps) per prompt, over ``rows`` alone where given; 0 elsewhere and for single values."""
    known = values if rows is None else np.where(rows, values, np.nan)
    moments = group_moments(known, groups, ddof=1)
    return np.nan_to_num((known - moments.mean_P[groups.index_B]) / (moments.std_P[groups.index_B] + EPS))


def uniform(verdicts: FloatArray, groups: Groups) -> np.ndarray:
    """Return True for the responses of prompts whose verdicts are all equal, shape (B,)."""
    return (group_moments(verdicts, groups).std_P == 0.0)[groups.index_B]


def forward_correction(of: Seen) -> FloatArray:
    """Return A = 1 - c where accepted and -c where rejected, c the recall: no mean of the prompt is subtracted.

    In expectation over the verifier's misses that is 0 for a correct response and -(c - f) for an incorrect one, the truth's
    gradient up to a baseline of 1. Centred per prompt, it *is* the verifier alone: an affine change of the reward cancels.

    Reference: arXiv 2510.00915 (weights w_0 = rho_1 - 1, w_1 = rho_1). Departs from the paper: no scale, no estimate of rho_1.
    """
    return of.verdicts - of.recall


def appeals(of: Seen, *, by_score: bool, fooled: bool = False) -> FloatArray:
    """Return the verifier alone after one appeal per prompt: one rejected response is judged again by a second verifier.

    ``by_score``: the rejected response with the highest score, else one at random (lengths stand in for a draw).

    Reference: arXiv 2510.00915, appeals. Departs from the paper: it estimates the recall with them; here the verdict changes.
    """
    order = np.where(of.verdicts == 0.0, of.scores if by_score else of.lengths, -np.inf)
    best_P = np.full(of.groups.size, -np.inf)
    np.maximum.at(best_P, of.groups.index_B, order)
    asked = np.flatnonzero((order == best_P[of.groups.index_B]) & np.isfinite(order))
    _, first = np.unique(of.groups.index_B[asked], return_index=True)
    verdicts = of.verdicts.copy()
    verdicts[asked[first]] = (of.fooled if fooled else of.judged)[asked[first]]
    return centred(verdicts, of.groups)


def group_std(of: Seen) -> FloatArray:
    """Return the standardised verdict: GRPO's own advantages, to compare the next three with."""
    return standardised(of.verdicts, of.groups)


def verigate(of: Seen) -> FloatArray:
    """Return the standardised verdict where verdicts differ, and the standardised score where all are equal.

    Reference: VeriGate (arXiv 2605.30451). Departs from the paper: an outcome score in the place of sums over future steps.
    """
    return np.where(uniform(of.verdicts, of.groups), standardised(of.scores, of.groups), standardised(of.verdicts, of.groups))


def papo(of: Seen) -> FloatArray:
    """Return the standardised verdict plus, among the accepted, the standardised score.

    Reference: PAPO (arXiv 2603.26535). Departs from the paper: a reward model's score in the place of a rubric's.
    """
    return standardised(of.verdicts, of.groups) + standardised(of.scores, of.groups, of.verdicts == 1.0)


def rl_zvp(of: Seen) -> FloatArray:
    """Return the standardised verdict where verdicts differ, +alpha where all are accepted, -alpha where none is.

    Reference: RL-ZVP (arXiv 2509.21880), alpha = 0.1. Departs from the paper: tokens have an entropy there, which multiplies
    alpha; rollouts here have none.
    """
    reward = ALPHA_ZVP * (2.0 * of.verdicts - 1.0)
    return np.where(uniform(of.verdicts, of.groups), reward, standardised(of.verdicts, of.groups))


def gr3(of: Seen) -> FloatArray:
    """Return the centred verdict times 1 / (1 + alpha length / mean length of the prompt).

    Reference: GR3 (arXiv 2603.10535), alpha = 0.33 (the default of prime-rl). Departs from the paper: no calibration of alpha.
    """
    mean_P = group_moments(of.lengths, of.groups).mean_P
    return centred(of.verdicts / (1.0 + ALPHA_GR3 * of.lengths / mean_P[of.groups.index_B]), of.groups)


def prof(of: Seen) -> FloatArray:
    """Return the centred verdicts of the half of each prompt whose scores agree best with them; the others get 0.

    As evenly split between accepted and rejected as the prompt allows: the accepted with the highest scores, the rejected with
    the lowest.

    Reference: PROF (arXiv 2509.03403), Algorithm 1. Departs from the paper: an outcome score in the place of the mean step
    score, no penalty on the number of steps.
    """
    rewards = np.full(of.verdicts.size, np.nan)
    for group in range(of.groups.size):
        rows = np.flatnonzero(of.groups.index_B == group)
        yes, no = (rows[of.verdicts[rows] == kind] for kind in (1.0, 0.0))
        kept = max(1, round(len(rows) / 2))
        quota = min(max(round(kept / 2), kept - len(no)), len(yes))
        stay = [*yes[np.argsort(-of.scores[yes])][:quota], *no[np.argsort(of.scores[no])][: kept - quota]]
        rewards[stay] = of.verdicts[stay]
    return np.nan_to_num(centred(rewards, of.groups))


RIVALS: dict[str, Rival] = {
    "forward correction, recall known": forward_correction,
    "1 appeal per prompt to a judge, at random": partial(appeals, by_score=False),
    "1 appeal per prompt to a judge, by score": partial(appeals, by_score=True),
    "1 appeal, by score, judge fooled alike": partial(appeals, by_score=True, fooled=True),
    "verifier_only, group std": group_std,
    "VeriGate, outcome score": verigate,
    "PAPO, outcome score": papo,
    "RL-ZVP, no entropies": rl_zvp,
    "GR3, lengths known": gr3,
    "PROF, outcome score": prof,
}
