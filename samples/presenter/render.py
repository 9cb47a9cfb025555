"""One frame of the presenter: pose, light, rasterise, shade, hair, grain."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from samples.presenter import hair, light, raster, shade
from samples.presenter.film import background
from samples.presenter.geometry import Model, Pose, Surfaces, rotation
from samples.presenter.skin import PER_MM, U_RANGE, V_RANGE, paint, unroll

Array = NDArray[np.float32]

WIDTH, HEIGHT = 1280, 720
MM_HIGH = 362.0  # what the picture shows at the presenter's distance
LOOK_AT = np.array([0.0, 631.0, 60.0], np.float32)
CAMERA = LOOK_AT + np.array([0.0, 12.0, 1500.0], np.float32)
PRESENTER_X = 26.0  # she sits a little to the right of the middle


class Studio:
    """Everything that does not change from frame to frame."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT, oversample: int = 2) -> None:
        self.width, self.height, self.oversample = width, height, oversample
        self.model = Model()
        self.texture = paint(self.model)
        self.lights = light.studio()
        self.hair = hair.comb(self.model)
        self.brows = hair.eyebrows(self.model)
        self.background = background(width, height)
        self.unrolled = unroll(self.model.rest)
        self._cloth_edges()
        self._hair_proxy()

    def _cloth_edges(self) -> None:
        """Distance to the edge of the garment above, for the shadow under it."""
        model = self.model
        knit, blazer, lapel = model.cloth_cuts()
        far = np.float32(-100)
        on_skin = np.full(len(model.rest), far, np.float32)
        on_skin[model.cloth_from] = np.maximum(knit, far)
        fixed = [np.full(len(p), far, np.float32) for _, _, p, _ in model.fixed]
        self.shadow_cut = np.concatenate(
            [on_skin, *fixed, np.maximum(blazer, far), np.maximum(lapel, far), 0 * lapel + far]
        )

    def _hair_proxy(self) -> None:
        """Hair as a coarse solid that casts shadows: the outermost of near strand points."""
        points = self.hair.points[::30, ::3]
        s, k = points.shape[:2]
        side = np.array([3.6, 0, 0], np.float32)
        a = points - side
        b = points + side
        i = np.arange(s * k).reshape(s, k)
        p, q = i[:, :-1].ravel(), i[:, 1:].ravel()
        n = s * k
        tris = np.concatenate([np.stack([p, q, p + n], -1), np.stack([q, q + n, p + n], -1)])
        self.proxy = np.concatenate([a.reshape(-1, 3), b.reshape(-1, 3)]).astype(np.float32)
        self.proxy_triangles = tris.astype(np.int32)

    def project(self, points: Array) -> Array:
        """Picture x, y (oversampled pixels) and 1/z of points [...,3]."""
        f = np.float32(self.height * self.oversample * 1500.0 / MM_HIGH)
        p = points - CAMERA
        z = -p[..., 2]
        x = self.width * self.oversample / 2 + f * (p[..., 0] + PRESENTER_X) / z
        y = self.height * self.oversample / 2 - f * p[..., 1] / z
        return np.stack([x, y, 1 / z], -1).astype(np.float32)

    def light(self, pose: Pose) -> tuple[Array, Array]:
        """Light that arrives at every vertex: irradiance [n,3] (scattered), by lamp [n,5]."""
        proxy = self.model.turned(self.proxy, 1.0, pose)
        irradiance, seen = light.illuminate(
            self.model.pose(pose), self.lights, (proxy, self.proxy_triangles)
        )
        return self._scatter(irradiance), seen

    def render(self, pose: Pose, lit: tuple[Array, Array] | None = None) -> Array:
        """Linear light float32[h,w,3], before tone and grain; `lit` as from `light`."""
        surfaces = self.model.pose(pose)
        turn = rotation(*pose.turn)
        irradiance, seen = lit if lit is not None else self.light(pose)
        h, w = self.height * self.oversample, self.width * self.oversample
        depth = np.zeros((h, w), np.float32)
        which = np.full((h, w), -1, np.int32)
        bary = np.zeros((h, w, 2), np.float32)
        screen = self.project(surfaces.points)
        ids = np.arange(len(surfaces.triangles), dtype=np.int32)
        raster.draw_triangles(screen, surfaces.triangles, surfaces.cut, ids, depth, which, bary)
        out = cv2.resize(self.background, (w, h), interpolation=cv2.INTER_LINEAR)
        shade.shade(
            which, bary, surfaces.triangles, surfaces.material,
            np.concatenate([surfaces.points, surfaces.normals, surfaces.rest], 1),
            np.concatenate([irradiance, seen], 1), self._extra(surfaces),
            CAMERA - np.array([PRESENTER_X, 0, 0], np.float32), turn,
            np.array([U_RANGE[0], V_RANGE[1], PER_MM], np.float32),
            self.texture.colour, self.texture.finish, shade.LOBES, shade.LOBE_TINT, out,
        )  # fmt: skip
        self._hair(pose, surfaces, irradiance, turn, depth, out)
        if self.oversample > 1:
            out = cv2.resize(out, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(out)

    def _extra(self, surfaces: Surfaces) -> Array:
        """Per vertex: unrolled u, mm inside the garment's edge, mm under the next one's."""
        u = np.zeros(len(surfaces.points), np.float32)
        u[: len(self.unrolled)] = self.unrolled[:, 0]
        return np.stack([u, surfaces.cut, self.shadow_cut], 1)

    def _scatter(self, irradiance: Array) -> Array:
        """Light wanders under the skin, red furthest: smooth it over the mesh."""
        n = len(self.model.rest)
        out = irradiance.copy()
        soft = irradiance[:n]
        average = self.model.averaging
        for step in range(5):
            soft = average @ soft
            if step == 0:
                out[:n, 2] = 0.5 * irradiance[:n, 2] + 0.5 * soft[:, 2]
            if step == 1:
                out[:n, 1] = 0.4 * irradiance[:n, 1] + 0.6 * soft[:, 1]
        out[:n, 0] = 0.25 * irradiance[:n, 0] + 0.75 * soft[:, 0]
        return out

    def _hair(
        self, pose: Pose, surfaces: Surfaces, irradiance: Array, turn: Array, depth: Array,
        out: Array,
    ) -> None:  # fmt: skip
        n = len(self.model.rest)
        skin, normals = surfaces.points[:n], surfaces.normals[:n]
        scale = np.float32(self.height * self.oversample / MM_HIGH)
        brow = hair.bound_points(self.brows, skin, normals, turn)
        lit = irradiance[self.brows.quads[:, 0]] / np.pi
        colour = np.repeat((self.brows.colour * lit)[:, None], brow.shape[1], 1)
        hair.draw_strands(
            self.project(brow + np.array([0, 0, 0.4], np.float32)), colour.astype(np.float32),
            self.brows.width * scale, depth, out, np.float32(0.9995), np.float32(0.85),
        )  # fmt: skip
        control = self.model.control(pose)
        lash, width = hair.lashes(self.model, control)
        lash = self.model.turned(lash.reshape(-1, 3), 1.0, pose).reshape(lash.shape)
        dark = np.full(lash.shape, 0.010, np.float32)
        hair.draw_strands(
            self.project(lash), dark, width * scale, depth, out, np.float32(0.9992),
            np.float32(0.9),
        )  # fmt: skip
        strands = self.model.turned(self.hair.points.reshape(-1, 3), 1.0, pose)
        strands = strands.reshape(self.hair.points.shape)
        colour = self._hair_light(strands, skin)
        hair.draw_strands(
            self.project(strands), colour, self.hair.width * scale, depth, out,
            np.float32(1.0), np.float32(0.5),
        )  # fmt: skip

    def _hair_light(self, points: Array, skin: Array) -> Array:
        """Light along every strand, see `hair.light_strands`."""
        lit = hair.light_strands(
            points, self.hair.colour, skin, self.hair.near, CAMERA, shade.LOBES,
            shade.LOBE_TINT, np.array([1.9, 0.35, 1.9, 0.9], np.float32),
        )  # fmt: skip
        return np.asarray(lit)
