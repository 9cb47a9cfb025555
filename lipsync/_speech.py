"""What is said and how it sounds, as numbers 100 times a second: the input of lip motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align.visemes import VISEMES, viseme_of
from media.far import empty_far, let_go, pieces

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["STEPS_PER_S", "CEPSTRA", "Windows", "cepstra", "viseme_track", "windows"]

Doubles = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
Ints = NDArray[np.int32]

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
    alone = np.eye(len(VISEMES))
    return _smooth(lambda rows: alone[on[rows]], steps)


def cepstra(sound: Sound, timing: Timing, steps: int) -> Doubles:
    """Mel cepstra float64[steps, 14] at 100 Hz, normalised over this recording's speech.

    40 mel bands, 25 ms Hann windows, floored 60 dB under the loud parts, cosine transform
    (S. Davis and P. Mermelstein, 1980); mean and spread are taken where phones are, so a
    long silence around a line does not change the numbers inside it.
    """
    from scipy.fft import dct

    from media.audio import resample

    samples = resample(sound, _RATE).samples if sound.rate != _RATE else sound.samples
    spoken, power = _spoken(timing, steps), np.empty(steps)
    mel = empty_far((steps, _BANDS), np.float64)
    for piece in pieces(mel, _PIECE):
        mel[piece] = _mel(samples, piece.start, piece.stop)
        power[piece] = mel[piece].sum(1)
        let_go(samples)
    loud = np.percentile(power[spoken], 95) / _BANDS
    least = max(loud, 1e-12) * 10 ** (-_RANGE_DB / 10)
    coefficients = empty_far((steps, CEPSTRA), np.float64)
    for piece in pieces(mel, _PIECE):
        decibels = 10 * np.log10(np.maximum(mel[piece], least))
        coefficients[piece] = dct(decibels, axis=1, norm="ortho")[:, :CEPSTRA]
    middle = coefficients[spoken].mean(0)
    spread = np.maximum(coefficients[spoken].std(0), 1e-3)
    coefficients -= middle
    coefficients /= spread
    coefficients = np.clip(coefficients, -4, 4, out=coefficients)
    return _smooth(lambda rows: coefficients[rows], steps)


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


class Windows:
    """Rows of tracks around times, cut out when they are asked for: `w[i:j]` and `w[numbers]` are
    [k, taps * columns] of the tracks' type. All of them at once would be 50 times the tracks.
    """

    def __init__(self, tracks: Sequence[Numbers], owner: Ints, at: Ints) -> None:
        """Window i is made of the rows `at[i]` [taps] of the track `owner[i]`."""
        self._tracks, self._owner, self._at = tuple(tracks), owner, at

    def __len__(self) -> int:
        return len(self._owner)

    def __getitem__(self, key: slice | NDArray[np.integer[Any]]) -> Numbers:
        owner, at = self._owner[key], self._at[key]
        first = self._tracks[0]
        size = (len(at), at.shape[1] * first.shape[1])
        if len(self._tracks) == 1:
            taken = first[at].reshape(size)
            let_go(first)
            return np.asarray(taken)
        cut = np.empty((*at.shape, first.shape[1]), first.dtype)
        for number in np.unique(owner):
            mine = owner == number
            cut[mine] = self._tracks[number][at[mine]]
            let_go(self._tracks[number])
        return cut.reshape(size)

    @classmethod
    def joined(cls, parts: Sequence[Windows]) -> Windows:
        """The windows of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *(len(p._tracks) for p in parts)])
        owner = [p._owner + np.int32(s) for p, s in zip(parts, starts, strict=False)]
        tracks = [track for p in parts for track in p._tracks]
        return cls(tracks, np.concatenate(owner), np.concatenate([p._at for p in parts]))


def windows(
    track: Numbers,
    at_s: Doubles,
    reach_s: float,
    *,
    step_s: float = 0.04,
    per_s: int = STEPS_PER_S,
) -> Windows:
    """Rows of `track` around every time of `at_s` [n] seconds.

    Taps lie `step_s` apart from -reach to +reach; beyond the ends the last row repeats. The track
    has `per_s` rows a second.
    """
    taps = np.arange(-round(reach_s / step_s), round(reach_s / step_s) + 1) * step_s
    at = np.floor((at_s[:, None] + taps) * per_s).astype(np.intp)
    at = np.clip(at, 0, len(track) - 1).astype(np.int32)
    return Windows([track], np.zeros(len(at), np.int32), at)


def _spoken(timing: Timing, steps: int) -> NDArray[np.bool_]:
    """Steps inside phones; all steps when there are none."""
    on = np.zeros(steps, np.bool_)
    for phone in timing.phones:
        on[max(0, int(phone.start_s * STEPS_PER_S)) : int(phone.end_s * STEPS_PER_S) + 1] = True
    return on if on.any() else ~on


def _smooth(track: Callable[[Ints], Doubles], steps: int) -> Doubles:
    """Mean over 5 rows of all that `track` gives, the ends repeated; that of a long film is left in
    a file (`media.far`).
    """
    smooth = empty_far((steps, track(np.zeros(0, np.int32)).shape[1]), np.float64)
    for piece in pieces(smooth, _PIECE):
        near = np.arange(piece.start - 2, piece.stop + 2, dtype=np.int32)
        padded = track(np.clip(near, 0, steps - 1))
        total = np.zeros_like(padded[4:])
        for i in range(5):
            total += padded[i : i + len(total)]
        smooth[piece] = total / 5
    return smooth


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
