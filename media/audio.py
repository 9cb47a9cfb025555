"""Sound as numbers: read anything, write WAV, change the sample rate.

Everything here is mono float32 in -1..1. WAV, FLAC, Ogg and MP3 go through libsndfile,
all else (video files, M4A, ...) through FFmpeg. The sound of a video file starts with its
first picture, so that sample `rate.sample_of(n, sound.rate)` belongs to frame n.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError, NoSoundError
from media.far import FarRows, pieces
from media.files import atomic_path

if TYPE_CHECKING:
    from av.container import InputContainer

__all__ = ["Sound", "check_rate", "has_sound", "read_sound", "resample", "write_wav"]

Samples = NDArray[np.float32]

# A hole in a stream longer than this is silence; shorter is rounding of time stamps.
_GAP_S = Fraction(4, 100)
_LONGEST_HOLE_S = 6 * 3600  # beyond it the time stamp is wrong, not the sound missing
_BLOCK = 1 << 18
_LONG = 1 << 20  # samples; fewer are kept in memory
_MOST_SAMPLES = 1 << 29  # 2 GB; three hours at 48 kHz
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 3_000_000  # Hz
_TOO_LONG = "the sound is too long to be held at once; cut it into parts"
# 96 dB Kaiser window, the "kaiser_best" of resampy (J. O. Smith, Digital Audio Resampling).
_HALF_WIDTH = 64
_KAISER: dict[str, Any] = {
    "lowpass_filter_width": _HALF_WIDTH,
    "rolloff": 0.9475937167399596,
    "resampling_method": "sinc_interp_kaiser",
    "beta": 14.769656459379492,
}


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One channel of sound.

    `samples` float32 [n] in -1..1, `rate` in Hz, `start` in samples since midnight (the
    TimeReference of a broadcast WAV). Other number types are converted as they are.

    Raises `MediaError` for samples that are not numbers (NaN, infinity), not one channel,
    or a rate that is not positive.
    """

    samples: Samples
    rate: int
    start: int = 0

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        object.__setattr__(self, "samples", samples)
        if samples.ndim != 1:
            raise MediaError(f"a sound has one channel, not the shape {samples.shape}; mix it down")
        if self.rate <= 0:
            raise MediaError(f"a sample rate of {self.rate} Hz is not possible; give one above 0")
        if not all(np.isfinite(samples[p]).all() for p in pieces(samples, _BLOCK)):
            raise MediaError("the sound holds samples that are not numbers; export it again")

    def __len__(self) -> int:
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> Fraction:
        """Length in seconds, exact."""
        return Fraction(len(self), self.rate)

    def cut(self, start_s: Fraction | float, end_s: Fraction | float) -> Sound:
        """The part from `start_s` to `end_s` (seconds; nearest samples, kept inside)."""
        first, last = (
            min(max(floor(Fraction(t) * self.rate + Fraction(1, 2)), 0), len(self))
            for t in (start_s, end_s)
        )
        return replace(
            self, samples=self.samples[first : max(first, last)].copy(), start=self.start + first
        )

    def fitted(self, samples: int) -> Sound:
        """Exactly `samples` long: cut at the end, or filled with silence."""
        kept = self.samples[:samples]
        return replace(self, samples=np.pad(kept, (0, samples - len(kept))))


def read_sound(path: Path, rate: int | None = None, *, away: bool = False) -> Sound:
    """Read a sound or video file, mixed down to mono, at `rate` Hz (None: as recorded).

    The channels are averaged. The sound of a video file begins at its first picture. With a
    `rate` it is converted as it is read (as `resample` does), never held at its own. With `away` a
    long one is left in a temporary file (`media.far`).

    Raises `NoSoundError` for a video without sound, `MediaError` when the file is missing,
    unreadable, not media, or holds samples that are not numbers, and `OutputError` when there is no
    room for temporary files.
    """
    from media._container import check_readable

    path = Path(path)
    check_readable(path)
    try:
        return _read_sndfile(path, rate, away) or _read_container(path, rate, away)
    except MediaError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"'{path}': {error}") from error


def has_sound(path: Path) -> bool:
    """Whether the file has a sound track. Raises `MediaError` when it cannot be read."""
    from media._container import open_input

    with open_input(Path(path)) as container:
        return bool(container.streams.audio)


