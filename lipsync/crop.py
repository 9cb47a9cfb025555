"""The canonical crop: a steady picture of nose, mouth and chin, and the lip shape in numbers.

The crop is placed by the skull (eyes, forehead, bridge of the nose), never by the lips or the
jaw, so a mouth moves inside it exactly as it moves on the face. Its size does not change
when the head turns, because scale comes from the three-dimensional pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync.pose import Pose, fit_pose, to_face
from media.far import pieces
from media.picture import Picture

__all__ = [
    "LIP_FEATURES",
    "CropSpec",
    "crop",
    "crop_area",
    "crop_transform",
    "crop_transforms",
    "landmarks_in_crop",
    "lip_shape",
]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

#: Columns of `lip_shape`, all in units of the distance between the eye centres.
LIP_FEATURES = (
    "opening",
    "width",
    "outer_width",
    "outer_height",
    "roundness",
    "protrusion",
    "jaw",
)

#: Width of the crop on the face. A mouth at rest is 52 mm wide: 40 % of it.
CROP_MM = 130.0

# The nose's base, which stays still in speech and whose height on the face is the person's own.
_NOSE_BASE = (2, 98, 327, 1, 4)
# From there to the middle of the crop, in face coordinates (mm): below the lower lip.
_TO_CENTRE = np.array([0.0, 34.0, 10.0])

_EYES = ((33, 133), (362, 263))
_INNER_PAIRS = ((13, 14), (82, 87), (312, 317))
_OUTER_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)


@dataclass(frozen=True, slots=True)
class CropSpec:
    """Size of the canonical crop in pixels (square)."""

    size: int = 256


def crop_transform(landmarks: Floats, spec: CropSpec | None = None) -> Floats:
    """Frame-to-crop similarity, float32[2, 3], for one frame's `landmarks` [478, 3] pixels."""
    transform: Floats = crop_transforms(landmarks[None], spec)[0]
    return transform


def crop_transforms(
    landmarks: Floats, spec: CropSpec | None = None, pose: Pose | None = None
) -> Floats:
    """Frame-to-crop similarities, float32[n, 2, 3], of `landmarks` [n, 478, 3] (no NaN).

    Each maps pixel centres of the frame to pixel centres of the crop: rotation by the head's
    roll, one scale, the middle of the lower face to the middle of the crop.
    """
    size = (spec or CropSpec()).size
    pose = pose or fit_pose(landmarks)
    nose = landmarks[:, _NOSE_BASE].astype(np.float64).mean(1)
    centre = nose + pose.scale[:, None] * np.einsum("nij,j->ni", pose.rotation, _TO_CENTRE)
    roll = np.radians(pose.angles[:, 2].astype(np.float64))
    zoom = size / (CROP_MM * pose.scale)
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=1)
    middle = (size - 1) / 2
    shift = middle - np.einsum("nij,nj->ni", linear, centre[:, :2])
    return np.asarray(np.concatenate([linear, shift[:, :, None]], axis=2), np.float32)


