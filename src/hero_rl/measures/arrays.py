"""Checks of shapes and values for all measures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.types import BoolArray, FloatArray, IntArray


class Labelled(NamedTuple):
    """Scores, labels and weights of equal length."""

    scores: FloatArray
    labels: BoolArray
    weights: FloatArray


def labelled(what: str, scores_B: ArrayLike, labels_B: ArrayLike, weights_B: ArrayLike | None) -> Labelled:
    """Return the three arrays, checked.

    Raises:
        InputError: different lengths, a score that is not finite, or a label that is not 0 or 1.
    """
    scores = finite(what, scores_B)
    given = np.asarray(labels_B)
    if given.shape != scores.shape:
        raise InputError(f"{what}: {given.shape} labels for {scores.shape} scores; give one label per score")
    if not np.isin(given, (0, 1)).all():
        raise InputError(f"{what}: a label is neither 0 nor 1; leave rows without a label out")
    return Labelled(scores, given.astype(np.bool_), weights(what, weights_B, scores.size))


def finite(what: str, values_B: ArrayLike) -> FloatArray:
    """Return the values as a flat array.

    Raises:
        InputError: not one-dimensional, or a value that is not finite.
    """
    values = np.asarray(values_B, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"{what}: expected one number per row, got an array of shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{what}: {int((~np.isfinite(values)).sum())} values are not finite; leave these rows out")
    return values


def weights(what: str, weights_B: ArrayLike | None, rows: int) -> FloatArray:
    """Return the weights as a flat array; ones where there are none.

    Raises:
        InputError: another length, or a weight that is negative or not finite.
    """
    if weights_B is None:
        return np.ones(rows)
    values = finite(what, weights_B)
    if values.size != rows or (values < 0).any():
        raise InputError(f"{what}: expected {rows} weights of at least 0")
    return values


def numbered(what: str, names_B: ArrayLike, rows: int) -> IntArray:
    """Return groups or clusters as numbers from 0, in the order of their names.

    Raises:
        InputError: another length.
    """
    names = np.asarray(names_B)
    if names.shape != (rows,):
        raise InputError(f"{what}: {names.shape} group names for {rows} rows; give one per row")
    return np.unique(names, return_inverse=True)[1].astype(np.intp)


def deviations(values_B: FloatArray, cells_B: IntArray) -> FloatArray:
    """Return values less the mean of the known ones of their cell; NaN stays NaN."""
    known = ~np.isnan(values_B)
    count = np.bincount(cells_B, weights=known)
    with np.errstate(invalid="ignore"):
        return values_B - (np.bincount(cells_B, weights=np.where(known, values_B, 0.0)) / count)[cells_B]
