"""``hero_adaptive``: a rule that learns during training how far to trust each signal.

The reward of a response is the probability that it is right, given its verdict and its score::

    verdict 1     1
    verdict 0     sigmoid( logit phi_g + b (s - mean_g s) )         phi_g: share of right ones among the rejected of prompt g
    abstention    sigmoid( logit pi + b (s - mean_g s) )            pi: share of right responses
    learned yes   sigmoid( logit p_learned + b (s - mean_g s) )

In HERO's words: the band around 0 has the half-width alpha = 2 phi (1 - phi) b sigma or so, learnt and not set. A reward model
at chance has b = 0: the rule is the verifier alone. A verifier that misses nothing has phi = 0, and it is the verifier alone
again. With a reliable reward model and a verifier that misses much the band is several times as wide as the paper's. Every
accepted response stays above all others. The accepted ones are not ranked (beta = 0): nothing tells them apart in truth.

``b`` and ``phi`` come from ``Reliability``, which is read before the batch is taken in.
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
"""Limits of phi_g: a rejected response is never surely wrong, and seldom more likely right than wrong."""
_MARGIN = 1e-6
"""Between an accepted response and all others, however high their scores."""
_PROMPT_EVIDENCE = 0.5
"""Right responses that the recall of all prompts counts for beside what a prompt's own verdicts say of its recall: few,
because recall is high on some prompts and near 0 on others, and seldom in between."""


def hero_adaptive(
    *,
    gain: float = 0.4,
    recall: float | None = None,
    p_learned: float = 0.8,
    brake: bool = True,
    decay: float = 0.95,
    slow: float = 0.995,
) -> RewardRule:
    """HERO with bands that are calibrated online from verdicts and scores alone.

    Args:
        gain: factor on the slope b; 1 is the estimate itself, 0 the verifier alone. Half of it was better on the development
            prompts of two seeds of one task family of the lab (``docs/log.md``).
        recall: of the verifier, in (0, 1], where it is known (``hero audit``); None: estimated online.
        p_learned: probability that a response is right that only a model calls correct, in (0, 1).
        brake: let the slope fall where scores rise while reliability falls.
        decay: of what is known, a batch: 0.95 is a memory of 20 batches.
        slow: of what is known for long, which recall and brake compare with.

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
        name="hero_adaptive", settings={**apply.keywords, "decay": decay, "slow": slow}, scale="none", needs_verdicts=True,
        needs_scores=True, apply_checked=apply, start=Reliability(decay, slow), stateful=True, raw_verdicts=True,
    )  # fmt: skip


def _believe(
    verdicts: FloatArray, groups: Groups, seen: Reliability, *, recall: float | None, brake: bool
) -> tuple[FloatArray, float]:
    """Return phi_g of each prompt, and b with phi of the prompts with both verdicts, where reliability is measured.

    As many responses of a prompt are right as of all prompts on average, or as many as were accepted, if that is more; what of
    that was not accepted, the verifier missed, in so far as the prompt's recall is low. That recall is the recall of all
    prompts, pulled towards what was accepted of the prompt's right ones. So phi is large on prompts without an accepted
    response and small on those with several. How much was missed over all does not depend on this; only on whom it falls.
    """
    overall = seen.recall if recall is None else recall
    accepted_P, rejected_P = (group_sum((verdicts == one).astype(np.float64), groups) for one in (1.0, 0.0))
    share = seen.accepted_share
    accuracy = min(0.98, max(share / overall, _SMALLEST))
    missed = min(0.5, max(0.0, (accuracy - share) / max(1.0 - share, 1e-9)))
    right_P = np.maximum(accuracy * (accepted_P + rejected_P), accepted_P)
    recall_P = (_PROMPT_EVIDENCE * overall + accepted_P) / (_PROMPT_EVIDENCE + right_P)
    missing_P = right_P * (1.0 - recall_P)
    total = float(missing_P.sum())
    wanted = missed * float(rejected_P.sum())
    missed_P = missing_P * (wanted / total if total > 0.0 else 0.0) / np.maximum(rejected_P, 1.0)
    missed_P = np.clip(missed_P, _SMALLEST, _LARGEST)
    mixed = (accepted_P > 0.0) & (rejected_P > 0.0)
    of_mixed = float((missed_P * rejected_P)[mixed].sum() / rejected_P[mixed].sum()) if mixed.any() else missed
    return missed_P, seen.slope(of_mixed, brake=brake)


def _apply_adaptive(
    verdicts: FloatArray,
    scores: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    gain: float,
    recall: float | None,
    p_learned: float,
    brake: bool,
) -> RuleOutput:
    assert isinstance(state, Reliability)
    learned, abstained = verdicts == LEARNED_YES, np.isnan(verdicts)
    decided = np.where(learned, np.nan, verdicts)
    after = state.update(decided, scores, groups)
    seen = state if state.updates else after
    missed_P, slope = _believe(decided, groups, seen, recall=recall, brake=brake)
    own_mean = group_moments(scores, groups).mean_P[groups.index_B]
    own = np.nan_to_num(scores - own_mean)
    accuracy = min(0.95, max(seen.accuracy, _SMALLEST))
    log_odds = np.where(
        abstained, _logit(accuracy), np.where(learned, _logit(p_learned), _logit(missed_P)[groups.index_B])
    ) + gain * slope * own  # fmt: skip
    rewards = np.where(decided == 1.0, 1.0, np.clip(_sigmoid(log_odds), _MARGIN, 1.0 - _MARGIN))
    return RuleOutput(rewards, np.ones_like(rewards), math.nan, after)


def _sigmoid(log_odds: FloatArray) -> FloatArray:
    return 0.5 + 0.5 * np.tanh(0.5 * log_odds)


def _logit(probability: FloatArray | float) -> FloatArray:
    p = np.asarray(probability, dtype=np.float64)
    return np.log(p) - np.log1p(-p)
