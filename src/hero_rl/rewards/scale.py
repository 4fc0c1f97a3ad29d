"""Scale of a rule's advantages without labels: how much true reward one unit of them stands for, in which a KL is measured.

    scale = sum A A* / sum A*^2

A are the advantages as they are trained on and A* those of the truth. Each sum is replaced by its expectation given verdicts
and scores, whatever the rule::

    sum A A*    by  sum A (p - mean p of the prompt)                        p: probability of being correct (``adaptive.judge``)
    sum A*^2    by  sum (N - 1) x accuracy (1 - accuracy) (1 - alike)       N responses to a prompt

The first is exact if p is, because A is a function of what p is conditioned on. Everything rests on the verifier's recall,
which verdicts and scores do not show: where it is not given it is assumed high (``Reliability.assumed_recall``), and the scale
of rules that follow the verifier is then too large by about as much. docs/method.md has estimates beside the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.adaptive import judge
from hero_rl.rewards.groups import Groups, group_sum
from hero_rl.rewards.reliability import Reliability
from hero_rl.rewards.rules import RewardRule
from hero_rl.rewards.weights import read_state
from hero_rl.types import FloatArray

KlUnit: TypeAlias = Literal["reward", "oracle"]
"""Unit of a KL coefficient: the rule's own reward, or true reward, for which it is multiplied by the scale."""
LEAST_FACTOR = 0.05
"""Smallest factor on a KL coefficient: an update without signal must not set the policy free."""
_P_LEARNED = 0.8


class ScaleEstimate(NamedTuple):
    """Sums over batches, of which each counts ``reliability.decay`` times the one after it."""

    reliability: Reliability
    signal: float = 0.0
    """Sum of A (p - mean p)."""
    freedom: float = 0.0
    """Responses less prompts."""

    @classmethod
    def of(cls, rule: RewardRule, *, recall: float | None = None) -> ScaleEstimate:
        """Return the estimate before the first batch; without ``recall``, that of the rule's settings counts."""
        known: dict[str, Any] = {name: rule.settings[name] for name in ("recall", "false_positives") if name in rule.settings}
        if recall is not None:
            known["recall"] = recall
            if not (low := known.get("false_positives", 0.0)) < recall <= 1.0:
                raise InputError(f"recall={recall:g} must lie in ({low:g}, 1], or be None where it is not known")
        return cls(Reliability()._replace(**known))

    def after(self, verdicts_B: FloatArray, scores_B: FloatArray, groups: Groups, advantages_B: FloatArray) -> ScaleEstimate:
        """Return the sums after one more batch; arguments as ``RewardRule.apply``, advantages as trained on."""
        if np.isnan(scores_B).all():
            scores_B = np.zeros_like(scores_B)  # verdicts alone: a response without a score would not be counted
        found, fade = judge(verdicts_B, scores_B, groups, self.reliability, p_learned=_P_LEARNED), self.reliability.decay
        size_P = np.maximum(np.bincount(groups.index_B, minlength=groups.size), 1)
        expected_B = found.p - (group_sum(found.p, groups) / size_P)[groups.index_B]
        signal = fade * self.signal + float((advantages_B * expected_B).sum())
        return ScaleEstimate(found.after, signal, fade * self.freedom + verdicts_B.size - groups.size)

    @property
    def value(self) -> float:
        """The scale; NaN before the first accepted response."""
        share, alike = self.reliability.reading[:2]
        known = self.reliability.accepted > 0.0 and self.freedom > 0.0
        return self.signal / (self.freedom * share * (1.0 - share) * (1.0 - alike)) if known else math.nan

    @property
    def kl_factor(self) -> float:
        """The factor of ``kl_unit="oracle"`` on a KL coefficient: the scale, at least ``LEAST_FACTOR``; 1 while unknown."""
        return 1.0 if math.isnan(self.value) else max(LEAST_FACTOR, self.value)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values (exact)."""
        return {"version": 1, **self._asdict(), "reliability": self.reliability.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> ScaleEstimate:
        """Restore a state saved by ``state_dict`` (exact); raise ``InputError`` for others, and for another recall."""
        own = {name: value for name, value in state.items() if name != "reliability"}
        sums = read_state("a scale estimate", ("signal", "freedom"), own)
        if not isinstance(state.get("reliability"), Mapping):
            raise InputError(f"not the state of a scale estimate: {state!r:.200}; did another release write it?")
        return ScaleEstimate(self.reliability.restore(state["reliability"]), *sums)
