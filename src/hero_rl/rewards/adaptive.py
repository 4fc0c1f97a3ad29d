"""``hero_adaptive``: the reward of a response is the probability that it is correct, as far as the scores can be trusted.

    r = (1 - t) v + t P(correct | verdict, score, the prompt's verdicts)

v is the verdict. The trust t in [0, 1] is exactly 0 where scores are not shown to follow verdicts. P is Bayes' rule, with x the
score in units of its usual spread within a prompt::

    odds(correct) = odds(correct | verdict, accepted of n) exp(slope (x - mean_g x + d (share_g - 1/2)))

The rewards of a prompt depend on that prompt and on ``Reliability``, sums over earlier batches, and on nothing else; the very
first batch, which has none, makes its own.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.advantages import from_own_group
from hero_rl.rewards.groups import Groups, group_sum
from hero_rl.rewards.reliability import Reliability, Seen
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState
from hero_rl.types import LEARNED_YES, FloatArray

_PASSES = 4
"""Over the very first batch, which has no earlier one: accuracy, separation, trust, and the rewards from these."""
_SURE = 0.98
"""Largest share of correct responses that verdicts alone can show a prompt to have."""
_LIMIT = 3.0
"""Largest excess of a score, in units of spread, and largest log-odds that it adds: heavy tails decide nothing alone."""


def hero_adaptive(
    *,
    recall: float | None = None,
    false_positives: float = 0.0,
    budget: float = 0.25,
    p_learned: float = 0.8,
    decay: float = 0.95,
) -> RewardRule:
    """Return the rule whose reward is the probability of being correct, calibrated online from verdicts and scores.

    Args:
        recall: share of correct responses that the verifier accepts, in (0, 1]. Of an interval (``hero audit``) give the upper
            end: twice the truth costs part of the gain, half of it does harm. None: see ``Reliability.assumed_recall``.
        false_positives: share of incorrect responses that the verifier accepts, in [0, recall). Above 0, accepted responses are
            ranked by their scores, too.
        budget: largest pressure, the cosine between the update and the noise of the reward model, in [0, 1]; 0: the verifier
            alone.
        p_learned: probability that a response is correct that only a model calls correct, in (0, 1).
        decay: of the estimates, per batch, in (0, 1): 0.95 is a memory of 20 batches.

    Raises:
        InputError: a number out of range.

    Reference: the future work of HERO (arXiv 2510.07242, section 6): bands calibrated online. Departs from the paper: no bands
    and no prompt weights; abstentions are a third stratum.
    """
    if recall is not None and not 0.0 < recall <= 1.0:
        raise InputError(f"recall={recall:g} must lie in (0, 1], or be None where it is not known")
    if not 0.0 <= false_positives < (recall or 0.5):
        raise InputError(f"false_positives={false_positives:g} must lie in [0, {recall or 0.5:g}): below the recall")
    if not 0.0 <= budget <= 1.0:
        raise InputError(f"budget={budget:g} must lie in [0, 1]: it is a cosine")
    for name, value in (("p_learned", p_learned), ("decay", decay)):
        if not 0.0 < value < 1.0:
            raise InputError(f"{name}={value:g} must lie in (0, 1)")
    start = Reliability(recall, false_positives, budget, decay)
    return RewardRule(
        name="hero_adaptive", scale="none", start=start, stateful=True, raw_verdicts=True,
        apply_checked=partial(_apply_adaptive, p_learned=p_learned), settings={
            "recall": recall, "false_positives": false_positives, "budget": budget, "p_learned": p_learned, "decay": decay,
        },
    )  # fmt: skip


def _apply_adaptive(
    verdicts_B: FloatArray, scores_B: FloatArray, groups: Groups, state: RuleState, *, p_learned: float
) -> RuleOutput:
    assert isinstance(state, Reliability)
    plain_B, p_B, seen, after = judge(verdicts_B, scores_B, groups, state, p_learned=p_learned)
    rewards_B = plain_B + seen.trust * (p_B - plain_B)
    return RuleOutput(rewards_B, np.ones_like(rewards_B), math.nan, after)


class Judged(NamedTuple):
    """A judged batch: per response, how likely it is to be correct."""

    plain: FloatArray
    """The verdict as a reward."""
    p: FloatArray
    """Probability of being correct, with scores trusted fully."""
    seen: Reliability
    """The estimates that were used."""
    after: Reliability
    """The estimates after this batch."""


def judge(verdicts_B: FloatArray, scores_B: FloatArray, groups: Groups, state: Reliability, *, p_learned: float) -> Judged:
    """Return the probability that each response is correct; a very first batch is judged by its own estimates."""
    learned_B, abstained_B, known_B = verdicts_B == LEARNED_YES, np.isnan(verdicts_B), ~np.isnan(scores_B)
    accepted_B, decided_B, index_B = verdicts_B == 1.0, ~(learned_B | abstained_B), groups.index_B
    plain_B = np.where(learned_B, p_learned, accepted_B)
    size_P = np.maximum(np.bincount(index_B, minlength=groups.size), 1.0)
    accepted_P, decided_P, known_P = (
        size_P if of_B.all() else group_sum(of_B.astype(np.float64), groups) for of_B in (accepted_B, decided_B, known_B)
    )
    excess_B = from_own_group(scores_B, groups)  # equal scores have no excess at all, not even a rounding error
    excess_B[~known_B] = 0.0
    excess_B -= (group_sum(excess_B, groups) / np.maximum(known_P, 1.0))[index_B]
    excess_B[~known_B] = 0.0
    judged, following = Judged(plain_B, plain_B, state, state), state
    for _ in range(1 if state.updates else _PASSES):
        seen = following
        rejected_P, yes_P, undecided_P = _by_verdicts(accepted_P, decided_P, seen)
        prior_B = np.stack([rejected_P, yes_P], axis=1).ravel()[2 * index_B + accepted_B]
        if decided_P is not size_P:
            prior_B = np.where(learned_B, p_learned, np.where(abstained_B, undecided_P[index_B], prior_B))
        x_B = np.minimum(np.maximum(excess_B / seen.unit, -_LIMIT), _LIMIT)
        centre_P = seen.separation * (group_sum(prior_B, groups) / size_P - 0.5)
        log_odds_B = seen.slope * (x_B + centre_P[index_B])
        odds_B = prior_B * np.exp(np.minimum(np.maximum(log_odds_B, -_LIMIT), _LIMIT))
        p_B = odds_B / (odds_B + (1.0 - prior_B))
        p_B[~known_B] = prior_B[~known_B]
        following = state.after(Seen(excess_B, x_B, accepted_B, p_B, yes_P - rejected_P), decided_B & known_B, groups)
        judged = Judged(plain_B, p_B, seen, following)
    return judged


def _by_verdicts(accepted_P: FloatArray, decided_P: FloatArray, seen: Reliability) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the chance that a rejected, an accepted and an undecided response is correct, given the prompt's other verdicts.

    A readable prompt's rate of acceptance is false_positives + (recall - false_positives) x its share of correct responses, and
    a Beta variable over prompts; a verdict on one more response is then predicted by (a + k mean) / (n + k). Verdicts on a
    prompt that the verifier cannot read say nothing.
    """
    false, (share, alike, readable, recall) = seen.false_positives, seen.reading
    gap = recall - false
    mean, variance = false + gap * share, gap**2 * alike * share * (1.0 - share)
    k = max(0.1, mean * (1.0 - mean) / variance - 1.0)
    others_P = np.maximum(decided_P - 1.0, 0.0)
    rejected_P, yes_P, undecided_P = (
        np.clip(((a + k * mean) / (n + k) - false) / gap, 0.0, _SURE)
        for a, n in ((accepted_P, others_P), (np.maximum(accepted_P - 1.0, 0.0), others_P), (accepted_P, decided_P))
    )
    rejected_P *= (1.0 - recall) / (1.0 - false - gap * rejected_P)
    yes_P = yes_P * recall / (false + gap * yes_P) if false else np.ones_like(yes_P)
    if readable < 1.0:
        read_P = _chance_of_readable(accepted_P, decided_P, readable, false, mean * k, (1.0 - mean) * k)
        rejected_P, yes_P, undecided_P = (share + read_P * (of_P - share) for of_P in (rejected_P, yes_P, undecided_P))
    return rejected_P, yes_P, undecided_P


def _chance_of_readable(
    accepted_P: FloatArray, decided_P: FloatArray, readable: float, false: float, a: float, b: float
) -> FloatArray:
    """Return the chance that the verifier can read a prompt, given its verdicts: Beta-binomial(a, b) if so, else binomial."""
    width = float(decided_P.max(initial=0.0)) + 1.0
    # without false positives one acceptance settles it, and their number does not matter
    counts, index_P = np.unique((accepted_P if false else np.minimum(accepted_P, 1.0)) * width + decided_P, return_inverse=True)
    odds = np.empty(counts.size)
    for place, (yes, of) in enumerate(zip((counts // width).tolist(), (counts % width).tolist(), strict=True)):
        if yes and not false:
            odds[place] = math.inf
            continue
        no = of - yes
        lucky = yes * math.log(false) + no * math.log1p(-false) if false else 0.0
        ours = math.lgamma(a + yes) + math.lgamma(b + no) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        odds[place] = math.exp(min(700.0, ours - math.lgamma(a + b + of) - lucky)) * readable / (1.0 - readable)
    return (1.0 - 1.0 / (1.0 + odds))[index_P]
