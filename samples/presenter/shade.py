"""Colour of every pixel: skin, eyes, teeth, cloth under the studio's lights (numba)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from samples.presenter.geometry import BLAZER, EYE, GUM, KNIT, LAPEL, SKIN, TONGUE, TOOTH
from samples.presenter.light import FILL_TOWARDS, KEY_TOWARDS

Array = NDArray[np.float32]

_KEY = np.array(KEY_TOWARDS, np.float32) / np.float32(np.linalg.norm(KEY_TOWARDS))
_FILL = np.array(FILL_TOWARDS, np.float32) / np.float32(np.linalg.norm(FILL_TOWARDS))
_RIM = np.array([0.80, 0.42, -0.48], np.float32) / np.float32(np.linalg.norm([0.80, 0.42, -0.48]))
_KICK = np.array([-0.86, 0.25, -0.5], np.float32) / np.float32(np.linalg.norm([-0.86, 0.25, -0.5]))
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
def _eye(rest, normal, view, lobes, seen, irradiance, out):  # type: ignore[no-untyped-def]
    """Sclera, iris, pupil and the reflections of two soft boxes."""
    r = np.sqrt(rest[0] ** 2 + rest[1] ** 2)
    a = np.arctan2(rest[1], rest[0])
    iris = 5.75
    streak = (
        0.45 + 0.22 * np.sin(a * 23 + 2.2 * np.sin(a * 5)) + 0.16 * np.sin(a * 41 + r * 2.1)
        + 0.10 * np.sin(a * 67 - r * 3.0)
    )
    t = min(max((r - 1.9) / (iris - 1.9), 0.0), 1.0)
    base = (
        (0.12 + 0.08 * streak) * (1 - t) + (0.05 + 0.05 * streak) * t,
        (0.06 + 0.045 * streak) * (1 - t) + (0.03 + 0.035 * streak) * t,
        (0.024 + 0.015 * streak) * (1 - t) + (0.017 + 0.02 * streak) * t,
    )
    ring = 1 - 0.75 * _smooth(iris - 1.3, iris - 0.15, r)
    pupil = _smooth(1.95, 2.35, r)
    inside = 1 - _smooth(iris - 0.35, iris + 0.35, r)
    vein = 0.03 * np.sin(a * 31 + r * 1.3) * _smooth(7.0, 13.0, r)
    white = (0.52 - 0.10 * _smooth(7, 13, r), 0.455 - 0.15 * _smooth(7, 13, r) - vein,
             0.42 - 0.16 * _smooth(7, 13, r) - vein)
    # Light refracted through the cornea gathers opposite the key.
    caustic = 1.0 + 0.6 * _smooth(-0.2, 1.0, (rest[0] * 0.6 - rest[1] * 0.7) / (iris))
    for c in range(3):
        coloured = base[c] * ring * pupil * caustic + 0.002
        out[c] = (white[c] * (1 - inside) + coloured * inside) * irradiance[c] / 3.1416 * 1.15
    k = 2 * (normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2])
    rx, ry, rz = k * normal[0] - view[0], k * normal[1] - view[1], k * normal[2] - view[2]
    for g in range(2):
        d = rx * lobes[g, 0] + ry * lobes[g, 1] + rz * lobes[g, 2]
        if d <= 0:
            continue
        sx, sz = lobes[g, 2], -lobes[g, 0]
        n = np.sqrt(sx * sx + sz * sz)
        px = (rx * sx + rz * sz) / n / d
        up = (rx * -lobes[g, 0] * lobes[g, 1] + ry * n * n + rz * -lobes[g, 2] * lobes[g, 1]) / n / d
        wide, tall = (0.30, 0.40) if g == 0 else (0.16, 0.34)
        box = _smooth(wide + 0.06, wide - 0.02, abs(px)) * _smooth(tall + 0.06, tall - 0.02, abs(up))
        strength = (2.6 if g == 0 else 0.35) * min(seen[g] * (0.62 if g == 0 else 2.0), 1.0)
        wet = 0.75 if r < 7.5 else 0.25
        for c in range(3):
            out[c] += box * strength * wet * (1.0, 0.97, 0.93)[c]


@numba.njit(cache=True, fastmath=True)
def _cloth(rest, material, edge, base, out):  # type: ignore[no-untyped-def]
    """Reflectance of the knitted top and of the blazer's wool."""
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
def shade(  # type: ignore[no-untyped-def]
    which, bary, tris, material, points, normals, rest, unrolled, cut, shadow_cut, irradiance,
    seen, camera, turn, frame_of_texture, colour, gloss, relief, lobes, tint, out,
):  # fmt: skip
    """Fill `out` float32[h,w,3] (linear light) wherever `which` >= 0.

    `turn` [3,3] is the head's rotation, which carries the relief; `frame_of_texture` is
    (left u, top v, texels per mm); `shadow_cut` [n] mm to the edge of the cloth above.
    """
    height, width = which.shape
    normal = np.zeros(3)
    view = np.zeros(3)
    spot = np.zeros(3)
    light = np.zeros(3)
    arrives = np.zeros(5)
    c3 = np.zeros(3)
    g1 = np.zeros(1)
    r3 = np.zeros(3)
    glow = np.zeros(3)
    for y in range(height):
        for x in range(width):
            t = which[y, x]
            if t < 0:
                continue
            i, j, k = tris[t, 0], tris[t, 1], tris[t, 2]
            b1, b2 = bary[y, x, 0], bary[y, x, 1]
            b0 = 1 - b1 - b2
            m = material[t]
            for c in range(3):
                normal[c] = b0 * normals[i, c] + b1 * normals[j, c] + b2 * normals[k, c]
                p = b0 * points[i, c] + b1 * points[j, c] + b2 * points[k, c]
                view[c] = camera[c] - p
                spot[c] = b0 * rest[i, c] + b1 * rest[j, c] + b2 * rest[k, c]
                light[c] = b0 * irradiance[i, c] + b1 * irradiance[j, c] + b2 * irradiance[k, c]
                glow[c] = 0.0
            for g in range(5):
                arrives[g] = b0 * seen[i, g] + b1 * seen[j, g] + b2 * seen[k, g]
            n = np.sqrt(view[0] ** 2 + view[1] ** 2 + view[2] ** 2)
            s = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + 1e-9
            for c in range(3):
                view[c] /= n
                normal[c] /= s
            if m == SKIN:
                u = b0 * unrolled[i, 0] + b1 * unrolled[j, 0] + b2 * unrolled[k, 0]
                tx = (u - frame_of_texture[0]) * frame_of_texture[2]
                ty = (frame_of_texture[1] - spot[1]) * frame_of_texture[2]
                _fetch(colour, tx, ty, c3)
                _fetch(gloss, tx, ty, g1)
                _fetch(relief, tx, ty, r3)
                before = 0.0
                after = 0.0
                b = np.zeros(3)
                for c in range(3):
                    b[c] = normal[c] - (
                        turn[c, 0] * r3[0] + turn[c, 1] * r3[1] + turn[c, 2] * r3[2]
                    )
                s = np.sqrt(b[0] ** 2 + b[1] ** 2 + b[2] ** 2) + 1e-9
                for c in range(3):
                    b[c] /= s
                    before += normal[c] * lobes[0, c]
                    after += b[c] * lobes[0, c]
                # Relief is shaded by what it does to the key, softened by scattering.
                detail = 1 + 0.55 * (after - before) * min(arrives[0] * 1.2, 1.0)
                shadow = b0 * shadow_cut[i] + b1 * shadow_cut[j] + b2 * shadow_cut[k]
                detail *= 1 - 0.45 * _smooth(-9.0, 0.5, shadow)
                _gloss(b, view, lobes, tint, arrives, 22.0, 0.028, glow)
                for c in range(3):
                    glow[c] *= 0.75 * g1[0]
                if g1[0] > 0.9:
                    wet = np.zeros(3)
                    _gloss(b, view, lobes, tint, arrives, 70.0, 0.03, wet)
                    for c in range(3):
                        glow[c] = 0.7 * glow[c] + 0.55 * (g1[0] - 0.9) * wet[c]
                for c in range(3):
                    out[y, x, c] = c3[c] * light[c] / 3.1416 * detail + glow[c]
            elif m == EYE:
                _eye(spot, normal, view, lobes, arrives, light, c3)
                for c in range(3):
                    out[y, x, c] = c3[c]
            elif m == TOOTH or m == GUM or m == TONGUE:
                _gloss(normal, view, lobes, tint, arrives, 60.0, 0.03, glow)
                for c in range(3):
                    base = (0.66, 0.58, 0.47)[c] if m == TOOTH else (0.36, 0.105, 0.10)[c]
                    if m == TONGUE:
                        base = (0.34, 0.10, 0.095)[c]
                    out[y, x, c] = base * (light[c] + 0.10 + 0.25 * (m == TOOTH)) / 3.1416 + 0.8 * glow[c]
            else:
                edge = b0 * cut[i] + b1 * cut[j] + b2 * cut[k]
                _cloth(spot, m, edge, c3, c3)
                rim = 1 - max(normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2], 0.0)
                shadow = b0 * shadow_cut[i] + b1 * shadow_cut[j] + b2 * shadow_cut[k]
                dark = 1 - 0.55 * _smooth(-9.0, 0.5, shadow)
                for c in range(3):
                    fuzz = 0.16 * rim**3 * (0.25 if m == KNIT else 0.12)
                    out[y, x, c] = (c3[c] * dark + fuzz) * light[c] / 3.1416
