"""Estimates of the reward model and the verifier from their own signals during training, without any trusted label.

    reliability   how well scores order correct above incorrect responses of one prompt, now
    recall        share of correct responses that the verifier accepts
    accuracy      share of all responses that are correct
    brake         below 1 where scores rise while reliability falls: the policy has begun to exploit the reward model

All rest on one assumption: whether the verifier misses a correct response does not depend on its score (*selected completely at
random*, Elkan and Noto 2008). Then an accepted response is a random correct one, and a rejected one is correct with probability
phi. In prompts with both verdicts the AUROC of accepted against rejected is a mixture,

    AUROC(accepted, rejected) = (1 - phi) AUROC(correct, incorrect) + phi / 2

which is solved for AUROC(correct, incorrect). The recall is estimated from the responses whose scores stand out most among
those to the same prompt: about three in four of them are correct, so the share accepted is about three quarters of the recall.

Scores of different prompts are never compared: a reward model trained on pairs gives each prompt an offset of its own.

The assumption breaks where a policy learns the one form that the verifier accepts, or a reward model prefers that form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.groups import Groups, group_moments, group_sum, group_wins
from hero_rl.rewards.weights import read_state
from hero_rl.types import FloatArray

TOP_SHARE = 0.05
"""Share of the responses of a batch that the recall is estimated from: those that stand out most among their prompt's."""
TOP_RIGHT = 0.75
"""Share of those assumed to be correct. On the starting policies of the lab's chain family: 0.59 to 0.90."""
SPREAD_GROUPS = 256
"""Number of prompts, the first ones, whose spread of scores is the unit of scores for the whole run."""
_PRIOR_GROUPS = 10.0
_PRIOR_AUROC = 0.6
"""The prior AUROC, which weighs as much as ``_PRIOR_GROUPS`` prompts."""
_CHANCE_VARIANCE = 1 / 12
"""Variance of the AUROC of one prompt at chance: a uniform number."""
_MAX_RELIABILITY = 0.98
_MAX_MISSED = 0.5


