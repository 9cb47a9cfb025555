"""Colour tags, and RGB to YUV and back with the matrix and range that the tags name.

The conversion itself is swscale's (inside PyAV), told explicitly which matrix and range
to use on both sides: its own default is BT.601 whatever the tags say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

__all__ = [
    "ColourTags",
    "RgbConverter",
    "bit_depth",
    "from_planes",
    "is_full_range_format",
    "planes",
    "rounded",
]

S = TypeVar("S", np.uint8, np.uint16)

# ITU-T H.273 matrix code -> swscale's name for the same coefficients.
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_LIMITED, _FULL = 1, 2
# Bicubic chroma, both chroma axes at full precision, exact rounding.
_FLAGS = 0x4 | 0x2000 | 0x4000 | 0x40000
# What is converted beyond a part, so that chroma is interpolated as in the whole picture, and
# what its corner is a multiple of, so that chroma samples and vector units fall as there.
_MARGIN, _ALIGN = 16, 32
_POINT = 0x10
_SIZES_KEPT = 8
_WORTH_THREADS = 600_000  # pixels


@dataclass(frozen=True, slots=True)
class ColourTags:
    """Code points of ITU-T H.273 as the file carries them; 2 means "not said".

    `primaries`, `transfer`, `matrix` are integers (1 is BT.709, 5 and 6 are BT.601, 9 is
    BT.2020); `full_range` is True for 0..255, False for 16..235, None when not said. Raises
    `MediaError` for anything else, such as names.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None

    def __post_init__(self) -> None:
        for name in ("primaries", "transfer", "matrix"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise MediaError(
                    f"the colour tag {name} is {value!r}; give its ITU-T H.273 number "
                    "(1 is BT.709, 2 not said, 9 BT.2020)"
                )
        if self.full_range is not None and not isinstance(self.full_range, bool):
            raise MediaError(
                f"the colour range is {self.full_range!r}; give True (0-255), False (16-235) or "
                "None (not said)"
            )

    def matrix_for(self, lines: int) -> int:
        """The matrix to convert with: the tagged one, else by the number of stored lines.

        Untagged footage is BT.709 from 720 lines up and BT.601 below, as players take it.
        """
        if self.matrix in _SWSCALE:
            return self.matrix
        return 1 if lines >= 720 else 6


@cache
def bit_depth(pix_fmt: str) -> int:
    """Bits of one component of a pixel format: 8 for "yuv420p", 10 for "yuv422p10le"."""
    import av

    try:
        return max(int(part.bits) for part in av.VideoFormat(pix_fmt).components)
    except ValueError:
        return 8


def is_full_range_format(pix_fmt: str) -> bool:
    """Whether the format itself means 0..255 (the old JPEG formats)."""
    return pix_fmt.startswith("yuvj")


class RgbConverter:
    """One direction-free converter for footage with given tags and stored height.

    Keeps swscale's tables between frames, for the last few sizes. Threads take turns.
    `centred`: colour samples made from RGB lie between two pixels (JPEG, MPEG-1), not on the
    left one as everywhere else; decoded frames know it of themselves.
    """

    def __init__(
        self, tags: ColourTags, lines: int, pix_fmt: str, *, centred: bool = False
    ) -> None:
        self._tools: dict[tuple[int, int, str, str], VideoReformatter] = {}
        self._blanks: dict[tuple[int, int, str], VideoFrame] = {}
        self._turn = Lock()
        self._centred = centred
        self._matrix = _SWSCALE[tags.matrix_for(lines)]
        full = is_full_range_format(pix_fmt) if tags.full_range is None else tags.full_range
        self._range = _FULL if full else _LIMITED
        self._pix_fmt = pix_fmt

    def to_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] of a decoded frame; more than 8 bits are rounded, not cut off."""
        with self._turn:
            return self._to_rgb(frame)

    def _to_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        if bit_depth(frame.format.name) > 8:
            # Its own 8-bit output truncates.
            return rounded(self._to_fine(frame))
        rgb: NDArray[Any] = self._turned(frame, "rgb24", self._range, _FULL).to_ndarray()
        return rgb.astype(np.uint8, copy=False)

    def _to_fine(self, frame: VideoFrame) -> NDArray[np.uint16]:
        fine: NDArray[Any] = self._turned(frame, "rgb48le", self._range, _FULL).to_ndarray()
        return fine.astype(np.uint16, copy=False)

    def from_rgb(self, rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> VideoFrame:
        """A frame in this converter's pixel format from uint8 [H, W, 3], or from uint16 with 256
        steps a code value.
        """
        height, width, _ = rgb.shape
        form = "rgb24" if rgb.dtype == np.uint8 else "rgb48le"
        with self._turn:
            blank = self._blank((width, height, form), _centred if self._centred else _left)
            _fill_rgb(blank, rgb)
            return self._turned(blank, self._pix_fmt, _FULL, self._range)

    def part_to_rgb(self, frame: VideoFrame, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """uint8 [h, w, 3] of a part of a decoded frame: the bits of `to_rgb`, cut out.

        `rows` and `columns` lie inside the frame.
        """
        return self._part(frame, rows, columns, self._to_rgb)

    def part_to_fine(self, frame: VideoFrame, rows: slice, columns: slice) -> NDArray[np.uint16]:
        """The same with 256 steps a code value, uint16 [h, w, 3]: what more than 8 bits hold."""
        return self._part(frame, rows, columns, self._to_fine)

    def _part(
        self,
        frame: VideoFrame,
        rows: slice,
        columns: slice,
        turn: Callable[[VideoFrame], NDArray[S]],
    ) -> NDArray[S]:
        sources = planes(frame)
        top, bottom = _outwards(rows, frame.height)
        left, right = _outwards(columns, frame.width)
        share = (bottom - top) * (right - left) / (frame.height * frame.width)
        with self._turn:
            if sources is None or share > 0.8:
                return turn(frame)[rows, columns]
            size = (right - left, bottom - top, frame.format.name)
            part = self._blank(size, lambda w, h, _: frame.reformat(w, h, interpolation=_POINT))
            targets = planes(part)
            assert targets is not None
            for source, target in zip(sources, targets, strict=True):
                down = -(-frame.height // source.shape[0])
                across = -(-frame.width // source.shape[1])
                y, x = top // down, left // across
                np.copyto(target, source[y : y + target.shape[0], x : x + target.shape[1]])
            rgb = turn(part)
        return rgb[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

    def stored(self, frame: VideoFrame) -> VideoFrame:
        """A copy of a decoded frame of the same colours in this converter's pixel format.

        The same samples where the formats agree; no time stamp, type or side data is kept.
        """
        import av

        if frame.format.name.replace("yuvj", "yuv") != self._pix_fmt.replace("yuvj", "yuv"):
            with self._turn:
                return self._turned(frame, self._pix_fmt, self._range, self._range)
        copy: VideoFrame = av.VideoFrame(frame.width, frame.height, self._pix_fmt)
        sources, targets = planes(frame), planes(copy)
        assert sources is not None
        assert targets is not None
        for source, target in zip(sources, targets, strict=True):
            np.copyto(target, source)
        return copy

    def _turned(self, frame: VideoFrame, pix_fmt: str, source: int, target: int) -> VideoFrame:
        """`frame` in another pixel format, from one range to another."""
        from av.video.reformatter import VideoReformatter

        size = (frame.width, frame.height, frame.format.name, pix_fmt)
        # Setting up for another size takes longer than a small part itself.
        tool = self._tools.pop(size, None) or VideoReformatter()
        self._tools[size] = tool
        if len(self._tools) > _SIZES_KEPT:
            del self._tools[next(iter(self._tools))]
        turned: VideoFrame = tool.reformat(
            frame,
            format=pix_fmt,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=source,
            dst_color_range=target,
            interpolation=_FLAGS,
            threads=1 if frame.width * frame.height < _WORTH_THREADS else 0,
        )
        return turned

    def _blank(
        self, size: tuple[int, int, str], make: Callable[[int, int, str], VideoFrame]
    ) -> VideoFrame:
        """A frame (width, height, format) to fill, kept for the next of its size.

        PyAV cannot say where a frame's colour samples lie; `make` brings one that knows.
        """
        blank = self._blanks.pop(size, None)
        if blank is None:
            blank = make(*size)
        self._blanks[size] = blank
        if len(self._blanks) > _SIZES_KEPT:
            del self._blanks[next(iter(self._blanks))]
        return blank

    def same_colours(self, other: RgbConverter) -> bool:
        """Whether stored samples of both mean the same colours in the same places."""
        ours = (self._matrix, self._range, self._centred)
        return ours == (other._matrix, other._range, other._centred)


def _centred(width: int, height: int, pix_fmt: str) -> VideoFrame:
    """A blank frame of which nothing is said: swscale takes colour to lie between pixels."""
    import av

    frame: VideoFrame = av.VideoFrame(width, height, pix_fmt)
    return frame


def _left(width: int, height: int, pix_fmt: str) -> VideoFrame:
    """A blank frame whose colour samples, once subsampled, lie on the left pixel."""
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=pix_fmt, time_base=Fraction(1, 25))
    said, sink = graph.add("setparams", "chroma_location=left"), graph.add("buffersink")
    source.link_to(said)
    said.link_to(sink)
    graph.configure()
    blank = _centred(width, height, pix_fmt)
    blank.pts = 0
    graph.push(blank)
    sited: VideoFrame = graph.pull()
    return sited


def rounded(fine: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16 bits with 256 steps a code value as 8 bits, rounded."""
    return ((np.minimum(fine, 0xFF7F) + 128) >> 8).astype(np.uint8)


