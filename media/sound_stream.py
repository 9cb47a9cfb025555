"""Sound files of any length, a block at a time.

    stream = SoundStream(Path("interview.mov"))
    for block in stream.blocks(60): ...           # consecutive Sounds of a minute
    for part in stream.cuts([(3.0, 9.5), (12.0, 20.0)]): ...   # these stretches, in order

The same samples as `media.audio.read_sound` gives, at the file's own rate, without ever holding
more than a block and a stretch of them.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np

from media.audio import _BLOCK, Samples, Sound, _decoded, _on_clock, check_rate
from media.errors import MediaError, NoSoundError

__all__ = ["SoundStream"]


class SoundStream:
    """A sound or video file, mixed down to mono, read anew for every pass.

    `rate` is in Hz. Raises `NoSoundError` for a video without sound, `MediaError` when the
    file is missing, unreadable, not media, or holds samples that are not numbers.
    """

    def __init__(self, path: Path) -> None:
        from media._container import check_readable

        self.path = Path(path)
        check_readable(self.path)
        self._native, self.rate = _format_of(self.path)

    def _samples(self) -> Generator[Samples, None, None]:
        """Mono samples as the file hands them out; no empty pieces."""
        parts = _from_sndfile(self.path) if self._native else _from_container(self.path, self.rate)
        return (part for part in parts if len(part))

    def blocks(self, length_s: int) -> Iterator[Sound]:
        """Consecutive sounds of exactly `length_s` seconds; the last one may be shorter."""
        size = length_s * self.rate
        held: list[Samples] = []
        count = at = 0
        with closing(self._samples()) as parts:
            for part in parts:
                held.append(part)
                count += len(part)
                while count >= size:
                    whole = np.concatenate(held)
                    yield self._sound(whole[:size], at)
                    held, count, at = [whole[size:]], count - size, at + size
        if count:
            yield self._sound(np.concatenate(held), at)

    def cuts(self, spans: Sequence[tuple[float, float]]) -> Iterator[Sound]:
        """The stretches `spans` (seconds; in order, not overlapping), as `Sound.cut` cuts them."""
        held: list[Samples] = []
        count = base = 0  # samples held, and where they begin
        with closing(self._samples()) as parts:
            for start_s, end_s in spans:
                first, last = (
                    floor(Fraction(t) * self.rate + Fraction(1, 2)) for t in (start_s, end_s)
                )
                while base + count < last and (part := next(parts, None)) is not None:
                    held.append(part)
                    count += len(part)
                    while held and base + len(held[0]) <= first:
                        dropped = len(held.pop(0))
                        base, count = base + dropped, count - dropped
                whole = np.concatenate(held) if held else np.zeros(0, np.float32)
                yield self._sound(whole[max(0, first - base) : max(0, last - base)].copy(), first)
                # What later stretches may still want; the rest would pile up where they touch.
                rest = whole[max(0, last - base) :].copy()
                held, count, base = [rest], len(rest), base + len(whole) - len(rest)

    def _sound(self, samples: Samples, start: int) -> Sound:
        try:
            return Sound(samples, self.rate, start)
        except MediaError as error:
            raise MediaError(f"'{self.path}': {error}") from error


def _format_of(path: Path) -> tuple[bool, int]:
    """Whether libsndfile reads the file, and its rate in Hz."""
    import soundfile

    from media._container import open_input, sound_rate

    try:
        with soundfile.SoundFile(os.fsencode(path)) as stream:
            check_rate(stream.samplerate, path)
            return True, int(stream.samplerate)
    except soundfile.LibsndfileError:
        pass
    with open_input(path) as container:
        if not container.streams.audio:
            raise NoSoundError(f"'{path}' has no sound; give footage with a sound track")
        rate = sound_rate(container)
    if rate <= 0:
        raise MediaError(f"no sound in '{path}' can be decoded; copy it again from its source")
    check_rate(rate, path)
    return False, rate


def _from_sndfile(path: Path) -> Generator[Samples, None, None]:
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(path)) as stream:
            for block in stream.blocks(_BLOCK, dtype="float32", always_2d=True):
                yield block.mean(axis=1, dtype=np.float32)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            f"'{path}' cannot be read to its end ({error}); copy it again from its source"
        ) from error


def _from_container(path: Path, rate: int) -> Generator[Samples, None, None]:
    from media._container import open_input, picture_start

    start = picture_start(path)
    with open_input(path) as container:
        yield from _on_clock(_decoded(container), rate, start)
