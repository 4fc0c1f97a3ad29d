"""A rule with a state of its own kind: the reward is the verdict minus the share of correct responses so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards import RewardRule, RuleOutput, RuleState
from hero_rl.rewards.groups import Groups
from hero_rl.types import FloatArray


class Tally(NamedTuple):
    """Correct responses, and all, each batch worth ``keep`` of what it was before the next."""

    keep: float
    counts: tuple[float, float] = (0.0, 0.0)
    updates: int = 0

    @property
    def share(self) -> float:
        return self.counts[0] / self.counts[1] if self.counts[1] else math.nan

    def state_dict(self) -> dict[str, Any]:
        return {"version": 1, **self._asdict()}

    def restore(self, state: Mapping[str, Any], /) -> Tally:
        if state.get("version") != 1 or state.get("keep") != self.keep:
            raise InputError(f"not the state of a tally that keeps {self.keep}: {state!r}")
        correct, responses = state["counts"]
        return Tally(self.keep, (correct, responses), state["updates"])

    def metrics(self) -> dict[str, float]:
        return {"share_so_far": self.share}


def tally(*, keep: float = 0.5) -> RewardRule:
    return RewardRule(
        name="tally", settings={"keep": keep}, scale="none", needs_verdicts=True, needs_scores=False,
        apply_checked=_apply_tally, start=Tally(keep), stateful=True,
    )  # fmt: skip


def _apply_tally(verdicts: FloatArray, scores: FloatArray, groups: Groups, state: RuleState) -> RuleOutput:
    assert isinstance(state, Tally)
    correct, responses = (state.keep * count for count in state.counts)
    after = Tally(state.keep, (correct + float(verdicts.sum()), responses + verdicts.size), state.updates + 1)
    baseline = state.share if state.updates else after.share
    return RuleOutput(verdicts - baseline, np.ones_like(verdicts), math.nan, after)
