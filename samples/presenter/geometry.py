"""Everything the presenter is made of besides hair: skin, eyes, teeth, clothes; and posing.

Lengths are millimetres in the head's own resting space: x to the picture's right, y up,
z towards the camera. A `Model` is built once; `Model.pose` gives the surfaces of one frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from samples.presenter.mesh import (
    Head,
    catmull_clark,
    load_head,
    triangles,
    vertex_normals,
)

Array = NDArray[np.float32]
Ints = NDArray[np.int32]

SKIN, EYE, TOOTH, GUM, TONGUE, KNIT, BLAZER, LAPEL = range(8)
EYE_CENTRES = {"left": (28.48, 670.0, 115.8), "right": (-28.48, 670.0, 115.8)}
EYE_RADIUS = 14.55
NECK_PIVOT = np.array([0.0, 560.0, 28.0], np.float32)
LIP_COLUMNS = np.linspace(-16.0, 16.0, 17)


def smoothstep(low: float, high: float, x: NDArray[np.floating]) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@dataclass(frozen=True)
class Pose:
    """One moment of the presenter.

    `shapes`: face unit -> weight; `seal` 0..1 presses the lips together whatever the face
    units say; `tongue_lift` mm the tip rises, `tongue_out` mm it comes forward; `gaze`
    yaw, pitch of the eyes and `turn` yaw, pitch, roll of the head, degrees; `breath` 0..1;
    `sway` mm the body moves (x, y).
    """

    shapes: Mapping[str, float]
    seal: float = 0.0
    tongue_lift: float = 0.0
    tongue_out: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    breath: float = 0.0
    sway: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Surfaces:
    """The triangles of one frame: posed and resting positions, normals, cut, material."""

    points: Array  # [n,3]
    normals: Array  # [n,3]
    rest: Array  # [n,3]
    cut: Array  # [n], drawn where >= 0
    triangles: Ints  # [t,3]
    material: NDArray[np.uint8]  # [t]
    shadow_triangles: Ints  # coarser, for the shadow maps


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Matrix for degrees about y, x and z, applied in the order roll, pitch, yaw."""
    a, b, c = np.radians([yaw, pitch, roll])
    ry = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    rx = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    rz = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    return (np.array(ry) @ np.array(rx) @ np.array(rz)).astype(np.float32)


def grid_quads(rows: int, columns: int) -> Ints:
    """Quads of a grid of points stored row by row."""
    i = np.arange(rows * columns).reshape(rows, columns)
    return (
        np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], -1)
        .reshape(-1, 4)
        .astype(np.int32)
    )


def lower_arms(points: Array) -> Array:
    """The base mesh holds its arms out: let them hang."""
    out = points.copy()
    for side in (1, -1):
        x = side * points[:, 0]
        bend = smoothstep(128, 205, x)
        angle = np.radians(-40.0) * bend
        px, py = x - 150, points[:, 1] - 492
        out[:, 0] = np.where(
            x > 0, side * (150 + px * np.cos(angle) - py * np.sin(angle)), out[:, 0]
        )
        out[:, 1] = np.where(x > 0, 492 + px * np.sin(angle) + py * np.cos(angle), out[:, 1])
    return out


UPPER_TEETH = ((8.4, 10.0), (6.6, 9.0), (7.4, 9.6), (6.9, 8.4), (6.7, 7.8), (9.8, 7.0))
LOWER_TEETH = ((5.3, 8.4), (5.8, 8.6), (6.7, 9.2), (7.0, 8.2), (7.0, 7.8), (10.0, 7.0))


def arch(s: NDArray[np.floating], front: float, curve: float) -> tuple[Array, Array]:
    """Point on a parabolic dental arch at arc length `s` from its middle, and the outward
    direction there: [k,3] (y = 0) each."""
    x = np.linspace(0, 40, 400)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(curve * x**2)))])
    at = np.interp(np.abs(s), length, x) * np.sign(s)
    out = np.stack([2 * curve * at, 0 * at, np.ones_like(at)], -1)
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    return np.stack([at, 0 * at, front - curve * at**2], -1), out


