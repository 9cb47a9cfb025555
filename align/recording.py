"""Sound in memory and sound on disk, asked for in the same two ways.

Long recordings are listened to block by block and cut into pieces at their pauses; neither
needs the whole of it at once. `recording(sound)` and `recording(path)` hide which.
`at_speech_rate` brings any of it to the 16 kHz that recogniser and engines work at. It does so
with scipy, because torch, which `media.audio.resample` calls, takes half a gigabyte and three
seconds to load and nothing else here needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from media.audio import Sound

__all__ = ["RATE", "Recording", "at_speech_rate", "recording"]

RATE = 16_000
"""Hz, what recogniser and engines work at."""
# A Kaiser window of 96 dB over 32 zero crossings, passing 95 % of the band.
_CROSSINGS, _PASS, _BETA = 32, 0.95, 9.6

# Compressed, this may be an hour; read whole it would be a gigabyte.
_LARGE_BYTES = 20_000_000


class Recording(Protocol):
    """Sound that can be gone through more than once."""

    @property
    def rate(self) -> int:
        """Samples a second."""
        ...

    def blocks(self, length_s: int) -> Iterator[Sound]:
        """Consecutive sounds of `length_s` seconds; the last one may be shorter."""
        ...

    def cuts(self, spans: Sequence[tuple[float, float]]) -> Iterator[Sound]:
        """These stretches (seconds, in order, not overlapping)."""
        ...


class _InMemory:
    def __init__(self, sound: Sound) -> None:
        self._sound = sound

    @property
    def rate(self) -> int:
        return self._sound.rate

    def blocks(self, length_s: int) -> Iterator[Sound]:
        size = length_s * self.rate
        for at in range(0, max(len(self._sound), 1), size):
            yield type(self._sound)(self._sound.samples[at : at + size], self.rate)

    def cuts(self, spans: Sequence[tuple[float, float]]) -> Iterator[Sound]:
        for start, end in spans:
            yield self._sound.cut(start, end)


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> NDArray[np.float32]:
    from scipy.signal import firwin

    widest = max(up, down)
    taps = firwin(2 * _CROSSINGS * widest + 1, _PASS / widest, window=("kaiser", _BETA))
    return np.asarray(taps, dtype=np.float32)


def at_speech_rate(sound: Sound) -> Sound:
    """The same sound at 16 kHz, ceil(n * 16000 / rate) samples; the start stays where it is."""
    if sound.rate == RATE or not len(sound):
        return type(sound)(sound.samples, RATE)
    from scipy.signal import resample_poly

    common = gcd(RATE, sound.rate)
    up, down = RATE // common, sound.rate // common
    done = resample_poly(sound.samples, up, down, window=_filter(up, down))
    return type(sound)(np.asarray(done, dtype=np.float32), RATE)


def recording(source: Sound | Path) -> Recording:
    """`source` as a recording; large files are read anew for every pass.

    Raises `MediaError` for a file that cannot be read as sound.
    """
    if not isinstance(source, Path):
        return _InMemory(source)
    from media.audio import read_sound

    try:
        large = source.stat().st_size > _LARGE_BYTES
    except OSError:
        large = False  # `read_sound` says what is wrong with it
    if not large:
        return _InMemory(read_sound(source))
    from media.sound_stream import SoundStream

    return SoundStream(source)
