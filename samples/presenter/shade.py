"""Colour of every pixel: skin, eyes, teeth, cloth under the studio's lights (numba)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from samples.presenter.geometry import EYE, GUM, KNIT, LAPEL, SKIN, TONGUE, TOOTH
from samples.presenter.light import FILL_TOWARDS, KEY_TOWARDS, KICK_TOWARDS, RIM_TOWARDS

Array = NDArray[np.float32]

PI = 3.14159265
IRIS_MM = 5.75

_KEY = np.array(KEY_TOWARDS, np.float32) / np.float32(np.linalg.norm(KEY_TOWARDS))
_FILL = np.array(FILL_TOWARDS, np.float32) / np.float32(np.linalg.norm(FILL_TOWARDS))
_RIM = np.array(RIM_TOWARDS, np.float32) / np.float32(np.linalg.norm(RIM_TOWARDS))
_KICK = np.array(KICK_TOWARDS, np.float32) / np.float32(np.linalg.norm(KICK_TOWARDS))
LOBES = np.stack([_KEY, _FILL, _RIM, _KICK]).astype(np.float32)
LOBE_TINT = np.array(
    [[1.0, 0.91, 0.8], [0.9, 1.0, 1.15], [1.25, 0.95, 0.65], [0.8, 0.98, 1.25]], np.float32
)


@numba.njit(cache=True, fastmath=True, inline="always")
def _hash(i, j, k):  # type: ignore[no-untyped-def]
    h = (i * 374761393 + j * 668265263 + k * 2147483647) & 0x7FFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


@numba.njit(cache=True, fastmath=True, inline="always")
def _smooth(low, high, x):  # type: ignore[no-untyped-def]
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, fastmath=True)
def _fetch(texture, x, y, out):  # type: ignore[no-untyped-def]
    """Bilinear look-up of a [h,w,c] texture into `out`."""
    h, w, channels = texture.shape
    x = min(max(x, 0.0), w - 1.001)
    y = min(max(y, 0.0), h - 1.001)
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    for c in range(channels):
        top = texture[j, i, c] * (1 - fx) + texture[j, i + 1, c] * fx
        low = texture[j + 1, i, c] * (1 - fx) + texture[j + 1, i + 1, c] * fx
        out[c] = top * (1 - fy) + low * fy


@numba.njit(cache=True, fastmath=True)
def _gloss(normal, view, lobes, tint, seen, power, fresnel, out):  # type: ignore[no-untyped-def]
    """Add Blinn-Phong highlights (normalised) of the four lamps to `out`."""
    facing = max(normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2], 0.02)
    for g in range(4):
        hx, hy, hz = lobes[g, 0] + view[0], lobes[g, 1] + view[1], lobes[g, 2] + view[2]
        size = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6
        nh = max((normal[0] * hx + normal[1] * hy + normal[2] * hz) / size, 0.0)
        vh = max((view[0] * hx + view[1] * hy + view[2] * hz) / size, 0.0)
        nl = normal[0] * lobes[g, 0] + normal[1] * lobes[g, 1] + normal[2] * lobes[g, 2]
        if nl <= 0:
            continue
        f = fresnel + (1 - fresnel) * (1 - vh) ** 5
        # nl / max(nl, nv): Neumann's visibility term keeps grazing highlights finite.
        amount = (power + 8) / 25.13 * nh**power * f * nl / max(nl, facing) * seen[g]
        for c in range(3):
            out[c] += amount * tint[g, c]


@numba.njit(cache=True, fastmath=True)
def _iris(rest, r, out):  # type: ignore[no-untyped-def]
    """Reflectance of sclera, iris and pupil, `r` mm from the middle of the pupil."""
    a = np.arctan2(rest[1], rest[0])
    streak = 0.45 + 0.22 * np.sin(a * 23 + 2.2 * np.sin(a * 5))
    streak += 0.16 * np.sin(a * 41 + r * 2.1) + 0.10 * np.sin(a * 67 - r * 3.0)
    t = min(max((r - 1.9) / (IRIS_MM - 1.9), 0.0), 1.0)
    dark = (1 - 0.75 * _smooth(IRIS_MM - 1.3, IRIS_MM - 0.15, r)) * _smooth(1.95, 2.35, r)
    # Light refracted through the cornea gathers opposite the key.
    dark *= 1.0 + 0.6 * _smooth(-0.2, 1.0, (rest[0] * 0.6 - rest[1] * 0.7) / IRIS_MM)
    inside = 1 - _smooth(IRIS_MM - 0.35, IRIS_MM + 0.35, r)
    outer = _smooth(7.0, 13.0, r)
    vein = 0.03 * np.sin(a * 31 + r * 1.3) * outer
    for c in range(3):
        near = (0.12, 0.06, 0.024)[c] + (0.08, 0.045, 0.015)[c] * streak
        far = (0.05, 0.03, 0.017)[c] + (0.05, 0.035, 0.020)[c] * streak
        white = (0.52, 0.455, 0.42)[c] - (0.10, 0.15, 0.16)[c] * outer - vein * (c > 0)
        coloured = (near * (1 - t) + far * t) * dark + 0.002
        out[c] = white * (1 - inside) + coloured * inside


@numba.njit(cache=True, fastmath=True)
def _box(r, lamp, wide, tall):  # type: ignore[no-untyped-def]
    """Whether the direction `r` meets a soft box that hangs in the direction `lamp`: 0..1."""
    d = r[0] * lamp[0] + r[1] * lamp[1] + r[2] * lamp[2]
    if d <= 0:
        return 0.0
    n = np.sqrt(lamp[2] ** 2 + lamp[0] ** 2)
    across = (r[0] * lamp[2] - r[2] * lamp[0]) / n / d
    up = (-r[0] * lamp[0] * lamp[1] + r[1] * n * n - r[2] * lamp[2] * lamp[1]) / n / d
    edge = _smooth(wide + 0.06, wide - 0.02, abs(across))
    return edge * _smooth(tall + 0.06, tall - 0.02, abs(up))


@numba.njit(cache=True, fastmath=True)
def _eye(rest, normal, view, lobes, seen, light, out):  # type: ignore[no-untyped-def]
    """Eyeball and the reflections of the key's and the fill's soft boxes in it."""
    r = np.sqrt(rest[0] ** 2 + rest[1] ** 2)
    _iris(rest, r, out)
    mirrored = np.zeros(3)
    k = 2 * (normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2])
    for c in range(3):
        out[c] *= light[c] / PI * 1.15
        mirrored[c] = k * normal[c] - view[c]
    wet = 0.75 if r < 7.5 else 0.25
    key = 2.6 * min(seen[0] * 0.62, 1.0) * _box(mirrored, lobes[0], 0.30, 0.40)
    fill = 0.35 * min(seen[1] * 2.0, 1.0) * _box(mirrored, lobes[1], 0.16, 0.34)
    for c in range(3):
        out[c] += (key + fill) * wet * (1.0, 0.97, 0.93)[c]


@numba.njit(cache=True, fastmath=True)
def _cloth_colour(rest, material, edge, out):  # type: ignore[no-untyped-def]
    """Reflectance of the knitted top and of the blazer's wool; `edge` mm to the hem."""
    if material == KNIT:
        rib = 0.5 + 0.5 * np.sin(rest[0] * 2.1)
        row = 0.5 + 0.5 * np.sin(rest[1] * 3.3 + 1.5 * np.cos(rest[0] * 2.1))
        k = 0.80 + 0.14 * rib + 0.08 * row
        if edge < 9:
            k *= 1.04 - 0.28 * _smooth(1.6, 0.0, abs(edge - 8.5))
        for c in range(3):
            out[c] = (0.62, 0.55, 0.46)[c] * k
        return
    twill = 0.5 + 0.5 * np.sin((rest[0] + rest[1]) * 4.2)
    speck = _hash(int(rest[0] * 2.2 + 4000), int(rest[1] * 2.2), int(rest[2] * 2.2 + 4000))
    k = 0.80 + 0.18 * twill + 0.26 * (speck - 0.5)
    if edge < 3.4:
        k *= 1 - 0.30 * _smooth(1.1, 0.2, abs(edge - 2.6))
    for c in range(3):
        out[c] = (0.030, 0.066, 0.074)[c] * k * (1.12 if material == LAPEL else 1.0)


