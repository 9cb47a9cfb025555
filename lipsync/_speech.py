"""What is said and how it sounds, as numbers 100 times a second: the input of lip motion."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align.visemes import VISEMES, viseme_of

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["STEPS_PER_S", "CEPSTRA", "cepstra", "viseme_track", "windows"]

Doubles = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]

#: Feature steps per second.
STEPS_PER_S = 100
#: Cepstral coefficients kept, the first is loudness.
CEPSTRA = 14

_RATE = 16000
_WINDOW = 400
_FFT = 512
_BANDS = 40
_PIECE = 4096  # steps worked on at once
# Speech below this, against its own loud parts, is room and codec noise.
_RANGE_DB = 60.0
_INDEX = {name: i for i, name in enumerate(VISEMES)}


def viseme_track(timing: Timing, steps: int) -> Doubles:
    """Which viseme is on, float64[steps, 15] at 100 Hz, smoothed over 40 ms; rows sum to 1."""
    on = np.zeros(steps, np.intp)
    for phone in timing.phones:
        first, last = (max(0, round(t * STEPS_PER_S)) for t in (phone.start_s, phone.end_s))
        on[first : max(last, first + 1)] = _INDEX[viseme_of(phone.label)]
    return _smooth(np.eye(len(VISEMES))[on])


def cepstra(sound: Sound, timing: Timing, steps: int) -> Doubles:
    """Mel cepstra float64[steps, 14] at 100 Hz, normalised over this recording's speech.

    40 mel bands, 25 ms Hann windows, floored 60 dB under the loud parts, cosine transform
    (S. Davis and P. Mermelstein, 1980); mean and spread are taken where phones are, so a
    long silence around a line does not change the numbers inside it.
    """
    from scipy.fft import dct

    from media.audio import resample

    samples = resample(sound, _RATE).samples if sound.rate != _RATE else sound.samples
    pieces = range(0, steps, _PIECE)
    mel = np.concatenate(
        [_mel(samples, i, min(i + _PIECE, steps)) for i in pieces] or [np.zeros((0, _BANDS))]
    )
    spoken = _spoken(timing, steps)
    loud = np.percentile(mel[spoken].sum(1), 95) / _BANDS
    least = max(loud, 1e-12) * 10 ** (-_RANGE_DB / 10)
    coefficients = np.empty((steps, CEPSTRA))
    for i in pieces:
        decibels = 10 * np.log10(np.maximum(mel[i : i + _PIECE], least))
        coefficients[i : i + _PIECE] = dct(decibels, axis=1, norm="ortho")[:, :CEPSTRA]
    spread = np.maximum(coefficients[spoken].std(0), 1e-3)
    return _smooth(np.clip((coefficients - coefficients[spoken].mean(0)) / spread, -4, 4))


def _mel(samples: NDArray[np.float32], first: int, last: int) -> Doubles:
    """Energies in the mel bands of steps `first` to `last`, float64[last - first, 40]."""
    hop = _RATE // STEPS_PER_S
    # A window's centre lies on the middle of its step; before and after the sound is silence.
    start = first * hop - (_WINDOW - hop) // 2
    block = np.zeros((last - first) * hop + _WINDOW, np.float32)
    inside = samples[max(start, 0) : max(start + len(block), 0)]
    block[max(-start, 0) : max(-start, 0) + len(inside)] = inside
    frames = np.lib.stride_tricks.sliding_window_view(block, _WINDOW)[::hop][: last - first]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), _FFT)) ** 2
    return np.asarray(power @ _mel_filters().T)


def windows(
    track: Numbers,
    at_s: Doubles,
    reach_s: float,
    *,
    step_s: float = 0.04,
    per_s: int = STEPS_PER_S,
) -> Numbers:
    """Rows of `track` around every time of `at_s` [n] seconds, [n, taps * columns] of its type.

    Taps lie `step_s` apart from -reach to +reach; beyond the ends the last row repeats. The track
    has `per_s` rows a second.
    """
    taps = np.arange(-round(reach_s / step_s), round(reach_s / step_s) + 1) * step_s
    at = np.floor((at_s[:, None] + taps) * per_s).astype(np.intp)
    return np.asarray(track[np.clip(at, 0, len(track) - 1)].reshape(len(at_s), -1))


def _spoken(timing: Timing, steps: int) -> NDArray[np.bool_]:
    """Steps inside phones; all steps when there are none."""
    on = np.zeros(steps, np.bool_)
    for phone in timing.phones:
        on[max(0, int(phone.start_s * STEPS_PER_S)) : int(phone.end_s * STEPS_PER_S) + 1] = True
    return on if on.any() else ~on


def _smooth(track: Doubles) -> Doubles:
    """Mean over 5 steps, the ends repeated."""
    padded = np.pad(track, ((2, 2), (0, 0)), mode="edge")
    total = np.zeros_like(track)
    for i in range(5):
        total += padded[i : i + len(track)]
    return total / 5


@cache
def _mel_filters() -> Doubles:
    """Triangles float64[40, 257] from 60 to 7600 Hz on the mel scale 2595 log10(1 + f / 700)."""
    edges = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7600 / 700), _BANDS + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = np.arange(_FFT // 2 + 1) * _RATE / _FFT
    rise = (bins - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    fall = (hertz[2:, None] - bins) / np.diff(hertz)[1:, None]
    filters: Doubles = np.maximum(0, np.minimum(rise, fall))
    filters.setflags(write=False)
    return filters
