"""Signs, from scores and lengths alone, that a reward model or a policy broke in mid-run.

A ``Health`` remembers a few numbers of the last batches of a run. The two newest are compared with those before them, which
say what is usual for this run: slow changes, as of a policy that learns, and a single odd batch are no signs.
"""

from __future__ import annotations

import base64
import itertools
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.groups import Groups, group_min_max
from hero_rl.types import MAX_MAGNITUDE, FloatArray

SIGNS = {
    "missing": "scores are missing", "flat": "the scores have no spread", "shift": "the mean score jumped",
    "scale": "the spread of the scores jumped", "clipped": "scores are clipped", "length": "responses became short",
}  # fmt: skip
"""Signs that may be found, by name."""
JUDGED_ROWS = 256
"""Responses after which a warning may come: in smaller batches it would cost as much as the rule."""
WINDOW = 32
"""Earlier batches that the two newest are compared with."""
FEWEST = 8
"""Fewest of them from which shift, scale and length are judged."""
MISSING = 0.2
"""More than this share of the responses of two batches, and at least 4, without a score."""
CHANCE = 1e-4
"""So many prompts in a row without spread are less probable than this, by those of the batches before."""
SHIFT = 3.0
"""The mean moved by more than so many standard deviations of the scores."""
FACTOR = 4.0
"""The spread is so many times larger or smaller, or the length smaller,"""
NOISE = 3.0
"""and by so many standard deviations of the logarithm's usual change from batch to batch."""
CLIPPED = 0.3
"""Share of the scores at one extreme value."""
TIED = 0.1
"""Share of the other scores that equal another, from which a reward model has few values (five stars) and is not clipped."""

_LEAST = 1.0 / MAX_MAGNITUDE
"""The smallest spread that can be divided by."""
_Judged: TypeAlias = tuple[float, str]
"""A value, and the evidence where it is out of bounds."""
_UNKNOWN = (math.nan, "")


class BatchNumbers(NamedTuple):
    """The numbers of a batch that are remembered; NaN where unknown."""

    rows: float
    missing: float = 0.0
    chars: float = math.nan
    """Mean length of the responses."""
    mean: float = math.nan
    spread: float = math.nan
    """Standard deviation of all scores."""
    prompts: float = 0.0
    """Those with two scores or more."""
    flat: float = 0.0
    """Of these, those whose scores are the same (but for rounding)."""
    low: float = math.nan
    high: float = math.nan
    at_low: float = 0.0
    """Scores equal to the lowest."""
    at_high: float = 0.0
    tied: float = 0.0
    """Scores between the two that equal an earlier one."""

    @classmethod
    def of(cls, scores_B: FloatArray | None, groups: Groups, chars_B: FloatArray | None) -> BatchNumbers:
        """Return the numbers of a batch; None: there is no reward model, or the lengths are unknown."""
        rows = float(groups.index_B.size)
        chars = math.nan if chars_B is None else float(chars_B.sum()) / rows
        if scores_B is None:
            return cls(rows, chars=chars)
        known_B = ~np.isnan(scores_B)
        scores = np.sort(scores_B[known_B])  # and what is simpler by hand: for a group of 16, calls are what costs
        if not scores.size:
            return cls(rows, rows, chars)
        several_P = np.bincount(groups.index_B, known_B, groups.size) > 1
        low_P, high_P = (ends[several_P] for ends in group_min_max(scores_B, groups))
        same_P = high_P - low_P <= 1e-6 * np.maximum(np.abs(high_P), np.abs(low_P))
        low, high = float(scores[0]), float(scores[-1])
        mean = float(scores.sum()) / scores.size
        spread = math.sqrt(float(np.square(scores - mean).sum()) / scores.size)
        at_low, at_high = (float(np.count_nonzero(scores == end)) for end in (low, high))
        repeated = float(np.count_nonzero(scores[1:] == scores[:-1]))
        tied = repeated - (at_low - 1.0) - (at_high - 1.0) if low < high else 0.0
        return cls(
            rows, rows - scores.size, chars, mean, spread, float(same_P.size), float(np.count_nonzero(same_P)), low, high,
            at_low, at_high, tied,
        )  # fmt: skip


