"""Group-relative advantages, with the three normalisations that engines offer."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError, check_choice
from hero_rl.rewards.groups import Groups, group_moments, index_groups
from hero_rl.types import FloatArray

Scale: TypeAlias = Literal["none", "group", "batch"]
SCALES: tuple[Scale, ...] = ("none", "group", "batch")


def group_advantages(
    rewards_B: ArrayLike,
    groups_B: ArrayLike | Groups,
    *,
    scale: Scale = "none",
    weights_B: ArrayLike | None = None,
    eps: float = 1e-4,
) -> FloatArray:
    """Return how much better each response is than its prompt's average, times the prompt's weight; shape (B,).

        none     A = w (r - mean_group r)
        group    A = w (r - mean_group r) / (std_group r + eps)       GRPO
        batch    A = w (r - mean_group r) / (std_batch r + eps)

    Under ``group`` a weight multiplied into the *rewards* would cancel; here it multiplies the advantage and does not.

    Args:
        rewards_B: shape (B,); NaN: the response is left out of its group and its advantage is 0.
        groups_B: shape (B,), prompt label of each response, in any order.
        scale: see above. Standard deviations are the unbiased ones, as in TRL and verl.
        weights_B: shape (B,), the prompt's weight, repeated for its responses; None: all 1.
        eps: added to the standard deviation; 1e-4 is TRL's, verl has 1e-6.

    Raises:
        InputError: shapes differ, unknown scale.

    Reference: GRPO (arXiv 2402.03300) for ``group``, Dr. GRPO (arXiv 2503.20783) for ``none``. HERO does not say which it uses.

    >>> group_advantages([1.0, 0.0, 0.0, 1.0], ["a", "a", "b", "b"], weights_B=[2.0, 2.0, 1.0, 1.0]).tolist()
    [1.0, -1.0, -0.5, 0.5]
    """
    check_choice("scale", scale, SCALES)
    rewards, groups = np.asarray(rewards_B, dtype=np.float64), index_groups(groups_B)
    if rewards.shape != groups.index_B.shape:
        raise InputError(f"rewards {rewards.shape} and groups {groups.index_B.shape} must have one entry per response")
    advantages = from_own_group(rewards, groups)
    moments = group_moments(advantages, groups, ddof=1)
    advantages -= moments.mean_P[groups.index_B]
    if scale == "group":
        with np.errstate(invalid="ignore"):  # 0 / 0 in a tied group when eps is 0: no advantage
            advantages /= np.nan_to_num(moments.std_P, nan=0.0)[groups.index_B] + eps
    elif scale == "batch":
        known = rewards[~np.isnan(rewards)]
        advantages /= (float(known.std(ddof=1)) if known.size > 1 else 0.0) + eps
    advantages[np.isnan(advantages)] = 0.0
    if weights_B is not None:
        weights = np.asarray(weights_B, dtype=np.float64)
        if weights.shape != rewards.shape:
            raise InputError(f"weights {weights.shape} and rewards {rewards.shape} must have one entry per response")
        advantages *= weights
    return advantages


def from_own_group(rewards: FloatArray, groups: Groups) -> FloatArray:
    """Return rewards less one reward of their own group.

    So equal rewards give 0 and not the rounding error of a mean (the mean of three times -0.05 is not -0.05), which ``group``
    would blow up to full size.
    """
    one_P = np.zeros(groups.size)
    known = ~np.isnan(rewards)
    if known.all():
        one_P[groups.index_B] = rewards
    else:
        one_P[groups.index_B[known]] = rewards[known]
    own_B = one_P[groups.index_B]
    return np.subtract(rewards, own_B, out=own_B)