@numba.njit(cache=True, fastmath=True)
def _cloth(rest, material, edge, under, normal, view, light, out):  # type: ignore[no-untyped-def]
    """Matt cloth with a fuzz at grazing angles; dark `under` the edge of the layer above."""
    _cloth_colour(rest, material, edge, out)
    rim = 1 - max(normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2], 0.0)
    fuzz = 0.16 * rim**3 * (0.25 if material == KNIT else 0.12)
    dark = 1 - 0.55 * _smooth(-9.0, 0.5, under)
    for c in range(3):
        out[c] = (out[c] * dark + fuzz) * light[c] / PI


@numba.njit(cache=True, fastmath=True)
def _in_mouth(rest, material, normal, view, light, seen, lobes, tint, glow, out):  # type: ignore[no-untyped-def]
    """Teeth, gums and tongue: wet, and dark towards the corners of the mouth."""
    _gloss(normal, view, lobes, tint, seen, 60.0, 0.03, glow)
    lateral = 1 - 0.9 * _smooth(12.0, 20.0, abs(rest[0]))
    if material == TOOTH:
        # Cheeks shade the back teeth more than the lamps' samples say; so do neighbours.
        side = np.sqrt(normal[0] ** 2 + normal[2] ** 2) + 1e-6
        away = abs(normal[0] / side - rest[0] / 30.0)
        k = (1 - 0.88 * _smooth(12.0, 21.0, abs(rest[0]))) * (1 - 0.24 * _smooth(0.45, 1.0, away))
        for c in range(3):
            out[c] = (0.70, 0.59, 0.46)[c] * k * (light[c] + 0.70) / PI
    else:
        for c in range(3):
            base = (0.34, 0.10, 0.095)[c] if material == TONGUE else (0.36, 0.105, 0.10)[c]
            out[c] = base * (light[c] + 0.10) / PI
    for c in range(3):
        out[c] += 0.8 * glow[c] * lateral


