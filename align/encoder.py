"""What the recogniser makes of a sound before it looks for words: 384 numbers, 50 times a second.

Whisper's encoder was trained on what very many people say, and tells sounds of speech apart that
look alike in a spectrum. Reading it costs a hundredth of its length on one processor; the
decoder, which writes words down, is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from align.recognise import recogniser
from align.recording import RATE, at_speech_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from media.audio import Sound

__all__ = ["ENCODED_PER_S", "ENCODED_SIZE", "encoded"]

ENCODED_PER_S = 50
"""Rows a second; row i is heard in the 20 ms from i / 50 s on, and around."""
ENCODED_SIZE = 384
"""Numbers a row."""

# A row depends a little on where in its window it lies, so windows are short and alike: a new
# line is a few seconds long, too. Rows of the margins are left out.
_HOP_S, _MARGIN_S = 8, 1
_HOP_SAMPLES = RATE // 100
# The loud parts of every sound are brought to one level; below this it is silence.
_LOUD, _LOUD_SHARE, _SILENT = 0.25, 99.5, 1e-4


def encoded(sound: Sound) -> Iterator[NDArray[np.float32]]:
    """Consecutive rows float32[k, 384] of `sound` (any rate, any length), at most 8 s at once.

    In all 50 rows a second, rounded up. Raises `WeightsError` when the recogniser is not there.
    """
    samples = at_speech_rate(sound).samples
    rows = -(-len(samples) * ENCODED_PER_S // RATE)
    loud = float(np.percentile(np.abs(samples[: 600 * RATE]), _LOUD_SHARE)) if rows else 0.0
    gain = np.float32(_LOUD / max(loud, _SILENT))
    for first in range(0, rows, _HOP_S * ENCODED_PER_S):
        last = min(first + _HOP_S * ENCODED_PER_S, rows)
        margin = min(first, _MARGIN_S * ENCODED_PER_S)
        start = (first - margin) * RATE // ENCODED_PER_S
        stop = (last + _MARGIN_S * ENCODED_PER_S) * RATE // ENCODED_PER_S
        window = gain * samples[start:stop]
        window = np.pad(window, (0, stop - start - len(window)))
        yield _rows(window)[margin : margin + last - first]


def _rows(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """The encoder's rows float32[len(window) / 320, 384] of some seconds at 16 kHz."""
    model, lock = recogniser()
    with lock:
        mel = model.feature_extractor(window, padding=0)
        rows: NDArray[np.float32] = np.asarray(model.encode(mel.astype(np.float32)))
    return rows.reshape(-1, ENCODED_SIZE)
