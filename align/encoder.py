"""What the recogniser makes of a sound before it looks for words: 384 numbers, 50 times a second.

Whisper's encoder was trained on what very many people say, and tells sounds of speech apart that
look alike in a spectrum. Reading it costs a hundredth of its length on one processor; the
decoder, which writes words down, is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from align.recognise import recogniser
from align.recording import RATE, at_speech_rate
from media.far import let_go, pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from media.audio import Sound

__all__ = ["ENCODED_PER_S", "ENCODED_SIZE", "Encoding", "encoded"]

ENCODED_PER_S = 50
"""Rows a second; row i is heard in the 20 ms from i / 50 s on, and around."""
ENCODED_SIZE = 384
"""Numbers a row."""

# A row depends a little on where in its window it lies, so windows are short and alike: a new
# line is a few seconds long, too. Rows of the margins are left out.
_HOP_S, _MARGIN_S = 8, 1
_HOP_SAMPLES = RATE // ENCODED_PER_S
# The loud parts of every sound are brought to one level (root mean square); below this it is
# silence.
_LOUD, _LOUD_SHARE, _SILENT = 0.12, 95, 1e-4
# Where it sounds: less than 20 dB below what a second in all (or a quarter) is louder than.
_SOUNDING, _LOUDEST, _LOUDEST_SHARE = 0.1, ENCODED_PER_S, 4


class Encoding:
    """What the recogniser makes of `sound` (any rate, any length), one window of 8 s at a time.

    As long as the sound, or `at_least_s` with silence behind it. Windows do not depend on each
    other, only on how loud the whole sound is where it is not silent.
    """

    def __init__(self, sound: Sound, at_least_s: float = 0.0) -> None:
        self._samples = at_speech_rate(sound).samples
        said = -(-len(self._samples) * ENCODED_PER_S // RATE)
        self.rows = max(said, ceil(at_least_s * ENCODED_PER_S - 1e-6))
        self._gain = np.float32(_LOUD / _level(self._samples))

    def __len__(self) -> int:
        return -(-self.rows // (_HOP_S * ENCODED_PER_S))

    def span(self, number: int) -> tuple[int, int]:
        """The first row of a window, and the first after it."""
        first = number * _HOP_S * ENCODED_PER_S
        return first, min(first + _HOP_S * ENCODED_PER_S, self.rows)

    def window(self, number: int) -> NDArray[np.float32]:
        """Rows float32[k, 384] of a window. Raises `WeightsError` without the recogniser."""
        first, last = self.span(number)
        margin = min(first, _MARGIN_S * ENCODED_PER_S)
        start = (first - margin) * _HOP_SAMPLES
        stop = (last + _MARGIN_S * ENCODED_PER_S) * _HOP_SAMPLES
        window = self._gain * self._samples[start:stop]
        rows = _rows(np.pad(window, (0, stop - start - len(window))))
        let_go(self._samples)
        return rows[margin : margin + last - first]


def encoded(sound: Sound, at_least_s: float = 0.0) -> Iterator[NDArray[np.float32]]:
    """Consecutive rows float32[k, 384] of a sound, at most 8 s at once; see `Encoding`.

    In all 50 rows a second, rounded up. Raises `WeightsError` when the recogniser is not there.
    """
    whole = Encoding(sound, at_least_s)
    for number in range(len(whole)):
        yield whole.window(number)


def _level(samples: NDArray[np.float32]) -> float:
    """How loud a sound (16 kHz) is where it sounds; silence before or behind it changes nothing.

    The 95th percentile of its root mean squares over 20 ms, of those stretches that are not much
    quieter than its loud ones. A percentile of all would fall with every minute of silence.
    """
    if not len(samples):
        return _SILENT
    whole = samples[: max(len(samples) // _HOP_SAMPLES, 1) * _HOP_SAMPLES]
    parts = whole.reshape(-1, min(_HOP_SAMPLES, len(whole)))
    power = np.empty(len(parts), np.float32)
    for piece in pieces(parts):
        power[piece] = np.einsum("ij,ij->i", parts[piece], parts[piece]) / parts.shape[1]
    heard = np.sort(power[power > _SILENT**2])[::-1]
    if not len(heard):
        return _SILENT
    loud = heard[min(_LOUDEST, len(heard) // _LOUDEST_SHARE)]
    return float(np.sqrt(np.percentile(power[power >= loud * _SOUNDING**2], _LOUD_SHARE)))


def _rows(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """The encoder's rows float32[len(window) / 320, 384] of some seconds at 16 kHz."""
    if not window.any():
        return _silent_rows(len(window))
    return _heard_rows(window)


@lru_cache(maxsize=3)
def _silent_rows(samples: int) -> NDArray[np.float32]:
    """Of digital silence, which may last for minutes before a line."""
    rows = _heard_rows(np.zeros(samples, np.float32))
    rows.setflags(write=False)
    return rows


def _heard_rows(window: NDArray[np.float32]) -> NDArray[np.float32]:
    model, lock = recogniser()
    with lock:
        mel = model.feature_extractor(window, padding=0)
        rows: NDArray[np.float32] = np.asarray(model.encode(mel.astype(np.float32)))
    return rows.reshape(-1, ENCODED_SIZE)
