"""A patch and its matte for a compositor: what was changed, and nothing else of the picture.

Colours are straight (not premultiplied): composite = source * (1 - matte) + patch * matte, on
the R'G'B' code values as they are, gives the picture that would have been delivered whole. The
matte is exactly 0 wherever nothing was changed. Around the change the colours go on with the
source's own for a few pixels, so that filters and codecs do not draw black into the edge; beyond
there is black.

As a film that is ProRes 4444 with an alpha channel (`FootageWriter` with codec "prores4444"), as
stills 16-bit PNG with alpha (`StillsWriter`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from media.colour import RgbConverter, planes
from media.errors import OutputError
from media.files import atomic_path, output_error, sha256_of
from media.footage import FootageInfo
from media.picture import Change, Picture, as_fine

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["ALPHA_FORMAT", "StillsWriter", "keyed", "stills_folder"]

#: Pixel format of the film, and that of its colours alone.
ALPHA_FORMAT, COLOUR_FORMAT = "yuva444p10le", "yuv444p10le"

_ROOM = 16  # pixels around a change whose colours are kept; ProRes codes blocks of 16
_OPAQUE = 1023
_DIGITS = 7


def keyed(picture: Picture, changes: Sequence[Change], convert: RgbConverter) -> VideoFrame:
    """The changes alone as a frame of `ALPHA_FORMAT`; `convert` makes `COLOUR_FORMAT`."""
    import av

    height, width = picture.shape[:2]
    frame: VideoFrame = av.VideoFrame(width, height, ALPHA_FORMAT)
    parts = _views(frame)
    for part, empty in zip(parts, (64, 512, 512, 0), strict=True):
        part[:] = empty
    for rows, columns, colours, matte in _patches(picture, changes):
        samples = planes(convert.from_rgb(colours))
        assert samples is not None
        for part, sample in zip(parts, samples, strict=False):
            part[rows, columns] = sample
        parts[3][rows, columns] = np.rint(matte * _OPAQUE)
    return frame


def _views(frame: VideoFrame) -> list[NDArray[np.uint16]]:
    """Views of all planes, uint16[h, w] each."""
    views = []
    for plane in frame.planes:
        lines = np.frombuffer(plane, np.uint16)  # type: ignore[call-overload]
        views.append(lines.reshape(plane.height, plane.line_size // 2)[:, : plane.width])
    return views


def _patches(
    picture: Picture, changes: Sequence[Change]
) -> Iterator[tuple[slice, slice, NDArray[np.uint16], NDArray[np.float32]]]:
    """Rows, columns, colours (256 steps a code value) and matte of every change, with room."""
    height, width = picture.shape[:2]
    for change in changes:
        if change.matte is None or change.fill is None:
            raise ValueError("a patch needs changes with matte and fill")
        rows, columns = _with_room(change.rows, height), _with_room(change.columns, width)
        colours = picture.fine(rows, columns).copy()
        matte = np.zeros(colours.shape[:2], np.float32)
        top, left = change.top - rows.start, change.left - columns.start
        inner = slice(top, top + change.where.shape[0]), slice(left, left + change.where.shape[1])
        np.copyto(colours[inner], as_fine(change.fill), where=change.where[..., None])
        np.copyto(matte[inner], change.matte, where=change.where)
        yield rows, columns, colours, matte


def _with_room(span: slice, length: int) -> slice:
    start = max(span.start - _ROOM, 0) // _ROOM * _ROOM
    return slice(start, min(-(-(span.stop + _ROOM) // _ROOM) * _ROOM, length))


def stills_folder(path: Path) -> Path:
    """Where the stills of a sequence named `path` (NAME.png) lie: the folder NAME beside it."""
    return path.with_suffix("")


class StillsWriter:
    """Write patches as NAME/NAME.0000000.png ... with a list of them, NAME.json, beside.

    `path` is NAME.png, `like` the source. Frames are numbered by their timecode (frames since
    00:00:00:00), or from 0 where the source has none. The list says rate, size, first number,
    timecode, how to composite, and every still's SHA-256. Use it in a `with` block; folder and
    list appear when it ends well. Raises `OutputError` when they cannot be written, or when the
    folder exists and is not empty.
    """

    def __init__(self, path: Path, like: FootageInfo) -> None:
        self.path, self.like = Path(path), like
        self.frames_written = 0
        self._first = 0 if like.start_timecode is None else like.start_timecode.frames
        self._sums: dict[str, str] = {}

    def __enter__(self) -> Self:
        folder = stills_folder(self.path)
        try:
            if folder.is_dir() and any(folder.iterdir()):
                raise OutputError(f"the folder '{folder}' is not empty; choose another name")
            self._stage = Path(tempfile.mkdtemp(prefix=".stills-", dir=self.path.parent))
        except OSError as error:
            raise output_error(folder, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        folder = stills_folder(self.path)
        try:
            if error is None:
                with atomic_path(self.path.with_suffix(".json")) as listing:
                    listing.write_text(json.dumps(self._facts(), indent=1) + "\n", "utf-8")
                    self._stage.chmod(0o755)
                    self._stage.replace(folder)
        except OSError as trouble:
            raise output_error(folder, trouble) from trouble
        finally:
            shutil.rmtree(self._stage, ignore_errors=True)

    def write_changed(self, picture: Picture, changes: Sequence[Change] = ()) -> None:
        """Add the patch of a picture."""
        import cv2

        height, width = self.like.height, self.like.width
        rgba = np.zeros((height, width, 4), np.uint16)
        for rows, columns, colours, matte in _patches(picture, changes):
            wide = colours.astype(np.uint32) * 257 // 256
            rgba[rows, columns, :3] = np.minimum(wide, 65535)[..., ::-1]
            rgba[rows, columns, 3] = np.rint(matte * 65535)
        stem = stills_folder(self.path).name
        name = f"{stem}.{self._first + self.frames_written:0{_DIGITS}d}.png"
        done, data = cv2.imencode(".png", rgba, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        assert done
        target = self._stage / name
        try:
            target.write_bytes(data.tobytes())
        except OSError as error:
            raise output_error(stills_folder(self.path) / name, error) from error
        self._sums[name] = sha256_of(target)
        self.frames_written += 1

    def _facts(self) -> dict[str, Any]:
        start = self.like.start_timecode
        return {
            "folder": stills_folder(self.path).name,
            "rate": str(self.like.rate.value),
            "width": self.like.width,
            "height": self.like.height,
            "first": self._first,
            "frames": self.frames_written,
            "start_timecode": None if start is None else str(start),
            "colours": "straight R'G'B', 16 bits, 0 to 65535",
            "composite": "source * (1 - alpha) + patch * alpha",
            "sha256": self._sums,
        }
