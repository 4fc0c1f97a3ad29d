"""HERO itself (Eq. 3-5) with the paper's ablations, its cautious cousin ``gated``, and ``process``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from hero_rl.errors import BandOverlapError, check_choice
from hero_rl.rewards.advantages import Scale
from hero_rl.rewards.groups import Groups, group_min_max, group_moments
from hero_rl.rewards.normalize import Dense, Singleton, check_bands, check_strata, normalize_checked
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState, StepShaping, StepSignal, check_learned_credit, unweighted
from hero_rl.rewards.weights import RunningMean, WeightBy, difficulty_weight, running_mean, saturated_share
from hero_rl.types import FloatArray

WeightOn: TypeAlias = Literal["advantage", "reward"]
Sigma: TypeAlias = Literal["raw", "calibrated"]
Drop: TypeAlias = Literal["none", "verdicts", "rewards"]
FEW, MOSTLY = 64, 0.5
"""Fewest responses, and the share of them at a limit, from which ``check_weights`` warns."""


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
    weight_by: WeightBy = "difference",
    weight_on: WeightOn = "advantage",
    sigma: Sigma = "raw",
    drop: Drop = "none",
) -> RewardRule:
    """Return the rule of HERO: stratified normalisation and variance-aware weighting.

    Args:
        alpha: half-width of the band around 0. The paper: 0.05 on verifiable data, 0.1 on mixed and hard-to-verify data.
        beta: half-width of the band around 1; alpha + beta < 1.
        w_min: smallest prompt weight. Defaults of the three: Appendix A.1; ``weights.MAIN_TEXT`` is the other set.
        w_max: largest prompt weight.
        k: steepness of the weight, per unit of score; under ``weight_by="ratio"`` per sigma-bar, where 2 is a good value.
        eps: guards the division of Eq. 3.
        singleton: where a stratum without spread goes, see ``stratified_normalize``.
        dense: which strata use scores: the ablation "positive only / negative only / none" of the paper's Fig. 2a.
        weighting: False: all weights 1, the ablation of the paper's Table 4.
        decay: of sigma-bar, see ``RunningMean``.
        tie_tolerance: a stratum whose scores span less than this share of sigma-bar counts as tied.
        learned_credit: centre of the band of responses that only a model calls correct. 1: they share the band of the correct
            ones. Below: a band of their own with half-width beta, between the other two.
        weight_by: ``"difference"`` weighs by sigma - sigma-bar, as Eq. 4. ``"ratio"``: by sigma / sigma-bar - 1, which does not
            depend on the unit of the scores; for reward models whose scores spread far more or less than 1.
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
    start = running_mean(decay)
    _check_learned_band(learned_credit, alpha, beta)
    for name, value, choices in (("weight_on", weight_on, WeightOn), ("sigma", sigma, Sigma), ("drop", drop, Drop)):
        check_choice(name, value, get_args(choices))
    bands = {"alpha": alpha, "beta": beta, "eps": eps, "singleton": singleton, "dense": dense}
    weights = {"w_min": w_min, "w_max": w_max, "k": k}
    weigh = partial(difficulty_weight, **weights, by=weight_by)
    weigh([], 0.0)
    choices = {"tie_tolerance": tie_tolerance, "weight_on": weight_on, "sigma": sigma, "drop": drop}
    apply = partial(
        _apply_hero, normalize=partial(normalize_checked, **bands),
        weigh=weigh if weighting else None, **choices,
    )  # fmt: skip
    return RewardRule(
        name="hero", scale="none", needs_scores=weighting or dense != "none", apply_checked=apply, start=start, stateful=True,
        learned_credit=learned_credit, settings={
            "alpha": alpha, "beta": beta, **weights, "eps": eps, "singleton": singleton, "dense": dense,
            "weighting": weighting, "weight_by": weight_by, **choices, "decay": decay, "learned_credit": learned_credit,
        },
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
    verdicts_B: FloatArray,
    scores_B: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    normalize: Callable[..., FloatArray],
    weigh: Callable[..., FloatArray] | None,
    tie_tolerance: float,
    weight_on: WeightOn,
    sigma: Sigma,
    drop: Drop,
) -> RuleOutput:
    assert isinstance(state, RunningMean)
    spread_P = _spread(scores_B, groups)
    after = state.update(spread_P)
    # ties are defined on raw scores; where sigma-bar is of rewards, the spread of raw scores is that of this batch alone
    before = state if sigma == "raw" else state._replace(total=0.0, weight=0.0, updates=0)
    unit = before.value if before.updates else before.update(spread_P).value
    rewards_B = normalize(scores_B, verdicts_B, groups, tie_tolerance=tie_tolerance * float(np.nan_to_num(unit)))
    if sigma == "calibrated":
        spread_P = _spread(rewards_B, groups)
        after = state.update(spread_P)
    sigma_mean = state.value if state.updates else after.value
    weights_P = weigh(spread_P, sigma_mean) if weigh else np.ones(groups.size)
    weights_B = weights_P[groups.index_B]
    if weight_on == "reward":
        rewards_B, weights_B = weights_B * rewards_B, np.ones_like(rewards_B)
    if drop != "none":
        low_P, high_P = group_min_max(verdicts_B if drop == "verdicts" else rewards_B, groups)
        rewards_B = np.where((low_P == high_P)[groups.index_B], np.nan, rewards_B)
    return RuleOutput(rewards_B, weights_B, sigma_mean, after)


