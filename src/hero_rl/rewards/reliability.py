"""Sums over batches that ``hero_adaptive`` keeps, and its estimates of reward model and verifier made from them.

Assumption: whether the verifier misses a correct response does not depend on its score (*selected completely at random*, Elkan
and Noto 2008). It breaks where a policy learns the one form that the verifier accepts, or a reward model prefers that form.

Scores of different prompts are never compared: a reward model trained on pairs gives each prompt an offset of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.groups import Groups, group_sum
from hero_rl.rewards.weights import read_state
from hero_rl.types import BoolArray, FloatArray, IntArray

_UNIT_DECAY = 0.7
"""Of the unit of scores: it follows a jump of scale within a few batches."""
_LEAST_RECALL, _UNKNOWN_RECALL = 0.5, 0.9
"""Assumed where nobody knows the recall: the least, and where no prompt has four responses that would show more."""
_MOST_ALIKE = 0.4
_LEAST_CORRECT, _MOST_CORRECT = 0.01, 0.97
_MOST_APART = 1.81
"""Largest separation in units of the noise: an AUROC of 0.9."""
_FAR = 1e6
"""No separation is larger, in units of the usual spread."""
_COUNTS = {"unit_weight", "decided", "accepted", "prompts", "both", "three", "four", "large", "freedom", "xx", "vv", "updates"}
_LARGEST, _LONGEST_LOG = 1e15, 700.0
"""Bounds of a saved state: no run has more responses, and no score a larger logarithm."""
_DOUBT = 3.0
"""How fast a told recall is believed less on readable prompts as these become fewer."""
_ERRORS = 2.0
"""Standard errors, squared, that a separation must exceed to be trusted at all."""


class Seen(NamedTuple):
    """Signals of one batch, shape (B,) each."""

    excess: FloatArray
    """Score less the mean of its prompt."""
    x: FloatArray
    """The same in units of spread, clipped."""
    accepted: BoolArray
    p: FloatArray
    """Probability of being correct."""
    gap_P: FloatArray
    """Shape (P,): how much likelier to be correct an accepted response is than a rejected one, by verdicts alone."""


class Reading(NamedTuple):
    """The policy and the verifier, as verdicts show them."""

    share: float
    """Of responses that are correct."""
    alike: float
    """Correlation of being correct between two responses to a prompt."""
    readable: float
    """Share of prompts on which the verifier accepts correct responses at all."""
    recall: float
    """Share of correct responses that it accepts there."""


class Reliability(NamedTuple):
    """The rule's settings, and sums over the batches seen, of which each counts ``decay`` times the one after it."""

    recall: float | None = None
    false_positives: float = 0.0
    budget: float = 0.25
    decay: float = 0.95
    log_unit: float = 0.0
    """Sum of logarithms of the spread of scores within prompts (of ``unit_weight`` batches)."""
    unit_weight: float = 0.0
    decided: float = 0.0
    accepted: float = 0.0
    """Accepted responses, of ``decided``."""
    prompts: float = 0.0
    """Prompts with two responses or more."""
    both: float = 0.0
    """Sum over these of the share of pairs of responses of which both are accepted."""
    three: float = 0.0
    """The same for three of a prompt's responses, over prompts with four or more."""
    four: float = 0.0
    large: float = 0.0
    """Prompts with four responses or more."""
    freedom: float = 0.0
    """Responses less prompts."""
    xx: float = 0.0
    """This and the next: sums of products of deviations from the prompt's mean, of scores x, verdicts v, p, and
    q: p by verdicts alone."""
    xv: float = 0.0
    qv: float = 0.0
    vv: float = 0.0
    vp: float = 0.0
    pp: float = 0.0
    xp: float = 0.0
    vv_squared_decay: float = 0.0
    """``vv`` with each batch counting ``decay`` squared times the one after it, for a standard error."""
    updates: int = 0

    def after(self, seen: Seen, known_B: BoolArray, groups: Groups) -> Reliability:
        """Return the sums after one more batch; ``known_B``: has a score, and a verdict of the verifier."""
        if not known_B.all():
            seen = Seen(seen.excess[known_B], seen.x[known_B], seen.accepted[known_B], seen.p[known_B], seen.gap_P)
            groups = Groups(groups.index_B[known_B], groups.size)
        x, v, p = seen.x, seen.accepted.astype(np.float64), seen.p
        n_P, (a_P, x_P, p_P) = np.bincount(groups.index_B, minlength=groups.size), (group_sum(of, groups) for of in (v, x, p))
        pairs_P, fours_P, count_P = n_P > 1, n_P > 3, np.maximum(n_P, 1)

        def covary(one_B: FloatArray, one_P: FloatArray, other_B: FloatArray, other_P: FloatArray) -> float:
            # no matrix product: its last digit depends on the number of threads, and ranks must agree
            return float((one_B * other_B).sum() - (one_P * other_P / count_P).sum())

        xv_P = group_sum(x * v, groups) - x_P * a_P / count_P
        qv_P = a_P * (n_P - a_P) / count_P * seen.gap_P
        variance_P = group_sum(np.square(seen.excess), groups)[pairs_P] / (n_P[pairs_P] - 1.0)
        variance_P = variance_P[variance_P > 0.0]
        both_P, three_P, four_P = _all_accepted(a_P, n_P)
        added = {
            "decided": n_P.sum(), "accepted": a_P.sum(), "prompts": pairs_P.sum(), "both": both_P[pairs_P].sum(),
            "three": three_P[fours_P].sum(), "four": four_P[fours_P].sum(), "large": fours_P.sum(),
            "freedom": (n_P - 1.0)[pairs_P].sum(), "xv": xv_P.sum(), "qv": qv_P.sum(),
            "xx": covary(x, x_P, x, x_P), "xp": covary(x, x_P, p, p_P), "pp": covary(p, p_P, p, p_P),
            "vp": covary(v, a_P, p, p_P), "vv": (a_P - a_P**2 / count_P).sum(),
        }  # fmt: skip
        units = {"log_unit": 0.5 * math.log(float(np.median(variance_P))), "unit_weight": 1.0} if variance_P.size else {}
        sums = {
            name: fade * getattr(self, name) + float(value)
            for fade, group in ((self.decay, added), (self.decay**2, {"vv_squared_decay": added["vv"]}), (_UNIT_DECAY, units))
            for name, value in group.items()
        }
        return self._replace(updates=self.updates + 1, **sums)

    @property
    def unit(self) -> float:
        """Spread of the scores of a typical prompt, in score units; 1 before any is known."""
        return math.exp(self.log_unit / self.unit_weight) if self.unit_weight else 1.0

    @property
    def accepted_share(self) -> float:
        """Share of decided responses that the verifier accepts; 0 before the first."""
        return self.accepted / self.decided if self.decided else 0.0

    @property
    def assumed_recall(self) -> float:
        """The recall that was set. None was: at least one half, and so high that few prompts are accepted more often.

        No verdict and no score can show what the recall is, only that it is not lower than the rate b at which the prompts with
        the most accepted responses are accepted: the share of fours among threes. If the policy is right nearly always on some
        prompts, b is near it. Taken is 1 - (1 - b)^2: twice b where that is low, and never far below 1 where it is high.
        """
        if self.recall is not None:
            return self.recall
        return max(_LEAST_RECALL, self._most_accepted) if self.large else max(_UNKNOWN_RECALL, self.accepted_share)

    @property
    def _most_accepted(self) -> float:
        rate = max(self.accepted_share, self.four / self.three if self.three > 0.0 else 0.0)
        return 1.0 - (1.0 - min(1.0, rate)) ** 2

    @property
    def reading(self) -> Reading:
        """Read policy and verifier off the verdicts, given the recall and the share of false positives.

        Responses to a prompt are alike, but accepted ones may cluster in fewer prompts than the most alike responses would:
        then the verifier can read only some prompts, and misses less there. It matters where a policy learns the form that the
        verifier accepts. With the same recall everywhere, all would seem to be correct where much is accepted, and a score
        that follows verdicts a little would seem to follow the truth perfectly. So the recall on these prompts is taken to be
        at least what it would be if nobody had told it, as soon as they are clearly fewer than all.
        """
        false, gap = self.false_positives, self.assumed_recall - self.false_positives
        accepted = max(1e-9, self.accepted_share - false)
        share = min(_MOST_CORRECT, max(_LEAST_CORRECT, accepted / gap))
        pairs = (self.both / self.prompts if self.prompts else 0.0) - false**2 - 2.0 * false * accepted
        alike = (pairs / gap**2 - share**2) / (share * (1.0 - share))
        if alike <= _MOST_ALIKE:
            return Reading(share, max(0.001, alike), 1.0, self.assumed_recall)
        together = pairs / accepted  # = gap on readable prompts x (alike + (1 - alike) share)
        told, gap = gap, together / (_MOST_ALIKE + (1.0 - _MOST_ALIKE) * share)
        # believed less, the fewer prompts are readable, and not at all below two thirds; nothing jumps where all are
        doubt = min(1.0, _DOUBT * (1.0 - told / gap))
        gap = max(gap, told + doubt * (self._most_accepted - false - told))
        gap = min(gap, 1.0 - false)
        share = min(share, max(_LEAST_CORRECT, (together / gap - _MOST_ALIKE) / (1.0 - _MOST_ALIKE)))
        return Reading(share, _MOST_ALIKE, min(1.0, accepted / (gap * share)), false + gap)

    @property
    def accuracy(self) -> float:
        """Share of correct responses, in [0.01, 0.97]."""
        return self.reading.share

    @property
    def separation(self) -> float:
        """How much more a correct response scores than an incorrect one of its prompt, in units of spread, >= 0.

        The covariance of scores and verdicts over that of priors and verdicts: a verdict is right only so often.
        """
        return min(_FAR, max(0.0, self.xv / self.qv)) if self.qv > 0.0 else 0.0

    @property
    def standard_error(self) -> float:
        """Of ``separation`` if scores do not follow verdicts; infinite before the first prompt with both verdicts."""
        if not (self.qv > 0.0 and self.freedom > 0.0):
            return math.inf
        return math.sqrt(max(0.0, self.xx / self.freedom * self.vv_squared_decay)) / self.qv

    @property
    def noise(self) -> float:
        """Variance of scores among responses of one prompt that are all correct or all incorrect, in squared units."""
        share, alike = self.reading[:2]
        of_labels = share * (1.0 - share) * (1.0 - alike) * self.separation**2
        total = self.xx / self.freedom if self.freedom else 1.0
        return max(total - of_labels, (self.separation / _MOST_APART) ** 2, 1e-9)

    @property
    def slope(self) -> float:
        """How much one unit of spread changes the log-odds that a response is correct: two normals of equal variance."""
        return self.separation / self.noise

    @property
    def trust(self) -> float:
        """How far scores are used, in [0, 1].

        0 unless the separation is clear of 0, near 1 where its standard error is small; and at most so large that the pressure,
        estimated as cos(A, x - d p) with A the advantages of the mixture, stays within the budget.
        """
        if not self.separation > 1e-100:  # less is the rounding error of scores that differ by less than a double can say
            return 0.0
        error = self.standard_error / self.separation
        most = max(0.0, 1.0 - _ERRORS * error * error)
        noisy = max(0.0, self.xp - self.separation * self.pp)
        limit = self.budget**2 * self.noise * self.freedom
        # with u = t / (1 - t): (noisy u)^2 <= limit (vv + 2 u vp + u^2 pp)
        square = noisy**2 - limit * self.pp
        if square <= 0.0:
            return most
        u = (limit * self.vp + math.sqrt((limit * self.vp) ** 2 + square * limit * self.vv)) / square
        return min(most, u / (1.0 + u))

    def state_dict(self) -> dict[str, float | int | None]:
        """Return the state as JSON values (exact)."""
        return {"version": 1, **self._asdict()}

    def restore(self, state: Mapping[str, Any], /) -> Reliability:
        """Restore a state saved by ``state_dict`` (exact); raise ``InputError`` for others, and for other settings."""
        if "top_accepted" in state:
            raise InputError(
                "this state is of the first hero_adaptive, which estimated other things; finish the run with the release that "
                "began it, or begin a new run from its weights"
            )
        restored = Reliability(*read_state("a reliability estimate", self._fields, state, optional="recall"))
        counts = [value for name, value in restored._asdict().items() if name in _COUNTS]
        if (
            min(counts) < 0.0
            or max(map(abs, restored[4:])) > _LARGEST
            or restored.accepted > restored.decided * (1.0 + 1e-9)
            or abs(restored.log_unit) > _LONGEST_LOG * restored.unit_weight
        ):
            raise InputError(
                f"not the state of a reliability estimate, whose sums have bounds: {state!r}; give back what was saved"
            )
        if restored[:4] != self[:4]:
            raise InputError(
                f"this state was learnt with recall, false_positives, budget and decay of {restored[:4]}, and the rule has "
                f"{self[:4]}; resume with the same settings"
            )
        return restored

    def metrics(self) -> dict[str, float]:
        """Return the estimates, to log."""
        if not self.updates:
            return {}
        return {
            "recall": self.assumed_recall,
            "accuracy_estimate": self.accuracy,
            "auroc_estimate": NormalDist().cdf(self.separation / math.sqrt(2.0 * self.noise)),
            "separation": self.separation,
            "trust": self.trust,
        }


def _all_accepted(accepted_P: FloatArray, size_P: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the chance that two, three and four responses drawn from a prompt are all accepted."""
    chances = [np.ones(size_P.shape)]
    for taken in range(4):
        chances.append(chances[-1] * np.maximum(accepted_P - taken, 0.0) / np.maximum(size_P - taken, 1))
    return chances[2], chances[3], chances[4]