def _fill_rgb(frame: VideoFrame, rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    plane = frame.planes[0]
    lines = np.frombuffer(plane, rgb.dtype).reshape(frame.height, -1)  # type: ignore[call-overload]
    np.copyto(lines[:, : 3 * frame.width].reshape(rgb.shape), rgb)


def _outwards(span: slice, length: int) -> tuple[int, int]:
    """The span with a margin, from a round number on."""
    start = max(span.start - _MARGIN, 0) // _ALIGN * _ALIGN
    stop = -(-(span.stop + _MARGIN) // _ALIGN) * _ALIGN
    return start, min(stop, length)


def planes(frame: VideoFrame) -> list[NDArray[Any]] | None:
    """Views of the three planes of a Y'CbCr frame, uint8 or uint16 [h, w] each.

    None for formats that are not three planes of whole bytes. Decoded frames are the decoder's
    references: look, do not write.
    """
    if not _is_planar(frame.format.name):
        return None
    kind = np.uint16 if bit_depth(frame.format.name) > 8 else np.uint8
    views = []
    for plane in frame.planes:
        if plane.line_size <= 0:
            return None  # stored from the bottom upwards
        samples = np.frombuffer(plane, kind)  # type: ignore[call-overload]
        per_line = plane.line_size // samples.itemsize
        lines = samples[: plane.height * per_line].reshape(plane.height, per_line)
        views.append(lines[:, : plane.width])
    return views


@cache
def _is_planar(pix_fmt: str) -> bool:
    """Three planes of Y, Cb and Cr in this machine's byte order."""
    import av

    form = av.VideoFormat(pix_fmt)
    parts = form.components
    return (
        len(parts) == 3
        and not (form.is_rgb or form.has_palette or form.is_bit_stream or form.is_big_endian)
        and [part.plane for part in parts] == [0, 1, 2]
    )


def from_planes(parts: list[NDArray[np.uint8]], pix_fmt: str) -> VideoFrame:
    """A new frame with these samples."""
    import av

    frame: VideoFrame = av.VideoFrame(parts[0].shape[1], parts[0].shape[0], pix_fmt)
    targets = planes(frame)
    assert targets is not None
    for part, target in zip(parts, targets, strict=True):
        np.copyto(target, part)
    return frame
