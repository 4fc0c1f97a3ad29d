"""Step scores as advantages of steps: centred in the response and bounded in its stratum, so that the outcome decides.

    A_is = A_i + c (z_is - mean_i z)          for the tokens of step s of response i

Knows no text and no tokens, only how many tokens a step has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.rewards import StepShaping
from hero_rl.rewards.groups import Groups, check_signals, group_min_max, group_moments, group_sum, index_groups
from hero_rl.types import LEARNED_YES, MAX_MAGNITUDE, BoolArray, FloatArray, IntArray

_ROUNDING = 1e-12


class Steps(NamedTuple):
    """The steps of one response; both arrays empty where they are unknown."""

    scores: FloatArray
    """Shape (S,), in the reward model's own units."""
    lengths: IntArray
    """Shape (S,), tokens of each step; their sum is all tokens of the response."""


NO_STEPS = Steps(np.zeros(0), np.zeros(0, dtype=np.intp))


class StepAdvantages(NamedTuple):
    """The advantages of the steps of some responses."""

    steps: tuple[FloatArray, ...]
    """One array per response, shape (S_i,)."""
    shaped: BoolArray
    """Shape (B,): False where every step has the advantage of the response."""


class _Flat(NamedTuple):
    """The N steps of all usable responses, one after the other."""

    response_N: IntArray
    values_N: FloatArray
    lengths_N: FloatArray


def step_advantages(
    advantages_B: ArrayLike,
    steps_B: Sequence[Steps],
    verdicts_B: ArrayLike,
    groups_B: ArrayLike,
    shaping: StepShaping,
    *,
    weights_B: ArrayLike | None = None,
    learned_credit: float = 1.0,
) -> StepAdvantages:
    """Return the advantage of every step: the response's own, moved by how good the step is in its stratum.

    Over the steps of all responses of one prompt and one verdict (a *stratum*), n_is tokens each::

        z_is = (s_is - min s) / (max s - min s)                      in [0, 1]
        u_is = z_is - sum_s n_is z_is / sum_s n_is                   in (-1, 1)
        A_is = A_i + c u_is,    c = min(gamma w, d / 2)

    w is the prompt's weight and d the least distance between the advantages A of this stratum and those of the strata of the
    same prompt above and below it; a prompt with one verdict has no d.

    *The response keeps its advantage.* The token-weighted mean of u is 0, so that of A_is is A_i: steps cannot be farmed.

    *No step of a better verdict falls below a step of a worse one.* abs(u) < 1, so a step of the upper stratum has more than
    A_i - c, one of the lower less than A_j + c, and A_i - A_j >= d >= 2 c. HERO's bands leave d >= w (1 - alpha - beta) with
    advantages that are centred only, so that c = gamma w throughout if alpha + beta + 2 gamma < 1. Where advantages were
    divided by a standard deviation, or a rule ranks a worse verdict higher, d / 2 keeps the order that there is (d > 0), and
    nothing is shaped elsewhere.

    A response keeps its bare advantage, and has no part in min and max, where it has no steps, a step score that is not
    finite, or no tokens; where its stratum is tied (``tie_tolerance``; a single step is); and where it was left out (advantage
    NaN). A step without tokens has no part in them either.

    Args:
        advantages_B: of the responses, weights included, from ``group_advantages``; NaN: left out of its group, returned as 0.
        steps_B: the steps of each response.
        verdicts_B: an abstention counts as incorrect.
        groups_B: every group whole.
        shaping: gamma and the rest.
        weights_B: None: all 1.
        learned_credit: as in the rule. Unless 0 or 1, learned verdicts form a third stratum.

    Raises:
        InputError: shapes differ, an impossible verdict, an infinite advantage, or scores and lengths of unequal number.

    Reference: HERO (arXiv 2510.07242) names process-level supervision as future work; this is ours. PROF (arXiv 2509.03403)
    warns of step scores blended with outcomes, which are then hacked; here they only share out what the outcome gives.
    Dr. GRPO (arXiv 2503.20783): no division by a spread but where bounded. "change": Rewarding Progress (arXiv 2410.08146).

    >>> steps = [Steps(np.array([0.9, 0.1]), np.array([1, 1])), Steps(np.array([0.5]), np.array([2]))]
    >>> [a.round(3).tolist() for a in step_advantages([0.2, -0.2], steps, [1, 1], [0, 0], StepShaping(gamma=0.1)).steps]
    [[0.25, 0.15], [-0.2]]
    """
    verdicts, outcome, groups = check_signals(verdicts_B, advantages_B, groups_B)
    weights = np.ones_like(outcome) if weights_B is None else np.asarray(weights_B, dtype=np.float64)
    if len(steps_B) != outcome.size or weights.shape != outcome.shape:
        raise InputError(
            f"steps of {len(steps_B)} responses and weights {weights.shape} for advantages {outcome.shape}; one each is due"
        )
    kept = ~np.isnan(outcome)
    strata = _strata(verdicts, groups, learned_credit)
    flat = _flatten(steps_B, kept)
    if shaping.signal == "change":
        flat = _changes(flat, groups)
    scale_B = np.minimum(shaping.gamma * weights, _room(outcome, kept, groups, strata))
    offsets_N = _centred(flat, strata, shaping.tie_tolerance) * scale_B[flat.response_N]

    known = np.nan_to_num(outcome, nan=0.0)
    found: list[FloatArray] = [
        np.full(len(steps.scores), advantage) for steps, advantage in zip(steps_B, known.tolist(), strict=True)
    ]
    usable, first = np.unique(flat.response_N, return_index=True)
    for response, start in zip(map(int, usable), map(int, first), strict=True):
        found[response] += offsets_N[start : start + steps_B[response].scores.size]
    shaped = np.zeros(outcome.size, dtype=np.bool_)
    shaped[flat.response_N[offsets_N != 0.0]] = True
    return StepAdvantages(tuple(found), shaped)


