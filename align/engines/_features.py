"""What the learned aligner hears: log energies in 48 mel bands every 5 ms.

Windows of 20 ms (Hann), 60-7600 Hz, levels relative to the loud parts of the sound with a
floor 70 dB below them, and each band less its mean over the sound, which takes out the
microphone's colour. Training and use go through this one function.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BANDS", "FINE_S", "FRAME_S", "RATE", "features"]

RATE = 16_000
BANDS = 48
_HOP, _WINDOW, _SIZE = 80, 320, 512
FINE_S = _HOP / RATE
"""Seconds between two analyses, and the grid of the boundary head."""
FRAME_S = 2 * FINE_S
"""Seconds of one frame of the network: two analyses."""
_LOW_HZ, _HIGH_HZ = 60.0, 7600.0
_FLOOR = 1e-7
_SCALE = 3.0
_BLOCK = 4096


@cache
def _filters() -> NDArray[np.float32]:
    """Triangles of unit sum on the mel axis (O'Shaughnessy): float32 [257, BANDS]."""

    def mel(hertz: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))

    ends = mel(np.array([_LOW_HZ, _HIGH_HZ]))
    points = np.linspace(ends[0], ends[1], BANDS + 2)
    bins = mel(np.arange(_SIZE // 2 + 1) * (RATE / _SIZE))[:, None]
    rising = (bins - points[:-2]) / (points[1:-1] - points[:-2])
    falling = (points[2:] - bins) / (points[2:] - points[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(weights / weights.sum(axis=0), dtype=np.float32)


def features(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [frames, 2 * BANDS] of mono `samples` at `RATE`, one row per `FRAME_S`.

    Analysis k is centred on (k + 1/2) * 5 ms; a row holds two. There is always one row.
    """
    rows = max(1, -(-len(samples) // (2 * _HOP)))
    count = 2 * rows
    lead = (_WINDOW - _HOP) // 2
    padded = np.zeros(lead + count * _HOP + _WINDOW, np.float32)
    padded[lead : lead + len(samples)] = samples
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: count * _HOP : _HOP]
    powers = np.empty((count, BANDS), np.float32)
    for at in range(0, count, _BLOCK):
        spectrum = np.fft.rfft(frames[at : at + _BLOCK] * window, _SIZE).astype(np.complex64)
        powers[at : at + _BLOCK] = (spectrum.real**2 + spectrum.imag**2) @ _filters()
    loud = float(np.percentile(powers.mean(axis=1), 95))
    levels = np.log(powers / max(loud, 1e-12) + _FLOOR)
    levels = (levels - levels.mean(axis=0)) / _SCALE
    return np.ascontiguousarray(levels.reshape(rows, 2 * BANDS), dtype=np.float32)
