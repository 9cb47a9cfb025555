"""Hair as strands: a side-parted bob tucked behind the ears, eyebrows and lashes."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from samples.presenter.geometry import EYE_CENTRES, SKIN, Model, smoothstep
from samples.presenter.mesh import vertex_normals
from samples.presenter.skin import hairline, unroll

Array = NDArray[np.float32]
Ints = NDArray[np.int32]

PART_X = 24.0  # where the hair is parted, mm to the picture's right
STEP = 5.5
STEPS = 62


@dataclass(frozen=True)
class Strands:
    """Polylines: points [s,k,3] resting, `near` [s,k] skin vertices that light them,
    width [s] and colour [s,3] (linear)."""

    points: Array
    near: Ints
    width: Array
    colour: Array


def _skull(model: Model) -> tuple[Array, Array]:
    """Smoothed head (no ears, no face detail) as points and outward normals."""
    quads = model.quads[model.material == SKIN]
    normals = vertex_normals(model.rest, quads)
    use = (model.rest[:, 1] > 560) & (model.masks["ears"] < 0.1) & ~model.is_tongue
    use &= model.masks["inside-mouth"] < 0.1
    return model.rest[use], normals[use]


def _roots(model: Model, count: int, rng: np.random.Generator) -> Array:
    """Random points of the scalp, by area."""
    quads = model.quads[model.material == SKIN]
    middle = model.rest[quads].mean(1)
    uv = unroll(middle)
    inside = (hairline(uv[:, 0], uv[:, 1]) > 0) & (middle[:, 1] > 590)
    inside &= model.masks["ears"][quads].max(1) < 0.15
    quads = quads[inside]
    p = model.rest[quads]
    area = np.linalg.norm(np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1]), axis=1)
    # More at the parting, where hair leaves to both sides and the scalp would show.
    centre = p.mean(1)
    at = unroll(centre)
    area *= 1 + 2.5 * np.exp(-(((centre[:, 0] - PART_X) / 9) ** 2)) * (centre[:, 2] > 60)
    area *= 1 + 1.5 * np.exp(-((hairline(at[:, 0], at[:, 1]) / 9) ** 2))
    pick = rng.choice(len(quads), count, p=area / area.sum())
    a, b = rng.random((2, count, 1))
    q = p[pick]
    low = (1 - a) * (1 - b) * q[:, 0] + a * (1 - b) * q[:, 1]
    return np.asarray(low + a * b * q[:, 2] + (1 - a) * b * q[:, 3], np.float32)


def _direction(at: NDArray[np.floating], side: Array) -> NDArray[np.float64]:
    """Where hair at `at` wants to go: towards the back of the ear, there straight down."""
    count = len(at)
    goal = np.stack([side * 84.0, np.full(count, 652.0), np.full(count, 8.0)], -1)
    towards = goal - at
    distance = np.linalg.norm(towards, axis=1)
    towards /= np.maximum(distance, 1e-6)[:, None]
    fall = smoothstep(34, 6, distance) + smoothstep(676, 640, at[:, 1])
    fall = np.clip(np.maximum(fall, smoothstep(30, -20, at[:, 2])), 0, 1)[:, None]
    inwards = -0.10 * side * smoothstep(640, 560, at[:, 1])
    down = np.stack([inwards, -np.ones(count), 0.14 * np.ones(count)], -1)
    return np.asarray(towards * (1 - fall) + down * fall)


def _resting_on(
    at: NDArray[np.floating], tree: cKDTree, surface: Array, normal: Array,
    depth: NDArray[np.floating], grown: float,
) -> NDArray[np.floating]:  # fmt: skip
    """Points moved to where this layer of hair (`depth` 0..1) lies above the skull."""
    _, k = tree.query(at)
    n = normal[k]
    height = ((at - surface[k]) * n).sum(1)
    body = 5.0 + 7.0 * smoothstep(690, 770, at[:, 1])
    wish = (1.2 + depth * body) * grown + 0.8
    # Over the skull it lies; below the ear it hangs, and is only kept out of the neck.
    push = np.where(at[:, 1] > 640, (wish - height) * 0.6, np.maximum(wish - height, 0))
    return np.asarray(at + n * np.where(height > 30, 0, push)[:, None])


def comb(model: Model, count: int = 23000, seed: int = 3) -> Strands:
    """Grow the hair: away from the parting, over the skull, behind the ears, down."""
    rng = np.random.default_rng(seed)
    surface, normal = _skull(model)
    tree = cKDTree(surface)
    roots = _roots(model, count, rng)
    side = np.where(roots[:, 0] + rng.normal(0, 1.0, count) > PART_X, 1.0, -1.0)
    depth = rng.beta(1.3, 1.6, count)
    clump = rng.integers(0, 900, count)
    wave = rng.normal(0, 1, (900, 4))
    at: NDArray[np.floating] = roots.copy()
    heading: NDArray[np.floating] = np.zeros_like(roots)
    path = [at.copy()]
    for step in range(STEPS - 1):
        want = _direction(at, side)
        if step < 9:
            # Near the parting the hair first rises and runs sideways.
            lift = (1 - step / 9) * np.exp(-(((roots[:, 0] - PART_X) / 40) ** 2))
            want[:, 0] += 1.1 * side * lift
            want[:, 1] += 0.18 * lift
        want += 0.10 * np.sin(step * 0.22 + wave[clump, 0:1] * 2) * wave[clump, 1:4]
        want += rng.normal(0, 0.035, at.shape)
        heading = 0.72 * heading + 0.28 * want if step else want
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
        at = _resting_on(at + STEP * heading, tree, surface, normal, depth, min(step / 7, 1.0))
        path.append(at.copy())
    return _dressed(model, np.stack(path, 1).astype(np.float32), clump, wave, rng)


def _dressed(
    model: Model, points: Array, clump: NDArray[np.int64], wave: NDArray[np.float64],
    rng: np.random.Generator,
) -> Strands:  # fmt: skip
    """Cut to length, coloured, and bound to the skin that lights them."""
    # What only the back of the head would show is never seen.
    seen = points[..., 2].max(1) > np.where(rng.random(len(points)) < 0.25, -60, 38)
    seen |= np.abs(points[:, -1, 0]) > 62
    points, clump = points[seen], clump[seen]
    count = len(points)
    points = _cut(points, 556 + 5 * wave[clump, 0] + 22 * rng.beta(1, 2.2, count))
    tone = rng.normal(0, 1, (900, 1))[clump] * 0.16 + rng.normal(0, 0.14, (count, 1))
    colour = np.array([0.070, 0.036, 0.020]) * np.exp(tone)
    near = cKDTree(model.rest).query(points.reshape(-1, 3))[1].reshape(points.shape[:2])
    width = rng.uniform(0.10, 0.20, count)
    return Strands(
        points, near.astype(np.int32), width.astype(np.float32), colour.astype(np.float32)
    )


def _cut(points: Array, floor: Array, keep: int = 28) -> Array:
    """Trim every strand where it passes below `floor` (mm); `keep` points each."""
    k = points.shape[1]
    below = points[..., 1] < floor[:, None]
    last = np.where(below.any(1), np.maximum(below.argmax(1), 2), k - 1)
    t = np.linspace(0, 1, keep)[None, :] * last[:, None]
    i = np.minimum(t.astype(int), k - 2)
    f = (t - i)[..., None]
    rows = np.arange(len(points))[:, None]
    out = points[rows, i] * (1 - f) + points[rows, i + 1] * f
    return np.asarray(out, np.float32)


@dataclass(frozen=True)
class Bound:
    """Short hairs fixed to skin: root [s,3] as weights over a quad, path in its frame."""

    quads: Ints  # [s,4]
    blend: Array  # [s,4]
    offsets: Array  # [s,k,3] mm: along x, y of the face and its normal
    width: Array
    colour: Array


def eyebrows(model: Model, seed: int = 5) -> Bound:
    """Two brows, combed outwards, denser in the middle."""
    rng = np.random.default_rng(seed)
    quads = model.quads[model.material == SKIN]
    middle = model.rest[quads].mean(1)
    front = (middle[:, 2] > 100) & (np.abs(middle[:, 1] - 688) < 18)
    quads, middle = quads[front], middle[front]
    tree = cKDTree(middle[:, :2])
    roots, lean = [], []
    for side in (-1, 1):
        t = rng.beta(1.15, 1.15, 640)
        x = 13.5 + 36.5 * t
        line = (
            684.0
            + 7.5 * np.sin(np.pi * np.clip(t / 1.25, 0, 1) * 0.80)
            - 5.0 * np.clip(t - 0.62, 0, 1) ** 1.2 * 2.2
        )
        thick = 3.9 * (1 - 0.75 * t**1.6) * smoothstep(-0.06, 0.10, t)
        y = line + thick * np.clip(rng.normal(0, 0.52, 640), -1.3, 1.3)
        roots.append(np.stack([side * x, y], -1))
        up = np.clip(1.15 - 2.1 * t, -0.35, 1.0) - 0.28 * (y - line) / 3
        lean.append(np.stack([side * np.cos(up), np.sin(up)], -1))
    root, direction = np.concatenate(roots), np.concatenate(lean)
    k = tree.query(root)[1]
    length = rng.uniform(4.0, 7.5, len(root))[:, None]
    t = np.linspace(0, 1, 6)[None, :]
    delta = (root - middle[k][:, :2])[:, None, :]
    along = delta + (direction[:, None, :] * length[..., None]) * t[..., None]
    along[..., 1] -= 0.9 * t**2 * np.abs(direction[:, None, 0])
    height = 0.15 + 0.9 * np.sin(np.pi * np.minimum(t, 0.6)) * np.ones_like(length)
    offsets = np.concatenate([along, height[..., None]], -1)
    colour = np.array([0.050, 0.029, 0.018]) * np.exp(rng.normal(0, 0.2, (len(root), 1)))
    return Bound(
        quads[k], np.full((len(root), 4), 0.25, np.float32), offsets.astype(np.float32),
        rng.uniform(0.11, 0.20, len(root)).astype(np.float32), colour.astype(np.float32),
    )  # fmt: skip


def bound_points(bound: Bound, points: Array, normals: Array, turn: Array) -> Array:
    """Strand points [s,k,3] on the posed skin."""
    root = np.einsum("sq,sqc->sc", bound.blend, points[bound.quads])
    normal = np.einsum("sq,sqc->sc", bound.blend, normals[bound.quads])
    x = turn[:, 0] - normal * (normal @ turn[:, 0])[:, None]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cross(normal, x)
    across, along, out = (bound.offsets[..., k : k + 1] for k in range(3))
    path = root[:, None] + across * x[:, None] + along * y[:, None] + out * normal[:, None]
    return np.asarray(path, np.float32)


def lashes(model: Model, control: Array, seed: int = 9) -> tuple[Array, Array]:
    """Lashes on the posed (not yet turned) lids: points [s,k,3] and widths [s]."""
    rng = np.random.default_rng(seed)
    out, widths = [], []
    for name, row in model.head.lashes.items():
        upper = "upper" in name
        side = 1 if name.endswith("left") else -1
        centre = np.array(EYE_CENTRES[name.rsplit("_", 1)[1]], np.float32)
        edge = control[row]
        edge = edge[np.argsort(side * edge[:, 0])]
        edge = edge[: -2 if upper else -1]  # the row turns round the outer corner
        count = 95 if upper else 46
        at = np.clip(rng.beta(1.2, 1.2, count), 0.02, 0.98) * (len(edge) - 1)
        i = at.astype(int)
        root = edge[i] + (at - i)[:, None] * (edge[np.minimum(i + 1, len(edge) - 1)] - edge[i])
        away = root - centre
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        outer = np.clip((root[:, 0] - centre[0]) * side / 14, -1, 1)
        long = (5.4 + 1.3 * outer if upper else 3.0 + 1.0 * outer) * rng.uniform(0.75, 1.1, count)
        sign = 1.0 if upper else -1.0
        t = np.linspace(0, 1, 7)[None, :, None]
        spread = np.stack([0.5 * side * outer + 0 * outer, 0 * outer, 0.55 + 0 * outer], -1)
        base = away * 0.55 + spread
        base /= np.linalg.norm(base, axis=1, keepdims=True)
        curl = np.zeros_like(base)
        curl[:, 1] = sign * (0.95 if upper else 0.75)
        path = root[:, None] + long[:, None, None] * (
            base[:, None] * (t - 0.25 * t**2) + curl[:, None] * 0.62 * t**1.7
        )
        path[..., 1] -= sign * 0.1
        out.append(path)
        widths.append(np.full(count, 0.20 if upper else 0.10))
        # The lid's edge itself, as a fine dark line.
        if upper:
            out.append(
                np.stack([np.linspace(edge[k], edge[k + 1], 7) for k in range(len(edge) - 1)])
                + np.array([0, 0, 0.5], np.float32)
            )
            widths.append(np.full(len(edge) - 1, 0.75))
    return np.concatenate(out).astype(np.float32), np.concatenate(widths).astype(np.float32)


@numba.njit(cache=True, fastmath=True)
def light_strands(points, base, skin, near, camera, lobes, tints, strength):  # type: ignore[no-untyped-def]
    """Kajiya & Kay (1989): diffuse and two highlights along each strand, [s,k,3] linear.

    Strands close to the skin lie in the shade of those above them.
    """
    strands, count = points.shape[0], points.shape[1]
    out = np.zeros((strands, count, 3), np.float32)
    away = np.zeros(3)
    t = np.zeros(3)
    v = np.zeros(3)
    for s in range(strands):
        for k in range(count):
            a, b = max(k - 1, 0), min(k + 1, count - 1)
            st, sv, sa, deep = 1e-12, 1e-12, 1e-12, 0.0
            for c in range(3):
                t[c] = points[s, b, c] - points[s, a, c]
                v[c] = camera[c] - points[s, k, c]
                away[c] = points[s, k, c] - (0.0, 675.0, 40.0)[c]
                st += t[c] ** 2
                sv += v[c] ** 2
                sa += away[c] ** 2
                deep += (points[s, k, c] - skin[near[s, k], c]) ** 2
            tv = 0.0
            for c in range(3):
                t[c] /= np.sqrt(st)
                v[c] /= np.sqrt(sv)
                away[c] /= np.sqrt(sa)
                tv += t[c] * v[c]
            sin_tv = np.sqrt(max(1 - tv * tv, 0.0))
            shade = min(max(np.sqrt(deep) / 9, 0.22), 1.0)
            shade *= 0.45 + 0.55 * min(max((points[s, k, 1] - 590.0) / 75.0, 0.0), 1.0)
            for c in range(3):
                out[s, k, c] = base[s, c] * (0.42, 0.46, 0.52)[c] * (0.35 + 0.3 * away[1])
            for g in range(lobes.shape[0]):
                tl, al = 0.0, 0.0
                for c in range(3):
                    tl += t[c] * lobes[g, c]
                    al += away[c] * lobes[g, c]
                sin_tl = np.sqrt(max(1 - tl * tl, 0.0))
                facing = min(max(al * 1.5 + 0.35, 0.0), 1.0) * strength[g]
                shine = max(sin_tl * sin_tv - tl * tv, 0.0)
                first, second = shine**46, shine**11
                for c in range(3):
                    out[s, k, c] += (
                        facing
                        * tints[g, c]
                        * (base[s, c] * (0.30 * sin_tl + 0.62 * second) + 0.055 * first)
                    )
            for c in range(3):
                out[s, k, c] *= shade
    return out


@numba.njit(cache=True, fastmath=True)
def draw_strands(screen, light, width, depth, colour, nearer, taper):  # type: ignore[no-untyped-def]
    """Draw polylines into `colour` with a depth test and coverage blending.

    screen [s,k,3] x, y in pixels and 1/z; light [s,k,3] linear colour; width [s] in pixels at
    the root; `nearer` relative tolerance of the depth test.
    """
    h, w = depth.shape
    strands, count = screen.shape[0], screen.shape[1]
    for s in range(strands):
        for k in range(count - 1):
            x0, y0, z0 = screen[s, k, 0], screen[s, k, 1], screen[s, k, 2]
            x1, y1, z1 = screen[s, k + 1, 0], screen[s, k + 1, 1], screen[s, k + 1, 2]
            dx, dy = x1 - x0, y1 - y0
            n = int(max(abs(dx), abs(dy)) + 1)
            if n > 400:
                continue
            steep = abs(dy) > abs(dx)
            long = np.sqrt(dx * dx + dy * dy) + 1e-6
            for i in range(n):
                t = i / n
                x, y, z = x0 + t * dx, y0 + t * dy, z0 + t * (z1 - z0)
                thick = width[s] * (1 - taper * ((k + t) / (count - 1)) ** 2)
                thick *= long / max(abs(dx), abs(dy), 1e-6)
                a, b = (y, x) if not steep else (x, y)
                half = 0.5 * thick
                first, last = int(np.floor(a - half)), int(np.floor(a + half))
                other = int(np.floor(b))
                for q in range(first, last + 1):
                    cover = min(q + 1, a + half) - max(q, a - half)
                    if cover <= 0:
                        continue
                    px, py = (other, q) if not steep else (q, other)
                    if px < 0 or py < 0 or px >= w or py >= h:
                        continue
                    if z < depth[py, px] * nearer:
                        continue
                    cover = min(cover, 1.0)
                    for c in range(3):
                        v = light[s, k, c] * (1 - t) + light[s, k + 1, c] * t
                        colour[py, px, c] += cover * (v - colour[py, px, c])
                    if cover > 0.5 and z > depth[py, px]:
                        depth[py, px] = z