def spread_over_tokens(
    advantages_B: ArrayLike, step_advantages_B: Sequence[FloatArray], steps_B: Sequence[Steps], *, width: int
) -> FloatArray:
    """Return the advantage of every token, shape (B, width); the response's own where it has no steps, and behind its end.

    Raises:
        InputError: a response has more tokens than ``width``.

    >>> spread_over_tokens([0.2], [np.array([0.3, 0.1])], [Steps(np.zeros(2), np.array([1, 1]))], width=3).tolist()
    [[0.3, 0.1, 0.2]]
    """
    spread_BT = np.repeat(np.nan_to_num(np.asarray(advantages_B, dtype=np.float64), nan=0.0)[:, None], width, axis=1)
    for row_T, values, steps in zip(spread_BT, step_advantages_B, steps_B, strict=True):
        tokens = np.repeat(values, steps.lengths)
        if tokens.size > width:
            raise InputError(f"the steps of a response have {tokens.size} tokens and there is room for {width}")
        row_T[: tokens.size] = tokens
    return spread_BT


def _strata(verdicts: FloatArray, groups: Groups, learned_credit: float) -> Groups:
    """Return the strata, numbered by prompt, and within a prompt from the worst verdict to the best."""
    level_B = np.where(verdicts == LEARNED_YES, learned_credit, np.nan_to_num(verdicts, nan=0.0))
    rank_B = np.where(level_B == 0.0, 0, np.where(level_B == 1.0, 2, 1))
    return Groups(groups.index_B * 3 + rank_B, groups.size * 3)


def _flatten(steps_B: Sequence[Steps], kept: BoolArray) -> _Flat:
    for row, steps in enumerate(steps_B):
        if steps.scores.shape != steps.lengths.shape or steps.scores.ndim != 1 or (steps.lengths < 0).any():
            raise InputError(
                f"response {row}: {steps.scores.shape} step scores and {steps.lengths.shape} step lengths; give one length "
                ">= 0 a step"
            )
    usable = [
        row
        for row, steps in enumerate(steps_B)
        if kept[row] and steps.lengths.sum() > 0 and (np.abs(steps.scores) <= MAX_MAGNITUDE).all()
    ]
    if not usable:
        return _Flat(np.zeros(0, dtype=np.intp), np.zeros(0), np.zeros(0))
    counts = [len(steps_B[row].scores) for row in usable]
    return _Flat(
        np.repeat(np.array(usable, dtype=np.intp), counts),
        np.concatenate([steps_B[row].scores for row in usable]).astype(np.float64),
        np.concatenate([steps_B[row].lengths for row in usable]).astype(np.float64),
    )


def _changes(flat: _Flat, groups: Groups) -> _Flat:
    """Return each step's score less the one before; a first step's less the mean of the prompt's first steps."""
    first_N = np.r_[True, np.diff(flat.response_N) > 0][: flat.response_N.size]
    prompt_N = groups.index_B[flat.response_N]
    start_P = group_moments(flat.values_N[first_N], Groups(prompt_N[first_N], groups.size)).mean_P
    before_N = np.where(first_N, start_P[prompt_N], np.r_[0.0, flat.values_N[:-1]][: flat.values_N.size])
    return flat._replace(values_N=flat.values_N - before_N)


def _room(outcome: FloatArray, kept: BoolArray, groups: Groups, strata: Groups) -> FloatArray:
    """Return half the distance to the nearest stratum of the same prompt, shape (B,); infinite where there is none."""
    room_B = np.full(outcome.size, math.inf)
    rows = np.flatnonzero(kept)
    if rows.size == 0:
        return room_B
    present = index_groups(strata.index_B[rows])  # sorted: by prompt, then by verdict
    low_S, high_S = group_min_max(outcome[rows], present)
    prompt_S = np.zeros(present.size, dtype=np.intp)
    prompt_S[present.index_B] = groups.index_B[rows]
    half_S = np.where(np.diff(prompt_S) == 0, np.maximum(low_S[1:] - high_S[:-1], 0.0) / 2.0, math.inf)
    room_S = np.minimum(np.r_[math.inf, half_S], np.r_[half_S, math.inf])
    room_B[rows] = room_S[present.index_B]
    return room_B


def _centred(flat: _Flat, strata: Groups, tie_tolerance: float) -> FloatArray:
    """Return u of ``step_advantages``, shape (N,); 0 in a tied stratum."""
    with_tokens = flat.lengths_N > 0.0
    stratum_N = strata.index_B[flat.response_N]
    low_S, high_S = group_min_max(flat.values_N[with_tokens], Groups(stratum_N[with_tokens], strata.size))
    with np.errstate(invalid="ignore"):  # a stratum without steps is -inf - inf; nobody reads it
        range_S = high_S - low_S
    divisor_S = np.where(range_S > max(tie_tolerance, float(np.finfo(np.float64).tiny)), range_S, np.inf)
    z_N = np.clip((flat.values_N - low_S[stratum_N]) / divisor_S[stratum_N], 0.0, 1.0)
    responses = Groups(flat.response_N, strata.index_B.size)
    tokens_B = np.maximum(group_sum(flat.lengths_N, responses), 1.0)
    mean_B = group_sum(z_N * flat.lengths_N, responses) / tokens_B
    u_N = z_N - mean_B[flat.response_N]
    u_N[np.abs(u_N) < _ROUNDING] = 0.0  # a response of one step has its own advantage to the bit
    return u_N