def crop(frame: Pixels | Picture, transform: Floats, spec: CropSpec | None = None) -> Pixels:
    """The canonical crop uint8[S, S, 3] of `frame` uint8[H, W, 3].

    Enlarging is bicubic; reducing averages (the frame is first halved as often as needed), so
    fine texture does not alias. Beyond the frame its edge is repeated.
    """
    import cv2

    size = (spec or CropSpec()).size
    zoom = float(np.hypot(transform[0, 0], transform[0, 1]))
    matrix = transform.astype(np.float64)
    rows, columns = crop_area(transform, size)
    part, x0, y0 = frame[rows, columns], columns.start, rows.start
    if part.size == 0:
        part, x0, y0 = frame[0 : frame.shape[0], 0 : frame.shape[1]], 0, 0
    matrix[:, 2] += matrix[:, :2] @ (float(x0), float(y0))
    while zoom < 0.5 and min(part.shape[:2]) >= 2:
        height, width = part.shape[0] // 2, part.shape[1] // 2
        part = cv2.resize(
            part[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA
        )
        # Pixel centres: x = 2 x' + 0.5.
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5)
        matrix[:, :2] *= 2
        zoom *= 2
    warped: Pixels = cv2.warpAffine(
        part, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return warped


def crop_area(transform: Floats, size: int, room: int = 4) -> tuple[slice, slice]:
    """Rows and columns of the frame that a crop of `size` pixels shows, and `room` around them."""
    import cv2

    corners = np.array([[0, 0, size, size], [0, size, 0, size], [1, 1, 1, 1]], np.float64)
    reach = cv2.invertAffineTransform(transform.astype(np.float64)) @ corners
    x0, y0 = np.maximum(np.floor(reach.min(1)).astype(int) - room, 0).tolist()
    x1, y1 = np.maximum(np.ceil(reach.max(1)).astype(int) + room + 1, 0).tolist()
    return slice(y0, y1), slice(x0, x1)


def landmarks_in_crop(landmarks: Floats, transform: Floats) -> Floats:
    """Points [..., k, 3] (or [..., k, 2]) of the frame in crop pixels; depth is scaled alike."""
    linear, shift = transform[..., :2], transform[..., 2]
    flat = landmarks[..., :2] @ np.swapaxes(linear, -1, -2) + shift[..., None, :]
    if landmarks.shape[-1] == 2:
        return np.asarray(flat, np.float32)
    zoom = np.hypot(linear[..., 0, 0], linear[..., 0, 1])
    depth = landmarks[..., 2:] * np.asarray(zoom)[..., None, None]
    return np.asarray(np.concatenate([flat, depth], axis=-1), np.float32)


def lip_shape(landmarks: Floats) -> Floats:
    """Lip shapes float32[n, 7] (`LIP_FEATURES`) of `landmarks` [n, 478, 3], or [7] of one.

    In the head's own axes (pose undone), in units of the distance between the eye centres:
    opening between the inner lips, width between the inner corners, width and height of the
    outer lips, protrusion of the lips in front of the eyes' plane, jaw from the bridge of
    the nose down to the chin. Roundness is 4 pi area / perimeter^2 of the outer lips (1: a
    circle). Frame and crop landmarks give the same numbers. Rows with NaN give NaN. Points without
    depth ([n, 478, 2]) are read as they lie, with no protrusion.
    """
    if landmarks.ndim == 2:
        shape: Floats = lip_shape(landmarks[None])[0]
        return shape
    out = np.full((len(landmarks), len(LIP_FEATURES)), np.nan, np.float32)
    for piece in pieces(landmarks):
        seen = np.isfinite(landmarks[piece, :, 0]).all(1)
        if seen.any():
            out[piece][seen] = _lip_shape(landmarks[piece][seen])
    return out


def _lip_shape(landmarks: Floats) -> Floats:
    """`lip_shape` of complete rows."""
    if landmarks.shape[-1] == 3:
        face = to_face(landmarks, fit_pose(landmarks))
    else:
        face = np.pad(landmarks.astype(np.float64), ((0, 0), (0, 0), (0, 1)))
    left, right = (face[:, pair].mean(1) for pair in _EYES)
    unit = np.linalg.norm(right - left, axis=1)

    def apart(a: int, b: int) -> NDArray[np.float64]:
        distance: NDArray[np.float64] = np.linalg.norm(face[:, a] - face[:, b], axis=1) / unit
        return distance

    opening = np.mean([apart(a, b) for a, b in _INNER_PAIRS], axis=0)
    forward = (0.5 * (left + right) - face[:, (0, 13, 14, 17)].mean(1))[:, 2] / unit
    jaw = (face[:, 152] - face[:, 168])[:, 1] / unit
    measures = (opening, apart(78, 308), apart(61, 291), apart(0, 17), _roundness(face))
    return np.stack([*measures, forward, jaw], axis=1).astype(np.float32)


def _roundness(face: NDArray[np.float64]) -> NDArray[np.float64]:
    """4 pi area / perimeter^2 of the outer lips, frontal view."""
    ring = face[:, _OUTER_LIPS, :2]
    after = np.roll(ring, -1, axis=1)
    area = 0.5 * np.abs((ring[..., 0] * after[..., 1] - ring[..., 1] * after[..., 0]).sum(1))
    perimeter = np.linalg.norm(after - ring, axis=2).sum(1)
    return np.asarray(4 * np.pi * area / np.maximum(perimeter, 1e-9) ** 2)
