"""The skin as pictures: colour, gloss and fine relief, painted by numbers.

The texture is unrolled around the head: u = 80 mm x the angle about a vertical axis through
the head, v = height. Everything is painted in millimetres of the resting face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samples.presenter import raster
from samples.presenter.geometry import SKIN, Model, smoothstep
from samples.presenter.mesh import triangles

Array = NDArray[np.float32]

AXIS_Z = 50.0
RADIUS = 80.0
U_RANGE = (-170.0, 170.0)
V_RANGE = (480.0, 800.0)
PER_MM = 5.0

BASE = np.array([0.46, 0.262, 0.175])  # linear light reflectance
LIP = np.array([0.36, 0.115, 0.10])
INSIDE = np.array([0.16, 0.03, 0.03])
SCALP = np.array([0.045, 0.028, 0.02])
# The hairline, |u| -> v in mm: forehead, temple, before the ear.
HAIRLINE_U = (0, 14, 30, 46, 60, 72, 84, 96, 110, 130, 260)
HAIRLINE_V = (737, 737, 735, 728, 713, 696, 683, 672, 664, 620, 600)


def unroll(points: Array) -> Array:
    """(u, v) in mm of resting points [n,3]."""
    angle = np.arctan2(points[:, 0], points[:, 2] - AXIS_Z)
    return np.stack([RADIUS * angle, points[:, 1]], -1).astype(np.float32)


def hairline(u: NDArray[np.floating], v: NDArray[np.floating]) -> Array:
    """Millimetres above the hairline (negative on the face)."""
    return np.asarray(v - np.interp(np.abs(u), HAIRLINE_U, HAIRLINE_V), np.float32)


@dataclass(frozen=True)
class SkinTexture:
    """colour float32[h,w,3] linear; finish float32[h,w,4]: gloss, then the relief's
    gradient in resting space, to tilt normals with."""

    colour: Array
    finish: Array


def noise3(points: Array, size: float, seed: int) -> Array:
    """Smooth value noise of unit variance at points [...,3]; features of about `size` mm."""
    rng = np.random.default_rng(seed)
    lattice = rng.standard_normal((48, 48, 48)).astype(np.float32)
    at = np.moveaxis(points / size, -1, 0) % 48
    out = ndimage.map_coordinates(lattice, at, order=1, mode="grid-wrap")
    return np.asarray(out * 1.6, np.float32)


def _bake(model: Model) -> tuple[Array, dict[str, Array], NDArray[np.bool_]]:
    """Resting position and masks at every texel; where there is skin."""
    width = int((U_RANGE[1] - U_RANGE[0]) * PER_MM)
    height = int((V_RANGE[1] - V_RANGE[0]) * PER_MM)
    quads = model.quads[model.material == SKIN]
    at = unroll(model.rest)
    x = (at[:, 0] - U_RANGE[0]) * PER_MM
    y = (V_RANGE[1] - at[:, 1]) * PER_MM
    outer = np.hypot(model.rest[:, 0], model.rest[:, 2] - AXIS_Z)
    screen = np.stack([x, y, outer], -1).astype(np.float32)
    tris = triangles(quads)
    wide = np.ptp(screen[tris][..., 0], axis=1) > width / 2
    tris = np.ascontiguousarray(tris[~wide])
    depth = np.zeros((height, width), np.float32)
    which = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 2), np.float32)
    ids = np.arange(len(tris), dtype=np.int32)
    raster.draw_triangles(screen, tris, np.ones(len(screen), np.float32), ids, depth, which, bary)
    hit = which >= 0
    corner = tris[np.maximum(which, 0)]
    q = bary / np.maximum(
        screen[corner][..., 2][..., 1:] / np.maximum(depth, 1e-6)[..., None], 1e-6
    )
    b = np.concatenate([1 - q.sum(-1, keepdims=True), q], -1)
    rest = np.einsum("hwk,hwkc->hwc", b, model.rest[corner])
    masks = {k: np.einsum("hwk,hwk->hw", b, v[corner]) * hit for k, v in model.masks.items()}
    return rest.astype(np.float32), masks, hit


def _spot(u: Array, v: Array, at: tuple[float, float], size: tuple[float, float]) -> Array:
    return np.exp(-(((u - at[0]) / size[0]) ** 2) - ((v - at[1]) / size[1]) ** 2)


def _freckles(u: Array, v: Array, shape: tuple[int, int]) -> Array:
    rng = np.random.default_rng(7)
    field = np.zeros(shape, np.float32)
    for _ in range(900):
        fu, fv = rng.normal(0, 34), rng.normal(648, 14)
        size = rng.gamma(3.0, 0.11) + 0.2
        x, y = int((fu - U_RANGE[0]) * PER_MM), int((V_RANGE[1] - fv) * PER_MM)
        r = int(size * PER_MM * 3) + 1
        if not (r < x < shape[1] - r and r < y < shape[0] - r):
            continue
        box = np.s_[y - r : y + r + 1, x - r : x + r + 1]
        strength = rng.uniform(0.06, 0.28)
        field[box] += strength * np.exp(-(((u[box] - fu) ** 2 + (v[box] - fv) ** 2) / size**2))
    return np.clip(field, 0, 0.6)


@dataclass(frozen=True)
class _Canvas:
    """What the painter needs at every texel: where it is, masks in 0..1, blotches."""

    rest: Array
    u: Array
    v: Array
    lips: Array
    lids: Array
    ears: Array
    inside: Array
    roots: Array
    blotch: Array
    fine: Array


def _canvas(rest: Array, masks: dict[str, Array]) -> _Canvas:
    height, width = rest.shape[:2]
    zero = np.zeros((height, width), np.float32)
    u = np.linspace(*U_RANGE, width, dtype=np.float32)[None, :] + zero
    v = np.linspace(V_RANGE[1], V_RANGE[0], height, dtype=np.float32)[:, None] + zero
    above = hairline(u, v) + 1.6 * noise3(rest, 6, 8) + 0.9 * noise3(rest, 0.8, 9)
    return _Canvas(
        rest=rest,
        u=u,
        v=v,
        lips=smoothstep(0.30, 0.62, ndimage.gaussian_filter(masks["lips"], 1.5)),
        lids=ndimage.gaussian_filter(masks["eyelids"], 3),
        ears=masks["ears"],
        inside=smoothstep(0.3, 0.9, masks["inside-mouth"]),
        roots=smoothstep(-5, 12, above) * (1 - smoothstep(0.2, 0.5, masks["ears"])),
        blotch=noise3(rest, 9, 1) * 0.5 + noise3(rest, 3.2, 2) * 0.3 + noise3(rest, 22, 3) * 0.6,
        fine=noise3(rest, 0.9, 4),
    )


def _bare(c: _Canvas) -> NDArray[np.float64]:
    """Skin without lips and hair: lighter, darker and redder places, freckles, a mole."""
    u, v, au = c.u, c.v, np.abs(c.u)
    red = (
        0.18 * _spot(au, v, (46, 638), (20, 13))  # cheeks
        + 0.30 * _spot(u, v, (0, 631), (10, 9))  # tip of the nose
        + 0.22 * _spot(u, v, (0, 577), (14, 9))  # chin
        + 0.30 * c.ears
        + 0.10 * c.blotch
    )
    dark = (
        0.30 * _spot(au, v, (24, 657), (13, 4.5))  # under the eyes
        + 0.18 * _spot(au, v, (17, 664), (5, 9))  # inner corners
        + 0.45 * c.lids
        + 0.12 * _spot(au, v, (28, 683), (16, 6))
        + 0.10 * _spot(u, v, (0, 590), (14, 3.5))  # below the lip
        + 0.07 * c.blotch
    )
    light = 0.10 * _spot(u, v, (0, 706), (30, 18)) + 0.10 * _spot(u, v, (0, 655), (5, 25))
    colour = BASE * (1 + light - dark + 0.025 * c.fine)[..., None]
    colour = colour * (1 + red[..., None] * np.array([0.10, -0.32, -0.30]))
    freckle = _freckles(u, v, u.shape) * (1 - c.lips)
    colour = colour * (1 - freckle[..., None] * np.array([0.35, 0.55, 0.65]))
    mole = _spot(u, v, (-27.0, 611.5), (0.9, 0.9))
    return np.asarray(colour * (1 - 0.75 * mole[..., None]))


def _shine(c: _Canvas) -> Array:
    """How glossy the skin is: forehead, nose, cheeks; lips and mouth are wet."""
    au = np.abs(c.u)
    gloss = 0.45 + 0.10 * c.blotch + 0.08 * c.fine
    gloss += 0.30 * _spot(c.u, c.v, (0, 650), (9, 34)) + 0.20 * _spot(c.u, c.v, (0, 715), (34, 16))
    gloss += 0.12 * _spot(au, c.v, (48, 650), (14, 10))
    gloss = gloss * (1 - 0.8 * c.roots) + 1.1 * c.lips + 1.2 * c.inside
    return np.asarray(np.clip(gloss, 0.05, 2), np.float32)


def paint(model: Model) -> SkinTexture:
    """Paint the presenter's skin (a few seconds)."""
    rest, masks, hit = _bake(model)
    c = _canvas(rest, masks)
    wrinkle = noise3(rest * np.array([1.0, 0.22, 1.0], np.float32), 0.8, 5)
    colour = _bare(c)
    lip_colour = LIP * (1 + 0.10 * c.blotch + 0.07 * wrinkle)[..., None]
    colour += (lip_colour - colour) * (0.9 * c.lips)[..., None]
    colour += (INSIDE - colour) * c.inside[..., None]
    colour += (SCALP - colour) * (0.92 * c.roots)[..., None]
    # Relief: pores and faint creases; deeper vertical creases on the lips.
    pores = noise3(rest, 0.75, 11) + 0.7 * noise3(rest, 1.6, 12) + 0.35 * noise3(rest, 4.5, 13)
    bumps = 0.030 * pores * (1 - c.lips) * (1 - 0.5 * c.lids) + 0.10 * c.lips * wrinkle
    return SkinTexture(
        np.ascontiguousarray(np.clip(colour, 0.004, 1), np.float32),
        np.concatenate([_shine(c)[..., None], _gradient(bumps, rest, hit)], -1),
    )


def _gradient(height: Array, rest: Array, hit: NDArray[np.bool_]) -> Array:
    """Gradient of a height (mm) along the surface, as a vector in resting space."""
    pu, pv = np.gradient(rest, axis=1), np.gradient(rest, axis=0)
    hu, hv = np.gradient(height, axis=1), np.gradient(height, axis=0)
    e, f, g = (pu * pu).sum(-1), (pu * pv).sum(-1), (pv * pv).sum(-1)
    det = np.maximum(e * g - f * f, 1e-4)
    a, b = (g * hu - f * hv) / det, (e * hv - f * hu) / det
    out = a[..., None] * pu + b[..., None] * pv
    size = np.linalg.norm(out, axis=-1, keepdims=True)
    out *= np.minimum(1, 0.6 / np.maximum(size, 1e-6))
    return np.where(hit[..., None], out, 0).astype(np.float32)
