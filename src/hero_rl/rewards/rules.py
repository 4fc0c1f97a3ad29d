"""Reward rules: HERO, its ablations and its rivals, as pairs (init, apply) of pure functions.

A rule turns verdicts and scores into rewards and per-prompt weights. It is the only thing that differs between HERO and a
baseline; verifier, reward model, engine and data stay the same, so a comparison cannot differ in plumbing.

A rule does *not* apply the weights: engines multiply the advantage by them (``group_advantages``), because a weight on the
rewards of a group cancels when advantages are divided by the group's standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.rewards.advantages import Scale
from hero_rl.rewards.groups import Groups, check_signals, group_min_max, group_moments, group_sum
from hero_rl.rewards.normalize import Dense, Singleton, check_bands, normalize_checked
from hero_rl.rewards.weights import RunningMean, difficulty_weight, running_mean
from hero_rl.types import FloatArray

Normalize: TypeAlias = Literal["none", "zscore", "minmax"]
Setting: TypeAlias = float | int | str | bool | None


class RuleOutput(NamedTuple):
    """What a rule says of one batch."""

    rewards: FloatArray
    """Shape (B,); NaN: leave the response out of its group."""
    weights: FloatArray
    """Shape (B,), the prompt's weight repeated for its responses; multiply the *advantage* by it."""
    sigma_mean: float
    """The sigma-bar that was used; NaN for rules without weighting."""
    state: RunningMean
    """The state after this batch."""


