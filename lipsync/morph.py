"""Bend one mouth picture so that its landmarks come to lie where they should.

A thin-plate spline (F. Bookstein, "Principal warps", IEEE PAMI 11(6), 1989) through mesh
points of lips, chin, cheeks and nose, evaluated on a coarse grid and enlarged: smooth, no
triangle edges, a millisecond or two for a crop of 256 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lipsync.regions import JAW, JAW_SHARE, coarse_nodes, from_coarse

__all__ = [
    "CHIN",
    "CONTROL",
    "FOLLOW",
    "LIPS",
    "LOWER_LIP",
    "UPPER_LIP",
    "dissolve",
    "match_light",
    "reshape",
    "spread_follow",
    "warp",
    "warps",
]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]

_CORNERS = (61, 291, 78, 308)
UPPER_LIP = (185, 40, 39, 37, 0, 267, 269, 270, 409, 191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
#: All 40 points of the lips.
LIPS = (*_CORNERS, *UPPER_LIP, *LOWER_LIP)
#: Points of the chin, which moves with the jaw.
CHIN = (18, 200, 199, 175, 83, 313, 182, 406, 32, 262, 208, 428, 201, 421, 171, 396, 140, 369)
# Halfway between mouth and cheek: half the new mouth's, half the target's own.
_BETWEEN = (164, 167, 393, 216, 436, 212, 432, 202, 422, 204, 424, 210, 430, 169, 394)
# What stays the target's own: nose, cheeks, upper end of the jaw.
_STILL = (
    *(1, 2, 98, 327, 97, 326, 129, 358, 205, 425, 50, 280, 36, 266, 187, 411, 207, 427),
    *(147, 376, 213, 433, 192, 416, 215, 435),
)
#: Every mesh point the warp goes through, and how far each follows the new mouth (the rest
#: of the way it stays the target's own).
CONTROL: NDArray[np.intp] = np.array([*LIPS, *CHIN, *_BETWEEN, *JAW, *_STILL], np.intp)
FOLLOW: NDArray[np.float32] = np.concatenate(
    [
        np.ones(len(LIPS) + len(CHIN)),
        np.full(len(_BETWEEN), 0.5),
        JAW_SHARE,
        np.zeros(len(_STILL)),
    ]
).astype(np.float32)

# Distance between the points at which the spline is evaluated, pixels.
_GRID_STEP = 8
# How far the spline may miss a point for smoothness' sake (in the kernel's own unit).
_SMOOTHNESS = 2e-3
# Fine detail is never raised by more than this share.
_MOST_DETAIL = 0.6


def _weights(to: Doubles, sources: Doubles) -> Doubles:
    """Spline weights float64[k + 3, 2 m] of the smooth maps that take `to` to every source.

    `to` float64[k, 2], `sources` float64[m, k, 2]; coordinates of order 1. All maps share one
    system, which is factorised once.
    """
    k = len(to)
    system = np.zeros((k + 3, k + 3))
    apart = ((to[:, None] - to[None]) ** 2).sum(2)
    system[:k, :k] = 0.5 * apart * np.log(np.maximum(apart, 1e-12))
    system[np.arange(k), np.arange(k)] += _SMOOTHNESS
    system[:k, k], system[:k, k + 1 :] = 1, to
    system[k, :k], system[k + 1 :, :k] = 1, to.T
    right = np.zeros((k + 3, 2 * len(sources)))
    right[:k] = (sources - to).transpose(1, 0, 2).reshape(k, -1)
    return np.asarray(np.linalg.solve(system, right))


def _fields(to: Floats, sources: Floats, size: int) -> list[Floats]:
    """Where every pixel of the output lies in each source, float32[S, S, 2] each, pixels."""
    unit = size / 2.0
    nodes = coarse_nodes(size, _GRID_STEP) / np.float32(unit)
    target = to.astype(np.float64) / unit
    weights = _weights(target, sources.astype(np.float64) / unit).astype(np.float32)
    k, count = len(to), len(nodes)
    near = target.astype(np.float32)
    across, down = ((nodes[:, None] - near[:, i]) ** 2 for i in (0, 1))
    squared = (down[:, None] + across[None]).reshape(-1, k)
    radial = np.maximum(squared, np.float32(1e-12))
    np.log(radial, out=radial)
    radial *= squared
    bent = (np.float32(0.5) * radial) @ weights[:k] + weights[k]
    x, y = np.meshgrid(nodes, nodes)
    grid = np.stack([x, y], axis=2).reshape(-1, 2)
    bent += grid @ weights[k + 1 :]
    # The maps' x and y stand side by side in the columns.
    places = [
        (bent[:, 2 * i : 2 * i + 2] + grid).reshape(count, count, 2) * np.float32(unit)
        for i in range(len(sources))
    ]
    return [from_coarse(place, size, _GRID_STEP) for place in places]


def warps(pictures: Sequence[Pixels], points: Floats, to: Floats) -> list[Pixels]:
    """Pictures uint8[S, S, 3] bent so that `points` [m, k, 2] of each come to lie at `to` [k, 2].

    All in pixels. Far from all points a picture moves as the nearest do; beyond its edge, the
    edge is repeated.
    """
    import cv2

    bent = []
    fields = _fields(to, points, pictures[0].shape[0])
    for picture, field in zip(pictures, fields, strict=True):
        moved: Pixels = cv2.remap(
            picture, field, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        bent.append(moved)
    return bent


def warp(picture: Pixels, points: Floats, to: Floats) -> Pixels:
    """One picture bent so that `points` [k, 2] come to lie at `to` [k, 2]; see `warps`."""
    return warps([picture], points[None], to)[0]


def dissolve(pictures: Sequence[Pixels], weights: Sequence[float]) -> Pixels:
    """Weighted mean of pictures uint8[S, S, 3] whose landmarks already agree.

    No second pair of lips shows, but skin texture never agrees and would average out: fine
    detail is given back the energy it had in the pictures.
    """
    import cv2

    if len(pictures) == 1:
        return pictures[0]
    shares = np.asarray(weights, np.float32) / np.float32(sum(weights))
    total = np.zeros(pictures[0].shape, np.float32)
    # The mouth and what is around it speak for the whole.
    size = len(total)
    middle = slice(size // 4, size * 3 // 4)
    energy = 0.0
    for picture, share in zip(pictures, shares, strict=True):
        total += share * picture
        inner = _detail(picture[middle, middle].astype(np.float32), size)
        energy += float(share) * float((inner**2).mean())
    detail = _detail(total, size)
    left = float((detail[middle, middle] ** 2).mean())
    lost = (energy / max(left, 1e-6)) ** 0.5
    total += np.float32(np.clip(lost - 1.0, 0.0, _MOST_DETAIL)) * detail
    return np.asarray(cv2.convertScaleAbs(np.maximum(total, 0)), np.uint8)


def _detail(picture: Floats, size: int) -> Floats:
    """What is finer than about a hundredth of a crop of `size`."""
    import cv2

    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), size / 128), np.float32)


# Cheeks and sides of the chin: skin in both pictures whatever the mouth does.
_SKIN = (205, 425, 187, 411, 207, 427, 203, 423, 214, 434, 210, 430, 36, 266)
_LIGHT_LIMIT = 5.0


def match_light(picture: Pixels, like: Pixels, points: Floats, like_points: Floats) -> Pixels:
    """`picture` uint8[S, S, 3] with the colour of `like`'s skin: one gain per channel.

    Archive footage has another white balance than the scene, or than its own next reel;
    the fine work (shading across the face) is left to the paste-back. The gain is the ratio
    of the mean skin, sampled around mesh points (`points`, `like_points` float32[478, 2]).
    """
    import cv2

    size = picture.shape[0]
    small = size // 8
    means = []
    for image, marks in ((picture, points), (like, like_points)):
        coarse = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        at = np.clip(marks[list(_SKIN)] / 8, 0, small - 1).astype(np.intp)
        means.append(coarse[at[:, 1], at[:, 0]].astype(np.float64).mean(0) + 1.0)
    gain = np.clip(means[1] / means[0], 1 / _LIGHT_LIMIT, _LIGHT_LIMIT)
    table = np.clip(np.rint(np.arange(256)[:, None] * gain), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table[None]), np.uint8)


# Eye distance of a face in face coordinates, mm: what one unit of `lip_shape` is.
_UNIT_MM = 63.0
_SHARE_LOWER = 0.65
_INNER = slice(9, 18)


def reshape(
    face: Doubles, *, opening: float = 0.0, width: float = 0.0, jaw: float = 0.0
) -> Doubles:
    """`face` float64[478, 3] (mm) with lips opened and widened and the jaw dropped by so much.

    In units of `lip_shape` (eye distances), negative for less. Closing moves each pair of
    inner lip points together in proportion, so lips meet along their whole length; opening
    parts the middle most. The lower lip does two thirds of the way.
    """
    out = face.copy()
    upper, lower = np.array(UPPER_LIP), np.array(LOWER_LIP)
    gap = np.linalg.norm(face[lower[_INNER]] - face[upper[_INNER]], axis=1)
    # `lip_shape` measures at the middle pair and at the pairs beside it.
    now = float(gap[3:6].mean())
    if opening < 0:
        change = gap * max(opening * _UNIT_MM / max(now, 1e-6), -1.0)
    else:
        profile = 1.0 - np.linspace(-0.9, 0.9, 9) ** 2
        change = opening * _UNIT_MM * profile / profile[3:6].mean()
    out[lower, 1] += _SHARE_LOWER * np.tile(change, 2)
    out[upper, 1] -= (1 - _SHARE_LOWER) * np.tile(change, 2)
    lips = np.array(LIPS)
    middle = 0.5 * (face[78, 0] + face[308, 0])
    span = max(float(np.linalg.norm(face[308] - face[78])), 1e-6)
    out[lips, 0] = middle + (1.0 + width * _UNIT_MM / span) * (out[lips, 0] - middle)
    out[list(CHIN), 1] += jaw * _UNIT_MM
    out[list(JAW), 1] += jaw * _UNIT_MM
    return out


def spread_follow(points: Floats) -> Floats:
    """How far each of the 478 mesh points follows the new mouth, float32[478] in 0..1.

    `FOLLOW` of the control points, for all others the mean of the nearest four, by distance in
    `points` [478, 2].
    """
    apart = ((points[:, None] - points[CONTROL][None]) ** 2).sum(2)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :4]
    weight = 1.0 / (np.take_along_axis(apart, nearest, 1) + 1e-3)
    follow = (weight * FOLLOW[nearest]).sum(1) / weight.sum(1)
    follow[CONTROL] = FOLLOW
    return np.asarray(follow, np.float32)
