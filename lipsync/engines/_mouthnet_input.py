"""What the mouthnet sees: the middle of the crop, maps of the lips, phonemes, bent references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align.visemes import VISEMES
from lipsync._speech import STEPS_PER_S, viseme_track
from lipsync.crop import LIP_FEATURES
from lipsync.engines._draw import MouthArtist
from lipsync.morph import CONTROL, FOLLOW, dissolve, match_light, spread_follow, warps
from lipsync.motion import NATURAL_LEAD_S
from lipsync.pose import Pose, fit_pose, to_face, to_frame
from lipsync.regions import OUTER_LIPS

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.engines._plan import Part
    from media.time import FrameRate

__all__ = [
    "CONTEXT",
    "MAPS",
    "SHAPE",
    "ReferenceArtist",
    "phoneme_context",
    "sample",
    "shrunk",
    "window",
]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ints = NDArray[np.intp]

_MOMENTS_S = np.array([-0.24, -0.12, -0.04, 0.0, 0.04, 0.12, 0.24])
#: Numbers that say what is wanted: the lip shape (`lipsync.crop.LIP_FEATURES`), then which of
#: the visemes is on at seven moments.
SHAPE, CONTEXT = len(LIP_FEATURES), len(_MOMENTS_S) * len(VISEMES)
#: Channels of a stored sample before its references: picture, mask, lips, inside of the lips.
MAPS = 6

_INNER_LIPS = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
_SUBPIXEL = 4  # bits that OpenCV's polygons keep behind the point


def window(size: int) -> slice:
    """Rows and columns of a crop of `size` pixels that the network sees: 98 mm of 130."""
    return slice(size // 8, size - size // 8)


def shrunk(picture: NDArray[Any], size: int) -> NDArray[Any]:
    """`picture` [H, H, ...] at the network's `size`."""
    import cv2

    if picture.shape[0] == size:
        return picture
    kind = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_LINEAR
    resized: NDArray[Any] = cv2.resize(picture, (size, size), interpolation=kind)
    return resized


def sample(
    picture: Pixels, mask: Floats, points: Floats, references: Sequence[Pixels], size: int
) -> Pixels:
    """What `_mouthnet_net.assemble` takes, uint8[6 + 3 K, size, size].

    `picture` and `references` uint8[S, S, 3] and `mask` float32[S, S] in 0..1 are of the whole
    crop, `points` float32[478, 2] the new face in its pixels.
    """
    whole = picture.shape[0]
    part = window(whole)
    # Wherever the mask is not quite 0 the picture stays hidden.
    seen = shrunk(np.ceil(255 * mask[part, part]).astype(np.uint8), size)
    maps = [
        seen,
        *_lips((points - part.start + 0.5) * (size / (whole - 2 * part.start)) - 0.5, size),
    ]
    pictures = [shrunk(p[part, part], size).transpose(2, 0, 1) for p in (picture, *references)]
    stacked = np.concatenate([pictures[0], np.stack(maps), *pictures[1:]])
    return np.asarray(stacked, np.uint8)


def _lips(points: Floats, size: int) -> list[Pixels]:
    """The area of the lips, and what lies between them, uint8[size, size] in 0..255."""
    import cv2

    maps = []
    for ring in (OUTER_LIPS, _INNER_LIPS):
        drawn = np.zeros((size, size), np.uint8)
        corners = np.rint(points[list(ring)] * 2**_SUBPIXEL).astype(np.int32)
        cv2.fillPoly(drawn, [corners], 255, cv2.LINE_AA, _SUBPIXEL)
        maps.append(drawn)
    return maps


def phoneme_context(timing: Timing, rate: FrameRate, frames: Ints) -> Floats:
    """Visemes at seven moments around each of `frames`, float32[k, 105] in 0..1."""
    middles = (frames + 0.5) / float(rate) + NATURAL_LEAD_S
    longest = max(float(middles.max(initial=0.0)), timing.duration_s) + 0.5
    track = viseme_track(timing, int(np.ceil(longest * STEPS_PER_S)))
    at = np.floor((middles[:, None] + _MOMENTS_S) * STEPS_PER_S).astype(np.intp)
    taken = track[np.clip(at, 0, len(track) - 1)]
    return np.asarray(taken.reshape(len(frames), -1), np.float32)


class ReferenceArtist(MouthArtist):
    """Draws what the mouthbank would show, and beside it other mouths bent to the same lips."""

    def place(
        self, parts: tuple[Part, ...], change: Floats, landmarks: Floats
    ) -> tuple[Floats, Floats]:
        """Where the new face's points lie, float32[478, 2], and the 2D points of the frame's own.

        `landmarks` float32[478, 3] are the frame's own in crop pixels.
        """
        pose = fit_pose(landmarks[None])
        face = self._new_face(parts, change, to_face(landmarks[None], pose)[0])
        new = to_frame(face[None], Pose(pose.rotation, pose.scale, pose.place))[0, :, :2]
        old = landmarks[:, :2].astype(np.float32)
        if self._follow is None:
            self._follow = spread_follow(old)
        points = old + self._follow[:, None] * (new - old)
        points[CONTROL] = old[CONTROL] + FOLLOW[:, None] * (new[CONTROL] - old[CONTROL])
        return points.astype(np.float32), old

    def references(
        self,
        parts: tuple[Part, ...],
        others: Sequence[int],
        points: Floats,
        old: Floats,
        own: Pixels,
        miss: Floats | None = None,
    ) -> list[Pixels]:
        """The mouthbank's picture, then one of each mouth in `others`, uint8[S, S, 3].

        All bent to `points` (float32[478, 2], crop pixels) and lit like `own`, the frame's
        crop, whose points are `old`. `miss` float32[len(CONTROL), 2] makes them miss by so much.
        """
        numbers = [m for m, _ in parts] + list(others)
        pictures = [self._picture(m) for m in numbers]
        sources = np.stack([self._mouths.points[m][CONTROL] for m in numbers])
        to = points[CONTROL] if miss is None else points[CONTROL] + miss
        bent = [match_light(p, own, points, old) for p in warps(pictures, sources, to)]
        shown = dissolve(bent[: len(parts)], [w for _, w in parts])
        return [shown, *bent[len(parts) :]]
