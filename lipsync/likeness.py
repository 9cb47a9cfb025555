"""Who of several people a face is: bones, skin and the pattern of light and dark on it.

Enough to tell the people of one film apart, and to find one of them on a still; not a
biometric identification. Nothing is learned from anybody: the pattern is that of oriented
gradients (N. Dalal, B. Triggs, CVPR 2005) of the face brought upright and to one size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync.detect import Seen
from lipsync.pose import Pose, fit_pose, to_face

__all__ = ["STRANGER", "Likeness"]

Floats = NDArray[np.float32]

#: Distance beyond which a face in a new shot is someone else.
STRANGER = 6.0

# Points whose place on the head is the person's own and hardly changes in speech.
_TELLING = (
    *(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 151, 10, 9, 8, 127, 356, 234),
    *(454, 50, 280, 70, 300, 105, 334, 93, 323, 55, 285),
)
_SKIN = (50, 280, 101, 330, 151, 9, 5, 195)

# The part of the face whose pattern is read: from the brow to the upper lip, as far as the
# temples (mm around the middle between the eyes, and pixels).
_PATTERN_MM = (-62.0, -44.0, 62.0, 60.0)
_PIXEL_MM = 2.0
_CELL = 8  # pixels
_TURNS = 8
_TINT_MOST = 20.0  # beyond, it is the light that has changed


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """A face's bony shape float64[32, 3] (mm), skin colour float64[3] (8-bit L*a*b*) and pattern
    float32[k] (unit length), averaged over `seen` frames.
    """

    shape: NDArray[np.float64]
    colour: NDArray[np.float64]
    pattern: Floats
    seen: int = 1

    @classmethod
    def of(cls, landmarks: Floats, rgb: Seen) -> Likeness:
        """Measure one frame: `landmarks` float32[478, 3] in pixels of `rgb`."""
        import cv2

        points = landmarks[None]
        pose = fit_pose(points)
        shape = to_face(points, pose)[0, _TELLING]
        height, width = rgb.shape[:2]
        patches = []
        for x, y in landmarks[list(_SKIN), :2]:
            i, j = int(np.clip(y, 1, height - 2)), int(np.clip(x, 1, width - 2))
            patches.append(rgb[i - 1 : i + 2, j - 1 : j + 2].reshape(1, -1, 3).mean(1))
        skin = np.asarray(patches, np.float32).astype(np.uint8).reshape(-1, 1, 3)
        colour = np.median(cv2.cvtColor(skin, cv2.COLOR_RGB2LAB).reshape(-1, 3), axis=0)
        return cls(shape, colour.astype(np.float64), _pattern(rgb, pose))

    def distance(self, other: Likeness) -> float:
        """About 2 for one person at two moments of a film, 5 and more for two people."""
        # Lightness changes with the set; the colour of skin less so.
        tint = min(float(np.linalg.norm(self.colour[1:] - other.colour[1:])), _TINT_MOST)
        return 0.04 * tint + 0.3 * self._apart(other) + 10.0 * self.unlike(other)

    def kinship(self, other: Likeness) -> float:
        """The same without colour: for a picture taken elsewhere, in other light."""
        return 0.2 * self._apart(other) + 10.0 * self.unlike(other)

    def unlike(self, other: Likeness) -> float:
        """How different the two patterns are, 0..1."""
        return float(1.0 - self.pattern @ other.pattern)

    def _apart(self, other: Likeness) -> float:
        return float(np.sqrt(((self.shape - other.shape) ** 2).sum(-1).mean()))

    def joined(self, other: Likeness) -> Likeness:
        """The average of both; forgets slowly, so that it may drift with the light."""
        weight = 1.0 / min(self.seen + 1, 500)
        pattern = self.pattern + np.float32(weight) * (other.pattern - self.pattern)
        return replace(
            self,
            shape=self.shape + weight * (other.shape - self.shape),
            colour=self.colour + weight * (other.colour - self.colour),
            pattern=_unit(pattern),
            seen=self.seen + 1,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it is made of, to be stored."""
        return {
            "shape": self.shape,
            "colour": self.colour,
            "pattern": self.pattern,
            "seen": np.array(self.seen),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Likeness:
        """The inverse of `arrays`. Raises `ValueError` and `KeyError` for anything else."""
        shape, colour, pattern = (arrays[name] for name in ("shape", "colour", "pattern"))
        if shape.shape != (len(_TELLING), 3) or colour.shape != (3,) or pattern.ndim != 1:
            raise ValueError("not a likeness")
        return cls(shape, colour, pattern, int(arrays["seen"]))


def _pattern(rgb: Seen, pose: Pose) -> Floats:
    """Oriented gradients of the upright face, float32[k] of unit length."""
    import cv2

    grey = _upright(rgb, pose)
    across, down = (cv2.Scharr(grey, cv2.CV_32F, *d) for d in ((1, 0), (0, 1)))
    strength, turn = cv2.cartToPolar(across, down)
    # Light and dark may change places with the lamp: half a turn is the same edge.
    position = (turn % np.pi) * (_TURNS / np.pi)
    low = np.floor(position)
    share = position - low
    rows, columns = (n // _CELL for n in grey.shape)
    cells = np.zeros((rows, columns, _TURNS), np.float32)
    for k in range(_TURNS):
        part = strength * ((low % _TURNS == k) * (1 - share) + ((low + 1) % _TURNS == k) * share)
        cells[..., k] = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    return _evened(cells)


def _evened(cells: Floats) -> Floats:
    """Cells [r, c, k] divided by the strength around them, as one vector of unit length."""
    import cv2

    power = (cells**2).sum(-1)
    around = cv2.blur(power, (3, 3), borderType=cv2.BORDER_REFLECT)
    even = cells / np.sqrt(around + 0.05 * float(power.mean()) + 1e-6)[..., None]
    # One strong edge says no more than a clear one.
    vector = np.minimum(even, 0.6).ravel()
    vector -= vector.mean()
    return _unit(vector)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), np.float32)


def _upright(rgb: Seen, pose: Pose) -> Floats:
    """The face from brow to lip, upright and turned to the front as far as a plane can be."""
    import cv2

    left, top, right, bottom = _PATTERN_MM
    # Three points of the face's own plane at the depth of the cheeks, seen in the picture.
    plane = np.array([(left, top, -8.0), (right, top, -8.0), (left, bottom, -8.0)])
    there = plane @ pose.rotation[0].T * pose.scale[0] + pose.place[0]
    size = (round((right - left) / _PIXEL_MM), round((bottom - top) / _PIXEL_MM))
    size = (size[0] // _CELL * _CELL, size[1] // _CELL * _CELL)
    here = np.array([(0, 0), (size[0], 0), (0, size[1])], np.float32) - np.float32(0.5)
    corner, part = _cut_out(rgb, there[:, :2])
    matrix = cv2.getAffineTransform(here, (there[:, :2] - corner).astype(np.float32))
    steps = float(np.hypot(*matrix[:, 0]))
    if part.size == 0:
        return np.zeros(size[::-1], np.float32)
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    if steps > 1.4:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 * steps)
    seen = cv2.warpAffine(
        grey, matrix, size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(seen, np.float32)


def _cut_out(
    rgb: Seen, corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The part of the picture that holds a parallelogram of three `corners`, and its corner."""
    fourth = corners[1] + corners[2] - corners[0]
    every = np.vstack([corners, fourth])
    first = np.maximum(np.floor(every.min(0)).astype(int) - 4, 0)
    stop = np.maximum(np.ceil(every.max(0)).astype(int) + 5, first)
    return first.astype(np.float64), rgb[first[1] : stop[1], first[0] : stop[0]]
