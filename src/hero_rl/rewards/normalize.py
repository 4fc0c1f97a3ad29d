"""Stratified normalisation: reward-model scores squeezed into a band around the verdict (Eq. 3)."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import BandOverlapError, InputError, check_choice
from hero_rl.rewards.groups import Groups, check_signals, group_min_max
from hero_rl.types import FloatArray

Singleton: TypeAlias = Literal["floor", "center"]
Dense: TypeAlias = Literal["both", "correct", "incorrect", "none"]

_SMALLEST_RANGE = float(np.finfo(np.float64).tiny)
"""The inverse of a smaller range is infinite: such a stratum is tied whatever the tolerance."""


def check_bands(alpha: float, beta: float) -> None:
    """Raise unless alpha + beta < 1, so that the bands cannot overlap. The paper allows up to 1 each.

    Raises:
        InputError: alpha or beta outside [0, 1].
        BandOverlapError: alpha + beta >= 1.
    """
    for name, half_width in (("alpha", alpha), ("beta", beta)):
        if not 0.0 <= half_width <= 1.0:
            raise InputError(f"{name}={half_width:g} must lie in [0, 1]: it is the half-width of a band")
    if alpha + beta >= 1.0:
        raise BandOverlapError(
            f"alpha={alpha:g} and beta={beta:g} make the two bands overlap "
            f"([{-alpha:g}, {alpha:g}] and [{1 - beta:g}, {1 + beta:g}]); need alpha + beta < 1"
        )


def check_strata(*, eps: float, singleton: str, dense: str, tie_tolerance: float) -> None:
    """Raise ``InputError`` for an unknown choice, or a negative (or NaN) eps or tolerance."""
    check_choice("singleton", singleton, get_args(Singleton))
    check_choice("dense", dense, get_args(Dense))
    for name, value in (("eps", eps), ("tie_tolerance", tie_tolerance)):
        if not value >= 0.0:
            raise InputError(f"{name}={value:g} must not be negative")


def stratified_normalize(
    scores_B: ArrayLike,
    verdicts_B: ArrayLike,
    groups_B: ArrayLike,
    *,
    alpha: float = 0.05,
    beta: float = 0.05,
    eps: float = 1e-6,
    singleton: Singleton = "floor",
    dense: Dense = "both",
    tie_tolerance: float = 1e-6,
) -> FloatArray:
    """Rescale reward-model scores by min-max inside the band of their verdict, shape (B,).

    For each prompt and each verdict v, over the responses of that prompt with that verdict (a *stratum*)::

        z = (s - min s) / (max s - min s + eps)
        r = -alpha + 2 alpha z         if v = 0          in [-alpha, alpha]
        r = (1 - beta) + 2 beta z      if v = 1          in [1 - beta, 1 + beta]

    so that every correct response of a prompt ranks above every incorrect one.

    Args:
        scores_B: shape (B,), reward-model scores in any unit; NaN (missing): the response gets the centre of its band and has
            no part in min and max.
        verdicts_B: shape (B,), 1 correct, 0 incorrect, NaN abstain (counts as incorrect), ``LEARNED_YES`` (counts as correct).
        groups_B: shape (B,), prompt label of each response, in any order.
        alpha: half-width of the band around 0, in [0, 1]. The paper: 0.05 on verifiable data, 0.1 on mixed and hard.
        beta: half-width of the band around 1, likewise.
        eps: guards the division, in score units. Not given in the paper.
        singleton: z of a stratum without spread (one member, or all tied): ``"floor"`` (0, as the formula has it: a lone
            correct response gets 1 - beta) or ``"center"`` (1/2: the verdict itself).
        dense: which strata use the scores at all (the ablation of the paper's Fig. 2a); the others get the bare verdict.
        tie_tolerance: a stratum whose scores span no more than this, in score units, counts as tied. Min-max stretches
            any difference to the full band, so without it rounding noise would be ranked with full strength.

    Raises:
        BandOverlapError: alpha + beta >= 1.
        InputError: shapes differ, an impossible verdict, an infinite score, an unknown or negative option.

    Reference: HERO (arXiv 2510.07242), Eq. 3. Departs from the paper: ``tie_tolerance`` and missing scores are ours; the
    paper's literal formula is ``singleton="floor", tie_tolerance=0``.

    >>> stratified_normalize([2.0, 6.0, 4.0, 9.0], [0, 0, 1, 1], [7, 7, 7, 7], alpha=0.1, beta=0.1, eps=0).tolist()
    [-0.1, 0.1, 0.9, 1.1]
    """
    check_bands(alpha, beta)
    check_strata(eps=eps, singleton=singleton, dense=dense, tie_tolerance=tie_tolerance)
    verdicts, scores, groups = check_signals(verdicts_B, scores_B, groups_B)
    return normalize_checked(
        scores, np.where(verdicts > 0.0, 1.0, 0.0), groups,
        alpha=alpha, beta=beta, eps=eps, singleton=singleton, dense=dense, tie_tolerance=tie_tolerance,
    )  # fmt: skip


def normalize_checked(
    scores_B: FloatArray,
    centers_B: FloatArray,
    groups: Groups,
    *,
    alpha: float,
    beta: float,
    eps: float,
    singleton: Singleton,
    dense: Dense,
    tie_tolerance: float,
) -> FloatArray:
    """Return ``stratified_normalize`` of arrays that ``check_signals`` has passed.

    ``centers_B`` are the centres of the bands: 0 incorrect, 1 correct, and one value in between for a third stratum, with the
    half-width of the correct ones.
    """
    correct_B = centers_B > 0.0
    stratum_B = groups.index_B * 3
    stratum_B += correct_B
    stratum_B += centers_B == 1.0
    low_S, high_S = group_min_max(scores_B, Groups(stratum_B, groups.size * 3))
    with np.errstate(invalid="ignore"):  # an empty stratum is inf - inf; no response reads it
        range_S = high_S - low_S
    scale_S = 1.0 / np.where(range_S > max(tie_tolerance, _SMALLEST_RANGE), range_S + eps, np.inf)  # 0 where tied: z = 0
    z_B = scores_B - low_S[stratum_B]  # and on in place: files of ten million responses are normalised at once
    z_B *= scale_S[stratum_B]
    if singleton == "center":
        z_B[scale_S[stratum_B] == 0.0] = 0.5
    z_B[np.isnan(scores_B)] = 0.5
    z_B *= 2.0
    z_B -= 1.0
    z_B *= np.where(correct_B, beta if dense in ("both", "correct") else 0.0, alpha if dense in ("both", "incorrect") else 0.0)
    z_B += centers_B
    return z_B