class Health(NamedTuple):
    """The last batches of a run, oldest first; an immutable state that is saved with the rule's."""

    batches: tuple[BatchNumbers, ...] = ()

    def after(self, scores_B: FloatArray | None, groups: Groups, chars_B: FloatArray | None) -> Health:
        """Return the state after one more batch; arguments as ``BatchNumbers.of``."""
        return Health((*self.batches[-WINDOW - 1 :], BatchNumbers.of(scores_B, groups, chars_B))) if groups.size else self

    def measures(self) -> dict[str, float]:
        """Return the numbers that are judged, under the names of ``SIGNS``; NaN where there is too little to judge by.

        ``missing`` and ``clipped`` are shares in the two newest batches, ``flat`` counts batches; ``shift`` (in standard
        deviations), ``scale`` and ``length`` (multiples of the usual) are those of the less striking one of the two.
        """
        return {name: value for name, (value, _) in self._judged().items()}

    def findings(self) -> dict[str, str]:
        """Return the evidence of each sign that something broke, by its name in ``SIGNS``: numbers, and what to look at."""
        return {name: evidence for name, (_, evidence) in self._judged().items() if evidence}

    def _judged(self) -> dict[str, _Judged]:
        if len(self.batches) < 2:
            return dict.fromkeys(SIGNS, _UNKNOWN)
        of = dict(zip(BatchNumbers._fields, np.array(self.batches, dtype=np.float64).T, strict=True))
        scale = _times(of["spread"], "{:.3g} after {:.3g}. Was the reward model replaced, or is its score in another unit?")
        length = _times(of["chars"], "{:.0f} characters after {:.0f}. Read some: does the policy stop at once?")
        length = length if length[0] < 1.0 else (length[0], "")
        judged = _missing(of), _flat(of), _shift(of["mean"], of["spread"]), scale, _clipped(of), length
        return dict(zip(SIGNS, judged, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values (exact): base64 of little-endian float64, which costs little."""
        numbers = struct.pack(f"<{len(self.batches) * len(BatchNumbers._fields)}d", *itertools.chain(*self.batches))
        return {"version": 1, "batches": base64.b64encode(numbers).decode()}

    @classmethod
    def restore(cls, state: Any) -> Health:
        """Restore a state saved by ``state_dict`` (exact); raise ``InputError`` for others."""
        try:
            rows = np.frombuffer(base64.b64decode(state["batches"], validate=True), "<f8").reshape(
                -1, len(BatchNumbers._fields)
            )
            fits = state["version"] == 1 and len(rows) <= WINDOW + 2 and (rows[:, 0] > 0).all()
        except (KeyError, TypeError, ValueError):
            rows, fits = np.zeros((0, 1)), False
        if not fits or (np.abs(rows) > MAX_MAGNITUDE).any():
            raise InputError(f"not the state of a run's health, version 1: {state!r:.200}; did another release write it?")
        return cls(tuple(BatchNumbers(*row) for row in rows.tolist()))


def _missing(of: Mapping[str, FloatArray]) -> _Judged:
    rows, missing = of["rows"][-2:].sum(), of["missing"][-2:].sum()
    share = float(missing / rows)
    said = f"{share:.0%} of the responses have none ({missing:.0f} of {rows:.0f}). Are they too long? The log says why."
    return share, said if share > MISSING and missing >= 4.0 else ""


def _flat(of: Mapping[str, FloatArray]) -> _Judged:
    known = of["prompts"] > 0.0
    prompts, flat = of["prompts"][known], of["flat"][known]
    if not prompts.size:
        return _UNKNOWN
    run = prompts.size if (flat == prompts).all() else int(np.argmin((flat == prompts)[::-1]))
    usual = (float(flat[: flat.size - run].sum()) + 0.5) / (float(prompts[: flat.size - run].sum()) + 1.0)
    ends = {*of["low"][-2:], *of["high"][-2:]}
    constant = len(ends) == 1 and not _of_few_values(of)
    last = of["mean"][known][-1]
    said = f"the same for all responses of a prompt in {run} batches in a row, the last mean {last:.6g}. Is it the right model?"
    return float(run), said if run > 1 and (constant or usual ** prompts[-run:].sum() < CHANCE) else ""


def _shift(mean_N: FloatArray, spread_N: FloatArray) -> _Judged:
    before, spread = mean_N[:-2], spread_N[:-2][~np.isnan(mean_N[:-2])]
    if spread.size < FEWEST:
        return _UNKNOWN
    # medians, so that one odd batch does not blind this; 1.4826 x: the standard deviation of a normal
    usual = float(np.nanmedian(before))
    sigma = math.hypot(float(np.median(spread)), 1.4826 * float(np.nanmedian(np.abs(before - usual))))
    shift = _less((mean_N[-2:] - usual) / sigma) if sigma > _LEAST else math.nan
    said = (
        f"{mean_N[-1]:.4g} after {usual:.4g}, with a standard deviation of {sigma:.3g}. Was the reward model replaced, or its "
        "template, or did the prompts change?"
    )
    return shift, said if abs(shift) > SHIFT else ""


def _times(values_N: FloatArray, evidence: str) -> _Judged:
    """Return the newest values as a multiple of the usual; values of 0 are unknown."""
    logs = np.log(values_N, where=values_N > _LEAST, out=np.full(values_N.size, np.nan))
    before = logs[:-2][~np.isnan(logs[:-2])]
    if before.size < FEWEST:
        return _UNKNOWN
    usual = float(np.median(before))
    noise = math.sqrt(float(np.square(np.diff(before)).mean()) / 2.0)  # of differences: a slow drift is no noise
    change = _less(logs[-2:] - usual)
    out = abs(change) > max(math.log(FACTOR), NOISE * noise)
    return math.exp(change), evidence.format(values_N[-1], math.exp(usual)) if out else ""


def _less(pair: FloatArray) -> float:
    """Return the smaller of two deviations to the same side, else 0; NaN where one is unknown."""
    return float(np.abs(pair).min() * np.sign(pair).sum() / 2.0)


def _clipped(of: Mapping[str, FloatArray]) -> _Judged:
    known = float((of["rows"] - of["missing"])[-2:].sum())
    if known == 0.0 or _of_few_values(of):
        return _UNKNOWN
    shares = dict[str, float]()
    for end in ("low", "high"):
        at = float(of[f"at_{end}"][-2:].sum())
        shares[end] = at / known if of[end][-2] == of[end][-1] and at < known else 0.0
    end = max(shares, key=lambda name: shares[name])
    said = f"{shares[end]:.0%} are exactly {of[end][-1]:.6g}, the {end}est of all. Use the reward model's raw output (logits)."
    return shares[end], said if shares[end] >= CLIPPED else ""


def _of_few_values(of: Mapping[str, FloatArray]) -> bool:
    """Return whether the scores between the extremes are often equal, or too few to tell."""
    inner = float((of["rows"] - of["missing"] - of["at_low"] - of["at_high"]).clip(0.0).sum())
    return inner < FEWEST or float(of["tied"].sum()) > TIED * inner
