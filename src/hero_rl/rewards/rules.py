"""The type of a reward rule: a pair (init, apply) of pure functions. HERO is in ``hybrid``, its rivals are in ``baselines``.

A rule turns verdicts and scores into rewards and per-prompt weights. It is the only thing that differs between HERO and a
baseline: verifier, reward model, engine and data stay the same.

A rule does *not* apply the weights: engines multiply the advantage by them (``group_advantages``), because a weight on the
rewards of a group cancels when advantages are divided by the group's standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError, check_choice
from hero_rl.rewards.advantages import Scale
from hero_rl.rewards.groups import Groups, check_signals
from hero_rl.rewards.weights import RunningMean
from hero_rl.types import LEARNED_YES, FloatArray

Setting: TypeAlias = float | int | str | bool | None


class RuleState(Protocol):
    """A rule's memory of earlier batches: immutable, picklable, compared by value. A NamedTuple of numbers and tuples."""

    @property
    def updates(self) -> int:
        """Number of batches seen."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as finite JSON values, with a "version" and the settings that are part of the state."""
        ...

    def restore(self, state: Mapping[str, Any], /) -> RuleState:
        """Restore a state saved by ``state_dict`` (exact).

        Raises:
            InputError: not such a state, another version, or saved under other settings.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Return numbers to log under ``hero/``, by name; NaN where not known yet. sigma-bar is logged anyway."""
        ...


class RuleOutput(NamedTuple):
    """A rule's rewards and weights for one batch."""

    rewards: FloatArray
    """Shape (B,); NaN: leave the response out of its group."""
    weights: FloatArray
    """Shape (B,), the prompt's weight repeated for its responses; multiply the *advantage* by it."""
    sigma_mean: float
    """The sigma-bar that was used; NaN for rules without weighting."""
    state: RuleState
    """The state after this batch."""


ApplyFn: TypeAlias = Callable[[FloatArray, FloatArray, Groups, RuleState], RuleOutput]
"""From verdicts as credit in [0, 1] (1 and 0, in between only a learned "correct"), scores, groups and state.

The state is of the same type as the rule's ``start``.
"""


StepSignal: TypeAlias = Literal["level", "change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShaping:
    """How step scores become advantages of steps; ``contrib.process`` applies it."""

    gamma: float = 0.1
    """The largest distance between the advantages of a stratum's best and worst step, in units of reward."""
    signal: StepSignal = "level"
    """``"level"``: the step's score. ``"change"``: its difference from the step before, for scores that say whether
    everything *so far* is right, where all that follows a mistake has a low level."""
    tie_tolerance: float = 1e-6
    """A stratum whose steps span no more than this, in score units, is not shaped."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0.0 <= self.gamma < 0.5:
            raise InputError(
                f"gamma={self.gamma:g} must lie in [0, 1/2): a correct and an incorrect response are 1 apart, and the steps "
                "of either move by up to gamma"
            )
        if not self.tie_tolerance >= 0.0:
            raise InputError(f"tie_tolerance={self.tie_tolerance:g} must not be negative")
        check_choice("signal", self.signal, get_args(StepSignal))


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRule:
    """A named rule. Make one with ``hero(...)``, ``verifier_only()`` and the other constructors; all are picklable."""

    name: str
    settings: Mapping[str, Setting]
    """The arguments it was made with, for logs and result files."""
    scale: Scale
    """The normalisation of advantages that the rule's source uses, or that keeps its promise (HERO: "none")."""
    needs_verdicts: bool = True
    needs_scores: bool = True
    apply_checked: ApplyFn = field(repr=False)
    start: RuleState = RunningMean()  # noqa: RUF009  # immutable
    """The state before the first batch."""
    stateful: bool = False
    learned_credit: float = 1.0
    """The worth of a learned "correct", in [0, 1]: 1 as much as a rule's own, 0 as little as an incorrect response."""
    raw_verdicts: bool = False
    """True: ``apply_checked`` tells abstentions (NaN) and learned "correct" (``LEARNED_YES``) apart itself."""
    steps: StepShaping | None = None
    """How step scores shape the advantages of a response's tokens, in engines that have one per token; None: not at all."""

    def init(self) -> RuleState:
        """Return the state before the first batch."""
        return self.start

    def restore(self, state: Mapping[str, Any]) -> RuleState:
        """Restore a state saved by ``state_dict`` (exact); raise ``InputError`` for one of other rules or settings."""
        return self.start.restore(state)

    def apply(self, verdicts_B: ArrayLike, scores_B: ArrayLike, groups_B: ArrayLike | Groups, state: RuleState) -> RuleOutput:
        """Return the rewards and weights of one batch, and the state after it. Pure: ``state`` is not changed.

        Args:
            verdicts_B: shape (B,), 1 correct, 0 incorrect, NaN abstain, ``LEARNED_YES`` where a model said correct. An
                abstention counts as incorrect, a learned "correct" as ``learned_credit``.
            scores_B: shape (B,), reward-model scores; NaN missing.
            groups_B: shape (B,), prompt labels in any order.
            state: from ``init`` or the last call. Read before this batch is added, so rewards of a prompt do not depend
                on the rest of the batch (but for the very first batch, which has no earlier one).

        Raises:
            InputError: shapes differ, an impossible verdict, an infinite score, a state of another kind of rule.
        """
        if not isinstance(state, type(self.start)):
            raise InputError(
                f"the rule {self.name!r} keeps a {type(self.start).__name__} and was given a {type(state).__name__}; start "
                "with rule.init() and go on with the state that the last call returned"
            )
        verdicts, scores, groups = check_signals(verdicts_B, scores_B, groups_B)
        return self.apply_checked(verdicts if self.raw_verdicts else self._credit(verdicts), scores, groups, state)

    def _credit(self, verdicts_B: FloatArray) -> FloatArray:
        learned_B, abstained_B = verdicts_B == LEARNED_YES, np.isnan(verdicts_B)
        if not learned_B.any() and not abstained_B.any():
            return verdicts_B
        return np.where(learned_B, self.learned_credit, np.where(abstained_B, 0.0, verdicts_B))


def check_learned_credit(learned_credit: float) -> None:
    """Raise ``InputError`` unless ``learned_credit`` lies in [0, 1]."""
    if not 0.0 <= learned_credit <= 1.0:
        raise InputError(f"learned_credit={learned_credit:g} must lie in [0, 1]: it is what a learned 'correct' counts for")


def unweighted(rewards_B: FloatArray, state: RuleState) -> RuleOutput:
    """Return the output of a rule without weights, whose state does not move."""
    return RuleOutput(rewards_B, np.ones_like(rewards_B), float("nan"), state)
