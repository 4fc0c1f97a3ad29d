"""Calibration of probabilities: the curve, and the mean distance from the diagonal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.measures.arrays import labelled
from hero_rl.types import FloatArray


class CalibrationBin(NamedTuple):
    """The rows whose probability lies in one bin of [0, 1]."""

    low: float
    high: float
    rows: float
    """Number, or sum of weights."""
    mean_p: float
    """Mean probability."""
    share: float
    """Share of correct rows; equal to ``mean_p`` if calibrated."""


def calibration_curve(
    p_B: ArrayLike, labels_B: ArrayLike, *, bins: int = 10, low: float = 0.0, weights_B: ArrayLike | None = None
) -> list[CalibrationBin]:
    """Return the bins of equal width that hold rows, from low to high.

    Args:
        p_B: shape (B,), probabilities in [low, 1].
        labels_B: shape (B,), 0 or 1.
        bins: number of bins.
        low: where the first bin begins; 0.5 for the probability of the more likely of two outcomes.
        weights_B: shape (B,), >= 0.
    """
    weight, p_sum, correct, edges = _binned(p_B, labels_B, bins, low, weights_B)
    return [
        CalibrationBin(
            float(edges[i]), float(edges[i + 1]), float(weight[i]), float(p_sum[i] / weight[i]), float(correct[i] / weight[i])
        )
        for i in np.flatnonzero(weight).tolist()
    ]


def expected_calibration_error(
    p_B: ArrayLike, labels_B: ArrayLike, *, bins: int = 10, low: float = 0.0, weights_B: ArrayLike | None = None
) -> float:
    """Return the mean over rows of the distance between a bin's mean probability and its share of correct rows.

    NaN without rows. Above zero by chance alone: with few rows per bin, a calibrated model shows some.

    Reference: Naeini et al. 2015 (AAAI), Guo et al. 2017 (arXiv 1706.04599), section 2.
    """
    weight, p_sum, correct, _ = _binned(p_B, labels_B, bins, low, weights_B)
    total = float(weight.sum())
    return float(np.abs(p_sum - correct).sum()) / total if total else float("nan")


def _binned(
    p_B: ArrayLike, labels_B: ArrayLike, bins: int, low: float, weights_B: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the summed weights, probabilities and labels of the bins, and their edges."""
    rows = labelled("calibration", p_B, labels_B, weights_B)
    if bins < 1:
        raise InputError(f"calibration: bins={bins} must be at least 1")
    if ((rows.scores < low) | (rows.scores > 1)).any():
        raise InputError(f"calibration: expected probabilities in [{low:g}, 1]; a raw score is none (use its sigmoid)")
    edges = np.linspace(low, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, rows.scores, side="right") - 1, 0, bins - 1)
    columns = (rows.weights, rows.weights * rows.scores, rows.weights * rows.labels)
    weight, p_sum, correct = (np.bincount(place, weights=column, minlength=bins).astype(np.float64) for column in columns)
    return weight, p_sum, correct, edges
