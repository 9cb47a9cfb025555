"""Whose lips move with the sound: one of several tracks of the same footage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.errors import NoFaceError

if TYPE_CHECKING:
    from lipsync.track import FaceTrack
    from media.audio import Sound

__all__ = ["talking_score", "who_talks"]

Doubles = NDArray[np.float64]

_HEARD = 0.15  # agreement of lips and sound below which nobody is said to speak
_HEARD_APART = 0.08  # how much better the speaker must agree than the next
_LEAD_S = 0.2  # lips may be early or late by so much
_FEWEST = 10  # frames
_MOVED = 0.05  # spread of opening (between eye centres: 1) of somebody who talks, at least
_RATE = 16_000
_SMOOTH_S = 0.12


def talking_score(track: FaceTrack, sound: Sound, span: tuple[float, float] | None = None) -> float:
    """How well the lips of a track go with `sound` (which starts with its first frame).

    The highest correlation of lip opening with loudness for lips up to 0.2 s early or late, times
    the root of the share of `span` (seconds) in which the face is to be seen, less for lips that
    hardly move; 0 where unknown.
    """
    from lipsync.crop import lip_shape

    begin, end = span or (0.0, float("inf"))
    inside = np.flatnonzero((track.times >= begin) & (track.times < end))
    opening = lip_shape(track.landmarks[inside])[:, 0].astype(np.float64)
    seen = np.isfinite(opening)
    if seen.sum() < _FEWEST:
        return 0.0
    loud = _loudness(sound, track.times, float(track.rate))
    smooth = max(1, round(_SMOOTH_S * float(track.rate)))
    lips, best = _evened(np.where(seen, opening, np.nanmedian(opening)), smooth), -1.0
    reach = round(_LEAD_S * float(track.rate))
    for shift in range(-reach, reach + 1):
        heard = _evened(loud[np.clip(inside - shift, 0, len(loud) - 1)], smooth)
        best = max(best, _correlation(lips[seen], heard[seen]))
    # The tracker trembles with the picture; lips that hardly move do not talk.
    moved = min(1.0, float(opening[seen].std()) / _MOVED)
    return best * moved * float(np.sqrt(seen.mean()))


def who_talks(scores: Sequence[float], footage: Path) -> int:
    """Which of the scored tracks speaks. Raises `NoFaceError` when none clearly does."""
    order = np.argsort([-s for s in scores])
    best = float(scores[order[0]])
    second = float(scores[order[1]]) if len(order) > 1 else 0.0
    if best < _HEARD or (len(order) > 1 and best - second < _HEARD_APART):
        heard = ", ".join(f"{s:.2f}" for s in scores)
        raise NoFaceError(
            f"it cannot be told whose lips move with the sound of '{footage}' (agreement {heard}); "
            "name the face with a picture, left, right or x,y"
        )
    return int(order[0])


def _loudness(sound: Sound, times: Doubles, rate: float) -> Doubles:
    """Log energy of the speech band around the middle of each frame, float64[n]."""
    from media.audio import resample

    samples = resample(sound, _RATE).samples if sound.rate != _RATE else sound.samples
    half = round(_RATE / rate)
    middles = ((times + 0.5 / rate) * _RATE).astype(np.intp)
    padded = np.pad(samples, (half, max(int(middles[-1]) + 2 * half - len(samples), 0)))
    hertz = np.fft.rfftfreq(2 * half, 1 / _RATE)
    speech = (hertz >= 200) & (hertz <= 4000)
    energy = np.zeros(len(times))
    for first in range(0, len(times), 1024):
        at = middles[first : first + 1024, None] + np.arange(2 * half)
        power = np.abs(np.fft.rfft(padded[at] * np.hanning(2 * half), axis=1)) ** 2
        energy[first : first + 1024] = power[:, speech].sum(1)
    return np.asarray(np.log(energy + 1e-4 * max(float(energy.max()), 1e-9)))


def _evened(values: Doubles, frames: int) -> Doubles:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(values, frames, mode="nearest"))


def _correlation(a: Doubles, b: Doubles) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else 0.0
