"""What verdicts tell of a reward model and of the verifier itself, estimated during training without any trusted label.

Four things are learnt from batches of verdicts and scores:

    reliability   how well scores order right above wrong responses of one prompt, now
    recall        which share of right responses the verifier accepts
    accuracy      which share of all responses is right
    brake         below 1 where scores rise while reliability falls: the policy has begun to exploit the reward model

Everything rests on one assumption: which right responses the verifier misses has nothing to do with their scores (*selected
completely at random*, Elkan and Noto 2008). Then an accepted response is a random right one, and a rejected one is right with
probability phi. In prompts with both verdicts the AUROC of accepted against rejected is a mixture,

    AUROC(accepted, rejected) = (1 - phi) AUROC(right, wrong) + phi / 2

which is solved for AUROC(right, wrong). The recall is read off the responses whose scores stand out most among those to the
same prompt: three in four of them are right, more or less, and the share that is accepted is three quarters of the recall, more
or less. Nothing in verdicts and scores says it exactly.

Scores of different prompts are never compared. A reward model that is trained on pairs gives each prompt an offset of its own,
and one kind of prompt may score higher than another whatever the response.

What it is not: proof. A policy that learns the one form that the verifier accepts, or a reward model that prefers that form,
breaks the assumption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.groups import Groups, group_moments, group_sum
from hero_rl.types import FloatArray

TOP_SHARE = 0.05
"""The responses of a batch that the recall is read off: those that stand out most among the responses to their prompt."""
TOP_RIGHT = 0.75
"""How many of those are taken to be right. On the starting policies of the lab's chain family: 0.59 to 0.90."""
SPREAD_GROUPS = 256
"""The unit of scores is their spread within the first prompts, this many; it stays, whatever the policy becomes."""
_PRIOR_GROUPS = 10.0
_PRIOR_AUROC = 0.6
"""What is believed before any evidence, for as much as this many prompts: a reward model worth listening to a little."""
_CHANCE_VARIANCE = 1 / 12
"""Of the AUROC of one prompt at chance: a uniform number."""
_MAX_RELIABILITY = 0.98
_MAX_MISSED = 0.5


