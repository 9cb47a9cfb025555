"""Draw a chosen mouth: bend the pictures to one face, light them alike, dissolve."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lipsync.engines import MouthPatch
from lipsync.engines._bank import Mouths
from lipsync.engines._plan import Part
from lipsync.morph import (
    CONTROL,
    FOLLOW,
    dissolve,
    match_light,
    reshape,
    spread_follow,
    warps,
)
from lipsync.pose import Pose, fit_pose, to_face, to_frame

__all__ = ["MouthArtist"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_NOSE_BASE = (2, 98, 327)
_DECODED = 64  # pictures kept


class MouthArtist:
    """Draws mouths of one bank into crops of one shot."""

    def __init__(self, mouths: Mouths) -> None:
        self._mouths = mouths
        self._follow: Floats | None = None
        self._picture = lru_cache(maxsize=_DECODED)(mouths.picture)

    def begin(self, face: Floats | None = None) -> None:
        """Another job: another face to follow, `face` float32[478, 2] in crop pixels.

        Without it the first one that is drawn.
        """
        self._follow = None if face is None else spread_follow(face)

    def draw(
        self, parts: tuple[Part, ...], change: Floats, crop: Pixels, landmarks: Floats
    ) -> MouthPatch:
        """The mouths `parts` with their lips changed by `change` [3], for one frame.

        `crop` uint8[S, S, 3] and `landmarks` float32[478, 3] (crop pixels) are the frame's own.
        """
        pose = fit_pose(landmarks[None])
        face = self._new_face(parts, change, to_face(landmarks[None], pose)[0])
        new = to_frame(face[None], Pose(pose.rotation, pose.scale, pose.place))[0, :, :2]
        return self._patch(parts, new, landmarks[:, :2], crop)

    def _new_face(
        self, parts: tuple[Part, ...], change: Floats, own: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The face with its new mouth in face coordinates (mm), float64[478, 3]."""
        face = np.zeros_like(own)
        for mouth, weight in parts:
            face += weight * self._mouths.face[mouth]
        face += (own[list(_NOSE_BASE)] - face[list(_NOSE_BASE)]).mean(0)
        opening, width, jaw = (float(c) for c in change)
        return reshape(face, opening=opening, width=width, jaw=jaw)

    def _patch(self, parts: tuple[Part, ...], new: Floats, old: Floats, own: Pixels) -> MouthPatch:
        """Every part bent to the same points and lit alike, dissolved."""
        if self._follow is None:
            self._follow = spread_follow(old)
        to = old[CONTROL] + FOLLOW[:, None] * (new[CONTROL] - old[CONTROL])
        points = old + self._follow[:, None] * (new - old)
        points[CONTROL] = to
        pictures = [self._picture(m) for m, _ in parts]
        sources = np.stack([self._mouths.points[m][CONTROL] for m, _ in parts])
        bent = [match_light(p, own, points, old) for p in warps(pictures, sources, to)]
        return MouthPatch(dissolve(bent, [w for _, w in parts]), points.astype(np.float32))
