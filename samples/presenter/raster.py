"""A small software rasteriser: triangles and hair strands into a depth buffer (numba)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@numba.njit(cache=True, fastmath=True)
def draw_triangles(screen, tris, cut, ids, depth, which, bary):  # type: ignore[no-untyped-def]
    """Draw into `depth` (1/z, larger is nearer), `which` and `bary` (perspective-correct).

    screen float32[n,3]: x, y in pixels and 1/z; tris int32[t,3]; cut float32[n]: a pixel
    where the interpolated value is below 0 is not drawn; ids int32[t] go into `which`.
    Triangles that turn away from the camera are skipped.
    """
    height, width = depth.shape
    for t in range(tris.shape[0]):
        i, j, k = tris[t, 0], tris[t, 1], tris[t, 2]
        x0, y0, w0 = screen[i, 0], screen[i, 1], screen[i, 2]
        x1, y1, w1 = screen[j, 0], screen[j, 1], screen[j, 2]
        x2, y2, w2 = screen[k, 0], screen[k, 1], screen[k, 2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= -1e-6:  # y points down on the screen: front faces turn negative
            continue
        c0, c1, c2 = cut[i], cut[j], cut[k]
        if c0 < 0 and c1 < 0 and c2 < 0:
            continue
        xa = max(int(np.ceil(min(x0, x1, x2) - 0.5)), 0)
        xb = min(int(np.floor(max(x0, x1, x2) - 0.5)), width - 1)
        ya = max(int(np.ceil(min(y0, y1, y2) - 0.5)), 0)
        yb = min(int(np.floor(max(y0, y1, y2) - 0.5)), height - 1)
        inv = 1.0 / area
        for y in range(ya, yb + 1):
            py = y + 0.5
            for x in range(xa, xb + 1):
                px = x + 0.5
                b1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inv
                b2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inv
                b0 = 1.0 - b1 - b2
                if b0 < 0 or b1 < 0 or b2 < 0:
                    continue
                w = b0 * w0 + b1 * w1 + b2 * w2
                if w <= depth[y, x]:
                    continue
                q1 = b1 * w1 / w
                q2 = b2 * w2 / w
                if c0 + q1 * (c1 - c0) + q2 * (c2 - c0) < 0:
                    continue
                depth[y, x] = w
                which[y, x] = ids[t]
                bary[y, x, 0] = q1
                bary[y, x, 1] = q2


@numba.njit(cache=True, fastmath=True)
def draw_depth(screen, tris, depth):  # type: ignore[no-untyped-def]
    """Nearest depth only, orthographic: screen [n,3] is x, y in pixels and nearness."""
    height, width = depth.shape
    for t in range(tris.shape[0]):
        i, j, k = tris[t, 0], tris[t, 1], tris[t, 2]
        x0, y0 = screen[i, 0], screen[i, 1]
        x1, y1 = screen[j, 0], screen[j, 1]
        x2, y2 = screen[k, 0], screen[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        xa = max(int(np.ceil(min(x0, x1, x2) - 0.5)), 0)
        xb = min(int(np.floor(max(x0, x1, x2) - 0.5)), width - 1)
        ya = max(int(np.ceil(min(y0, y1, y2) - 0.5)), 0)
        yb = min(int(np.floor(max(y0, y1, y2) - 0.5)), height - 1)
        inv = 1.0 / area
        z0, z1, z2 = screen[i, 2], screen[j, 2], screen[k, 2]
        for y in range(ya, yb + 1):
            py = y + 0.5
            for x in range(xa, xb + 1):
                px = x + 0.5
                b1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inv
                b2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inv
                if b1 < 0 or b2 < 0 or b1 + b2 > 1:
                    continue
                z = z0 + b1 * (z1 - z0) + b2 * (z2 - z0)
                if z > depth[y, x]:
                    depth[y, x] = z
