"""The channels of a recording: heard apart, and streamed in the mixture that carries it.

    for block in channel_blocks(path): ...            # float32 [channels, n], as decoded
    stream = MixedStream(path, (1.0, 0.0))            # the left one alone
    stream = MixedStream(path, (0.5, -0.5))           # one of them was wired the wrong way round

`media.sound_stream` averages all channels, which is right until one is dead (half the level and
all its noise) or inverted (next to nothing is left).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.audio import _BLOCK, Samples, Sound, _decoded_channels, _on_clock
from media.errors import MediaError
from media.sound_stream import SoundStream, _format_of

__all__ = ["MixedStream", "channel_blocks"]

Channels = NDArray[np.float32]


class MixedStream(SoundStream):
    """A `SoundStream` whose channels are summed with `weights` (None: averaged).

    A file that has another number of channels than there are weights is averaged.
    """

    def __init__(self, path: Path, weights: Sequence[float] | None = None) -> None:
        super().__init__(path)
        self._weights = None if weights is None else np.asarray(weights, dtype=np.float32)

    def _samples(self) -> Generator[Samples, None, None]:
        if self._weights is None:
            yield from super()._samples()
            return
        if self._native:
            parts = (self._mixed(block) for block in _native_channels(self.path))
        else:
            parts = self._from_container()
        yield from (part for part in parts if len(part))

    def _from_container(self) -> Generator[Samples, None, None]:
        from media._container import open_input, picture_start

        start = picture_start(self.path)
        with open_input(self.path) as container:
            pieces = ((at, self._mixed(part)) for at, part in _decoded_channels(container))
            yield from _on_clock(pieces, self.rate, start)

    def _mixed(self, channels: Channels) -> Samples:
        if self._weights is None or len(self._weights) != len(channels):
            return np.asarray(channels.mean(axis=0, dtype=np.float32))
        return np.asarray(self._weights @ channels, dtype=np.float32)

    def windows(self, spans: Sequence[tuple[float, float]]) -> Iterator[Sound]:
        """The stretches `spans` (seconds, ordered by start; they may overlap), one by one.

        Each begins at its `Sound.start`; what the file does not have is left out. No more is
        held than the longest stretch and one piece of the file.
        """
        held = np.zeros(0, np.float32)
        base, ended = 0, False  # where `held` begins; whether the file has been read
        with closing(self._samples()) as parts:
            for start_s, end_s in spans:
                first, last = max(0, round(start_s * self.rate)), round(end_s * self.rate)
                skipped = min(max(first - base, 0), len(held))
                pieces, base = [held[skipped:]], base + skipped
                count = len(pieces[0])
                while not ended and base + count < last:
                    part = next(parts, None)
                    if part is None:
                        ended = True
                        break
                    if count == 0 and base + len(part) <= first:
                        base += len(part)  # nobody asked for this
                        continue
                    pieces.append(part)
                    count += len(part)
                held = np.concatenate(pieces)
                lead = max(0, first - base)
                yield self._sound(held[lead : max(lead, last - base)].copy(), base + lead)


def channel_blocks(path: Path) -> Iterator[Channels]:
    """Consecutive float32 [channels, n] of a sound or video file, as they decode.

    Raises `MediaError` when the file cannot be read as sound.
    """
    native, _ = _format_of(path)
    if native:
        yield from _native_channels(path)
        return
    from media._container import open_input

    with open_input(path) as container:
        for _, block in _decoded_channels(container):
            yield block


def _native_channels(path: Path) -> Iterator[Channels]:
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(path)) as stream:
            for block in stream.blocks(_BLOCK, dtype="float32", always_2d=True):
                yield np.ascontiguousarray(block.T)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"'{path}' cannot be decoded; copy it again from its source") from error