ApplyFn: TypeAlias = Callable[[FloatArray, FloatArray, Groups, RunningMean], RuleOutput]


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
    decay: float | None = 0.9
    stateful: bool = False

    def init(self) -> RunningMean:
        """The state before the first batch."""
        return running_mean(self.decay)

    def apply(self, verdicts_B: ArrayLike, scores_B: ArrayLike, groups_B: ArrayLike, state: RunningMean) -> RuleOutput:
        """Rewards and weights of one batch, and the state after it. Pure: ``state`` is not changed.

        Args:
            verdicts_B: shape (B,), 1 correct, 0 incorrect, NaN abstain. An abstention counts as incorrect.
            scores_B: shape (B,), reward-model scores; NaN missing.
            groups_B: shape (B,), prompt labels in any order.
            state: from ``init`` or the last call. Read before this batch is taken in, so rewards of a prompt do not depend
                on what else is in the batch (but for the very first batch, which has only itself to go by).

        Raises:
            InputError: shapes differ, an impossible verdict, an infinite score.
        """
        verdicts, scores, groups = check_signals(verdicts_B, scores_B, groups_B)
        return self.apply_checked(verdicts, scores, groups, state)


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

    Reference: HERO (arXiv 2510.07242), Eq. 3-5. Departs from the paper: Eq. 5 multiplies the weight into the reward, where
    group-std normalisation cancels it; here it is returned beside the reward, for the advantage. Advantages are centred on
    the group's mean only (``scale="none"``): dividing by the group's standard deviation blows a band of +-0.05 up to unit
    size wherever all verdicts are equal.
    """
    check_bands(alpha, beta)
    difficulty_weight([], 0.0, w_min=w_min, w_max=w_max, k=k)
    running_mean(decay)
    apply = partial(
        _apply_hero, alpha=alpha, beta=beta, w_min=w_min, w_max=w_max, k=k, eps=eps, singleton=singleton, dense=dense,
        weighting=weighting, tie_tolerance=tie_tolerance,
    )  # fmt: skip
    return RewardRule(
        name="hero", settings={**apply.keywords, "decay": decay}, scale="none", needs_verdicts=True,
        needs_scores=weighting or dense != "none", apply_checked=apply, decay=decay, stateful=True,
    )  # fmt: skip


def _apply_hero(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RunningMean,
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
) -> RuleOutput:
    sigma_P = group_moments(scores, groups).std_P
    sigma_P[group_sum((~np.isnan(scores)).astype(np.float64), groups) < 2] = np.nan  # one score has no spread to speak of
    after = state.update(sigma_P)
    sigma_mean = state.value if state.updates else after.value
    rewards = normalize_checked(
        scores, verdicts == 1.0, groups, alpha=alpha, beta=beta, eps=eps, singleton=singleton, dense=dense,
        tie_tolerance=tie_tolerance * float(np.nan_to_num(sigma_mean)),
    )  # fmt: skip
    if not weighting:
        return RuleOutput(rewards, np.ones_like(rewards), sigma_mean, after)
    weight_P = difficulty_weight(sigma_P, sigma_mean, w_min=w_min, w_max=w_max, k=k)
    return RuleOutput(rewards, weight_P[groups.index_B], sigma_mean, after)


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
    state: RunningMean,
    *,
    alpha: float,
    beta: float,
    eps: float,
    tie_tolerance: float,
) -> RuleOutput:
    correct = verdicts == 1.0
    low_P, high_P = group_min_max(correct.astype(np.float64), groups)
    banded = normalize_checked(
        scores,
        correct,
        groups,
        alpha=alpha,
        beta=beta,
        eps=eps,
        singleton="center",
        dense="both",
        tie_tolerance=tie_tolerance,
    )
    return _unweighted(np.where((low_P == high_P)[groups.index_B], banded, correct), state)


def verifier_only() -> RewardRule:
    """The 0/1 verdict as the reward; an abstention counts as 0.

    Reference: RLVR, the verifier-only baseline of HERO (arXiv 2510.07242), section 4.
    """
    return RewardRule(
        name="verifier_only",
        settings={},
        scale="group",
        needs_verdicts=True,
        needs_scores=False,
        apply_checked=_apply_verifier_only,
    )


def _apply_verifier_only(verdicts: FloatArray, scores: FloatArray, groups: Groups, state: RunningMean) -> RuleOutput:
    return _unweighted((verdicts == 1.0).astype(np.float64), state)


def rm_only(*, normalize: Normalize = "none") -> RewardRule:
    """The reward model's score as the reward; a missing score leaves the response out.

    Args:
        normalize: ``"none"`` raw, ``"zscore"`` over the batch, ``"minmax"`` to [0, 1] within each prompt.

    Reference: the RM-only baseline of HERO (arXiv 2510.07242), section 4.
    """
    _check_normalize(normalize)
    return RewardRule(
        name="rm_only", settings={"normalize": normalize}, scale="group", needs_verdicts=False, needs_scores=True,
        apply_checked=partial(_apply_naive_sum, rule_weight=0.0, normalize=normalize),
    )  # fmt: skip


def naive_sum(*, rule_weight: float = 0.5, normalize: Normalize = "none") -> RewardRule:
    """rule_weight * verdict + (1 - rule_weight) * score: the blend that HERO is meant to beat.

    Args:
        rule_weight: in [0, 1]. The paper tries 0.1, 0.5 and 0.9.
        normalize: of the score before the sum, see ``rm_only``; whether the paper normalises it is not stated.

    Raises:
        InputError: rule_weight outside [0, 1], unknown normalisation.

    Reference: HERO (arXiv 2510.07242), Table 9.
    """
    _check_normalize(normalize)
    if not 0.0 <= rule_weight <= 1.0:
        raise InputError(f"rule_weight={rule_weight:g} must lie in [0, 1]: it is the share of the verdict in the sum")
    return RewardRule(
        name="naive_sum", settings={"rule_weight": rule_weight, "normalize": normalize}, scale="group", needs_verdicts=True,
        needs_scores=True, apply_checked=partial(_apply_naive_sum, rule_weight=rule_weight, normalize=normalize),
    )  # fmt: skip


def _apply_naive_sum(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RunningMean,
    *,
    rule_weight: float,
    normalize: Normalize,
) -> RuleOutput:
    dense = _normalized(scores, groups, normalize)
    return _unweighted(rule_weight * (verdicts == 1.0) + (1.0 - rule_weight) * dense, state)


def gdpo(*, verdict_weight: float = 1.0, score_weight: float = 1.0, eps: float = 1e-4) -> RewardRule:
    """Verdict and score each standardised within the prompt, then summed; the engine standardises over the batch.

    Args:
        verdict_weight: of the standardised verdict.
        score_weight: of the standardised score; a missing score adds 0.
        eps: added to the group's standard deviation; 1e-4 as in TRL's ``normalize_then_sum``.

    Reference: GDPO (arXiv 2601.05242).
    """
    apply = partial(_apply_gdpo, verdict_weight=verdict_weight, score_weight=score_weight, eps=eps)
    return RewardRule(
        name="gdpo",
        settings=apply.keywords,
        scale="batch",
        needs_verdicts=True,
        needs_scores=True,
        apply_checked=apply,
    )


def _apply_gdpo(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RunningMean,
    *,
    verdict_weight: float,
    score_weight: float,
    eps: float,
) -> RuleOutput:
    total = np.zeros_like(scores)
    for weight, signal in ((verdict_weight, (verdicts == 1.0).astype(np.float64)), (score_weight, scores)):
        moments = group_moments(signal, groups, ddof=1)
        spread_P = np.nan_to_num(moments.std_P, nan=0.0) + eps
        total += weight * np.nan_to_num((signal - moments.mean_P[groups.index_B]) / spread_P[groups.index_B], nan=0.0)
    return _unweighted(total, state)


def prof(*, keep: float = 0.5) -> RewardRule:
    """The verdict as the reward, on the responses whose score agrees with it best; the others are left out.

    Of each prompt's n responses about ``keep * n`` stay, as evenly split between correct and incorrect as the prompt allows:
    the correct ones with the highest scores and the incorrect ones with the lowest. The score never enters the reward.

    Args:
        keep: share of responses kept, in (0, 1].

    Raises:
        InputError: keep outside (0, 1].

    Reference: PROF (arXiv 2509.03403), Algorithm 1, with the outcome score in the place of the mean step score. Departs from
    it: no penalty on the number of steps.
    """
    if not 0.0 < keep <= 1.0:
        raise InputError(f"keep={keep:g} must lie in (0, 1]: it is the share of responses that stay")
    return RewardRule(
        name="prof", settings={"keep": keep}, scale="group", needs_verdicts=True, needs_scores=True,
        apply_checked=partial(_apply_prof, keep=keep),
    )  # fmt: skip


def _apply_prof(verdicts: FloatArray, scores: FloatArray, groups: Groups, state: RunningMean, *, keep: float) -> RuleOutput:
    correct = verdicts == 1.0
    correct_P = group_sum(correct.astype(np.float64), groups)
    size_P = np.bincount(groups.index_B, minlength=groups.size)
    kept_P = np.maximum(1.0, np.rint(keep * size_P))
    kept_correct_P = np.clip(np.rint(kept_P / 2), kept_P - (size_P - correct_P), correct_P)
    consistency = np.where(correct, scores, -scores)
    consistency[np.isnan(scores)] = -np.inf  # nothing speaks for the response: the first to go

    stratum = groups.index_B * 2 + correct
    order = np.lexsort((-consistency, stratum))
    sorted_stratum = stratum[order]
    first = np.r_[0, np.flatnonzero(np.diff(sorted_stratum)) + 1] if order.size else np.zeros(0, dtype=np.intp)
    run_length = np.diff(np.r_[first, order.size])
    rank = np.empty(order.size)
    rank[order] = np.arange(order.size) - np.repeat(first, run_length)
    quota_P = np.where(correct, kept_correct_P[groups.index_B], (kept_P - kept_correct_P)[groups.index_B])
    return _unweighted(np.where(rank < quota_P, correct.astype(np.float64), np.nan), state)


def check_scale(rule: RewardRule, scale: Scale) -> str | None:
    """What is wrong with normalising this rule's advantages by ``scale``, for a warning; None where nothing is."""
    if rule.name in ("hero", "gated") and scale == "group":
        return (
            f"{rule.name} with scale='group': where all verdicts of a prompt are equal, dividing by the group's standard "
            "deviation blows the band up to unit-size advantages, whatever alpha and beta are: the reward model then speaks as "
            "loudly as the verifier and can be hacked. Use scale='none' (scale_rewards='none' in TRL)."
        )
    return None