def resample(sound: Sound, rate: int) -> Sound:
    """The same sound at `rate` Hz, by windowed-sinc interpolation (Kaiser, about 96 dB).

    Long sounds are worked in stretches, so memory grows only with the result. The length
    is ceil(n * rate / sound.rate); sample 0 stays at time 0.
    """
    if rate == sound.rate or not len(sound):
        return replace(sound, rate=rate, start=_rescale(sound.start, sound.rate, rate))
    if rate <= 0:
        raise MediaError(f"a sample rate of {rate} Hz is not possible; give one above 0")
    if -(-len(sound) * rate // sound.rate) > _MOST_SAMPLES:
        raise MediaError(
            f"{float(sound.duration_s):.0f} s of sound are too long to be held at {rate} Hz; cut "
            "them into parts, or mend the sample rate in the file's head"
        )
    samples = _joined(list(_converted([sound.samples], sound.rate, rate)))
    return Sound(samples, rate, _rescale(sound.start, sound.rate, rate))


def _converted(pieces: Iterable[Samples], old: int, new: int | None) -> Iterator[Samples]:
    """The same sound at `new` Hz (None: as it is), in other pieces."""
    if new is None or new == old:
        yield from pieces
        return
    if new <= 0:
        raise MediaError(f"a sample rate of {new} Hz is not possible; give one above 0")
    common = gcd(new, old)
    down, up = old // common, new // common
    # Context on either side: the filter's half width in input samples, in whole cycles.
    half = int(_HALF_WIDTH * max(1.0, old / new) / 0.9) + 1
    context = -(-half // down) * down
    step = max(_BLOCK // down, 1) * down
    for stretch, left, count in _stretches(pieces, step, context):
        # torchaudio counts its output in float32, which can lose the last sample of a long
        # piece: one more cycle of silence, which the filter supposes there anyway.
        done = _resample_piece(np.pad(stretch, (0, down)), old, new)
        first = left // down * up
        yield done[first : first - (-count * up // down)].copy()  # let the context go


def _stretches(
    pieces: Iterable[Samples], step: int, context: int
) -> Iterator[tuple[Samples, int, int]]:
    """`step` samples at a time with up to `context` more on either side of them.

    Yields (samples, how many come before the new ones, how many are new); the last stretch may
    be shorter.
    """
    held: list[Samples] = []
    left = count = 0  # samples of context, and new ones, in `held`
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count < step + context:
            continue
        whole = np.concatenate(held) if len(held) > 1 else held[0]
        while count >= step + context:
            yield whole[: left + step + context], left, step
            kept = min(context, left + step)
            whole, left, count = whole[left + step - kept :], kept, count - step
        held = [whole]
    whole = np.concatenate(held) if held else np.zeros(0, np.float32)
    while count > 0:
        new = min(step, count)
        yield whole[: left + new + context], left, new
        kept = min(context, left + new)
        whole, left, count = whole[left + new - kept :], kept, count - new


def write_wav(path: Path, sound: Sound, subtype: str = "PCM_24") -> None:
    """Write a WAV file: whole or not at all. Samples beyond -1..1 are clipped.

    `subtype` is libsndfile's ("PCM_16", "PCM_24", "FLOAT"). Raises `OutputError`.
    """
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples, sound.rate, subtype=subtype, format="WAV")
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _rescale(samples: int, old: int, new: int) -> int:
    return floor(Fraction(samples * new, old) + Fraction(1, 2))


def _resample_piece(samples: Samples, old: int, new: int) -> Samples:
    import torch
    import torchaudio.functional

    with torch.inference_mode():
        result = torchaudio.functional.resample(
            torch.from_numpy(samples.copy()), old, new, **_KAISER
        )
    done: Samples = result.numpy()
    return done


def _read_sndfile(path: Path, wanted: int | None, away: bool) -> Sound | None:
    """Through libsndfile; None when it does not know the format."""
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(path)) as stream:
            rate = int(stream.samplerate)
            check_rate(rate, path)
            if stream.frames * (wanted or rate) > _MOST_SAMPLES * rate:
                raise MediaError(_TOO_LONG)
            mono = (
                block.mean(axis=1, dtype=np.float32)
                for block in stream.blocks(_BLOCK, dtype="float32", always_2d=True)
            )
            samples = _whole(_converted(mono, rate, wanted), away)
    except soundfile.LibsndfileError:
        return None
    start = _bext_time_reference(path)
    samples = np.zeros(0, np.float32) if samples is None else samples
    return Sound(samples, wanted or rate, _rescale(start, rate, wanted or rate))


def check_rate(rate: int, path: Path) -> None:
    """Raise `MediaError` for a sample rate that no recorder has: the file's head is damaged."""
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise MediaError(
            f"'{path}' says that it has {rate} samples a second; copy it again from its source"
        )


def _whole(parts: Iterable[Samples], away: bool) -> Samples | None:
    """All parts as one array, None without any; a `MediaError` when they are more than fits.

    `away` leaves a long one in a file.
    """
    held: list[Samples] = []
    kept: FarRows | None = None
    count = 0
    for part in parts:
        count += len(part)
        if count > _MOST_SAMPLES:
            raise MediaError(_TOO_LONG)
        if kept is None and away and count > _LONG:
            kept = FarRows((), np.float32)
            while held:
                kept.extend(held.pop(0))
        if kept is None:
            held.append(part)
        else:
            kept.extend(part)
    if kept is not None:
        return kept.array()
    return _joined(held) if held else None


def _joined(blocks: list[Samples]) -> Samples:
    """One array of all `blocks`, which are let go one by one: memory for about one copy."""
    whole = np.empty(sum(map(len, blocks)), np.float32)
    end = len(whole)
    while blocks:
        piece = blocks.pop()
        whole[end - len(piece) : end] = piece
        end -= len(piece)
    return whole


def _bext_time_reference(path: Path) -> int:
    """TimeReference of a broadcast WAV (EBU Tech 3285), samples since midnight; else 0."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return 0
        while len(header := stream.read(8)) == 8:
            size = struct.unpack("<I", header[4:])[0]
            if header[:4] == b"bext":
                body = stream.read(346)
                return struct.unpack_from("<Q", body, 338)[0] if len(body) == 346 else 0
            if header[:4] == b"data":
                return 0
            stream.seek(size + size % 2, io.SEEK_CUR)
    return 0


def _read_container(path: Path, wanted: int | None, away: bool) -> Sound:
    """Through FFmpeg, on the picture's clock where there is a picture."""
    from media._container import open_input, picture_start, sound_rate

    start = picture_start(path)
    with open_input(path) as container:
        if not container.streams.audio:
            raise NoSoundError(f"'{path}' has no sound; give footage with a sound track")
        rate = sound_rate(container)
        samples = None
        if rate > 0:
            check_rate(rate, path)
            mono = _on_clock(_decoded(container), rate, start)
            samples = _whole(_converted(mono, rate, wanted), away)
    if samples is None:
        raise MediaError(f"no sound in '{path}' can be decoded; copy it again from its source")
    return Sound(samples, wanted or rate)


def _decoded(container: InputContainer) -> Iterator[tuple[Fraction | None, Samples]]:
    """(time in seconds, mono float32 samples) of every piece that decodes."""
    for at, block in _decoded_channels(container):
        yield at, block.mean(axis=0, dtype=np.float32)


def _decoded_channels(container: InputContainer) -> Iterator[tuple[Fraction | None, Samples]]:
    """(time in seconds, float32 [channels, n]) of every piece that decodes."""
    import av
    import av.error

    from media._container import stream_seconds

    stream = container.streams.audio[0]
    planar = av.AudioResampler(format="fltp")
    try:
        for packet in container.demux(stream):
            try:
                frames: list[Any] = list(packet.decode())
            except av.error.InvalidDataError:
                continue  # one damaged packet: the clock fills its place with silence
            for frame in frames:
                at = stream_seconds(frame.pts, frame.time_base)
                stated = _stated_length(frame)
                for part in planar.resample(frame):
                    yield at, part.to_ndarray()[:, :stated].astype(np.float32, copy=False)
    except av.error.FFmpegError:
        return  # a truncated tail: what came before is kept


def _stated_length(frame: Any) -> int | None:
    """Samples that the container says this piece has: an encoder fills its last block up."""
    if not frame.duration or frame.time_base != Fraction(1, frame.sample_rate):
        return None
    return int(frame.duration)


def _on_clock(
    pieces: Iterator[tuple[Fraction | None, Samples]], rate: int, start: Fraction | None
) -> Iterator[Samples]:
    """Lay the pieces on a clock that begins at `start` (None: at the first piece)."""
    position = 0
    for at, samples in pieces:
        if at is not None and start is None:
            start = at
        if at is not None and start is not None and rate:
            offset = floor((at - start) * rate + Fraction(1, 2)) - position
            hole = offset > _GAP_S * rate or position == 0
            if hole and 0 < offset < _LONGEST_HOLE_S * rate:
                yield np.zeros(offset, np.float32)
                position += offset
            elif position == 0 and offset < 0:
                samples = samples[-offset:]  # it sounds before the first picture
        yield samples
        position += len(samples)
