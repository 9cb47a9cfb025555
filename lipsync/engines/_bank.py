"""Every usable mouth of a person's footage, small enough to keep: the mouthbank's memory.

Pictures are kept as JPEG of the canonical crop (4:4:4, about 20 kB each) in a temporary
file, at most `MOST_MOUTHS` of them, taken in runs of two seconds spread over all the footage.
Their meshes lie in another (`media.far`), so ten minutes need no more memory than one.
"""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lipsync.crop import CropSpec, crop, crop_transforms, landmarks_in_crop, lip_shape
from lipsync.faces import usable_frames
from lipsync.pose import fit_pose, to_face
from lipsync.track import LANDMARKS
from media.errors import ArchiveError
from media.far import FarRows, let_go, pieces
from media.files import output_error

if TYPE_CHECKING:
    from lipsync.engines import BankSource, Progress
    from lipsync.track import FaceTrack

__all__ = ["MOST_MOUTHS", "Mouths", "collect"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ints = NDArray[np.intp]

#: Mouths kept at most; 9,000 are six minutes at 25 frames a second.
MOST_MOUTHS = 9000
_RUN_S = 2.0
_PIECE = 256  # meshes looked at at once
_MESHES = (("points", (LANDMARKS, 2)), ("face", (LANDMARKS, 3)))
_JPEG_QUALITY = 95
_LOOK_SIZE = (12, 8)
# The part of the crop that the eye follows from frame to frame: rows, columns (fractions).
_LOOK_ROWS, _LOOK_COLUMNS = (0.22, 0.78), (0.22, 0.78)


class Pictures:
    """Coded pictures in a temporary file that goes with the last use of it.

    Raises `OutputError` where the folder for temporary files is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="wildline-", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._ends = [0]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, data: bytes) -> None:
        """Keep one more."""
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, "")
        except OSError as error:
            raise output_error(Path(tempfile.gettempdir(), "wildline"), error) from error
        self._ends.append(self._ends[-1] + len(data))

    def __getitem__(self, index: int) -> bytes:
        first, stop = self._ends[index], self._ends[index + 1]
        return os.pread(self._file.fileno(), stop - first, first)


@dataclass(frozen=True, slots=True, eq=False)
class Mouths:
    """n mouths.

    `pictures`: the crops as JPEG; `points` float32[n, 478, 2]: mesh in crop pixels; `face`
    float32[n, 478, 3]: mesh in face coordinates (mm, pose undone); `shape` float32[n, 7]: as
    `lip_shape`; `pose` float32[n, 3] degrees; `look` float32[n, 96]: the mouth's grey
    picture, small, 0..1; `light` float32[n, 3]: mean colour, 0..1; `sharp` float32[n]:
    log energy of fine detail; `scale` float32[n]: face height in source pixels;
    `source` and `frame` intp[n]: where each comes from.
    """

    pictures: Pictures
    points: Floats
    face: Floats
    shape: Floats
    pose: Floats
    look: Floats
    light: Floats
    sharp: Floats
    scale: Floats
    source: Ints
    frame: Ints

    def __len__(self) -> int:
        return len(self.pictures)

    def let_go(self) -> None:
        """Give back the memory of the meshes that were looked at; they stay in their file."""
        let_go(self.points)
        let_go(self.face)

    def picture(self, index: int) -> Pixels:
        """The crop uint8[S, S, 3] of mouth `index`."""
        import cv2

        data = np.frombuffer(self.pictures[index], np.uint8)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.asarray(decoded, np.uint8)[..., ::-1]


def collect(
    sources: Sequence[BankSource],
    spec: CropSpec,
    progress: Progress | None = None,
    *,
    most: int = MOST_MOUTHS,
) -> Mouths:
    """Read every source once and keep its usable mouths.

    Raises `ArchiveError` when there are none, `MediaError` when a source cannot be read.
    """
    chosen = _choose([(s.track, usable_frames(s.track)) for s in sources], most)
    total = sum(len(c) for c in chosen)
    if total < 2:
        raise ArchiveError(
            "the archive footage shows no usable mouth; give footage in which the person's face is "
            "near enough and turned to the camera"
        )
    rows: list[dict[str, Any]] = []
    pictures, meshes = Pictures(), {name: FarRows(shape, np.float32) for name, shape in _MESHES}
    # One pass in order: footage is decoded once, however much is kept of it.
    for number, (source, frames) in enumerate(zip(sources, chosen, strict=True)):
        for row in _read(source, frames, spec):
            pictures.append(row.pop("jpeg"))
            for name, kept in meshes.items():
                kept.append(row.pop(name))
            rows.append({"source": number, **row})
            if progress and len(rows) % 25 == 0:
                progress("reading mouths", len(rows), total)
    if progress:
        progress("reading mouths", len(rows), len(rows))
    return _table(pictures, meshes, rows)


def _choose(tracks: Sequence[tuple[FaceTrack, NDArray[np.bool_]]], most: int) -> list[Ints]:
    """Frame numbers to keep of every track: all, or runs spread evenly over everything."""
    usable = [np.flatnonzero(ok) for _, ok in tracks]
    if sum(len(u) for u in usable) <= most:
        return usable
    runs: list[tuple[int, Ints]] = []
    for number, ((track, _), frames) in enumerate(zip(tracks, usable, strict=True)):
        length = max(1, round(_RUN_S * float(track.rate)))
        pieces = np.array_split(frames, -(-len(frames) // length)) if len(frames) else []
        runs += [(number, piece) for piece in pieces]
    ends = np.cumsum([len(piece) for _, piece in runs])
    # A run is kept when the share of mouths to keep grows by a whole run's worth across it.
    share = np.floor(ends * most / ends[-1] / (ends[-1] / len(runs)))
    kept = np.diff(share, prepend=0) > 0
    return [
        np.concatenate(
            [
                np.zeros(0, np.intp),
                *(
                    piece
                    for keep, (owner, piece) in zip(kept, runs, strict=True)
                    if keep and owner == i
                ),
            ]
        )
        for i in range(len(tracks))
    ]


def _read(source: BankSource, frames: Ints, spec: CropSpec) -> Iterator[dict[str, Any]]:
    """One row per frame of `frames` that the file really holds."""
    from media.video import prefetch, read_pictures

    if not len(frames):
        return
    known = _known(source.track, frames, spec)
    wanted, (to_crop, row) = frames.tolist(), next(known)
    for seen in prefetch(read_pictures(source.path, wanted[0], wanted[-1] + 1)):
        while row is not None and row["frame"] < seen.index:  # frames that the file does not hold
            to_crop, row = next(known, (to_crop, None))
        if row is not None and row["frame"] == seen.index:
            yield {**row, **_describe(crop(seen, to_crop, spec))}


def _known(track: FaceTrack, frames: Ints, spec: CropSpec) -> Iterator[tuple[Floats, Any]]:
    """What the track tells of every frame of `frames`: its map to the crop, and its row."""
    for piece in pieces(frames, _PIECE):
        landmarks = track.landmarks[frames[piece]]
        let_go(track.landmarks)
        pose = fit_pose(landmarks)
        transforms = crop_transforms(landmarks, spec, pose)
        points, face = landmarks_in_crop(landmarks, transforms)[..., :2], to_face(landmarks, pose)
        columns = {
            "frame": frames[piece].tolist(),
            "points": points,
            "face": face.astype(np.float32),
            "shape": lip_shape(landmarks),
            "pose": pose.angles,
            "scale": track.scale[frames[piece]],
        }
        for i, to_crop in enumerate(track.from_footage(transforms)):
            yield to_crop, {name: column[i] for name, column in columns.items()}


def _describe(picture: Pixels) -> dict[str, Any]:
    """The picture as JPEG and in a few numbers."""
    import cv2

    size = picture.shape[0]
    rows, columns = (slice(*(int(f * size) for f in part)) for part in (_LOOK_ROWS, _LOOK_COLUMNS))
    middle = picture[rows, columns]
    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, _LOOK_SIZE, interpolation=cv2.INTER_AREA)
    detail = cv2.Laplacian(grey, cv2.CV_32F)
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], options)
    return {
        "jpeg": jpeg.tobytes(),
        "look": small.reshape(-1).astype(np.float32) / 255,
        "light": middle.reshape(-1, 3).mean(0).astype(np.float32) / 255,
        "sharp": np.float32(np.log(1.0 + float((detail**2).mean()))),
    }


def _table(pictures: Pictures, meshes: dict[str, FarRows], rows: list[dict[str, Any]]) -> Mouths:
    """Rows as columns."""

    def column(name: str, kind: type[np.generic]) -> NDArray[Any]:
        return np.array([r[name] for r in rows], dtype=kind)

    floats = ("shape", "pose", "look", "light", "sharp", "scale")
    return Mouths(
        pictures=pictures,
        **{name: kept.array() for name, kept in meshes.items()},
        source=column("source", np.intp),
        frame=column("frame", np.intp),
        **{name: column(name, np.float32) for name in floats},
    )
