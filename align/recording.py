"""Sound in memory and sound on disk, asked for in the same two ways.

Long recordings are listened to block by block and cut into pieces at their pauses; neither
needs the whole of it at once. `recording(sound)` and `recording(path)` hide which.
`at_speech_rate` brings any of it to the 16 kHz that recogniser and engines work at. It does so
with NumPy: torch, which `media.audio.resample` calls, takes half a gigabyte and three seconds to
load, `scipy.signal` two, and nothing else here needs them.
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
# New samples made in one go, and how many numbers their table may have.
_LEAST_IN_GROUP, _MOST_IN_TABLE = 16, 1 << 20
# Numbers laid out for one product.
_AT_ONCE = 1 << 19

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
def _bank(up: int, down: int) -> tuple[int, int, NDArray[np.float32]]:
    """New samples are made in groups that all depend in the same way on what lies around them.

    How many samples before a group it begins to depend on them, how many it takes the time of,
    and what each gives to each of the group: float32[samples, group].
    """
    widest = max(up, down)
    middle = _CROSSINGS * widest
    steps = np.arange(-middle, middle + 1)
    taps = np.sinc(_PASS / widest * steps) * np.kaiser(2 * middle + 1, _BETA)
    taps *= up / taps.sum()
    before, cycles = middle // up, _cycles(up)
    group = np.arange(cycles * up)
    inside = np.arange(-before, (group[-1] * down + middle) // up + 1)
    place = group * down + middle - inside[:, None] * up
    known = (place >= 0) & (place <= 2 * middle)
    bank = np.where(known, taps[np.clip(place, 0, 2 * middle)], 0.0)
    return before, cycles * down, np.asarray(bank, dtype=np.float32)


def _cycles(up: int) -> int:
    """How many times both rates meet in a group."""
    return max(1, _LEAST_IN_GROUP // up)


def _table_size(up: int, down: int) -> int:
    """About how many numbers `_bank` gives."""
    cycles = _cycles(up)
    return cycles * (2 * _CROSSINGS * max(up, down) + cycles * up * down)


def at_speech_rate(sound: Sound) -> Sound:
    """The same sound at 16 kHz, ceil(n * 16000 / rate) samples; the start stays where it is."""
    if sound.rate == RATE or not len(sound):
        return type(sound)(sound.samples, RATE)
    common = gcd(RATE, sound.rate)
    up, down = RATE // common, sound.rate // common
    if _table_size(up, down) > _MOST_IN_TABLE:
        return _at_odd_rate(sound, up, down)
    before, step, bank = _bank(up, down)
    count = -(-len(sound) * up // down)
    groups = -(-count // bank.shape[1])
    padded = np.zeros((groups - 1) * step + len(bank), np.float32)
    kept = sound.samples[: len(padded) - before]
    padded[before : before + len(kept)] = kept
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(bank))[::step]
    rows = max(1, _AT_ONCE // len(bank))
    # Rows that overlap in memory are multiplied one number at a time by NumPy before 2.3.
    parts = (np.ascontiguousarray(windows[at : at + rows]) for at in range(0, groups, rows))
    done = [part @ bank for part in parts]
    return type(sound)(np.concatenate(done).reshape(-1)[:count], RATE)


def _at_odd_rate(sound: Sound, up: int, down: int) -> Sound:
    """For rates whose table would be huge: little in common with 16 kHz (44056 and 47952 Hz, of
    slowed film), or far above it.
    """
    from scipy.signal import resample_poly

    done = resample_poly(sound.samples, up, down, window=_odd_taps(max(up, down)))
    return type(sound)(np.asarray(done, dtype=np.float32), RATE)


@lru_cache(maxsize=2)
def _odd_taps(widest: int) -> NDArray[np.float32]:
    """The same window as in `_bank`, once for all blocks of a recording."""
    from scipy.signal import firwin

    taps = firwin(2 * _CROSSINGS * widest + 1, _PASS / widest, window=("kaiser", _BETA))
    return np.asarray(taps, dtype=np.float32)


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