def row_of_teeth(
    sizes: tuple[tuple[float, float], ...], edge_y: float, front: float, up: int
) -> tuple[Array, Ints]:
    """Rounded teeth along an arch; `up` +1 when they grow upwards from their edge."""
    points, quads, count = [], [], 0
    n = 11
    u, v = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    for side in (-1, 1):
        at = 0.0
        for number, (width, height) in enumerate(sizes):
            centre = side * (at + width / 2)
            at += width + 0.06
            # A rounded box in (u, v); the edge corners a little rounder than the neck.
            wide = 0.985 - 0.12 * np.maximum(v * up, 0) ** 2 - 0.07 * np.abs(v) ** 6
            s = centre + 0.5 * width * u * wide
            base, out = arch(s, front, 0.034)
            bulge = 1.6 * (1 - np.abs(u) ** 5) * (1 - 0.5 * np.abs(v) ** 4) - 0.5
            bulge -= 2.2 * (np.maximum(np.abs(u), np.abs(v)) > 0.99)
            y = edge_y + up * 0.5 * height * (v * up + 1) * (1 - 0.06 * u**2 * (v * up < 0))
            if number == 2:
                y -= up * 0.9 * (1 - np.abs(u)) * np.clip(-v * up, 0, 1)
            lift = 0.25 * number if number else 0.0
            grid = base + out * bulge[..., None]
            grid[..., 1] = y + up * lift * 0.4
            q = grid_quads(n, n)
            points.append(grid.reshape(-1, 3))
            quads.append(q + count)
            count += n * n
    return np.concatenate(points).astype(np.float32), np.concatenate(quads)


def gum_band(edge_y: float, front: float, up: int) -> tuple[Array, Ints]:
    """A soft band behind and beyond the necks of the teeth."""
    s = np.linspace(-44, 44, 45)
    t = np.linspace(0, 1, 9)
    base, out = arch(s, front, 0.034)
    rows = []
    for k in t:
        scallop = 0.9 * np.cos(s * 2 * np.pi / 7.6)
        y = edge_y + up * (8.2 + 14 * k + scallop * (1 - k) - 0.1 * np.abs(s) * (1 - k))
        depth = 0.6 + 1.6 * np.sin(np.pi * min(k + 0.12, 1)) - 2.4 * (1 - k) ** 8
        row = base + out * depth
        row[:, 1] = y
        rows.append(row)
    return np.concatenate(rows).astype(np.float32), grid_quads(len(t), len(s))


def eyeball(n: int = 34) -> tuple[Array, Ints]:
    """The front half of an eyeball about the origin, looking along +z, cornea included."""
    polar = np.linspace(0.0, np.radians(100), n)
    round_ = np.linspace(0, 2 * np.pi, 49)
    a, b = np.meshgrid(polar, round_, indexing="ij")
    radius = EYE_RADIUS + 0.9 * smoothstep(0.50, 0.05, a)
    points = np.stack(
        [
            radius * np.sin(a) * np.cos(b),
            radius * np.sin(a) * np.sin(b),
            radius * np.cos(a),
        ],
        -1,
    )
    return points.reshape(-1, 3).astype(np.float32), grid_quads(*a.shape)


def outward(points: Array, quads: Ints, reference: Array) -> Ints:
    """The quads, flipped as a whole if their normals disagree with `reference` [n,3]."""
    normals = vertex_normals(points, quads)
    return quads if float((normals * reference).sum()) > 0 else quads[:, ::-1].copy()


