"""What the speech recogniser's encoder hears, in few numbers: a third input of lip motion.

    ear, heard = Ear.learn(sounds)       # heard[i]: float32[rows, d] of sounds[i]
    heard_now = ear(sound)

The encoder (`align.encoder`) was trained on very many people and knows sounds apart that one
person's footage has too few of. Its numbers are reduced to the directions in which this archive
moves most (principal components, all brought to one spread).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["HEARD_PER_S", "Ear"]

#: Rows a second.
HEARD_PER_S = 50

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_MOST_DIRECTIONS = 48
# So many rows a direction, and the directions are found in so much speech at most (11 MB).
_ROWS_EACH, _ENOUGH_ROWS = 12, 300 * HEARD_PER_S


@dataclass(frozen=True, slots=True, eq=False)
class Ear:
    """`mean` float64[384] and `axes` float64[384, d] turn the encoder's rows into d numbers."""

    mean: Doubles
    axes: Doubles

    @classmethod
    def learn(cls, sounds: Sequence[Sound]) -> tuple[Ear | None, list[Floats]]:
        """The ear for these recordings, and what it hears in each of them, 50 rows a second.

        None, and nothing, when the recogniser is not there.
        """
        from align.encoder import encoded
        from media.errors import WeightsError

        blocks = ((i, rows) for i, sound in enumerate(sounds) for rows in encoded(sound))
        first: list[tuple[int, Floats]] = []
        held = 0
        try:
            for number, rows in blocks:
                first.append((number, rows))
                held += len(rows)
                if held >= _ENOUGH_ROWS:
                    break
        except WeightsError:
            return None, []
        if held < 2 * _ROWS_EACH:
            return None, []
        ear = cls._of(np.concatenate([rows for _, rows in first]))
        parts: list[list[Floats]] = [[] for _ in sounds]
        for number, rows in chain(first, blocks):
            parts[number].append(ear._reduced(rows))
        return ear, [np.concatenate(p) if p else ear._nothing() for p in parts]

    @classmethod
    def _of(cls, rows: Floats) -> Ear:
        mean = rows.mean(0, dtype=np.float64)
        spread, axes = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
        best = np.argsort(-spread, kind="stable")[: min(_MOST_DIRECTIONS, len(rows) // _ROWS_EACH)]
        scale = np.sqrt(np.maximum(spread[best], 1e-9 * spread.max()))
        return cls(mean, axes[:, best] / scale)

    def __call__(self, sound: Sound) -> Floats:
        """What is heard in `sound`, float32[rows, d]. Raises `WeightsError`."""
        from align.encoder import encoded

        parts = [self._reduced(rows) for rows in encoded(sound)]
        return np.concatenate(parts) if parts else self._nothing()

    def _reduced(self, rows: Floats) -> Floats:
        return ((rows - self.mean) @ self.axes).astype(np.float32)

    def _nothing(self) -> Floats:
        """One row in which the mean is heard, for a sound without samples."""
        return np.zeros((1, self.axes.shape[1]), np.float32)
