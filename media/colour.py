"""Colour tags, and RGB to YUV and back with the matrix and range that the tags name.

The conversion itself is swscale's (inside PyAV), told explicitly which matrix and range
to use on both sides: its own default is BT.601 whatever the tags say.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["ColourTags", "RgbConverter", "bit_depth", "is_full_range_format"]

# ITU-T H.273 matrix code -> swscale's name for the same coefficients.
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_LIMITED, _FULL = 1, 2
# Bicubic chroma, both chroma axes at full precision, exact rounding.
_FLAGS = 0x4 | 0x2000 | 0x4000 | 0x40000


@dataclass(frozen=True, slots=True)
class ColourTags:
    """Code points of ITU-T H.273 as the file carries them; 2 means "not said".

    `primaries`, `transfer`, `matrix` are integers (1 is BT.709, 5 and 6 are BT.601, 9 is
    BT.2020); `full_range` is True for 0..255, False for 16..235, None when not said.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None

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

    Keeps swscale's tables between frames; not to be shared between threads.
    """

    def __init__(self, tags: ColourTags, lines: int, pix_fmt: str) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._matrix = _SWSCALE[tags.matrix_for(lines)]
        full = is_full_range_format(pix_fmt) if tags.full_range is None else tags.full_range
        self._range = _FULL if full else _LIMITED
        self._pix_fmt = pix_fmt

    def to_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] of a decoded frame; more than 8 bits are rounded, not cut off."""
        deep = bit_depth(frame.format.name) > 8
        converted: Any = self._reformatter.reformat(
            frame,
            format="rgb48le" if deep else "rgb24",
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=_FULL,
            interpolation=_FLAGS,
        )
        rgb: NDArray[Any] = converted.to_ndarray()
        if deep:
            # Its 16 bits hold 256 steps per 8-bit code; its own 8-bit output truncates.
            rgb = (np.minimum(rgb, 0xFF7F) + 128) >> 8
        return rgb.astype(np.uint8, copy=False)

    def from_rgb(self, rgb: NDArray[np.uint8]) -> VideoFrame:
        """A frame in this converter's pixel format from uint8 [H, W, 3]."""
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        return self._reformatter.reformat(
            frame,
            format=self._pix_fmt,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=_FULL,
            dst_color_range=self._range,
            interpolation=_FLAGS,
        )
