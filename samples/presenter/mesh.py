"""The presenter's head as a subdivision surface: loading, smoothing, posing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float32]
Ints = NDArray[np.int32]

HEAD_FILE = Path(__file__).with_name("mara.npz")


@dataclass(frozen=True)
class Head:
    """The control mesh (millimetres, y up, z towards the camera) and its face units."""

    points: Array  # [n,3]
    quads: Ints  # [q,4]
    uv: Array  # [q,4,2]
    part: NDArray[np.uint8]  # [q], index into part_names
    part_names: tuple[str, ...]
    shapes: Mapping[str, tuple[Ints, Array]]  # name -> moved vertices, offsets in mm
    masks: Mapping[str, Array]  # lips, eyelids, ears, inside-mouth -> [n] in 0..1
    lashes: Mapping[str, Ints]  # lash_upper_left ... -> vertices along the lid's edge

    def part_points(self, name: str) -> Ints:
        """Sorted indices of the vertices of one part."""
        return np.unique(self.quads[self.part == self.part_names.index(name)]).astype(np.int32)

    def posed(self, weights: Mapping[str, float]) -> Array:
        """Control points [n,3] with the face units added; unknown names raise KeyError."""
        points = self.points.copy()
        for name, weight in weights.items():
            if weight:
                moved, offset = self.shapes[name]
                points[moved] += np.float32(weight) * offset
        return points


def load_head(path: Path = HEAD_FILE) -> Head:
    """Read the head written by `sculpt.build`."""
    with np.load(path) as data:
        shapes = {
            str(name): (data[f"moved{k}"], data[f"offset{k}"].astype(np.float32))
            for k, name in enumerate(data["shape_names"])
        }
        return Head(
            points=data["points"],
            quads=data["quads"],
            uv=data["uv"],
            part=data["part"],
            part_names=tuple(str(n) for n in data["part_names"]),
            shapes=shapes,
            masks={
                str(name): data["masks"][k].astype(np.float32)
                for k, name in enumerate(data["mask_names"])
            },
            lashes={str(name): data[f"lash{k}"] for k, name in enumerate(data["lash_names"])},
        )


def catmull_clark(quads: Ints, count: int) -> tuple[sparse.csr_matrix, Ints]:
    """One Catmull-Clark step (Catmull & Clark 1978) as a matrix over `count` vertices.

    Returns S [m,count] with refined = S @ points, and the refined quads [4q,4]; child k of
    quad j is row 4 j + k and keeps corner k of its parent. Open edges stay crisp.
    """
    nq = len(quads)
    pairs = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    edges, edge_of, uses = np.unique(
        np.sort(pairs, 1), axis=0, return_inverse=True, return_counts=True
    )
    edge_of = edge_of.reshape(nq, 4)
    ne = len(edges)
    rows = np.arange(nq)
    face = sparse.csr_matrix(
        (np.full(4 * nq, 0.25), (np.repeat(rows, 4), quads.ravel())), (nq, count)
    )
    mid = sparse.csr_matrix(
        (np.full(2 * ne, 0.5), (np.repeat(np.arange(ne), 2), edges.ravel())), (ne, count)
    )
    face_of_edge = sparse.csr_matrix(
        (np.ones(4 * nq), (edge_of.ravel(), np.repeat(rows, 4))), (ne, nq)
    )
    inner = uses == 2
    edge = sparse.diags(np.where(inner, 0.5, 1.0)) @ mid + sparse.diags(
        np.where(inner, 0.25, 0.0)
    ) @ (face_of_edge @ face)

    valence = np.bincount(edges.ravel(), minlength=count).astype(float)
    valence = np.maximum(valence, 1)
    at_vertex = sparse.csr_matrix(
        (np.ones(2 * ne), (edges.ravel(), np.repeat(np.arange(ne), 2))), (count, ne)
    )
    faces_at = sparse.csr_matrix(
        (np.ones(4 * nq), (quads.ravel(), np.repeat(rows, 4))), (count, nq)
    )
    touching = np.maximum(np.bincount(quads.ravel(), minlength=count), 1)
    open_vertex = np.zeros(count, bool)
    open_vertex[edges[~inner].ravel()] = True
    eye = sparse.identity(count, format="csr")
    smooth = (
        sparse.diags(1 / (valence * touching)) @ faces_at @ face
        + sparse.diags(2 / valence**2) @ at_vertex @ mid
        + sparse.diags((valence - 3) / valence) @ eye
    )
    rim = 0.5 * eye + 0.25 * (
        at_vertex[:, ~inner] @ mid[~inner]
    )  # 1/8 + 6/8 + 1/8 along the open edge
    vertex = sparse.diags((~open_vertex) * 1.0) @ smooth + sparse.diags(open_vertex * 1.0) @ rim
    matrix = sparse.vstack([vertex, edge, face]).tocsr().astype(np.float32)
    e, f = count + edge_of, (count + ne + rows)[:, None]
    refined = np.empty((nq, 4, 4), np.int64)
    for k in range(4):
        own: list[NDArray[np.integer]]
        own = [quads[:, k], e[:, k], f[:, 0], e[:, (k + 3) % 4]]
        # Roll so that the parent's corner keeps its place in the child.
        for j in range(4):
            refined[:, k, (k + j) % 4] = own[j]
    return matrix, refined.reshape(-1, 4).astype(np.int32)


def split_corners(corners: Array) -> Array:
    """Face-varying values [q,4,c] carried to the children of one subdivision step [4q,4,c]."""
    middle = corners.mean(1, keepdims=True)
    following = 0.5 * (corners + np.roll(corners, -1, 1))
    before = np.roll(following, 1, 1)
    out = np.empty((len(corners), 4, 4, corners.shape[2]), np.float32)
    for k in range(4):
        own = [corners[:, k], following[:, k], middle[:, 0], before[:, k]]
        for j in range(4):
            out[:, k, (k + j) % 4] = own[j]
    return out.reshape(-1, 4, corners.shape[2])


def triangles(quads: Ints) -> Ints:
    """Two triangles per quad, [2q,3]."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)


def vertex_normals(points: Array, quads: Ints) -> Array:
    """Unit normals [n,3] from the quads' diagonals, weighted by area."""
    a = points[quads[:, 2]] - points[quads[:, 0]]
    b = points[quads[:, 3]] - points[quads[:, 1]]
    per_face = np.cross(a, b)
    normals = np.empty_like(points)
    for axis in range(3):
        normals[:, axis] = np.bincount(
            quads.ravel(), np.repeat(per_face[:, axis], 4), minlength=len(points)
        )
    size = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return np.asarray(normals / size)
