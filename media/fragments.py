"""Video that plays while it is being made: fragmented MP4 into a pipe, a socket or a file."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from media.audio import Sound, resample
from media.colour import RgbConverter
from media.footage import FootageInfo
from media.picture import Change, Picture, painted, patched

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["FragmentWriter"]

_SOUND_RATE = 48_000
_BLOCK = 1024
_FRAGMENT_US = 80_000


class FragmentWriter:
    """Write pictures as a stream that a browser plays at once; for looking, not for delivery.

    `sink` only needs `write(bytes)`; a fragment goes there every two or three pictures. x264 at
    its fastest, 8 bits 4:2:0, `sound` (from the first picture on) as AAC. A last odd column or
    line is left out.
    """

    def __init__(
        self, sink: BinaryIO, like: FootageInfo, *, sound: Sound | None = None, quality: int = 23
    ) -> None:
        import av

        # (A fragment a picture, "frag_every_frame", loses sound.)
        options = {
            "movflags": "delay_moov+default_base_moof",
            "frag_duration": str(_FRAGMENT_US),
            "flush_packets": "1",
        }
        self._container: OutputContainer = av.open(sink, "w", format="mp4", options=options)
        self._size = (like.width // 2 * 2, like.height // 2 * 2)
        self._convert = RgbConverter(like.colour, like.stored_lines, "yuv420p")
        self._video = self._add_picture(like, quality)
        self._sound = None if sound is None else resample(sound, _SOUND_RATE)
        self._audio: AudioStream | None = None
        if self._sound is not None:
            audio: Any = self._container.add_stream("aac", rate=_SOUND_RATE, layout="mono")
            self._audio = audio
        self._origin: Fraction | None = None
        self._sound_at = 0
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._container.mux(self._video.encode(None))
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))
        self._container.close()

    def write_changed(self, picture: Picture, changes: Sequence[Change] = ()) -> None:
        """Add a picture with `changes` laid in."""
        if self._origin is None:
            self._origin = picture.pts
        at = picture.pts - self._origin
        frame = self._frame(picture, changes)
        frame.pts = max(floor(at * 90_000 + Fraction(1, 2)), self._last + 1)
        frame.time_base = Fraction(1, 90_000)
        self._last = frame.pts
        self._write_sound(at)
        self._container.mux(self._video.encode(frame))

    def _add_picture(self, like: FootageInfo, quality: int) -> VideoStream:
        options = {"crf": str(quality), "preset": "ultrafast", "tune": "zerolatency"}
        stream: Any = self._container.add_stream("libx264", rate=like.rate.value, options=options)
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 90_000)
        context.sample_aspect_ratio = like.sample_aspect
        context.colorspace = like.colour.matrix_for(like.stored_lines)
        context.color_range = 2 if like.colour.full_range else 1
        context.gop_size = max(like.rate.nominal, 1)
        video: VideoStream = stream
        return video

    def _frame(self, picture: Picture, changes: Sequence[Change]) -> VideoFrame:
        width, height = self._size
        if picture.shape[:2] == (height, width) and picture.fits(self._convert):
            return patched(picture, changes, self._convert)
        return self._convert.from_rgb(painted(picture, changes)[:height, :width])

    def _write_sound(self, until_s: Fraction) -> None:
        """Sound up to a little beyond the picture that follows."""
        import av

        if self._sound is None or self._audio is None:
            return
        until = floor(until_s * _SOUND_RATE) + 2 * _BLOCK
        while self._sound_at < until:
            block = self._sound.samples[self._sound_at : self._sound_at + _BLOCK]
            block = np.pad(block, (0, _BLOCK - len(block)))[np.newaxis]
            piece = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            piece.sample_rate = _SOUND_RATE
            piece.pts, piece.time_base = self._sound_at, Fraction(1, _SOUND_RATE)
            self._container.mux(self._audio.encode(piece))
            self._sound_at += _BLOCK
