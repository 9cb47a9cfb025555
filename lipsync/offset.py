"""By how many frames measured lips come later than lips that are expected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_shift"]

Doubles = NDArray[np.float64]
Shapes = NDArray[np.floating[Any]]


def best_shift(
    shapes: Shapes, expected: Shapes, weights: Doubles, reach: int
) -> tuple[float, Doubles]:
    """Frames (> 0: late) by which `shapes` [n, k] lag behind `expected` [n, k], and the scores.

    The score of a shift is the mean of the columns' correlations, weighted by `weights` [k] (which
    sum to 1), over the rows without NaN; float64[2 reach + 1] for shifts from -reach to reach. The
    peak is refined by a parabola. `n` must be larger than 3 `reach`.
    """
    n = len(shapes)
    shifts = range(-reach, reach + 1)
    scores = np.array(
        [
            _agreement(
                shapes[max(0, s) : n + min(0, s)], expected[max(0, -s) : n - max(0, s)], weights
            )
            for s in shifts
        ]
    )
    at = int(scores.argmax())
    shift = float(shifts[at])
    if 0 < at < len(scores) - 1:
        left, top, right = scores[at - 1 : at + 2]
        bend = left - 2 * top + right
        shift += 0.5 * (left - right) / bend if bend < 0 else 0.0
    return shift, scores


def _agreement(shapes: Shapes, expected: Shapes, weights: Doubles) -> float:
    """Weighted mean of the columns' correlations."""
    seen = np.isfinite(shapes).all(1)
    a, b = (x[seen].astype(np.float64) for x in (shapes, expected))
    if len(a) < 3:
        return 0.0
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    each = (a * b).sum(0) / np.maximum(size, 1e-12)
    return float((weights * each).sum())