class Reliability(NamedTuple):
    """Sums over the batches seen; each batch counts ``decay`` times the one after it, or ``slow`` times in slow sums."""

    decay: float = 0.95
    slow: float = 0.995
    order: float = 0.0
    """Sum over prompts with both verdicts of weight x AUROC(accepted, rejected)."""
    order_squared: float = 0.0
    pairs: float = 0.0
    """Sum of the weights: accepted x rejected / decided responses of the prompt."""
    pairs_squared: float = 0.0
    order_slow: float = 0.0
    pairs_slow: float = 0.0
    accepted: float = 0.0
    """Accepted responses, of ``decided``."""
    decided: float = 0.0
    top_accepted: float = 0.0
    """The same among the responses that stand out."""
    top_decided: float = 0.0
    top_accepted_slow: float = 0.0
    top_decided_slow: float = 0.0
    spread: float = 0.0
    """Summed variance of scores within the first prompts."""
    spread_groups: float = 0.0
    score: float = 0.0
    """Sum of batch means of the score."""
    score_batches: float = 0.0
    score_slow: float = 0.0
    score_batches_slow: float = 0.0
    updates: int = 0

    def update(self, verdicts: FloatArray, scores: FloatArray, groups: Groups) -> Reliability:
        """Return the sums after one more batch; verdicts are NaN where nobody decided, or only a model did."""
        known = ~np.isnan(verdicts) & ~np.isnan(scores)
        v, s, own = verdicts[known], scores[known], Groups(groups.index_B[known], groups.size)
        if not v.size:
            return self._replace(updates=self.updates + 1)
        won_P, pairs_P = group_wins(v, s, own)
        mixed_P = pairs_P > 0.0
        aurocs = won_P[mixed_P] / pairs_P[mixed_P]
        weights = pairs_P[mixed_P] / group_sum(np.ones_like(v), own)[mixed_P]
        moments = group_moments(s, own, ddof=1)
        excess = s - moments.mean_P[own.index_B]
        top = excess >= np.quantile(excess, 1.0 - TOP_SHARE)
        variance_P = np.square(moments.std_P)
        variance_P = variance_P[~np.isnan(variance_P)]
        if self.spread_groups >= SPREAD_GROUPS:
            variance_P = variance_P[:0]
        added = {
            "order": float((weights * aurocs).sum()), "order_squared": float((weights * aurocs**2).sum()),
            "pairs": float(weights.sum()), "accepted": float(v.sum()), "decided": float(v.size),
            "top_accepted": float(v[top].sum()), "top_decided": float(top.sum()),
            "score": float(s.mean()) * v.size, "score_batches": float(v.size),
        }  # fmt: skip
        sums = {name: self.decay * getattr(self, name) + value for name, value in added.items()}
        for name in ("order", "pairs", "top_accepted", "top_decided", "score", "score_batches"):
            sums[f"{name}_slow"] = self.slow * getattr(self, f"{name}_slow") + added[name]
        return self._replace(
            pairs_squared=self.decay**2 * self.pairs_squared + float((weights**2).sum()),
            spread=self.spread + float(variance_P.sum()),
            spread_groups=self.spread_groups + float(variance_P.size),
            updates=self.updates + 1,
            **sums,
        )

    @property
    def unit(self) -> float:
        """Standard deviation of scores within a prompt at the start, in score units; NaN before the first batch."""
        return math.sqrt(self.spread / self.spread_groups) if self.spread > 0.0 else math.nan

    @property
    def accepted_share(self) -> float:
        """Share of decided responses that the verifier accepts; 0 before the first."""
        return self.accepted / self.decided if self.decided else 0.0

    @property
    def recall(self) -> float:
        """Share of correct responses that the verifier accepts, in (0, 1], from the share accepted of those that stand out.

        The larger of the recent and the long-term estimate: a policy that exploits the reward model fills the highest scores
        with incorrect responses, which must not look like a verifier that misses more. A prior of one half weighs one response.
        Never below the share accepted of all.
        """
        now = (self.top_accepted + 0.5) / (self.top_decided + 1.0)
        ever = (self.top_accepted_slow + 0.5) / (self.top_decided_slow + 1.0)
        return min(1.0, max(now / TOP_RIGHT, ever / TOP_RIGHT, self.accepted_share))

    @property
    def accuracy(self) -> float:
        """Share of correct responses, in [0, 1]: those accepted, over the recall."""
        return min(1.0, self.accepted_share / self.recall)

    @property
    def missed(self) -> float:
        """phi, the share of correct responses among the rejected, in [0, 0.5]."""
        accepted = self.accepted_share
        return min(_MAX_MISSED, max(0.0, (self.accuracy - accepted) / max(1.0 - accepted, 1e-9)))

    @property
    def auroc(self) -> float:
        """AUROC of accepted against rejected inside prompts, with the prior."""
        return (self.order + _PRIOR_AUROC * _PRIOR_GROUPS) / (self.pairs + _PRIOR_GROUPS)

    @property
    def standard_error(self) -> float:
        """Standard error of ``auroc`` over prompts, wide where few prompts have been seen."""
        prompts = self.pairs**2 / self.pairs_squared if self.pairs > 0.0 else 0.0
        variance = max(0.0, self.order_squared / self.pairs - (self.order / self.pairs) ** 2) if self.pairs > 0.0 else 0.0
        pooled = (variance * prompts + _CHANCE_VARIANCE * _PRIOR_GROUPS) / (prompts + _PRIOR_GROUPS)
        return math.sqrt(pooled / (prompts + _PRIOR_GROUPS))

    def reliability(self, missed: float) -> float:
        """Return 2 AUROC(correct, incorrect) - 1 inside prompts, in [0, 0.98]: 0 at chance or below.

        The square of an estimate exceeds the square of the truth by its variance, which is subtracted: a reward model of which
        little is known counts as useless.

        Args:
            missed: phi in the prompts with both verdicts.
        """
        observed = 2.0 * self.auroc - 1.0
        if observed <= 0.0:
            return 0.0
        sure = math.sqrt(max(0.0, observed**2 - (2.0 * self.standard_error) ** 2))
        return min(_MAX_RELIABILITY, sure / (1.0 - min(missed, _MAX_MISSED)))

    @property
    def brake(self) -> float:
        """Recent over long-term reliability where scores have risen meanwhile, in [0, 1]; 1 where they have not."""
        if self.pairs_slow <= 0.0 or self.score_batches_slow <= 0.0:
            return 1.0
        before = 2.0 * (self.order_slow + _PRIOR_AUROC * _PRIOR_GROUPS) / (self.pairs_slow + _PRIOR_GROUPS) - 1.0
        now = 2.0 * self.auroc - 1.0
        risen = self.score / self.score_batches > self.score_slow / self.score_batches_slow
        return min(1.0, max(0.0, now / before)) if risen and before > 0.0 else 1.0

    def state_dict(self) -> dict[str, float | int]:
        """Return the state as JSON values (exact)."""
        return {"version": 1, **self._asdict()}

    def restore(self, state: Mapping[str, Any], /) -> Reliability:
        """Restore a state saved by ``state_dict`` (exact); raise ``InputError`` for others."""
        values = read_state("a reliability estimate", self._fields, state)
        restored = Reliability(*map(float, values[:-1]), updates=int(values[-1]))
        if (restored.decay, restored.slow) != (self.decay, self.slow):
            raise InputError(
                f"this state forgets by {restored.decay:g} and {restored.slow:g}, the rule by {self.decay:g} and "
                f"{self.slow:g}; resume with the same decay and slow"
            )
        return restored

    def metrics(self) -> dict[str, float]:
        """Return the estimates, to log."""
        if not self.updates:
            return {}
        return {
            "reliability": self.reliability(self.missed),
            "auroc_accepted": self.auroc,
            "auroc_standard_error": self.standard_error,
            "recall": self.recall,
            "accuracy_estimate": self.accuracy,
            "missed": self.missed,
            "brake": self.brake,
            "slope": self.slope(self.missed),
        }

    def slope(self, missed: float, *, brake: bool = True) -> float:
        """Return how much one unit of score changes the log-odds that a response is correct, >= 0; 0 at chance.

        Two normal distributions of equal variance, d standard deviations apart, have the AUROC Phi(d / sqrt 2) and log-odds
        that are linear with slope d / sigma. Multiplied by ``brake``.
        """
        reliability = self.reliability(missed)
        if reliability <= 0.0 or math.isnan(self.unit):
            return 0.0
        distance = math.sqrt(2.0) * NormalDist().inv_cdf((1.0 + reliability) / 2.0)
        return distance / self.unit * (self.brake if brake else 1.0)
