"""Variance-aware weighting: prompts on which the reward model is undecided count for more (Eq. 4)."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError, check_choice
from hero_rl.types import MAX_MAGNITUDE, FloatArray

APPENDIX = {"w_min": 0.4, "w_max": 3.0, "k": 6.0}
"""The paper's Appendix A.1 ("we fix"): the default here."""
MAIN_TEXT = {"w_min": 0.5, "w_max": 2.0, "k": 5.0}
"""The paper's section 3.2 ("unless otherwise stated"): contradicts the appendix."""

WeightBy: TypeAlias = Literal["difference", "ratio"]
AT_LIMIT = 0.05
"""A weight closer to a limit than this share of the range counts as saturated."""


def difficulty_weight(
    sigma_P: ArrayLike,
    sigma_mean: float,
    *,
    w_min: float = 0.4,
    w_max: float = 3.0,
    k: float = 6.0,
    by: WeightBy = "difference",
) -> FloatArray:
    """Return the weight of each prompt, in (w_min, w_max), rising with the spread of its reward-model scores.

        w(sigma) = w_min + (w_max - w_min) / (1 + exp(-k (sigma - sigma_mean)))

    A prompt of average spread gets (w_min + w_max) / 2 (1.7 with the defaults, not 1). sigma has the unit of the scores: a
    reward model in large units turns the sigmoid into a two-level gate. ``by="ratio"`` replaces sigma - sigma_mean by
    sigma / sigma_mean - 1, which has no unit.

    Args:
        sigma_P: spread of each prompt, any shape; NaN (no score known) counts as average.
        sigma_mean: the running mean of sigma; NaN makes every prompt average.
        w_min: lower limit, >= 0.
        w_max: upper limit, >= w_min.
        k: steepness, >= 0, per unit of score; under ``by="ratio"`` per sigma_mean.
        by: what is compared with the mean: the difference or the ratio.

    Raises:
        InputError: limits out of order or negative, or an unknown ``by``.

    Reference: HERO (arXiv 2510.07242), Eq. 4; ``by="ratio"`` is ours.

    >>> difficulty_weight([0.0, 1.0, 2.0], 1.0).round(3).tolist()
    [0.406, 1.7, 2.994]
    >>> difficulty_weight([0.0, 100.0, 200.0], 100.0, k=2.0, by="ratio").round(3).tolist()
    [0.71, 1.7, 2.69]
    """
    if not (0.0 <= w_min <= w_max and math.isfinite(w_max)):
        raise InputError(f"w_min={w_min:g} and w_max={w_max:g} must satisfy 0 <= w_min <= w_max")
    if not (k >= 0.0 and math.isfinite(k)):
        raise InputError(f"k={k:g} must be >= 0: prompts with more spread get more weight")
    check_choice("weight_by", by, get_args(WeightBy))
    excess = np.nan_to_num(np.asarray(sigma_P, dtype=np.float64) - sigma_mean, nan=0.0)
    if by == "ratio":
        excess = excess / sigma_mean if sigma_mean > 0.0 else np.zeros_like(excess)
    # tanh form of the logistic: no overflow however large k (sigma - sigma_mean) is
    return w_min + (w_max - w_min) * (0.5 + 0.5 * np.tanh(0.5 * k * excess))


def saturated_share(weights: ArrayLike, *, w_min: float, w_max: float) -> float:
    """Return the share of some weights that are at w_min or w_max (within ``AT_LIMIT``); NaN without any.

    Near 1, the weight is a switch and no longer says how much a prompt's scores spread.

    >>> saturated_share([0.4, 0.5, 1.7, 3.0], w_min=0.4, w_max=3.0)
    0.75
    """
    values = np.asarray(weights, dtype=np.float64)
    near = AT_LIMIT * (w_max - w_min)
    return float(((values <= w_min + near) | (values >= w_max - near)).mean()) if values.size and near else math.nan


class RunningMean(NamedTuple):
    """sigma-bar of Eq. 4: an immutable running mean over batches.

    ``decay`` in (0, 1): exponential moving average of the batch means, corrected for its start: after the first batch the
    value *is* that batch's mean. ``decay=None``: the plain mean of everything seen.

    Departs from the paper: "running mean" is all it says; rule, start and update time are ours. A rule reads the value from
    *before* the batch (frozen within a batch); for the very first batch that is the batch's own mean.
    """

    decay: float | None = 0.9
    total: float = 0.0
    """Decayed sum of batch means (of all values, when ``decay`` is None)."""
    weight: float = 0.0
    """Decayed number of batches (number of values, when ``decay`` is None)."""
    updates: int = 0
    """Batches taken in."""

    @property
    def value(self) -> float:
        """The mean so far; NaN before the first update."""
        return self.total / self.weight if self.weight > 0.0 else math.nan

    def update(self, values: ArrayLike) -> RunningMean:
        """Return the mean after one more batch; NaN values are left out, an empty batch changes nothing."""
        array = np.asarray(values, dtype=np.float64).ravel()
        known = array[~np.isnan(array)]
        if known.size == 0:
            return self
        if self.decay is None:
            return RunningMean(None, self.total + float(known.sum()), self.weight + known.size, self.updates + 1)
        total, weight = self.decay * self.total + float(known.mean()), self.decay * self.weight + 1.0
        return RunningMean(self.decay, total, weight, self.updates + 1)

    def state_dict(self) -> dict[str, float | int | None]:
        """Return the state as JSON values (exact)."""
        return {"version": 1, **self._asdict()}

    def restore(self, state: Mapping[str, Any], /) -> RunningMean:
        """Restore a state saved by ``state_dict`` (exact); raise ``InputError`` for others, and for another decay."""
        decay, total, weight, updates = read_state("a running mean", self._fields, state, optional="decay")
        if not (0 <= total <= MAX_MAGNITUDE and 0 <= weight <= MAX_MAGNITUDE and 0 <= updates == int(updates)):
            raise InputError(f"not the state of a running mean, which has total, weight and updates >= 0: {state!r}")
        if decay != self.decay:
            raise InputError(f"this state decays by {decay}, the rule by {self.decay}; resume with the same decay")
        return RunningMean(decay, float(total), float(weight), int(updates))

    def metrics(self) -> dict[str, float]:
        """Return no numbers: the value is logged as ``sigma_mean``."""
        return {}


def read_state(what: str, fields: Sequence[str], state: Mapping[str, Any], *, optional: str = "") -> list[Any]:
    """Return the values of a saved state of version 1, in the order of ``fields``: finite numbers; ``optional`` may be None.

    Raises:
        InputError: keys missing or unknown, another version, or another value.
    """
    if state.get("version") != 1 or set(state) != {"version", *fields}:
        raise InputError(f"not the state of {what} of version 1: {state!r}; was it written by another release?")
    for name in fields:
        value = state[name]
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        if not number and (name != optional or value is not None):
            raise InputError(f"not the state of {what}, which has finite numbers: {name}={value!r}")
    return [state[name] for name in fields]


def running_mean(decay: float | None = 0.9) -> RunningMean:
    """Return an empty running mean; raise ``InputError`` for a decay outside (0, 1) that is not None."""
    if decay is not None and not 0.0 < decay < 1.0:
        raise InputError(f"decay={decay:g} must lie in (0, 1), or be None for the plain mean")
    return RunningMean(decay)
