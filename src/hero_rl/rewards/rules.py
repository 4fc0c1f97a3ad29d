"""What a reward rule is: a pair (init, apply) of pure functions. HERO is in ``hybrid``, its rivals are in ``baselines``.

A rule turns verdicts and scores into rewards and per-prompt weights. It is the only thing that differs between HERO and a
baseline; verifier, reward model, engine and data stay the same, so a comparison cannot differ in plumbing.

A rule does *not* apply the weights: engines multiply the advantage by them (``group_advantages``), because a weight on the
rewards of a group cancels when advantages are divided by the group's standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.rewards.advantages import Scale
from hero_rl.rewards.groups import Groups, check_signals
from hero_rl.rewards.steps import StepShaping
from hero_rl.rewards.weights import RunningMean
from hero_rl.types import LEARNED_YES, FloatArray

Setting: TypeAlias = float | int | str | bool | None


class RuleState(Protocol):
    """What a rule remembers of earlier batches: immutable, picklable, compared by value. A NamedTuple of numbers and tuples.

    ``RunningMean`` is the one that most rules have.
    """

    @property
    def updates(self) -> int:
        """Batches taken in."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON values, finite numbers only, with a "version" and the settings that are part of the state."""
        ...

    def restore(self, state: Mapping[str, Any], /) -> RuleState:
        """The state that ``state_dict`` described, bit for bit, to go on where this one stands.

        Raises:
            InputError: no such description, or of another version, or of a state with other settings than this one.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers worth logging under ``hero/``, by name; NaN where not known yet. sigma-bar is logged anyway."""
        ...


class RuleOutput(NamedTuple):
    """What a rule says of one batch."""

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


_MEAN = RunningMean()


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRule:
    """A named rule. Make one with ``hero(...)``, ``verifier_only()`` and the other constructors; all are picklable."""

    name: str
    settings: Mapping[str, Setting]
    """The arguments it was made with, for logs and result files."""
    scale: Scale
    """The normalisation of advantages that the rule's source uses, or that keeps its promise (HERO: "none")."""
    needs_verdicts: bool
    needs_scores: bool
    apply_checked: ApplyFn = field(repr=False)
    start: RuleState = _MEAN
    """The state before the first batch."""
    stateful: bool = False
    learned_credit: float = 1.0
    """What a learned "correct" counts for, in [0, 1]: 1 as much as a rule's own, 0 as an incorrect response."""
    raw_verdicts: bool = False
    """True: ``apply_checked`` tells abstentions (NaN) and learned "correct" (``LEARNED_YES``) apart itself."""
    steps: StepShaping | None = None
    """How step scores shape the advantages of a response's tokens, in engines that have one a token; None: not at all."""

    def init(self) -> RuleState:
        """The state before the first batch."""
        return self.start

    def restore(self, state: Mapping[str, Any]) -> RuleState:
        """The state that its ``state_dict`` described, bit for bit.

        Raises:
            InputError: not a state of this rule with these settings.
        """
        return self.start.restore(state)

    def apply(self, verdicts_B: ArrayLike, scores_B: ArrayLike, groups_B: ArrayLike | Groups, state: RuleState) -> RuleOutput:
        """Rewards and weights of one batch, and the state after it. Pure: ``state`` is not changed.

        Args:
            verdicts_B: shape (B,), 1 correct, 0 incorrect, NaN abstain, ``LEARNED_YES`` where a model said correct. An
                abstention counts as incorrect, a learned "correct" as ``learned_credit``.
            scores_B: shape (B,), reward-model scores; NaN missing.
            groups_B: shape (B,), prompt labels in any order.
            state: from ``init`` or the last call. Read before this batch is taken in, so rewards of a prompt do not depend
                on what else is in the batch (but for the very first batch, which has only itself to go by).

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

    def _credit(self, verdicts: FloatArray) -> FloatArray:
        """Verdicts as ``ApplyFn`` takes them; the same array where there is nothing to settle."""
        learned, abstained = verdicts == LEARNED_YES, np.isnan(verdicts)
        if not learned.any() and not abstained.any():
            return verdicts
        return np.where(learned, self.learned_credit, np.where(abstained, 0.0, verdicts))


def check_learned_credit(learned_credit: float) -> None:
    """Nothing; raises unless it lies in [0, 1].

    Raises:
        InputError: it does not.
    """
    if not 0.0 <= learned_credit <= 1.0:
        raise InputError(f"learned_credit={learned_credit:g} must lie in [0, 1]: it is what a learned 'correct' counts for")


def unweighted(rewards: FloatArray, state: RuleState) -> RuleOutput:
    """What a rule without weights and state returns."""
    return RuleOutput(rewards, np.ones_like(rewards), float("nan"), state)