def _unweighted(rewards: FloatArray, state: RunningMean) -> RuleOutput:
    return RuleOutput(rewards, np.ones_like(rewards), float("nan"), state)


def _check_normalize(normalize: str) -> None:
    if normalize not in ("none", "zscore", "minmax"):
        raise InputError(f"normalize={normalize!r} is unknown; choose 'none', 'zscore' or 'minmax'")


def _normalized(scores: FloatArray, groups: Groups, normalize: Normalize) -> FloatArray:
    """Shape (B,): scores raw, standardised over the batch, or stretched to [0, 1] within each prompt (tied: 1/2)."""
    if normalize == "none":
        return scores
    known = scores[~np.isnan(scores)]
    if normalize == "zscore":
        spread = float(known.std()) if known.size else 0.0
        return (scores - (known.mean() if known.size else 0.0)) / (spread if spread > 0.0 else 1.0)
    filled_low, filled_high = np.where(np.isnan(scores), np.inf, scores), np.where(np.isnan(scores), -np.inf, scores)
    low_P, high_P = group_min_max(filled_low, groups)[0], group_min_max(filled_high, groups)[1]
    with np.errstate(invalid="ignore"):
        range_P = high_P - low_P
    stretched = (scores - low_P[groups.index_B]) / np.where(range_P > 0.0, range_P, 1.0)[groups.index_B]
    return np.where((range_P > 0.0)[groups.index_B] | np.isnan(scores), stretched, 0.5)