class Model:
    """The presenter at rest, ready to be posed."""

    def __init__(self) -> None:
        self.head: Head = load_head()
        head = self.head
        keep = np.isin(head.part, [head.part_names.index(n) for n in ("body", "tongue")])
        self.control_quads = head.quads[keep]
        self.part = head.part[keep]
        count = len(head.points)
        first, quads1 = catmull_clark(self.control_quads, count)
        second, quads2 = catmull_clark(quads1, first.shape[0])
        self.subdivide = (second @ first).tocsr()
        self.first = first
        self.quads = quads2
        self.quads1 = quads1
        self.material = np.where(
            np.repeat(self.part, 16) == head.part_names.index("tongue"), TONGUE, SKIN
        ).astype(np.uint8)
        self.rest_control = self._at_rest(head.points)
        self.rest = self.subdivide @ self.rest_control
        self.masks = {k: self.subdivide @ v for k, v in head.masks.items()}
        s = self.rest[:, 1] + 0.45 * (self.rest[:, 2] - 30)
        self.follow = smoothstep(525, 605, s)[:, None]
        self.is_tongue = np.zeros(len(self.rest), bool)
        self.is_tongue[np.unique(self.quads[self.material == TONGUE])] = True
        self._lips()
        self._fixed_parts()
        self._clothes()

    def _at_rest(self, points: Array) -> Array:
        """Arms down, tongue drawn back from the teeth."""
        out = lower_arms(points)
        out[:, 0] *= 1 + 0.09 * smoothstep(565, 500, points[:, 1])
        tongue = self.head.part_points("tongue")
        out[tongue] += np.array([0, -3.0, -9.0], np.float32)
        return out

    def _lips(self) -> None:
        """Which vertices belong to the upper and the lower lip, and where they meet."""
        moved, offset = self.head.shapes["jawOpen"]
        drop = np.zeros(len(self.head.points), np.float32)
        drop[moved] = -offset[:, 1]
        self.jaw_drop = self.subdivide @ drop
        rest = self.rest
        near = (np.abs(rest[:, 0]) < 30) & (np.abs(rest[:, 1] - 606.5) < 22) & ~self.is_tongue
        near &= rest[:, 2] > 112
        self.lip_near = np.flatnonzero(near)
        p = rest[self.lip_near]
        drop = self.jaw_drop[self.lip_near]
        half = 0.5 * np.interp(np.abs(p[:, 0]), [0, 10, 18, 22, 30], [22, 19, 15, 12, 9])
        self.lip_lower = drop > half
        self.lip_fall = np.exp(-(((p[:, 1] - 606.5) / 6.0) ** 2)).astype(np.float32)
        self.lip_fall *= smoothstep(29, 22, np.abs(p[:, 0]))
        lips = self.masks["lips"][self.lip_near] > 0.35
        edge = lips & (p[:, 2] > 120)
        # Columns of the resting lips: they stay together when the lips purse.
        self.lip_x = p[:, 0].copy()
        columns = [edge & (np.abs(self.lip_x - x) < 1.6) for x in LIP_COLUMNS]
        self.upper_column = [np.flatnonzero(c & ~self.lip_lower) for c in columns]
        self.lower_column = [np.flatnonzero(c & self.lip_lower) for c in columns]

    def lip_gap(self, points: Array) -> tuple[Array, Array]:
        """Lower edge of the upper lip and upper edge of the lower lip at `LIP_COLUMNS`."""
        y = points[self.lip_near, 1]
        upper = [y[c].min() for c in self.upper_column]
        lower = [y[c].max() for c in self.lower_column]
        return np.array(upper, np.float32), np.array(lower, np.float32)

    def _seal(self, points: Array, seal: float) -> None:
        """Close the lips in place, by `seal` of what separates them."""
        if seal <= 0:
            return
        upper, lower = self.lip_gap(points)
        # A little overlap at the end, so that no dark line is left.
        wish = (1 - seal) * (upper - lower) - 0.5 * seal
        for _ in range(3):
            excess = upper - lower - wish
            move = np.interp(self.lip_x, LIP_COLUMNS, excess) * self.lip_fall
            share = np.where(self.lip_lower, 0.62, -0.38)
            points[self.lip_near, 1] += (move * share).astype(np.float32)
            upper, lower = self.lip_gap(points)

    def _fixed_parts(self) -> None:
        """Teeth, gums and eyeballs."""
        outs = np.array([0.0, 0.0, 1.0], np.float32)
        self.fixed: list[tuple[str, int, Array, Ints]] = []
        for jaw, edge, up, front, sizes in (
            ("upper", 604.6, 1, 133.6, UPPER_TEETH),
            ("lower", 605.4, -1, 131.2, LOWER_TEETH),
        ):
            points, quads = row_of_teeth(sizes, edge, front, up)
            self.fixed.append((jaw, TOOTH, points, outward(points, quads, outs)))
            points, quads = gum_band(edge, front - 0.5, up)
            self.fixed.append((jaw, GUM, points, outward(points, quads, outs)))
        for side, centre in EYE_CENTRES.items():
            points, quads = eyeball()
            quads = outward(points, quads, points)
            self.fixed.append((side, EYE, points + np.array(centre, np.float32), quads))

    def _clothes(self) -> None:
        """Knitted top and blazer: the torso inflated, cut along the garments' edges."""
        body = self.material == SKIN
        low = self.rest[self.quads].mean(1)[:, 1] < 585
        self.cloth_quads = self.quads[body & low]
        used = np.unique(self.cloth_quads)
        back = np.full(len(self.rest), -1)
        back[used] = np.arange(len(used))
        self.cloth_from = used.astype(np.int32)
        self.cloth_quads = back[self.cloth_quads].astype(np.int32)
        points = self.rest[used].copy()
        smooth = points.copy()
        average = self._averaging(self.cloth_quads, len(used))
        for _ in range(60):
            smooth = average @ smooth
        shoulder = smoothstep(60, 130, np.abs(points[:, 0]))[:, None]
        layers = []
        for offset, blend in ((2.2, 0.35), (8.0, 1.0), (11.5, 1.0)):
            shape = points * (1 - blend) + smooth * blend
            normals = vertex_normals(shape, self.cloth_quads)
            pad = 1 + 0.6 * shoulder if offset > 5 else 1.0
            layers.append((shape + normals * offset * pad).astype(np.float32))
        self.cloth_layers = layers

    @staticmethod
    def _averaging(quads: Ints, count: int) -> sparse.csr_matrix:
        a = quads.ravel()
        b = np.roll(quads, -1, 1).ravel()
        links = sparse.csr_matrix((np.ones(len(a), np.float32), (a, b)), (count, count))
        links = links + links.T + sparse.identity(count, dtype=np.float32)
        links.data[:] = 1
        return (sparse.diags(1 / np.asarray(links.sum(1)).ravel()) @ links).tocsr()

    @cached_property
    def averaging(self) -> sparse.csr_matrix:
        """One step of smoothing values over the skin mesh."""
        return self._averaging(self.quads, len(self.rest)).astype(np.float32)

    def cloth_cuts(self) -> tuple[Array, Array, Array]:
        """Where the top, the blazer and its lapels are: signed distances in mm, >= 0 inside."""
        p = self.rest[self.cloth_from]
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        neck = 536 - 0.30 * (z - 10) - y
        opening = 10 + 0.40 * (y - 400)
        # Around the neck the blazer's collar ends below the top's.
        blazer = np.minimum(np.maximum(x - opening, 6 - z), 552 - 0.30 * (z - 20) - y)
        width = np.interp(y, [395, 470, 500, 512], [4, 34, 42, 40])
        lapel = np.minimum(blazer, opening + width - x)
        across = x - opening
        notch = np.abs(y - 0.35 * across - 488) - 0.42 * np.maximum(across - 20, 0)
        lapel = np.minimum(lapel, notch)
        lapel = np.where(z > 5, lapel, -1)
        return neck.astype(np.float32), blazer.astype(np.float32), lapel.astype(np.float32)

    def _jaw(self, control: Array) -> tuple[Array, Array]:
        """Rigid motion (rotation, shift) of the lower jaw, from the mesh's lower teeth."""
        at = self.head.part_points("teeth_lower")
        a, b = self.rest_control[at], control[at]
        ca, cb = a.mean(0), b.mean(0)
        u, _, vt = np.linalg.svd((a - ca).T @ (b - cb))
        r = (u @ vt).T
        if np.linalg.det(r) < 0:
            vt[-1] *= -1
            r = (u @ vt).T
        return r.astype(np.float32), (cb - r @ ca).astype(np.float32)

    def control(self, pose: Pose) -> Array:
        """Control points with the face units added (eyeballs are turned elsewhere)."""
        points = self.head.posed(pose.shapes) - self.head.points + self.rest_control
        tongue = self.head.part_points("tongue")
        tip = smoothstep(80, 116, self.rest_control[tongue, 2])
        points[tongue, 1] += tip * np.float32(pose.tongue_lift)
        points[tongue, 2] += tip * np.float32(pose.tongue_out)
        return points

    def skin(self, pose: Pose) -> tuple[Array, Array]:
        """Skin and tongue before the head turns [n,3], and the control points."""
        control = self.control(pose)
        points = np.ascontiguousarray(self.subdivide @ control)
        self._seal(points, pose.seal)
        return points, control

    def turned(self, points: Array, follow: Array | float, pose: Pose) -> Array:
        """Points moved with the head (by `follow` 0..1), body sway and breath."""
        r = rotation(*pose.turn)
        moved = (points - NECK_PIVOT) @ r.T + NECK_PIVOT
        out = points + follow * (moved - points)
        rise = smoothstep(430, 520, points[:, 1]) * np.float32(1.2 * pose.breath)
        out = out + np.stack([0 * rise, rise, 0.4 * rise], -1)
        return (out + np.array([*pose.sway, 0], np.float32)).astype(np.float32)

    def pose(self, pose: Pose) -> Surfaces:
        """All surfaces of one frame."""
        skin, control = self.skin(pose)
        groups: list[tuple[Array, Array, Ints, NDArray[np.uint8], Array]] = []
        ones = np.ones(len(skin), np.float32)
        posed = self.turned(skin, self.follow, pose)
        groups.append((posed, self.rest, self.quads, self.material, ones))
        jaw_r, jaw_t = self._jaw(control)
        for name, material, points, quads in self.fixed:
            moved = points
            if name == "lower":
                moved = np.asarray(points @ jaw_r.T + jaw_t)
            elif material == EYE:
                centre = np.array(EYE_CENTRES[name], np.float32)
                turn = rotation(pose.gaze[0], -pose.gaze[1], 0)
                moved = np.asarray((points - centre) @ turn.T + centre)
            rest = points - np.array(EYE_CENTRES[name], np.float32) if material == EYE else points
            groups.append(
                (
                    self.turned(moved, 1.0, pose), rest, quads,
                    np.full(len(quads), material, np.uint8), np.ones(len(points), np.float32),
                )
            )  # fmt: skip
        follow = 0.35 * self.follow[self.cloth_from]
        for layer, cut, material in zip(
            self.cloth_layers, self.cloth_cuts(), (KNIT, BLAZER, LAPEL), strict=True
        ):
            groups.append(
                (
                    self.turned(layer, follow, pose), self.rest[self.cloth_from],
                    self.cloth_quads, np.full(len(self.cloth_quads), material, np.uint8), cut,
                )
            )  # fmt: skip
        return self._joined(groups)

    def _joined(
        self, groups: list[tuple[Array, Array, Ints, NDArray[np.uint8], Array]]
    ) -> Surfaces:
        points, normals, rest, cuts, tris, materials = [], [], [], [], [], []
        count = 0
        for p, r, quads, material, cut in groups:
            points.append(p)
            normals.append(vertex_normals(p, quads))
            rest.append(r)
            cuts.append(cut)
            tris.append(triangles(quads) + np.int32(count))
            materials.append(np.repeat(material, 2))
            count += len(p)
        # Level-one vertices come first in the refined mesh: use them for the shadows. The
        # body stands for the clothes on it.
        coarse = [triangles(self.quads1)]
        coarse += [t for t, m in zip(tris[1:], materials[1:], strict=True) if m[0] in (TOOTH, GUM)]
        return Surfaces(
            np.concatenate(points), np.concatenate(normals), np.concatenate(rest),
            np.concatenate(cuts), np.concatenate(tris), np.concatenate(materials),
            np.concatenate(coarse),
        )  # fmt: skip
