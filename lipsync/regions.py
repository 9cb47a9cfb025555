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
    "coarse_nodes",
    "displacement",
    "from_coarse",
    "inside_distance",
    "outside_distance",
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


def inside_distance(points: Points, size: int) -> Floats:
    """How deep inside a polygon each pixel lies, float32[S, S]; 0 outside."""
    import cv2

    return np.asarray(cv2.distanceTransform(_filled(points, size), cv2.DIST_L2, 5), np.float32)


def outside_distance(points: Points, size: int) -> Floats:
    """How far outside a polygon each pixel lies, float32[S, S]; 0 inside."""
    import cv2

    beyond = cv2.distanceTransform(255 - _filled(points, size), cv2.DIST_L2, 5)
    return np.asarray(beyond, np.float32)


def _filled(points: Points, size: int) -> NDArray[np.uint8]:
    import cv2

    mask = np.zeros((size, size), np.uint8)
    # Four fractional bits: the border moves smoothly with its points.
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, lineType=cv2.LINE_8, shift=4)
    return mask


def polygon_distance(points: Points, size: int) -> tuple[Floats, Floats]:
    """How deep inside, and how far outside, a polygon each pixel lies: float32[S, S] each."""
    return inside_distance(points, size), outside_distance(points, size)


def coarse_nodes(size: int, step: int) -> Floats:
    """Pixels at which a smooth field is worked out, to be enlarged by `from_coarse`."""
    return np.arange(-1, size // step + 1, dtype=np.float32) * step + np.float32((step - 1) / 2)


def from_coarse(field: Floats, size: int, step: int) -> Floats:
    """A field [N, N, ...] at `coarse_nodes` as float32[S, S, ...], linear between them."""
    import cv2

    whole = cv2.resize(
        np.ascontiguousarray(field, np.float32), None, fx=step, fy=step,
        interpolation=cv2.INTER_LINEAR,
    )  # fmt: skip
    return np.asarray(whole[step : step + size, step : step + size], np.float32)


def displacement(points: Points, shifts: Points, size: int, width: float, step: int = 8) -> Floats:
    """A smooth field float32[S, S, 2] that takes `shifts` [k, 2] at `points` [k, 2] (pixels).

    Averages of the shifts weighted by Gaussians of `width` pixels (Nadaraya-Watson), worked out
    every `step` pixels (of which `size` is a multiple); far from all points it fades to nothing.
    """
    grid = coarse_nodes(size, step)
    near = points.astype(np.float32)
    wide = np.float32(2 * width**2)
    # A Gaussian of two dimensions is a product of two of one.
    across, down = (np.exp(-((grid[:, None] - near[:, i]) ** 2) / wide) for i in (0, 1))
    weight = down[:, None] * across[None]
    field = (weight @ shifts.astype(np.float32)) / (weight.sum(-1, keepdims=True) + 0.05)
    return from_coarse(field, size, step)