@numba.njit(cache=True, fastmath=True)
def _skin(normal, view, light, seen, under, turn, colour, gloss, relief, lobes, tint, glow, out):  # type: ignore[no-untyped-def]
    """Scattered light times colour, tilted by the relief, and two gloss lobes."""
    bent = np.zeros(3)
    before, after, size = 0.0, 0.0, 0.0
    for c in range(3):
        tilt = turn[c, 0] * relief[0] + turn[c, 1] * relief[1] + turn[c, 2] * relief[2]
        bent[c] = normal[c] - tilt
        size += bent[c] ** 2
    for c in range(3):
        bent[c] /= np.sqrt(size) + 1e-9
        before += normal[c] * lobes[0, c]
        after += bent[c] * lobes[0, c]
    # Relief is shaded by what it does to the key, softened by scattering.
    detail = 1 + 0.55 * (after - before) * min(seen[0] * 1.2, 1.0)
    detail *= 1 - 0.45 * _smooth(-9.0, 0.5, under)
    _gloss(bent, view, lobes, tint, seen, 22.0, 0.028, glow)
    for c in range(3):
        glow[c] *= 0.75 * gloss
    if gloss > 0.9:
        wet = np.zeros(3)
        _gloss(bent, view, lobes, tint, seen, 70.0, 0.03, wet)
        for c in range(3):
            glow[c] = 0.7 * glow[c] + 0.55 * (gloss - 0.9) * wet[c]
    for c in range(3):
        out[c] = colour[c] * light[c] / PI * detail + glow[c]


@numba.njit(cache=True, fastmath=True, inline="always")
def _mix(values, at, weights, out):  # type: ignore[no-untyped-def]
    """Interpolate the rows `at` of `values` [n,c] over a triangle."""
    for c in range(out.shape[0]):
        out[c] = (
            weights[0] * values[at[0], c]
            + weights[1] * values[at[1], c]
            + weights[2] * values[at[2], c]
        )


@numba.njit(cache=True, fastmath=True, inline="always")
def _unit(v):  # type: ignore[no-untyped-def]
    size = np.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2) + 1e-9
    for c in range(3):
        v[c] /= size


@numba.njit(cache=True, fastmath=True)
def shade(  # type: ignore[no-untyped-def]
    which, bary, tris, material, geometry, lit, extra, camera, turn, frame, colour, finish,
    lobes, tint, out,
):  # fmt: skip
    """Fill `out` float32[h,w,3] (linear light) wherever `which` >= 0.

    Per vertex: `geometry` [n,9] position, normal, resting position; `lit` [n,8] irradiance
    and the five lamps; `extra` [n,3] unrolled u, mm inside this garment's edge and inside
    that of the garment above. `turn` [3,3] is the head's rotation, which carries the relief;
    `frame` is the texture's (left u, top v, texels per mm); `colour` [h,w,3] and `finish`
    [h,w,4] (gloss, relief) are the skin's texture.
    """
    g, arrives, e = np.zeros(9), np.zeros(8), np.zeros(3)
    b = np.zeros(3)
    view, c3, f4, glow = np.zeros(3), np.zeros(3), np.zeros(4), np.zeros(3)
    for y in range(which.shape[0]):
        for x in range(which.shape[1]):
            t = which[y, x]
            if t < 0:
                continue
            b[1], b[2] = bary[y, x, 0], bary[y, x, 1]
            b[0] = 1 - b[1] - b[2]
            _mix(geometry, tris[t], b, g)
            _mix(lit, tris[t], b, arrives)
            _mix(extra, tris[t], b, e)
            normal, rest, light, seen = g[3:6], g[6:9], arrives[:3], arrives[3:]
            for c in range(3):
                view[c] = camera[c] - g[c]
                glow[c] = 0.0
            _unit(view)
            _unit(normal)
            m = material[t]
            if m == SKIN:
                at_x, at_y = (e[0] - frame[0]) * frame[2], (frame[1] - rest[1]) * frame[2]
                _fetch(colour, at_x, at_y, c3)
                _fetch(finish, at_x, at_y, f4)
                _skin(normal, view, light, seen, e[2], turn, c3, f4[0], f4[1:], lobes, tint,
                      glow, out[y, x])  # fmt: skip
            elif m == EYE:
                _eye(rest, normal, view, lobes, seen, light, out[y, x])
            elif m in (TOOTH, GUM, TONGUE):
                _in_mouth(rest, m, normal, view, light, seen, lobes, tint, glow, out[y, x])
            else:
                _cloth(rest, m, e[1], e[2], normal, view, light, out[y, x])
