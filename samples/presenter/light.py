"""The studio's lights, and how much of each reaches every vertex (shadow maps)."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from samples.presenter import raster
from samples.presenter.geometry import Surfaces

Array = NDArray[np.float32]

KEY, FILL, RIM, KICK, DOME = range(5)
MAP_SIZE = 352
REACH_MM = 300.0  # half the width of what the shadow maps cover
MIDDLE = np.array([0.0, 620.0, 40.0], np.float32)


@dataclass(frozen=True)
class Lights:
    """Samples of all area lights: direction [k,3], colour [k,3], group [k]."""

    direction: Array
    colour: Array
    group: NDArray[np.int32]


def _cone(towards: tuple[float, float, float], spread: float, count: int) -> NDArray[np.float64]:
    """Directions on a spiral inside a cone of half-angle `spread` (radians)."""
    axis = np.array(towards) / np.linalg.norm(towards)
    side = np.cross(axis, [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, axis)
    k = np.arange(count) + 0.5
    r, a = np.tan(spread) * np.sqrt(k / count), k * 2.399963
    out = axis + (r * np.cos(a))[:, None] * side + (r * np.sin(a))[:, None] * up
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))


KEY_TOWARDS = (-0.58, 0.46, 0.70)
FILL_TOWARDS = (0.80, 0.12, 0.62)
RIM_TOWARDS = (0.80, 0.42, -0.48)
KICK_TOWARDS = (-0.86, 0.25, -0.50)


def studio() -> Lights:
    """A large soft key from the left, weak fill, warm rim right, cool kick left, a dome."""
    parts = []
    for group, towards, spread, count, colour in (
        (KEY, KEY_TOWARDS, 0.30, 12, (2.85, 2.58, 2.26)),
        (FILL, FILL_TOWARDS, 0.45, 4, (0.42, 0.47, 0.55)),
        (RIM, RIM_TOWARDS, 0.22, 4, (2.3, 1.75, 1.2)),
        (KICK, KICK_TOWARDS, 0.22, 3, (0.75, 0.90, 1.15)),
    ):
        direction = _cone(towards, spread, count)
        parts.append((direction, np.array([colour] * count) / count, [group] * count))
    k = np.arange(18) + 0.5
    z = 1 - 1.62 * k / 18
    a = k * 2.399963
    dome = np.stack([np.sqrt(1 - z**2) * np.cos(a), z, np.sqrt(1 - z**2) * np.sin(a)], -1)
    sky = smooth_sky(dome)
    parts.append((dome, sky * 0.85 / 18, [DOME] * 18))
    return Lights(
        np.concatenate([p[0] for p in parts]).astype(np.float32),
        np.concatenate([p[1] for p in parts]).astype(np.float32),
        np.concatenate([p[2] for p in parts]).astype(np.int32),
    )


def smooth_sky(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of the surroundings: cool from above, warm from below."""
    t = np.clip(0.5 + 0.6 * direction[:, 1:2], 0, 1)
    return np.array([0.85, 0.62, 0.45]) * (1 - t) + np.array([0.95, 1.05, 1.2]) * t


def towards_light(direction: Array) -> Array:
    """Rows: the light's right, up and the direction to it."""
    side = np.cross([0.0, 1.0, 0.0], direction)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(direction, side), direction]).astype(np.float32)


@numba.njit(cache=True, fastmath=True)
def _gather(at, normals, direction, colour, group, depth, irradiance, seen, wrap):  # type: ignore[no-untyped-def]
    """Add one light sample at every vertex; 2 x 2 filtered shadow look-up."""
    size = depth.shape[0]
    for n in range(at.shape[0]):
        cosine = (
            normals[n, 0] * direction[0]
            + normals[n, 1] * direction[1]
            + normals[n, 2] * direction[2]
        )
        if cosine < -wrap:
            continue
        bias = 2.0 + 3.5 * (1.0 - max(cosine, 0.0))
        x, y, z = at[n, 0] - 0.5, at[n, 1] - 0.5, at[n, 2] + bias
        i, j = int(np.floor(x)), int(np.floor(y))
        lit = 1.0
        if 0 <= i < size - 1 and 0 <= j < size - 1:
            fx, fy = x - i, y - j
            lit = (
                (1 - fx) * (1 - fy) * (depth[j, i] <= z)
                + fx * (1 - fy) * (depth[j, i + 1] <= z)
                + (1 - fx) * fy * (depth[j + 1, i] <= z)
                + fx * fy * (depth[j + 1, i + 1] <= z)
            )
        if lit <= 0:
            continue
        front = max(cosine, 0.0)
        seen[n, group] += lit * (colour[0] + colour[1] + colour[2]) / 3
        for c in range(3):
            w = wrap * (1.0, 0.45, 0.3)[c]
            soft = max(cosine + w, 0.0) / (1 + w)
            irradiance[n, c] += lit * colour[c] * (soft if w > 0 else front)


@numba.njit(cache=True, fastmath=True)
def _to_light(points, frame, middle, scale, half):  # type: ignore[no-untyped-def]
    """Shadow-map x, y and nearness (mm) of points [n,3]."""
    out = np.empty_like(points)
    for n in range(points.shape[0]):
        a, b, c = points[n, 0] - middle[0], points[n, 1] - middle[1], points[n, 2] - middle[2]
        out[n, 0] = (frame[0, 0] * a + frame[0, 1] * b + frame[0, 2] * c) * scale + half
        out[n, 1] = (frame[1, 0] * a + frame[1, 1] * b + frame[1, 2] * c) * scale + half
        out[n, 2] = frame[2, 0] * a + frame[2, 1] * b + frame[2, 2] * c
    return out


def illuminate(
    surfaces: Surfaces, lights: Lights, extra: tuple[Array, NDArray[np.int32]] | None = None
) -> tuple[Array, Array]:
    """Irradiance [n,3] and the light of each group that arrives [n,5] at every vertex.

    `extra` are points and triangles that cast shadows without being drawn (hair).
    """
    n = len(surfaces.points)
    irradiance = np.zeros((n, 3), np.float32)
    seen = np.zeros((n, 5), np.float32)
    scale = np.float32(MAP_SIZE / (2 * REACH_MM))
    for direction, colour, group in zip(lights.direction, lights.colour, lights.group, strict=True):
        frame = towards_light(direction)
        at = _to_light(surfaces.points, frame, MIDDLE, scale, np.float32(MAP_SIZE / 2))
        depth = np.full((MAP_SIZE, MAP_SIZE), -1e9, np.float32)
        raster.draw_depth(at, surfaces.shadow_triangles, depth)
        if extra is not None:
            more = _to_light(extra[0], frame, MIDDLE, scale, np.float32(MAP_SIZE / 2))
            raster.draw_depth(more, extra[1], depth)
        _gather(
            at, surfaces.normals, direction, colour, group, depth, irradiance, seen,
            np.float32(0.15),
        )  # fmt: skip
    return irradiance, seen
