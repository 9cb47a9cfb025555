"""What the speech recogniser's encoder hears, in few numbers: a third input of lip motion.

    ear, heard = Ear.learn(spoken)       # heard[i]: float32[rows, d] of spoken[i]
    heard_now = ear(sound)

The encoder (`align.encoder`) was trained on very many people and knows sounds apart that one
person's footage has too few of. Its numbers are reduced to the directions in which this archive's
speech moves most (principal components, all brought to one spread).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._unwanted import if_wanted

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["HEARD_PER_S", "Ear", "Spoken"]

#: Rows a second.
HEARD_PER_S = 50

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_MOST_DIRECTIONS = 48
# So many rows a direction, and the directions are found in so much sound at most (23 MB).
_ROWS_EACH, _ENOUGH_ROWS = 12, 300 * HEARD_PER_S
# A direction that moves less than this share of the most (variances) is not blown up to one
# spread with the others: it would be noise.
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sound, where its phones are, and for how long there are pictures (silence follows it)."""

    sound: Sound
    timing: Timing
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Ear:
    """`mean` float64[384] and `axes` float64[384, d] turn the encoder's rows into d numbers."""

    mean: Doubles
    axes: Doubles

    @classmethod
    def learn(cls, spoken: Sequence[Spoken]) -> tuple[Ear | None, list[Floats]]:
        """The ear for these recordings, and what it hears in each of them, 50 rows a second.

        Its directions are those of the rows inside phones, of windows spread evenly over all
        recordings. None, and nothing, when the recogniser is not there or little is said.
        """
        from align.encoder import Encoding
        from media.errors import WeightsError

        whole = [Encoding(s.sound, s.seconds) for s in spoken]
        every = [(i, j) for i, sound in enumerate(whole) for j in range(len(sound))]
        kept: dict[tuple[int, int], Floats] = {}
        moments = _Moments()
        try:
            for i, j in _spread_out(every, sum(sound.rows for sound in whole)):
                if_wanted()
                kept[i, j] = rows = whole[i].window(j)
                moments.add(rows[_inside(spoken[i].timing, *whole[i].span(j))])
        except WeightsError:
            return None, []
        if moments.count < 2 * _ROWS_EACH:
            return None, []
        ear = cls(*moments.directions())
        parts: list[list[Floats]] = [[] for _ in spoken]
        for i, j in every:
            if_wanted()
            rows = kept.pop((i, j)) if (i, j) in kept else whole[i].window(j)
            parts[i].append(ear._reduced(rows))
        return ear, [ear._joined(part) for part in parts]

    def __call__(self, sound: Sound, at_least_s: float = 0.0) -> Floats:
        """What is heard in `sound`, float32[rows, d], and in silence behind it up to `at_least_s`.

        Raises `WeightsError`.
        """
        from align.encoder import encoded

        return self._joined([self._reduced(rows) for rows in encoded(sound, at_least_s)])

    def _reduced(self, rows: Floats) -> Floats:
        return ((rows - self.mean) @ self.axes).astype(np.float32)

    def _joined(self, parts: Sequence[Floats]) -> Floats:
        """Rows one after the other; one in which the mean is heard, for a sound without samples."""
        return np.concatenate(parts or [np.zeros((1, self.axes.shape[1]), np.float32)])


class _Moments:
    """Sums of rows and of their products, so that nothing is held twice."""

    def __init__(self) -> None:
        self.count = 0
        self._total: Doubles | float = 0.0
        self._products: Doubles | float = 0.0

    def add(self, rows: Floats) -> None:
        exact = rows.astype(np.float64)
        self.count += len(exact)
        self._total = self._total + exact.sum(0)
        self._products = self._products + exact.T @ exact

    def directions(self) -> tuple[Doubles, Doubles]:
        """The mean [k], and axes [k, d] along which most moves, scaled to one spread."""
        mean = np.asarray(self._total / self.count)
        covariance = self._products / self.count - np.outer(mean, mean)
        spread, axes = np.linalg.eigh(covariance)
        wanted = min(_MOST_DIRECTIONS, self.count // _ROWS_EACH)
        best = np.argsort(-spread, kind="stable")[:wanted]
        floor = max(_LEAST_SPREAD * float(spread.max()), 1e-12)
        return mean, axes[:, best] / np.sqrt(np.maximum(spread[best], floor))


def _spread_out(windows: Sequence[tuple[int, int]], rows: int) -> list[tuple[int, int]]:
    """All windows, or as many of them as hold enough of all their `rows`, evenly spread."""
    count = max(1, len(windows) * min(rows, _ENOUGH_ROWS) // max(rows, 1))
    return [windows[k * len(windows) // count] for k in range(count)] if windows else []


def _inside(timing: Timing, first: int, last: int) -> NDArray[np.bool_]:
    """Which rows from `first` to `last` have their middle inside a phone."""
    middles = (np.arange(first, last) + 0.5) / HEARD_PER_S
    starts = np.array([p.start_s for p in timing.phones])
    ends = np.array([p.end_s for p in timing.phones])
    before = np.searchsorted(starts, middles, side="right") - 1
    return np.asarray((before >= 0) & (middles < ends[before]) if len(starts) else before >= 0)
