"""HERO itself (Eq. 3-5) with the paper's ablations, and its cautious cousin ``gated``."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from hero_rl.errors import BandOverlapError, InputError
from hero_rl.rewards.advantages import Scale
from hero_rl.rewards.groups import Groups, group_min_max, group_moments
from hero_rl.rewards.normalize import Dense, Singleton, check_bands, check_strata, normalize_checked
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState, check_learned_credit, unweighted
from hero_rl.rewards.weights import RunningMean, difficulty_weight, running_mean
from hero_rl.types import FloatArray

WeightOn: TypeAlias = Literal["advantage", "reward"]
Sigma: TypeAlias = Literal["raw", "calibrated"]
Drop: TypeAlias = Literal["none", "verdicts", "rewards"]


def hero(
    *,
    alpha: float = 0.05,
    beta: float = 0.05,
    w_min: float = 0.4,
    w_max: float = 3.0,
    k: float = 6.0,
    eps: float = 1e-6,
    singleton: Singleton = "floor",
    dense: Dense = "both",
    weighting: bool = True,
    decay: float | None = 0.9,
    tie_tolerance: float = 1e-4,
    learned_credit: float = 1.0,
    weight_on: WeightOn = "advantage",
    sigma: Sigma = "raw",
    drop: Drop = "none",
) -> RewardRule:
    """Hybrid ensemble reward: stratified normalisation and variance-aware weighting.

    Args:
        alpha: half-width of the band around 0. The paper: 0.05 on verifiable data, 0.1 on mixed and hard-to-verify data.
        beta: half-width of the band around 1; alpha + beta < 1.
        w_min: smallest prompt weight. Defaults of the three: Appendix A.1; ``weights.MAIN_TEXT`` is the other set.
        w_max: largest prompt weight.
        k: steepness of the weight, per unit of score.
        eps: guards the division of Eq. 3.
        singleton: where a stratum without spread goes, see ``stratified_normalize``.
        dense: which strata use scores: the ablation "positive only / negative only / none" of the paper's Fig. 2a.
        weighting: False: all weights 1, the ablation of the paper's Table 4.
        decay: of sigma-bar, see ``RunningMean``.
        tie_tolerance: a stratum whose scores span less than this share of sigma-bar counts as tied.
        learned_credit: around what the band of the responses lies that only a model calls correct. 1: they share the band of
            the correct ones. Below: a band of their own with half-width beta, between the other two.
        weight_on: what the prompt weight multiplies. ``"reward"`` is Eq. 5 to the letter, which cancels under group std.
        sigma: the spread that decides the weight: of the raw scores, or of the rewards after Eq. 3.
        drop: prompts that are left out, as DAPO (arXiv 2503.14476) filters prompts without variance: ``"verdicts"``: all
            verdicts equal, which leaves the reward model the mixed prompts alone; ``"rewards"``: all rewards equal.

    Raises:
        InputError: a number out of range, an unknown choice, or a learned band that touches another one.
        BandOverlapError: alpha + beta >= 1.

    Reference: HERO (arXiv 2510.07242), Eq. 3-5. Departs from the paper: Eq. 5 multiplies the weight into the reward, where
    group-std normalisation cancels it; here it is returned beside the reward, for the advantage. Advantages are centred on
    the group's mean only (``scale="none"``): dividing by the group's standard deviation blows a band of +-0.05 up to unit
    size wherever all verdicts are equal.
    """
    check_bands(alpha, beta)
    check_strata(eps=eps, singleton=singleton, dense=dense, tie_tolerance=tie_tolerance)
    difficulty_weight([], 0.0, w_min=w_min, w_max=w_max, k=k)
    start = running_mean(decay)
    _check_learned_band(learned_credit, alpha, beta)
    for name, value, choices in (("weight_on", weight_on, WeightOn), ("sigma", sigma, Sigma), ("drop", drop, Drop)):
        if value not in get_args(choices):
            raise InputError(f"{name}={value!r} is unknown; choose one of {', '.join(get_args(choices))}")
    apply = partial(
        _apply_hero, alpha=alpha, beta=beta, w_min=w_min, w_max=w_max, k=k, eps=eps, singleton=singleton, dense=dense,
        weighting=weighting, tie_tolerance=tie_tolerance, weight_on=weight_on, sigma=sigma, drop=drop,
    )  # fmt: skip
    return RewardRule(
        name="hero", settings={**apply.keywords, "decay": decay, "learned_credit": learned_credit}, scale="none",
        needs_verdicts=True, needs_scores=weighting or dense != "none", apply_checked=apply, start=start, stateful=True,
        learned_credit=learned_credit,
    )  # fmt: skip


def _check_learned_band(learned_credit: float, alpha: float, beta: float) -> None:
    check_learned_credit(learned_credit)
    if learned_credit not in (0.0, 1.0) and not alpha + beta < learned_credit < 1.0 - 2.0 * beta:
        raise BandOverlapError(
            f"learned_credit={learned_credit:g} with alpha={alpha:g} and beta={beta:g}: the band of learned 'correct' verdicts "
            f"would touch another one; choose 1 (no band of their own), 0 (as incorrect), or a value strictly between "
            f"{alpha + beta:g} and {1.0 - 2.0 * beta:g}"
        )


def _apply_hero(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    alpha: float,
    beta: float,
    w_min: float,
    w_max: float,
    k: float,
    eps: float,
    singleton: Singleton,
    dense: Dense,
    weighting: bool,
    tie_tolerance: float,
    weight_on: WeightOn,
    sigma: Sigma,
    drop: Drop,
) -> RuleOutput:
    assert isinstance(state, RunningMean)  # the type of ``start``, which ``RewardRule.apply`` has checked
    spread_P = _spread(scores, groups)
    after = state.update(spread_P)
    # Ties are a matter of raw scores; where sigma-bar is one of rewards, this batch has to say how far scores spread.
    before = state if sigma == "raw" else state._replace(total=0.0, weight=0.0, updates=0)
    unit = before.value if before.updates else before.update(spread_P).value
    rewards = normalize_checked(
        scores, verdicts, groups, alpha=alpha, beta=beta, eps=eps, singleton=singleton, dense=dense,
        tie_tolerance=tie_tolerance * float(np.nan_to_num(unit)),
    )  # fmt: skip
    if sigma == "calibrated":
        spread_P = _spread(rewards, groups)
        after = state.update(spread_P)
    sigma_mean = state.value if state.updates else after.value
    weights_P = difficulty_weight(spread_P, sigma_mean, w_min=w_min, w_max=w_max, k=k) if weighting else np.ones(groups.size)
    weights = weights_P[groups.index_B]
    if weight_on == "reward":
        rewards, weights = weights * rewards, np.ones_like(rewards)
    if drop != "none":
        low_P, high_P = group_min_max(verdicts if drop == "verdicts" else rewards, groups)
        rewards = np.where((low_P == high_P)[groups.index_B], np.nan, rewards)
    return RuleOutput(rewards, weights, sigma_mean, after)


def _spread(values: FloatArray, groups: Groups) -> FloatArray:
    """Shape (P,), the population standard deviation of each group; NaN with fewer than two values: one has no spread.

    The paper says neither which standard deviation sigma of Eq. 4 is nor whether of raw scores.
    """
    moments = group_moments(values, groups)
    return np.where(moments.count_P < 2.0, np.nan, moments.std_P)


def gated(*, alpha: float = 0.05, beta: float = 0.05, eps: float = 1e-6, tie_tolerance: float = 1e-6) -> RewardRule:
    """The bare verdict where a prompt's verdicts differ; HERO's bands only where all are equal.

    Args:
        alpha: half-width of the band of an all-incorrect prompt.
        beta: half-width of the band of an all-correct prompt.
        eps: as in ``stratified_normalize``.
        tie_tolerance: as in ``stratified_normalize``, in score units.

    Reference: the arm GATED_FALLBACK of the independent audit aryanjain285/HERO-Hybrid-RL: the reward model speaks only where
    the verifier gives no gradient.
    """
    check_bands(alpha, beta)
    check_strata(eps=eps, singleton="center", dense="both", tie_tolerance=tie_tolerance)
    apply = partial(_apply_gated, alpha=alpha, beta=beta, eps=eps, tie_tolerance=tie_tolerance)
    return RewardRule(
        name="gated",
        settings=apply.keywords,
        scale="none",
        needs_verdicts=True,
        needs_scores=True,
        apply_checked=apply,
    )


def _apply_gated(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    alpha: float,
    beta: float,
    eps: float,
    tie_tolerance: float,
) -> RuleOutput:
    low_P, high_P = group_min_max(verdicts, groups)
    banded = normalize_checked(
        scores,
        verdicts,
        groups,
        alpha=alpha,
        beta=beta,
        eps=eps,
        singleton="center",
        dense="both",
        tie_tolerance=tie_tolerance,
    )
    return unweighted(np.where((low_P == high_P)[groups.index_B], banded, verdicts), state)


def check_scale(rule: RewardRule, scale: Scale) -> str | None:
    """What is wrong with normalising this rule's advantages by ``scale``, for a warning; None where nothing is."""
    if rule.name in ("hero", "hero_adaptive", "gated", "process") and scale == "group":
        return (
            f"{rule.name} with scale='group': where all verdicts of a prompt are equal, dividing by the group's standard "
            "deviation blows the band up to unit-size advantages, whatever alpha and beta are: the reward model then speaks as "
            "loudly as the verifier and can be hacked. Use scale='none' (scale_rewards='none' in TRL)."
        )
    return None
