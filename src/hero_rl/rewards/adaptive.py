"""``hero_adaptive``: a rule that learns during training how far to trust each signal.

The reward of a response is the probability that it is correct, given its verdict and its score::

    verdict 1     1
    verdict 0     sigmoid( logit phi_g + b (s - mean_g s) )         phi_g: share of correct among rejected, prompt g
    abstention    sigmoid( logit pi + b (s - mean_g s) )            pi: share of correct responses
    learned yes   sigmoid( logit p_learned + b (s - mean_g s) )

In HERO's terms, the half-width alpha of the band around 0 is about 2 phi (1 - phi) b sigma, learnt and not set. With a reward
model at chance (b = 0) or a verifier that misses nothing (phi = 0) the rule is the verifier alone; with a reliable reward model
and a verifier that misses much the band is several times as wide as the paper's. Every accepted response stays above all
others. The accepted ones are not ranked (beta = 0).

``b`` and ``phi`` come from ``Reliability``, which is read before the batch is added.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.groups import Groups, group_moments, group_sum
from hero_rl.rewards.reliability import Reliability
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState
from hero_rl.types import LEARNED_YES, FloatArray

_SMALLEST, _LARGEST = 0.002, 0.6
"""Limits of phi_g: a rejected response is never surely wrong, and seldom more likely correct than not."""
_MARGIN = 1e-6
"""The least distance between an accepted response and all others."""
_PROMPT_EVIDENCE = 0.5
"""Weight of the overall recall, in correct responses, beside a prompt's own: small, because a prompt's recall is mostly either
high or near 0."""


def hero_adaptive(
    *,
    gain: float = 0.4,
    recall: float | None = None,
    p_learned: float = 0.8,
    brake: bool = True,
    decay: float = 0.95,
    slow: float = 0.995,
) -> RewardRule:
    """Return HERO with bands that are calibrated online from verdicts and scores alone.

    Args:
        gain: factor on the slope b; 1 is the estimate itself, 0 the verifier alone. Half of it was better on the development
            prompts of two seeds of one task family of the lab (``docs/log.md``).
        recall: of the verifier, in (0, 1], where it is known (``hero audit``); None: estimated online.
        p_learned: probability that a response is correct that only a model calls correct, in (0, 1).
        brake: reduce the slope where scores rise while reliability falls.
        decay: of the estimates, per batch: 0.95 is a memory of 20 batches.
        slow: of the long-term estimates that recall and brake compare with.

    Raises:
        InputError: a number out of range.

    Reference: the future work of HERO (arXiv 2510.07242, section 6): bands calibrated online. Learning from accepted and
    unlabelled examples: Elkan and Noto 2008. Departs from the paper: bands have no fixed width, are sigmoids and no min-max
    within a stratum (so that scores that hardly differ stay close), abstentions are a third stratum; no prompt weights.
    """
    if not (gain >= 0.0 and math.isfinite(gain)):
        raise InputError(f"gain={gain:g} must be finite and not negative")
    if recall is not None and not 0.0 < recall <= 1.0:
        raise InputError(f"recall={recall:g} must lie in (0, 1], or be None to be estimated")
    for name, value in (("decay", decay), ("slow", slow)):
        if not 0.0 < value < 1.0:
            raise InputError(f"{name}={value:g} must lie in (0, 1)")
    if not 0.0 < p_learned < 1.0:
        raise InputError(f"p_learned={p_learned:g} must lie in (0, 1): it is a probability that is never certain")
    apply = partial(_apply_adaptive, gain=gain, recall=recall, p_learned=p_learned, brake=brake)
    return RewardRule(
        name="hero_adaptive", settings={**apply.keywords, "decay": decay, "slow": slow}, scale="none", apply_checked=apply,
        start=Reliability(decay, slow), stateful=True, raw_verdicts=True,
    )  # fmt: skip


def _believe(
    verdicts_B: FloatArray, groups: Groups, seen: Reliability, *, recall: float | None, brake: bool
) -> tuple[FloatArray, float]:
    """Return phi_g of each prompt, and b with phi of the prompts with both verdicts, where reliability is measured.

    Assume each prompt has the average share of correct responses, or at least those accepted. The rest were missed by the
    verifier; prompts with low recall (the overall recall, pulled towards the prompt's own) get more of them. So phi is large on
    prompts without an accepted response and small on those with several. The total number missed does not depend on this.
    """
    overall = seen.recall if recall is None else recall
    accepted_P, rejected_P = (group_sum((verdicts_B == one).astype(np.float64), groups) for one in (1.0, 0.0))
    share = seen.accepted_share
    accuracy = min(0.98, max(share / overall, _SMALLEST))
    missed = min(0.5, max(0.0, (accuracy - share) / max(1.0 - share, 1e-9)))
    correct_P = np.maximum(accuracy * (accepted_P + rejected_P), accepted_P)
    recall_P = (_PROMPT_EVIDENCE * overall + accepted_P) / (_PROMPT_EVIDENCE + correct_P)
    missing_P = correct_P * (1.0 - recall_P)
    total = float(missing_P.sum())
    wanted = missed * float(rejected_P.sum())
    missed_P = missing_P * (wanted / total if total > 0.0 else 0.0) / np.maximum(rejected_P, 1.0)
    missed_P = np.clip(missed_P, _SMALLEST, _LARGEST)
    mixed_P = (accepted_P > 0.0) & (rejected_P > 0.0)
    of_mixed = float((missed_P * rejected_P)[mixed_P].sum() / rejected_P[mixed_P].sum()) if mixed_P.any() else missed
    return missed_P, seen.slope(of_mixed, brake=brake)


def _apply_adaptive(
    verdicts_B: FloatArray,
    scores_B: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    gain: float,
    recall: float | None,
    p_learned: float,
    brake: bool,
) -> RuleOutput:
    assert isinstance(state, Reliability)
    learned_B, abstained_B = verdicts_B == LEARNED_YES, np.isnan(verdicts_B)
    decided_B = np.where(learned_B, np.nan, verdicts_B)
    after = state.update(decided_B, scores_B, groups)
    seen = state if state.updates else after
    missed_P, slope = _believe(decided_B, groups, seen, recall=recall, brake=brake)
    excess_B = np.nan_to_num(scores_B - group_moments(scores_B, groups).mean_P[groups.index_B])
    prior_B = np.where(learned_B, _logit(p_learned), _logit(missed_P)[groups.index_B])
    prior_B = np.where(abstained_B, _logit(min(0.95, max(seen.accuracy, _SMALLEST))), prior_B)
    p_correct_B = _sigmoid(prior_B + gain * slope * excess_B)
    rewards_B = np.where(decided_B == 1.0, 1.0, np.clip(p_correct_B, _MARGIN, 1.0 - _MARGIN))
    return RuleOutput(rewards_B, np.ones_like(rewards_B), math.nan, after)


def _sigmoid(log_odds: FloatArray) -> FloatArray:
    return 0.5 + 0.5 * np.tanh(0.5 * log_odds)


def _logit(probability: FloatArray | float) -> FloatArray:
    p = np.asarray(probability, dtype=np.float64)
    return np.log(p) - np.log1p(-p)
