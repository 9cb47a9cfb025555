"""Regions of the lower face as lists of mesh points, and the smooth fields drawn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BORDER_LOWER",
    "BORDER_UPPER",
    "CHEEKS",
    "FACE_OVAL",
    "JAW",
    "JAW_SHARE",
    "OUTER_LIPS",
    "displacement",
    "polygon_distance",
]

Floats = NDArray[np.float32]
Points = NDArray[np.floating[Any]]

OUTER_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)

# The border of what is replaced: under the nose, along the nasolabial folds and over the
# cheeks (where the target's own points decide) ...
BORDER_UPPER = (411, 425, 423, 327, 2, 98, 203, 205, 187)
# ... and a finger's breadth inside the jaw (where the new mouth's points decide).
BORDER_LOWER = (192, 138, 135, 169, 170, 140, 171, 175, 396, 369, 395, 394, 364, 367, 416)

#: Points round the mouth that the new picture must share with the old one.
CHEEKS = (2, 98, 327, 203, 423, 205, 425, 187, 411, 50, 280, 36, 266, 1, 129, 358)

#: The edge of the jaw from ear to ear, and how much of the jaw's motion each point follows.
JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
JAW_SHARE = np.array(
    (0.0, 0.2, 0.5, 0.8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.8, 0.5, 0.2, 0.0), np.float32
)

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)


def polygon_distance(points: Points, size: int) -> tuple[Floats, Floats]:
    """How deep inside, and how far outside, a polygon each pixel lies: float32[S, S] each."""
    import cv2

    mask = np.zeros((size, size), np.uint8)
    # Four fractional bits: the border moves smoothly with its points.
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, lineType=cv2.LINE_8, shift=4)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
    return np.asarray(inside, np.float32), np.asarray(outside, np.float32)


def displacement(points: Points, shifts: Points, size: int, width: float, step: int = 8) -> Floats:
    """A smooth field float32[S, S, 2] that takes `shifts` [k, 2] at `points` [k, 2] (pixels).

    Averages of the shifts weighted by Gaussians of `width` pixels (Nadaraya-Watson), worked out
    every `step` pixels; far from all points it fades to nothing.
    """
    import cv2

    grid = np.arange(0, size + step, step, dtype=np.float32)
    dx = grid[None, :, None] - points[:, 0]
    dy = grid[:, None, None] - points[:, 1]
    weight = np.exp(-(dx**2 + dy**2) / np.float32(2 * width**2))
    field = (weight @ shifts.astype(np.float32)) / (weight.sum(-1, keepdims=True) + 0.05)
    # Node i of the grid lies on pixel i * step.
    scale = np.array([[step, 0, 0], [0, step, 0]], np.float64)
    warped = cv2.warpAffine(
        np.ascontiguousarray(field, np.float32), scale, (size, size), flags=cv2.INTER_LINEAR
    )
    return np.asarray(warped, np.float32)
