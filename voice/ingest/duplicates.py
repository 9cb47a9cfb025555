"""The same performance twice: another copy of a tape, at another rate, louder or duller.

    seen = Performances()
    if seen.holds(contour(sound), text): ...

Two copies have the same words and the same rise and fall of level in the band that every copy has
(300 to 3400 Hz). Two takes of the same sentence have the words alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]

__all__ = ["Performances", "contour"]

_STEPS = 50  # a second
_BAND_HZ = (300.0, 3400.0)
_SAME = 0.97  # correlation of level contours
_LAG = 50  # steps: copies may be cut a second apart
_LEAST_STEPS = 60
_OVERLAP = 0.8
_SAME_WORDS = 0.6


def contour(sound: Sound) -> Floats:
    """Level in dB every 20 ms between 300 and 3400 Hz, float32 [n]: a performance's print."""
    from scipy.signal import sosfilt

    size = sound.rate // _STEPS
    count = len(sound) // size
    band = sosfilt(_filter(sound.rate), sound.samples[: count * size].astype(np.float64))
    power = (band.reshape(count, size) ** 2).mean(axis=1)
    floor = float(power.max(initial=0.0)) * 1e-4 + 1e-12
    return np.asarray(10 * np.log10(power + floor), dtype=np.float32)


@lru_cache(maxsize=8)
def _filter(rate: int) -> Doubles:
    from scipy.signal import butter

    high = min(_BAND_HZ[1], 0.45 * rate)
    return np.asarray(butter(4, (_BAND_HZ[0], high), "band", fs=rate, output="sos"))


@dataclass(frozen=True, slots=True, eq=False)
class _Print:
    name: str
    words: frozenset[str]
    level: Floats


class Performances:
    """The performances met so far."""

    def __init__(self) -> None:
        self._known: list[_Print] = []

    def meet(self, name: str, level: Floats, text: str) -> str | None:
        """The name of the same performance met before; None, and it is remembered, if it is new."""
        words = frozenset(re.findall(r"[\w']+", text.lower()))
        for other in self._known:
            if _same_words(words, other.words) and _same_sound(level, other.level):
                return other.name
        self._known.append(_Print(name, words, level))
        return None


def _same_words(mine: frozenset[str], theirs: frozenset[str]) -> bool:
    either = len(mine | theirs)
    return bool(either) and len(mine & theirs) >= _SAME_WORDS * either


def _same_sound(mine: Floats, theirs: Floats) -> bool:
    shorter, longer = sorted((len(mine), len(theirs)))
    if shorter < _LEAST_STEPS or shorter < _OVERLAP * longer - _LAG:
        return False
    for lag in range(-_LAG, _LAG + 1):
        a, b = mine[max(0, lag) :], theirs[max(0, -lag) :]
        n = min(len(a), len(b))
        if n >= max(_LEAST_STEPS, _OVERLAP * shorter) and _alike(a[:n], b[:n]) > _SAME:
            return True
    return False


def _alike(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(float(np.sqrt((a @ a) * (b @ b))), 1e-9))