class Reliability(NamedTuple):
    """Sums over the batches seen; each batch counts for ``decay`` times the one after it, or ``slow`` times in slow sums."""

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
        """The sums after one more batch.

        Args:
            verdicts: shape (B,), 1 or 0; NaN where nobody decided, or only a model did.
            scores: shape (B,), NaN where missing.
            groups: of the responses.
        """
        known = ~np.isnan(verdicts) & ~np.isnan(scores)
        v, s, own = verdicts[known], scores[known], Groups(groups.index_B[known], groups.size)
        if not v.size:
            return self._replace(updates=self.updates + 1)
        auroc_P, weight_P = _auroc_by_group(v, s, own)
        mixed = weight_P > 0.0
        weights, aurocs = weight_P[mixed], auroc_P[mixed]
        order, pairs = float((weights * aurocs).sum()), float(weights.sum())
        moments = group_moments(s, own, ddof=1)
        excess = s - moments.mean_P[own.index_B]
        top = excess >= np.quantile(excess, 1.0 - TOP_SHARE)
        variance_P = np.square(moments.std_P)
        variance_P = variance_P[~np.isnan(variance_P)]
        learning_unit = self.spread_groups < SPREAD_GROUPS
        mean = float(s.mean())
        fast, slow = self.decay, self.slow
        return self._replace(
            order=fast * self.order + order,
            order_squared=fast * self.order_squared + float((weights * aurocs**2).sum()),
            pairs=fast * self.pairs + pairs,
            pairs_squared=fast**2 * self.pairs_squared + float((weights**2).sum()),
            order_slow=slow * self.order_slow + order,
            pairs_slow=slow * self.pairs_slow + pairs,
            accepted=fast * self.accepted + float(v.sum()),
            decided=fast * self.decided + v.size,
            top_accepted=fast * self.top_accepted + float(v[top].sum()),
            top_decided=fast * self.top_decided + float(top.sum()),
            top_accepted_slow=slow * self.top_accepted_slow + float(v[top].sum()),
            top_decided_slow=slow * self.top_decided_slow + float(top.sum()),
            spread=self.spread + (float(variance_P.sum()) if learning_unit else 0.0),
            spread_groups=self.spread_groups + (float(variance_P.size) if learning_unit else 0.0),
            score=fast * self.score + mean * v.size,
            score_batches=fast * self.score_batches + v.size,
            score_slow=slow * self.score_slow + mean * v.size,
            score_batches_slow=slow * self.score_batches_slow + v.size,
            updates=self.updates + 1,
        )

    @property
    def unit(self) -> float:
        """The standard deviation of scores within a prompt at the start, in score units; NaN before the first batch."""
        return math.sqrt(self.spread / self.spread_groups) if self.spread > 0.0 else math.nan

    @property
    def mean_score(self) -> float:
        """Mean score of late; NaN before the first batch."""
        return self.score / self.score_batches if self.score_batches else math.nan

    @property
    def accepted_share(self) -> float:
        """Share of decided responses that the verifier accepts; 0 before the first."""
        return self.accepted / self.decided if self.decided else 0.0

    @property
    def recall(self) -> float:
        """Share of right responses that the verifier accepts, in (0, 1], from the share accepted of those that stand out.

        The larger of what is seen now and of what has been seen for long: a policy that exploits the reward model fills the
        highest scores with wrong responses, which must not look like a verifier that misses more. A first guess of one half
        counts for one response. Never below the share accepted of all.
        """
        now, ever = (
            (accepted + 0.5) / (decided + 1.0)
            for accepted, decided in (
                (self.top_accepted, self.top_decided),
                (self.top_accepted_slow, self.top_decided_slow),
            )
        )
        return min(1.0, max(now / TOP_RIGHT, ever / TOP_RIGHT, self.accepted_share))

    @property
    def accuracy(self) -> float:
        """Share of right responses, in [0, 1]: those accepted, over the recall."""
        return min(1.0, self.accepted_share / self.recall)

    @property
    def missed(self) -> float:
        """phi, the share of right responses among the rejected, in [0, 0.5]."""
        accepted = self.accepted_share
        return min(_MAX_MISSED, max(0.0, (self.accuracy - accepted) / max(1.0 - accepted, 1e-9)))

    @property
    def auroc(self) -> float:
        """AUROC of accepted against rejected inside prompts, with the prior."""
        return (self.order + _PRIOR_AUROC * _PRIOR_GROUPS) / (self.pairs + _PRIOR_GROUPS)

    @property
    def standard_error(self) -> float:
        """Of ``auroc``, the prompt being the unit; never optimistic where only a few prompts have been seen."""
        prompts = self.pairs**2 / self.pairs_squared if self.pairs > 0.0 else 0.0
        variance = max(0.0, self.order_squared / self.pairs - (self.order / self.pairs) ** 2) if self.pairs > 0.0 else 0.0
        pooled = (variance * prompts + _CHANCE_VARIANCE * _PRIOR_GROUPS) / (prompts + _PRIOR_GROUPS)
        return math.sqrt(pooled / (prompts + _PRIOR_GROUPS))

    def reliability(self, missed: float) -> float:
        """2 AUROC(right, wrong) - 1 inside prompts, in [0, 0.98]: 0 at chance or below.

        The square of an estimate overstates the square of the truth by its variance; the variance is taken off, so that a
        reward model about which little is known counts as one that knows nothing.

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
        """In [0, 1]: reliability of late over that of long ago, where scores have risen meanwhile; 1 where they have not."""
        if self.pairs_slow <= 0.0 or self.score_batches_slow <= 0.0:
            return 1.0
        before = 2.0 * (self.order_slow + _PRIOR_AUROC * _PRIOR_GROUPS) / (self.pairs_slow + _PRIOR_GROUPS) - 1.0
        now = 2.0 * self.auroc - 1.0
        risen = self.mean_score > self.score_slow / self.score_batches_slow
        return min(1.0, max(0.0, now / before)) if risen and before > 0.0 else 1.0

    def state_dict(self) -> dict[str, float | int]:
        """The state as JSON values."""
        return {"version": 1, **self._asdict()}

    def restore(self, state: Mapping[str, Any], /) -> Reliability:
        """The state that ``state_dict`` described.

        Raises:
            InputError: keys missing, unknown or no finite numbers; another version; another decay than this one's.
        """
        fields = dict(state)
        if fields.pop("version", None) != 1 or set(fields) != set(self._fields):
            raise InputError(
                f"not the state of a reliability estimate of version 1: {state!r}; was it written by another release?"
            )
        odd = [name for name, value in fields.items() if isinstance(value, bool) or not isinstance(value, int | float)]
        odd = odd or [name for name, value in fields.items() if not math.isfinite(value)]
        if odd:
            raise InputError(f"the state's {odd[0]}={fields[odd[0]]!r} is no finite number")
        values: dict[str, Any] = {name: float(value) for name, value in fields.items()}
        values["updates"] = int(fields["updates"])
        restored = self._replace(**values)
        if (restored.decay, restored.slow) != (self.decay, self.slow):
            raise InputError(
                f"this state forgets by {restored.decay:g} and {restored.slow:g}, the rule by {self.decay:g} and "
                f"{self.slow:g}; resume with the same decay and slow"
            )
        return restored

    def metrics(self) -> dict[str, float]:
        """What is worth logging."""
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
        """How much one unit of score changes the log-odds that a response is right; 0 at chance. Per score unit, >= 0.

        Two normal distributions of equal variance, d standard deviations apart, have the AUROC Phi(d / sqrt 2) and log-odds
        that are linear with slope d / sigma. Multiplied by ``brake``.
        """
        reliability = self.reliability(missed)
        if reliability <= 0.0 or math.isnan(self.unit):
            return 0.0
        distance = math.sqrt(2.0) * NormalDist().inv_cdf((1.0 + reliability) / 2.0)
        return distance / self.unit * (self.brake if brake else 1.0)


def _auroc_by_group(verdicts: FloatArray, scores: FloatArray, groups: Groups) -> tuple[FloatArray, FloatArray]:
    """Shapes (P,) and (P,): AUROC of accepted against rejected of each prompt, and accepted x rejected / both (0: no pairs)."""
    order = np.lexsort((scores, groups.index_B))
    index, ordered = groups.index_B[order], scores[order]
    new_group = np.r_[True, index[1:] != index[:-1]]
    new_run = new_group | np.r_[True, ordered[1:] != ordered[:-1]]
    place = np.arange(index.size) - np.flatnonzero(new_group)[np.cumsum(new_group) - 1]
    starts = np.flatnonzero(new_run)
    length = np.diff(np.r_[starts, index.size])
    rank = np.repeat(place[starts] + (length + 1) / 2.0, length)  # tied scores share the middle of their ranks
    accepted = verdicts[order]
    by_group = Groups(index, groups.size)
    accepted_P = group_sum(accepted, by_group)
    both_P = group_sum(np.ones_like(accepted), by_group)
    rejected_P = both_P - accepted_P
    wins_P = group_sum(rank * accepted, by_group) - accepted_P * (accepted_P + 1.0) / 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        auroc_P = wins_P / (accepted_P * rejected_P)
        weight_P = np.where(both_P > 0.0, accepted_P * rejected_P / both_P, 0.0)
    return auroc_P, weight_P
