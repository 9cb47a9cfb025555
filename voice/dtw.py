"""Two performances of the same words laid on one another: dynamic time warping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cepstra", "warp", "warp_cost"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

# (rows, columns, weight): diagonal steps at slopes 1/2..2 are free, standing still costs
# a third more, so that a pause in one performance is allowed and a stutter is not.
_STEPS = ((1, 1, 1.0), (1, 2, 1.0), (2, 1, 1.0), (1, 0, 1.3), (0, 1, 1.3))


def cepstra(samples: Floats, rate: int = 24_000, *, top_hz: float = 7500.0) -> Floats:
    """What is said rather than who says it: float32 [32, frames], a frame every 12.5 ms.

    16 MFCC below `top_hz`, each normalised over the recording (which takes out the
    speaker's and the microphone's colour), and half their slope.
    """
    import librosa

    mfcc = librosa.feature.mfcc(
        y=samples,
        sr=rate,
        n_mfcc=16,
        n_fft=1024,
        hop_length=rate * 300 // 24_000,
        n_mels=60,
        fmax=min(top_hz, rate / 2),
    )
    mfcc = (mfcc - mfcc.mean(axis=1, keepdims=True)) / (mfcc.std(axis=1, keepdims=True) + 1e-5)
    return np.vstack([mfcc, 0.5 * librosa.feature.delta(mfcc)]).astype(np.float32)


def warp(a: Floats, b: Floats) -> tuple[Doubles, float]:
    """Where each frame border of `a` falls in `b`.

    `a` [features, n] and `b` [features, m] are compared by cosine distance. Returns
    float64 [n + 1], non-decreasing frame positions in `b` from 0 to m, and the mean
    cost of a step of the path (about 0.3 for the same words, above 0.6 for others).
    Complete search, both ends tied (Sakoe & Chiba 1978).
    """
    path, cost = warp_cost(_cosine_distance(a, b))
    rows, columns = path[:, 0].astype(np.float64), path[:, 1].astype(np.float64)
    first = np.r_[True, np.diff(rows) > 0]
    borders = np.interp(np.arange(a.shape[1] + 1), rows[first], columns[first])
    borders[0], borders[-1] = 0.0, b.shape[1]
    return borders, cost


def _cosine_distance(a: Floats, b: Floats) -> Doubles:
    unit_a = a / (np.linalg.norm(a, axis=0, keepdims=True) + 1e-9)
    unit_b = b / (np.linalg.norm(b, axis=0, keepdims=True) + 1e-9)
    return np.asarray(1.0 - unit_a.T @ unit_b, dtype=np.float64)


def warp_cost(distance: Doubles) -> tuple[Ints, float]:
    """Cheapest path int64 [steps, 2] through `distance` [n, m], and its mean cost.

    Cells of one anti-diagonal do not depend on each other, so each is one numpy step.
    """
    n, m = distance.shape
    pad = 2
    total = np.full((n + pad, m + pad), np.inf)
    total[pad, pad] = distance[0, 0]
    came = np.full((n, m), -1, np.int8)
    for diagonal in range(1, n + m - 1):
        i = np.arange(max(0, diagonal - m + 1), min(n, diagonal + 1))
        j = diagonal - i
        here = distance[i, j]
        options = np.stack(
            [total[i + pad - di, j + pad - dj] + weight * here for di, dj, weight in _STEPS]
        )
        best = options.argmin(axis=0)
        total[i + pad, j + pad] = options[best, np.arange(len(i))]
        came[i, j] = best
    path = [(n - 1, m - 1)]
    while path[-1] != (0, 0):
        i0, j0 = path[-1]
        di, dj, _ = _STEPS[came[i0, j0]]
        path.append((i0 - di, j0 - dj))
    path.reverse()
    return np.array(path, np.int64), float(total[n - 1 + pad, m - 1 + pad]) / len(path)