def _spread(values_B: FloatArray, groups: Groups) -> FloatArray:
    """Return the population standard deviation of each group, shape (P,); NaN with fewer than two values.

    The paper says neither which standard deviation sigma of Eq. 4 is nor whether of raw scores.
    """
    moments = group_moments(values_B, groups)
    return np.where(moments.count_P < 2.0, np.nan, moments.std_P)


def gated(*, alpha: float = 0.05, beta: float = 0.05, eps: float = 1e-6, tie_tolerance: float = 1e-6) -> RewardRule:
    """Return the rule that gives the bare verdict where a prompt's verdicts differ, and HERO's bands where all are equal.

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
    settings = {"alpha": alpha, "beta": beta, "eps": eps, "tie_tolerance": tie_tolerance}
    normalize = partial(normalize_checked, singleton="center", dense="both", **settings)
    apply = partial(_apply_gated, normalize=normalize)
    return RewardRule(name="gated", settings=settings, scale="none", apply_checked=apply)


def _apply_gated(
    verdicts_B: FloatArray, scores_B: FloatArray, groups: Groups, state: RuleState, *, normalize: Callable[..., FloatArray]
) -> RuleOutput:
    low_P, high_P = group_min_max(verdicts_B, groups)
    banded_B = normalize(scores_B, verdicts_B, groups)
    return unweighted(np.where((low_P == high_P)[groups.index_B], banded_B, verdicts_B), state)


def process(
    *,
    gamma: float = 0.1,
    signal: StepSignal = "level",
    step_tie_tolerance: float = 1e-6,
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
) -> RewardRule:
    """Return HERO with the advantages of a response's tokens shaped by the scores of its steps.

    Rewards and weights are ``hero``'s to the bit; ``contrib.process.step_advantages`` has the shaping and its proof. It takes
    a process reward model (a ``StepScorer``) and an engine with an advantage per token: ``HeroTrainer``, verl. Any other rule
    can be shaped in the same way: ``dataclasses.replace(rule, steps=StepShaping(gamma=0.1))``.

    Args:
        gamma: the largest distance between the advantages of a stratum's best and worst step, in units of reward;
            alpha + beta + 2 gamma < 1. 0: ``hero``.
        signal: ``"level"`` or ``"change"``, see ``StepShaping``.
        step_tie_tolerance: of ``StepShaping``, in units of step scores.
        alpha: this and all others as in ``hero``.
        beta: see ``hero``.
        w_min: see ``hero``.
        w_max: see ``hero``.
        k: see ``hero``.
        eps: see ``hero``.
        singleton: see ``hero``.
        dense: see ``hero``.
        weighting: see ``hero``.
        decay: see ``hero``.
        tie_tolerance: see ``hero``.
        learned_credit: see ``hero``.

    Raises:
        InputError: as ``hero`` and ``StepShaping``.
        BandOverlapError: alpha + beta + 2 gamma >= 1.

    Reference: ours; the paper's section on limits asks for process-level supervision.
    """
    rule = hero(
        alpha=alpha, beta=beta, w_min=w_min, w_max=w_max, k=k, eps=eps, singleton=singleton, dense=dense,
        weighting=weighting, decay=decay, tie_tolerance=tie_tolerance, learned_credit=learned_credit,
    )  # fmt: skip
    steps = StepShaping(gamma=gamma, signal=signal, tie_tolerance=step_tie_tolerance)
    if alpha + beta + 2.0 * gamma >= 1.0:
        raise BandOverlapError(
            f"alpha={alpha:g}, beta={beta:g} and gamma={gamma:g} let a step of a correct response fall below one of an "
            f"incorrect response ({1 - beta - gamma:g} and {alpha + gamma:g}); need alpha + beta + 2 gamma < 1"
        )
    own = {"gamma": gamma, "signal": signal, "step_tie_tolerance": step_tie_tolerance}
    asked = {name: value for name, value in rule.settings.items() if name not in ("weight_by", "weight_on", "sigma", "drop")}
    return replace(rule, name="process", settings={**own, **asked}, steps=steps, needs_scores=rule.needs_scores or gamma > 0.0)


def check_scale(rule: RewardRule, scale: Scale) -> str | None:
    """Return a warning where normalising this rule's advantages by ``scale`` undoes it; else None."""
    if rule.name in ("hero", "hero_adaptive", "gated", "process") and scale == "group":
        return (
            f"{rule.name} with scale='group': where all verdicts of a prompt are equal, dividing by the group's standard "
            "deviation blows the band up to unit-size advantages, whatever alpha and beta are: the reward model then speaks as "
            "loudly as the verifier and can be hacked. Use scale='none' (scale_rewards='none' in TRL)."
        )
    return None


def check_weights(rule: RewardRule, weights_B: FloatArray) -> str | None:
    """Return a warning where most weights of ``hero`` sit at a limit; else None, and for few responses."""
    limits = {name: float(rule.settings[name] or 0.0) for name in ("w_min", "w_max") if name in rule.settings}
    if not rule.settings.get("weighting") or weights_B.size < FEW or len(limits) < 2:
        return None
    share = saturated_share(weights_B, **limits)
    if not share > MOSTLY:
        return None
    return (
        f"{share:.0%} of the prompt weights are at w_min or w_max: k={rule.settings['k']} is per unit of score and too steep "
        "for these scores, so the weight is a switch. Use weighting=False, or weight_by='ratio' with k=2."
    )
