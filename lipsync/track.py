"""What is known about one face over one clip: a record per frame, also where there is no face."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError
from media.far import mapped, pieces
from media.time import FrameRate

if TYPE_CHECKING:
    from lipsync.likeness import Likeness

__all__ = ["LANDMARKS", "Absence", "Doubt", "FaceTrack"]

#: Points of the face mesh, irises included.
LANDMARKS = 478

_FORMAT = 1
_FAR = "landmarks"  # what is left in the file
_LOCAL_HEADER = 30  # bytes of a zip member's own head, which ends with the lengths of what follows
_WHO = "who_"
Floats = NDArray[np.float32]
# What files raise that are no tracks, or no longer.
_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, BadZipFile, zlib.error,
)  # fmt: skip


class Absence(IntEnum):
    """Why a frame has no landmarks."""

    PRESENT = 0
    NO_FACE = 1
    OTHER_PERSON = 2

    @property
    def words(self) -> str:
        """The reason as a user reads it."""
        return ("", "no face found", "another person's face")[self]


class Doubt(IntEnum):
    """Why a mouth that the mesh reports may not be there to be seen."""

    CLEAR = 0
    COVERED = 1
    BLURRED = 2

    @property
    def words(self) -> str:
        """The reason as a user reads it."""
        return ("", "something in front of the mouth", "out of focus")[self]


@dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """One person's face over a whole clip of n frames.

    - `rate`, `width`, `height`: of the footage as displayed (pixels, after rotation).
    - `landmarks` float32[n, 478, 3]: face-mesh points in pixels of the frame, x right,
      y down, z away from the camera in the same scale; NaN where absent. Head pose is
      smoothed within each shot; lips are not damped.
    - `reason` uint8[n]: an `Absence` per frame.
    - `shot` int32[n]: number of the shot, counted from 0; nothing may be smoothed, blended
      or searched for continuity across a change.
    - `pose` float32[n, 3]: yaw, pitch, roll in degrees; yaw > 0 when the face turns
      to the right edge of the picture, pitch > 0 when it looks down, roll > 0 clockwise.
    - `scale` float32[n]: face size in pixels, forehead to chin of a face turned frontal with the
      mouth shut, whatever the pose and the jaw.
    - `times` float64[n]: seconds from the first frame, as the container says (frames of
      variable-rate footage are not at i / rate).
    - `sha256`: of the footage.
    - `aspect`: width of a pixel of the footage over its height. Width and landmarks are
      in square pixels (`in_footage` gives the footage's own).
    - `doubt` uint8[n]: a `Doubt` per frame.
    - `faces`: how many faces the picture showed at once, at most, where it was looked for them.
    - `likeness`: who it is; None where nobody was measured.
    """

    rate: FrameRate
    width: int
    height: int
    landmarks: Floats
    reason: NDArray[np.uint8]
    shot: NDArray[np.int32]
    pose: Floats
    scale: Floats
    times: NDArray[np.float64]
    sha256: str = ""
    aspect: float = 1.0
    doubt: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    faces: int = 1
    likeness: Likeness | None = None

    def __post_init__(self) -> None:
        n = len(self.reason)
        if not len(self.doubt):
            object.__setattr__(self, "doubt", np.zeros(n, np.uint8))
        shapes = (
            self.landmarks.shape == (n, LANDMARKS, 3),
            self.shot.shape == (n,),
            self.pose.shape == (n, 3),
            self.scale.shape == (n,),
            self.times.shape == (n,),
            self.doubt.shape == (n,),
        )
        if not all(shapes):
            raise ValueError("every array of a FaceTrack needs one row per frame")

    def __len__(self) -> int:
        return len(self.reason)

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool[n]: True where the face was found."""
        return np.asarray(self.reason == Absence.PRESENT)

    def in_footage(self, landmarks: Floats) -> Floats:
        """Points [..., 3] of the track in pixels of the footage as stored (its pixels may not be
        square).
        """
        if self.aspect == 1.0:
            return landmarks
        moved = landmarks.copy()
        moved[..., 0] = (moved[..., 0] + 0.5) / np.float32(self.aspect) - 0.5
        return moved

    def from_footage(self, transforms: Floats) -> Floats:
        """Maps float32[..., 2, 3] that take square pixels, as ones that take the footage's."""
        if self.aspect == 1.0:
            return transforms
        moved = transforms.copy()
        moved[..., 2] += moved[..., 0] * np.float32(0.5 * self.aspect - 0.5)
        moved[..., 0] *= np.float32(self.aspect)
        return moved

    @property
    def place(self) -> tuple[float, float]:
        """Where the face is first seen, as fractions of width and height (`track_faces`' `at`)."""
        first = int(np.flatnonzero(self.present)[0])
        x, y = self.landmarks[first, :, :2].mean(0)
        return float(x) / self.width, float(y) / self.height

    def save(self, path: Path) -> None:
        """Write as .npz. Raises `OutputError` when the place cannot be written."""
        from media.files import atomic_path

        facts = {
            "format": _FORMAT,
            "rate": str(self.rate.value),
            "width": self.width,
            "height": self.height,
            "sha256": self.sha256,
            "aspect": self.aspect,
            "faces": self.faces,
        }
        extra: dict[str, Any] = {} if self.likeness is None else self.likeness.arrays()
        arrays = {
            "facts": np.array(json.dumps(facts)),
            "landmarks": self.landmarks,
            "reason": self.reason,
            "shot": self.shot,
            "pose": self.pose,
            "scale": self.scale,
            "times": self.times,
            "doubt": self.doubt,
            **{_WHO + name: values for name, values in extra.items()},
        }
        with atomic_path(path, suffix=".npz") as temporary, ZipFile(temporary, "w") as stored:
            for name, values in arrays.items():
                with stored.open(f"{name}.npy", "w", force_zip64=True) as member:
                    _write(member, values)

    @classmethod
    def load(cls, path: Path) -> FaceTrack:
        """Read what `save` wrote; the landmarks stay in the file (read-only, `media.far`).

        Raises `MediaError` for anything else.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                # Before anything is believed: damaged heads raise whatever they like.
                if stored.zip.testzip() is not None:
                    raise ValueError("checksum")
                facts: dict[str, Any] = json.loads(str(stored["facts"]))
                if facts.pop("format") != _FORMAT:
                    raise ValueError("format")
                rate = FrameRate(Fraction(facts.pop("rate")))
                far = {_FAR} & set(stored.files)
                arrays = {name: stored[name] for name in {*stored.files} - far - {"facts"}}
                arrays |= {name: _in_file(stream, stored.zip, f"{name}.npy") for name in far}
            names = [name for name in arrays if name.startswith(_WHO)]
            who = {name.removeprefix(_WHO): arrays.pop(name) for name in names}
            likeness = _likeness(who) if who else None
            return cls(rate=rate, **facts, **arrays, likeness=likeness)
        except _DAMAGED as error:
            raise MediaError(
                f"{path} is not a face track of this version; delete it and track again"
            ) from error


def _write(member: IO[bytes], values: NDArray[Any]) -> None:
    """An array as .npy, some rows at a time."""
    rows = np.asarray(values, order="C")
    np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(rows))
    if not rows.ndim:
        member.write(rows.tobytes())
        return
    for piece in pieces(rows):
        member.write(rows[piece].tobytes())


def _in_file(stream: IO[bytes], stored: ZipFile, name: str) -> NDArray[Any]:
    """An array of a whole .npz where it lies. Raises `ValueError` where it cannot stay there."""
    member = stored.getinfo(name)
    if member.compress_type != ZIP_STORED:
        raise ValueError("compressed")
    with stored.open(name) as inside:
        if np.lib.format.read_magic(inside) != (1, 0):
            raise ValueError("version")
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(inside)
        header = inside.tell()
    if by_columns or kind.hasobject or header + prod(shape) * kind.itemsize != member.file_size:
        raise ValueError("size")
    stream.seek(member.header_offset)
    lengths = struct.unpack_from("<HH", stream.read(_LOCAL_HEADER), _LOCAL_HEADER - 4)
    start = member.header_offset + _LOCAL_HEADER + sum(lengths) + header
    return mapped(stream.fileno(), shape, kind, offset=start, writing=False)


def _likeness(arrays: dict[str, NDArray[Any]]) -> Likeness:
    from lipsync.likeness import Likeness

    return Likeness.from_arrays(arrays)
