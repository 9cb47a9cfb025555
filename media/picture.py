"""One decoded picture whose RGB is made only where somebody looks.

Turning a whole picture into exact RGB costs more than decoding it. A tracker looks at a face, a
paste-back changes a mouth: they cut their part out of a `Picture` like out of an array,
and the writer takes everything else over as it was stored.

    for picture in read_pictures(path):
        face = picture[100:500, 300:700]          # uint8 [400, 400, 3], exact
        writer.write_changed(picture, [Change(100, 300, new_face, where)])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.colour import RgbConverter, bit_depth, from_planes, planes, rounded
from media.footage import Frame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["Change", "Picture", "SquarePicture", "as_fine", "painted", "patched", "repainted"]

_STEP = 32  # pixels

Pixels = NDArray[np.uint8]
Fine = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """New pixels for a part of a picture.

    `rgb` uint8[h, w, 3] goes to rows `top` to `top + h` and columns `left` to `left + w`, but
    only where `where` bool[h, w] is True. For pictures of more than 8 bits it may be uint16, with
    256 steps a code value (`Picture.fine`). `matte` float32[h, w], where it is asked for, says how
    opaque a patch lies over the picture (`media.patch`), whose colours are then `fill`
    float32[h, w, 3] in code values.
    """

    top: int
    left: int
    rgb: Pixels | Fine
    where: NDArray[np.bool_]
    matte: NDArray[np.float32] | None = None
    fill: NDArray[np.float32] | None = None

    @property
    def pixels(self) -> Pixels:
        """`rgb` in 8 bits."""
        return self.rgb if self.rgb.dtype == np.uint8 else rounded(self.rgb)  # type: ignore[return-value, arg-type]

    @property
    def rows(self) -> slice:
        """The rows of the picture it lies in."""
        return slice(self.top, self.top + self.rgb.shape[0])

    @property
    def columns(self) -> slice:
        """The columns of the picture it lies in."""
        return slice(self.left, self.left + self.rgb.shape[1])


class Picture:
    """Picture `index` of some footage, shown at `pts` seconds after the first.

    Behaves like an array uint8[height, width, 3] of the picture as displayed, as far as
    `shape` and cutting out a part with two slices go. What was converted last is kept.
    One thread at a time.
    """

    __slots__ = ("_area", "_convert", "_done", "_rotation", "index", "pts", "shape", "stored")

    def __init__(
        self, index: int, pts: Fraction, stored: VideoFrame, convert: RgbConverter, rotation: int
    ) -> None:
        self.index, self.pts, self.stored = index, pts, stored
        self._convert, self._rotation = convert, rotation
        size = (stored.height, stored.width)
        height, width = size[::-1] if rotation % 180 else size
        self.shape = (height, width, 3)
        self._done: Pixels | None = None
        self._area = (0, 0, 0, 0)

    @property
    def converter(self) -> RgbConverter:
        """What turns its stored samples into RGB."""
        return self._convert

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise from stored to displayed."""
        return self._rotation

    @property
    def rgb(self) -> Pixels:
        """The whole picture, uint8[height, width, 3]."""
        return self[0 : self.shape[0], 0 : self.shape[1]]

    def fits(self, convert: RgbConverter) -> bool:
        """Whether its stored samples can be taken over by a file that `convert` writes for."""
        form = self.stored.format
        upright = not self._rotation
        return bool(
            upright
            and not (form.is_rgb or form.has_palette)
            and self._convert.same_colours(convert)
        )

    def frame(self) -> Frame:
        """The same as a `Frame` (converts the whole picture)."""
        return Frame(self.index, self.pts, self.rgb, self.length)

    @property
    def length(self) -> Fraction | None:
        """Seconds for which the file shows it; None when it does not say."""
        ticks, base = self.stored.duration, self.stored.time_base
        return ticks * Fraction(base) if ticks and base else None

    def __getitem__(self, part: tuple[slice, slice]) -> Pixels:
        """The part, uint8[h, w, 3], with the very bits that it has in `rgb`; not to be written."""
        (y0, y1, _), (x0, x1, _) = (s.indices(n) for s, n in zip(part, self.shape[:2], strict=True))
        if y1 <= y0 or x1 <= x0:
            return np.zeros((max(y1 - y0, 0), max(x1 - x0, 0), 3), np.uint8)
        top, bottom, left, right = self._area
        if self._done is None or not (top <= y0 and y1 <= bottom and left <= x0 and x1 <= right):
            self._make(y0, y1, x0, x1)
            top, _, left, _ = self._area
        assert self._done is not None
        return self._done[y0 - top : y1 - top, x0 - left : x1 - left]

    def prepare(self, rows: slice, columns: slice) -> None:
        """Convert a part of which parts will be asked for; nothing where that changes their bits.

        For another thread, before the picture is handed on.
        """
        self[rows, columns]

    @property
    def deep(self) -> bool:
        """Whether its samples have more than 8 bits."""
        return bit_depth(self.stored.format.name) > 8

    def fine(self, rows: slice, columns: slice) -> Fine:
        """The part as uint16[h, w, 3] with 256 steps a code value: nothing of 10 bits is lost."""
        (y0, y1, _), (x0, x1, _) = (
            s.indices(n) for s, n in zip((rows, columns), self.shape[:2], strict=True)
        )
        quarter = self._rotation // 90
        area = (y0, y1, x0, x1)
        stored = _as_stored(area, self.stored.height, self.stored.width, quarter)
        rgb = self._convert.part_to_fine(self.stored, *stored)
        return np.ascontiguousarray(np.rot90(rgb, quarter)) if quarter else rgb

    def thumbnail(self, width: int, height: int) -> Pixels:
        """A small picture uint8[height, width, 3] for comparing: averaged from a coarse sampling.

        Colours lie within a few code values of an exact reduction.
        """
        import cv2

        parts = planes(self.stored)
        if parts is None:
            small = cv2.resize(self.rgb[::2, ::2], (width, height), interpolation=cv2.INTER_AREA)
            return np.asarray(small, np.uint8)
        size = (height, width) if self._rotation % 180 else (width, height)
        step = max(1, min(self.stored.height, self.stored.width) // 180)
        shift = bit_depth(self.stored.format.name) - 8
        reduced = []
        for plane in parts:
            near = max(1, step * plane.shape[1] // parts[0].shape[1])
            down = max(1, step * plane.shape[0] // parts[0].shape[0])
            sampled = np.ascontiguousarray(plane[::down, ::near])
            small = cv2.resize(sampled, size, interpolation=cv2.INTER_AREA)
            reduced.append((small >> shift).astype(np.uint8) if shift else small)
        rgb = self._convert.to_rgb(from_planes(reduced, "yuv444p"))
        return np.ascontiguousarray(np.rot90(rgb, self._rotation // 90))

    def _make(self, y0: int, y1: int, x0: int, x1: int) -> None:
        quarter = self._rotation // 90
        rows, columns = _as_stored((y0, y1, x0, x1), self.stored.height, self.stored.width, quarter)
        rgb = self._convert.part_to_rgb(self.stored, rows, columns)
        self._done = np.ascontiguousarray(np.rot90(rgb, quarter)) if quarter else rgb
        self._area = (y0, y1, x0, x1)


class SquarePicture(Picture):
    """A picture of anamorphic footage, seen with square pixels.

    `aspect` is the width of a stored pixel over its height. Behaves like the picture made
    wider (or narrower) by that; `stored` and `index` stay the picture's own.
    """

    __slots__ = ("_aspect", "_own")

    def __init__(self, own: Picture, aspect: float) -> None:
        super().__init__(own.index, own.pts, own.stored, own.converter, own.rotation)
        self._own, self._aspect = own, aspect
        height, width, _ = own.shape
        self.shape = (height, max(1, round(width * aspect)), 3)

    def prepare(self, rows: slice, columns: slice) -> None:
        """Nothing: a part's last bits depend on where it was cut."""

    def _make(self, y0: int, y1: int, x0: int, x1: int) -> None:
        import cv2

        # Whole columns of the stored picture, and where the part begins among them.
        first = max(int(x0 / self._aspect) - 3, 0)
        last = min(int(np.ceil(x1 / self._aspect)) + 3, self._own.shape[1])
        part = self._own[y0:y1, first:last]
        across = 1.0 / self._aspect
        start = (x0 + 0.5) * across - 0.5 - first
        matrix = np.array([[across, 0, start], [0, 1, 0]], np.float64)
        wide = cv2.warpAffine(
            part, matrix, (x1 - x0, y1 - y0),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        self._done = np.asarray(wide, np.uint8)
        self._area = (y0, y1, x0, x1)


def _as_stored(
    area: tuple[int, int, int, int], height: int, width: int, quarter: int
) -> tuple[slice, slice]:
    """Where a displayed part (top, bottom, left, right) lies in the stored picture."""
    y0, y1, x0, x1 = area
    spans = (
        ((y0, y1), (x0, x1)),
        ((x0, x1), (width - y1, width - y0)),
        ((height - y1, height - y0), (width - x1, width - x0)),
        ((height - x1, height - x0), (y0, y1)),
    )
    rows, columns = spans[quarter]
    return slice(*rows), slice(*columns)


def painted(picture: Picture, changes: Sequence[Change]) -> Pixels:
    """The whole picture as uint8[height, width, 3] with `changes` laid in."""
    if not changes:
        return picture.rgb
    rgb = picture.rgb.copy()
    for change in changes:
        np.copyto(rgb[change.rows, change.columns], change.pixels, where=change.where[..., None])
    return rgb


def repainted(picture: Picture, changes: Sequence[Change]) -> Pixels | Fine:
    """The same, in as many bits as the picture has."""
    if not picture.deep:
        return painted(picture, changes)
    height, width = picture.shape[:2]
    fine = picture.fine(slice(0, height), slice(0, width)).copy()
    for change in changes:
        rgb = change.rgb if change.rgb.dtype == np.uint16 else change.rgb.astype(np.uint16) << 8
        np.copyto(fine[change.rows, change.columns], rgb, where=change.where[..., None])
    return fine


def as_fine(codes: NDArray[np.float32]) -> Fine:
    """Code values float32[...] in 0..255 as uint16 with 256 steps each."""
    return np.asarray(np.clip(np.rint(codes * np.float32(256)), 0, 65535), np.uint16)


def patched(picture: Picture, changes: Sequence[Change], convert: RgbConverter) -> VideoFrame:
    """The stored picture in the format of `convert`, with `changes` laid in.

    Only samples that show a changed pixel differ from the source's: chroma samples are shared by
    neighbouring pixels, luma samples are not.
    """
    base = convert.stored(picture.stored)
    targets = planes(base)
    assert targets is not None  # the formats that are written are planar
    for change in changes:
        if change.where.any():
            _lay_in(targets, picture, change, convert)
    return base


def _lay_in(
    targets: list[NDArray[np.generic]], picture: Picture, change: Change, convert: RgbConverter
) -> None:
    """Turn the changed part, with a margin, into samples; copy those that show a change."""
    height, width = picture.shape[:2]
    rows, columns = _with_margin(change.rows, height), _with_margin(change.columns, width)
    deep = change.rgb.dtype == np.uint16
    part = picture.fine(rows, columns).copy() if deep else picture[rows, columns].copy()
    where = np.zeros(part.shape[:2], np.bool_)
    inner = (
        slice(change.top - rows.start, change.top - rows.start + change.rgb.shape[0]),
        slice(change.left - columns.start, change.left - columns.start + change.rgb.shape[1]),
    )
    where[inner] = change.where
    np.copyto(part[inner], change.rgb, where=change.where[..., None])
    samples = planes(convert.from_rgb(part))
    assert samples is not None
    for target, sample in zip(targets, samples, strict=True):
        down = -(-height // target.shape[0]), -(-width // target.shape[1])
        shown = _coarser(where, *down)
        top, left = rows.start // down[0], columns.start // down[1]
        place = target[top : top + sample.shape[0], left : left + sample.shape[1]]
        np.copyto(place, sample, where=shown)


def _with_margin(span: slice, length: int) -> slice:
    """A little more on both sides, beginning on an even number.

    In large steps: converting parts of ever new sizes takes longer than converting a little more.
    """
    start = max(span.start - 8, 0) // 2 * 2
    size = -(-(span.stop + 8 - start) // _STEP) * _STEP
    return slice(start, min(start + size, length))


def _coarser(where: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """True for every block of `down` x `right` pixels that holds a True one."""
    if down == right == 1:
        return where
    height, width = where.shape
    padded = np.pad(where, ((0, -height % down), (0, -width % right)))
    blocks = padded.reshape(-(-height // down), down, -(-width // right), right)
    return np.asarray(blocks.any(axis=(1, 3)))
