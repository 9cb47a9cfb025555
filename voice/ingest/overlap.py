"""Two people over each other: two pitches at once.

A single voice has one pitch in all parts of its spectrum. Where two speak at once, each is the
stronger one in some bands; so two bands are found that are both periodic, each at a period at
which the other is not (after Meddis and Hewitt 1992, "Modeling the identification of concurrent
vowels"). The share of voiced frames in which that is so was at most .008 in single voices, clean
or in noise, and .01 to .16 in pairs of voices up to 8 dB apart.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["TWO_VOICES", "second_voice"]

TWO_VOICES = 0.02
"""From this share on two people speak at once."""
_RATE = 8_000
_FRAME, _HOP = 400, 200  # 50 and 25 ms
_SHORTEST, _LONGEST = _RATE // 400, _RATE // 70  # periods
_BANDS_HZ = (
    *((120, 350), (250, 500), (400, 700), (600, 1000)),
    *((850, 1400), (1200, 1900), (1600, 2500), (2200, 3300)),
)
_RESOLVED_HZ = 500  # above, the envelope carries the pitch
_LOUD_DB = 18.0  # below the loudest twentieth
_AUDIBLE_DB = 25.0  # below a band's loudest
_PERIODIC, _NOT_PERIODIC = 0.7, 0.35
_FEWEST_FRAMES = 8


def second_voice(sound: Sound) -> float:
    """The share of voiced frames in which a second voice sounds, 0..1.

    Hum is a second pitch too: take it out first.
    """
    from scipy.ndimage import maximum_filter1d
    from scipy.signal import resample_poly

    from align.recording import at_speech_rate

    low = resample_poly(at_speech_rate(sound).samples, 1, 2).astype(np.float64)
    count = (len(low) - _FRAME - _LONGEST) // _HOP
    if count < 4:
        return 0.0
    bands = [_band(low, *edges) for edges in _BANDS_HZ]
    power = np.array([(_frames(band, _FRAME, count) ** 2).mean(axis=1) for band, _ in bands])
    total = power.sum(axis=0)
    loud = total > np.percentile(total, 95) * 10 ** (-_LOUD_DB / 10)
    alike = np.array(
        [_alike_later(_frames(carrier, _FRAME + _LONGEST, count)[loud]) for _, carrier in bands]
    )
    heard = power[:, loud] > power.max(axis=1, keepdims=True) * 10 ** (-_AUDIBLE_DB / 10)
    strength, lag = _best(alike)
    voiced = heard & (strength > _PERIODIC)
    near = maximum_filter1d(alike, 5, axis=2)
    two = np.zeros(alike.shape[1], bool)
    rows = np.arange(alike.shape[1])
    for a, b in combinations(range(len(_BANDS_HZ)), 2):
        if b - a < 2:
            continue  # neighbours overlap
        apart = near[a, rows, lag[b]] < _NOT_PERIODIC
        apart &= near[b, rows, lag[a]] < _NOT_PERIODIC
        two |= voiced[a] & voiced[b] & apart
    several = int((voiced.sum(axis=0) >= 2).sum())
    return float(two.sum() / max(several, _FEWEST_FRAMES))


def _band(samples: Doubles, low: int, high: int) -> tuple[Doubles, Doubles]:
    """(one band, what carries its pitch: itself or, high up, its envelope), float64 [n]."""
    from scipy.signal import butter, sosfilt

    band = sosfilt(butter(2, (low, high), "band", fs=_RATE, output="sos"), samples)
    if high <= _RESOLVED_HZ:
        return band, band
    smooth = butter(2, 450, fs=_RATE, output="sos")
    steady = butter(1, 60, "high", fs=_RATE, output="sos")
    return band, sosfilt(steady, sosfilt(smooth, np.maximum(band, 0)))


def _frames(samples: Doubles, size: int, count: int) -> Doubles:
    """The first `count` frames of `size` samples, a view [count, size]."""
    return np.lib.stride_tricks.sliding_window_view(samples, size)[::_HOP][:count]


def _alike_later(frames: Doubles) -> Doubles:
    """Normalised correlation of each frame with itself later, float64 [frames, lags]."""
    from scipy import fft

    size = fft.next_fast_len(_FRAME + _LONGEST, real=True)  # what wraps round is not looked at
    first = fft.rfft(frames[:, :_FRAME], size, axis=1)
    product = fft.irfft(np.conj(first) * fft.rfft(frames, size, axis=1), size, axis=1)
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = energy[:, _FRAME : _FRAME + _LONGEST + 1] - energy[:, : _LONGEST + 1]
    scale = np.sqrt(np.maximum(energy * energy[:, :1], 1e-18))
    return np.asarray(product[:, : _LONGEST + 1] / scale)


def _best(alike: Doubles) -> tuple[Doubles, NDArray[np.int64]]:
    """(height, lag) [bands, frames] of the best peak; of nearly equal ones the shortest."""
    inner = alike[:, :, _SHORTEST : _LONGEST + 1]
    after = np.concatenate([alike[:, :, _SHORTEST + 1 :], alike[:, :, _LONGEST:]], axis=2)
    peak = (inner > alike[:, :, _SHORTEST - 1 : _LONGEST]) & (inner >= after)
    worth = np.where(peak, inner - 0.05 * np.arange(inner.shape[2]) / inner.shape[2], -1.0)
    best = worth.argmax(axis=2)
    return np.take_along_axis(inner, best[..., None], 2)[..., 0], best + _SHORTEST
