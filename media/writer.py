"""Writing footage as its source was: rate, size, colour, timecode, and sound in sync."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from media.audio import Sound, resample
from media.colour import ColourTags, RgbConverter, bit_depth
from media.errors import MediaError, OutputError
from media.far import let_go, put_away
from media.files import atomic_path, output_error
from media.footage import FootageInfo, Frame
from media.patch import ALPHA_FORMAT, COLOUR_FORMAT, keyed
from media.picture import Change, Picture, patched, repainted
from media.pieces import Pieces

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["FootageWriter"]

Codec = Literal["h264", "prores", "prores4444"]

_SOUND_RATE = 48_000
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# The index goes to the front of an .mp4, so that it plays while it is copied; a Matroska file
# would be given a random number of its own.
_MUXING = {"mp4": {"movflags": "+faststart"}, "matroska": {"fflags": "+bitexact"}}
_SOUND_BLOCK = 1024
# x264 counts qualities from 8 bits: 0 loses nothing there, -12 with 10 bits.
_LOSSLESS_10_BITS = "crf=-12"


class FootageWriter:
    """Write frames as footage like another; use it in a `with` block.

    `like` gives rate, size as displayed, pixel aspect, colour tags and start timecode.
    `codec` "h264" is x264 at constant quality `quality` (CRF, 0-51, lower is better; 14 is
    visually lossless, 0 lossless), 8 or 10 bits as the source, with the colour samples of a 10-bit
    source; "prores" is ProRes 422 HQ (.mov or .mkv); "prores4444" holds changes alone, with an
    alpha channel (`media.patch`). The container follows the ending: .mp4, .mov or .mkv. Pictures
    with an odd number of columns or lines are stored 4:4:4, so that no pixel is lost.

    With a constant rate frame n is shown at n / rate; with a variable one at its own
    `pts`; the first frame written is shown at 0 either way. `sound` is resampled to 48 kHz
    and lasts exactly as long as the picture: cut at the end, or filled with silence; AAC
    in .mp4, else 24-bit PCM.

    With `pieces` (`media.pieces`) pictures are coded piece by piece (`end_piece`) and put together
    in the end. `frames_written` begins behind the pieces that are there; they must come from the
    same frames and settings.

    The file appears under its name only when the block ends well. Raises `OutputError`
    when it cannot be written, `MediaError` for a frame of another size.
    """

    def __init__(
        self,
        path: Path,
        like: FootageInfo,
        *,
        codec: Codec = "h264",
        sound: Sound | None = None,
        quality: int = 14,
        preset: str = "veryfast",
        pieces: Pieces | None = None,
    ) -> None:
        self.path = Path(path)
        self.like = like
        self.frames_written = 0
        self._format = _container_for(self.path, codec)
        self._codec = codec
        # x264's macroblock tree gives other bytes from run to run (measured: 21 results in
        # 60 runs), and takes bits from what moves, such as a mouth.
        self._options = {
            "h264": {"crf": str(quality), "preset": preset, "mbtree": "0"},
            "prores": {"profile": "hq", "vendor": "apl0"},
            "prores4444": {"profile": "4444", "vendor": "apl0", "alpha_bits": "16"},
        }[codec]
        if codec == "h264" and like.variable_rate:
            # Frames stored in the order shown: their lengths then add up to the picture's.
            self._options["bf"] = "0"
        # Only H.264 can say that colour samples lie between pixels.
        self._centred = like.centred_chroma and codec == "h264"
        self._pix_fmt = _pix_fmt(like, codec, lossless=quality == 0)
        if codec == "h264":
            finest = quality == 0 and bit_depth(self._pix_fmt) > 8
            extra = ["chromaloc=1"] * self._centred + [_LOSSLESS_10_BITS] * finest
            self._options |= {"x264-params": ":".join(extra)} if extra else {}
        self._tick = _tick(like)
        self._sound = None if sound is None else _kept(resample(sound, _SOUND_RATE))
        self._origin: Fraction | None = None
        self._last_tick, self._last_length = -1, 1
        self._lengths: dict[int, int] = {}
        self._sound_at = 0
        self._pieces, self._piece_begun = pieces, False
        self._coder: VideoCodecContext

    def __enter__(self) -> Self:
        with ExitStack() as guard:
            self._temporary = guard.enter_context(atomic_path(self.path))
            guard.push(self._abandon_after)
            self._open()
            if self._pieces is not None:
                guard.callback(self._pieces.abandon)
                self._go_on_behind(self._pieces)
            self._guard = guard.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The guard removes the temporary file after an error and renames it otherwise.
        with self._guard:
            if error is not None:
                raise error
            self._finish()

    def write(self, frame: Frame) -> None:
        """Add a frame: uint8 [height, width, 3] of the size of `like`, later than the last."""
        shape = (self.like.height, self.like.width, 3)
        if frame.rgb.shape != shape or frame.rgb.dtype != "uint8":
            raise MediaError(
                f"frame {frame.index} is {frame.rgb.dtype} {frame.rgb.shape}, but '{self.path}' "
                f"takes uint8 {shape}; keep the size of the source"
            )
        if self._codec == "prores4444":
            raise MediaError(f"'{self.path}' takes changes of pictures, not whole frames")
        self._encode(frame.pts, frame.length, self._convert.from_rgb(frame.rgb))

    def write_changed(self, picture: Picture, changes: Sequence[Change] = ()) -> None:
        """Add a picture of the source with `changes` laid in.

        Everything else keeps the samples that the source stored (in the format written), so it
        loses nothing on a way through RGB, and costs nothing either.
        """
        shape = (self.like.height, self.like.width, 3)
        if picture.shape != shape:
            raise MediaError(
                f"picture {picture.index} is {picture.shape}, but '{self.path}' takes {shape}; "
                "keep the size of the source"
            )
        if self._codec == "prores4444":
            self._encode(picture.pts, picture.length, keyed(picture, changes, self._convert))
            return
        if picture.fits(self._convert):
            self._encode(picture.pts, picture.length, patched(picture, changes, self._convert))
            return
        whole = repainted(picture, changes)
        self._encode(picture.pts, picture.length, self._convert.from_rgb(whole))

    def _encode(self, pts: Fraction, length: Fraction | None, picture: VideoFrame) -> None:
        """Encode a picture in the written format, and the sound that goes with it."""
        if self._origin is None:
            self._origin = pts
        exact = (pts - self._origin) / self._tick
        tick = max(floor(exact + Fraction(1, 2)), self._last_tick + 1)
        picture.pts, picture.time_base = tick, self._tick
        shown = length if length and self.like.variable_rate else self.like.rate.time_of(1)
        picture.duration = self._last_length = max(round(shown / self._tick), 1)
        if self.like.variable_rate:
            self._lengths[tick] = self._last_length
        tags = self._tags
        picture.color_primaries, picture.color_trc = tags.primaries, tags.transfer
        picture.colorspace = tags.matrix
        self._store(self._coder.encode(picture))
        self._last_tick = tick
        self.frames_written += 1
        if self._pieces is None:
            self._write_sound(floor(tick * self._tick * _SOUND_RATE), last=False)
        self._piece_begun = True

    def _store(self, packets: list[Packet[Any]]) -> None:
        """Store packets; with a variable rate the last one's length makes the file's."""
        for packet in packets:
            if self.like.variable_rate and packet.pts is not None:
                packet.duration = self._lengths.pop(packet.pts, packet.duration)
            if self._pieces is None:
                packet.stream = self._video
                self._container.mux(packet)
        if self._pieces is not None:
            self._pieces.add(packets)

    def end_piece(self, note: bytes = b"") -> None:
        """The pictures since the last piece are one now, and stay when this run is killed.

        `note` is kept with it (`Piece.note`). Without `pieces` nothing is done.
        """
        if self._pieces is None or not self._piece_begun:
            return
        assert self._origin is not None
        self._store(self._coder.encode(None))
        self._pieces.end(
            self.frames_written, self._origin, self._last_tick, self._last_length, note
        )
        self._coder, self._piece_begun = self._new_coder(), False

    def _go_on_behind(self, pieces: Pieces) -> None:
        """Count from behind the pieces that are there, and code another."""
        for piece in pieces.kept[-1:]:
            self.frames_written, self._origin = piece.frames, piece.origin
            self._last_tick, self._last_length = piece.tick, piece.length
        self._coder = self._new_coder()

    def _put_together(self, pieces: Pieces) -> None:
        """All pieces into the file, and the sound beside them."""
        shown = 0
        for piece in pieces.kept:
            for packet in piece.packets():
                assert packet.pts is not None
                shown = max(shown, packet.pts)
                packet.time_base, packet.stream = self._tick, self._video
                self._container.mux(packet)
                self._write_sound(floor(shown * self._tick * _SOUND_RATE), last=False)

    @property
    def duration_s(self) -> Fraction:
        """Length of the picture written so far, in seconds; its last frame counts in full."""
        last = self._last_length * self._tick if self.like.variable_rate else None
        return self._last_tick * self._tick + (last or self.like.rate.time_of(1))

    def _open(self) -> None:
        import av

        options = _MUXING.get(self._format, {})
        container = av.open(str(self._temporary), "w", format=self._format, options=options)
        self._container: OutputContainer = container
        if self.like.start_timecode is not None:
            container.metadata["timecode"] = str(self.like.start_timecode)
        self._video = self._add_picture()
        self._audio = None if self._sound is None else self._add_sound()
        tags = replace(self._tags, full_range=self._full_range)
        colours = COLOUR_FORMAT if self._codec == "prores4444" else self._pix_fmt
        self._convert = RgbConverter(tags, self._lines, colours, centred=self._centred)
        container.start_encoding()

    @property
    def _coder_name(self) -> str:
        return "libx264" if self._codec == "h264" else "prores_ks"

    def _add_picture(self) -> VideoStream:
        stream: Any = self._container.add_stream(
            self._coder_name, rate=self.like.rate.value, options=self._options
        )
        self._set_up(stream.codec_context)
        self._coder = stream.codec_context
        video: VideoStream = stream
        return video

    def _new_coder(self) -> VideoCodecContext:
        """A coder like the file's own, for one piece."""
        from av import CodecContext
        from av.codec.context import Flags

        context: Any = CodecContext.create(self._coder_name, "w")
        context.options, context.bit_rate = self._options, 0
        context.framerate = self.like.rate.value
        context.flags |= Flags.global_header
        self._set_up(context)
        coder: VideoCodecContext = context
        return coder

    def _set_up(self, context: Any) -> None:
        context.width, context.height = self.like.width, self.like.height
        context.pix_fmt = self._pix_fmt
        context.time_base = self._tick
        context.sample_aspect_ratio = self.like.sample_aspect
        context.color_primaries = self._tags.primaries
        context.color_trc = self._tags.transfer
        context.colorspace = self._tags.matrix
        context.color_range = 2 if self._full_range else 1
        context.gop_size = min(2 * max(self.like.rate.nominal, 1), 250)
        context.thread_type = "AUTO"

    def _add_sound(self) -> AudioStream:
        name = "aac" if self._format == "mp4" else "pcm_s24le"
        stream: Any = self._container.add_stream(name, rate=_SOUND_RATE, layout="mono")
        if name == "aac":
            stream.codec_context.bit_rate = 192_000
        audio: AudioStream = stream
        return audio

    def _write_sound(self, until: int, *, last: bool) -> None:
        """Add sound up to sample `until` at 48 kHz, in whole blocks unless it is the last."""
        import av

        if self._sound is None or self._audio is None:
            return
        while self._sound_at < until if last else self._sound_at + _SOUND_BLOCK <= until:
            end = min(self._sound_at + _SOUND_BLOCK, until)
            block = self._sound.samples[self._sound_at : end]
            block = np.pad(block, (0, end - self._sound_at - len(block)))[np.newaxis]
            if self._format == "mp4":
                piece = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            else:
                # 24 bits in the upper part of 32, as FFmpeg's encoder takes them.
                whole = np.clip(np.rint(block * 2.0**23), -(2**23), 2**23 - 1)
                piece = av.AudioFrame.from_ndarray(
                    whole.astype(np.int32) << 8, format="s32", layout="mono"
                )
            piece.sample_rate = _SOUND_RATE
            piece.pts, piece.time_base = self._sound_at, Fraction(1, _SOUND_RATE)
            self._container.mux(self._audio.encode(piece))
            self._sound_at = end
            let_go(self._sound.samples)

    def _finish(self) -> None:
        if not self.frames_written:
            raise MediaError(f"no frame was given for '{self.path}'; nothing is written")
        if self._pieces is not None:
            self.end_piece()
            self._put_together(self._pieces)
        self._write_sound(floor(self.duration_s * _SOUND_RATE + Fraction(1, 2)), last=True)
        if self._pieces is None:
            self._store(self._coder.encode(None))
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))
        self._container.close()
        self._verify()

    def _verify(self) -> None:
        """FFmpeg can lose a write error in its last buffer: count what really arrived."""
        from media.reader import count_pictures

        try:
            arrived = count_pictures(self._temporary)
        except MediaError as error:
            raise output_error(self.path, OSError(errno.ENOSPC, "")) from error
        if arrived != self.frames_written:
            raise OutputError(
                f"'{self.path}' holds {arrived} of {self.frames_written} frames after writing; "
                "check the disk and write it again"
            )

    def _abandon_after(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """After an error: let go of the file, whatever FFmpeg still has to say about it."""
        container = getattr(self, "_container", None)
        if error is not None and container is not None:
            with suppress(Exception):
                container.close()
        import av.error

        if isinstance(error, av.error.FFmpegError) and not isinstance(error, OSError):
            raise OutputError(
                f"cannot write '{self.path}': {error.strerror or error}; choose another codec, "
                "size or place"
            ) from error

    @property
    def _lines(self) -> int:
        return self.like.stored_lines

    @property
    def _full_range(self) -> bool:
        # A ProRes file cannot say that it is full range, so it never is.
        return bool(self.like.colour.full_range) and self._codec == "h264"

    @property
    def _tags(self) -> ColourTags:
        """The source's tags; the matrix is named where a reader could guess another."""
        colour = self.like.colour
        used = colour.matrix_for(self._lines)
        guessable = colour.matrix == 2 and used == colour.matrix_for(self.like.height)
        return replace(colour, matrix=2 if guessable else used)


def _kept(sound: Sound) -> Sound:
    """A long sound is left in a file until it is written."""
    return replace(sound, samples=put_away(sound.samples))


def _container_for(path: Path, codec: Codec) -> str:
    form = _CONTAINERS.get(path.suffix.lower())
    if form is None:
        raise OutputError(f"cannot write '{path}': name it .mp4, .mov or .mkv")
    if codec in ("prores", "prores4444") and form == "mp4":
        raise OutputError(f"cannot write ProRes into '{path}'; name it .mov")
    if codec not in ("h264", "prores", "prores4444"):
        raise OutputError(f"cannot write '{codec}'; choose h264 or prores")
    return form


def _pix_fmt(like: FootageInfo, codec: Codec, *, lossless: bool) -> str:
    if codec == "prores4444":
        return ALPHA_FORMAT
    if codec == "prores":
        return "yuv422p10le" if like.width % 2 == 0 else "yuv444p10le"
    # x264 halves the colour of even sizes only.
    layout = "yuv444p" if like.width % 2 or like.height % 2 else "yuv420p"
    stored = like.pix_fmt.replace("yuvj", "yuv")
    fuller = next((known for known in ("yuv422p", "yuv444p") if known in stored), layout)
    fuller = "yuv444p" if layout == "yuv444p" else fuller
    if bit_depth(like.pix_fmt) <= 8:
        # Players expect 4:2:0 of 8 bits; a copy that loses nothing keeps what is there.
        return fuller if lossless else layout
    # Cameras that give 10 bits often give more colour as well: both stay.
    return fuller + "10le"


def _tick(like: FootageInfo) -> Fraction:
    """Unit of time stamps, in seconds: a frame, or the source's own for a variable rate."""
    if not like.variable_rate:
        return like.rate.time_of(1)
    return like.time_base or Fraction(1, 90_000)
