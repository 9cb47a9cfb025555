"""Sound in memory and sound on disk, asked for in the same two ways.

Long recordings are listened to a minute at a time and cut into pieces at their pauses;
neither needs the whole of it at once. `recording(sound)` and `recording(path)` hide which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["Recording", "recording"]

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
