"""Head pose of a face mesh: rotation, scale and place, apart from what lips and jaw do.

The rigid points (eye corners, forehead, nose, temples) are fitted to one average head by a
weighted similarity in three dimensions (S. Umeyama, "Least-squares estimation of
transformation parameters between two point patterns", IEEE PAMI 13(4), 1991). Camera axes:
x right, y down, z away from the viewer; a face that looks into the lens has the identity
as its rotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FACE_HEIGHT_MM", "RIGID", "Pose", "fit_pose", "to_face", "to_frame"]

Floats = NDArray[np.float32]

# Mesh index, x, y, z in mm from the middle between the eyes, weight. An average adult head
# scaled to 63 mm between the eye centres, symmetric, rounded to half a millimetre. Temples
# count for less: the mesh guesses them when the head turns.
_HEAD = np.array(
    [
        (33, -45.5, -0.5, 3.0, 1.0),
        (133, -17.5, 1.0, -3.0, 1.0),
        (362, 17.5, 1.0, -3.0, 1.0),
        (263, 45.5, -0.5, 3.0, 1.0),
        (168, 0.0, -6.0, -20.0, 1.0),
        (6, 0.0, 2.0, -24.5, 1.0),
        (197, 0.0, 9.0, -30.0, 1.0),
        (195, 0.0, 16.0, -35.5, 1.0),
        (5, 0.0, 23.0, -41.5, 1.0),
        (4, 0.0, 31.5, -44.5, 0.7),
        (8, 0.0, -13.5, -20.0, 0.7),
        (9, 0.0, -22.5, -21.0, 0.7),
        (151, 0.0, -40.5, -17.5, 0.7),
        (10, 0.0, -57.0, -13.0, 0.5),
        (127, -72.5, 5.5, 53.5, 0.3),
        (356, 72.5, 5.5, 53.5, 0.3),
        (234, -71.5, 21.0, 57.5, 0.3),
        (454, 71.5, 21.0, 57.5, 0.3),
    ]
)

#: Mesh indices of the points that move with the skull alone.
RIGID: NDArray[np.intp] = _HEAD[:, 0].astype(np.intp)

#: Forehead (10) to chin (152) of the average head with the mouth shut.
FACE_HEIGHT_MM = 172.0


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Where heads are: point = scale * rotation @ face_mm + place, for n frames.

    `rotation` float64[n, 3, 3], `scale` float64[n] pixels per mm, `place` float64[n, 3]
    pixels (of the middle between the eyes).
    """

    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    place: NDArray[np.float64]

    def part(self, frames: slice) -> Pose:
        """The poses of some of the frames."""
        return Pose(self.rotation[frames], self.scale[frames], self.place[frames])

    @property
    def angles(self) -> Floats:
        """float32[n, 3]: yaw, pitch, roll in degrees.

        yaw > 0: turned to the right edge of the picture; pitch > 0: looking down;
        roll > 0: tilted clockwise as seen.
        """
        forward = -self.rotation[:, :, 2]
        yaw = np.arctan2(forward[:, 0], -forward[:, 2])
        pitch = np.arcsin(np.clip(forward[:, 1], -1.0, 1.0))
        roll = np.arctan2(self.rotation[:, 1, 0], self.rotation[:, 1, 1])
        return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)), np.float32)


def fit_pose(landmarks: Floats) -> Pose:
    """Pose of `landmarks` float[n, 478, 3] (pixels; no NaN)."""
    model, weight = _HEAD[:, 1:4], _HEAD[:, 4] / _HEAD[:, 4].sum()
    seen = landmarks[:, RIGID].astype(np.float64)  # chosen first: a long clip is not copied whole
    model_mean = weight @ model
    seen_mean = np.einsum("k,nkc->nc", weight, seen)
    a, b = model - model_mean, seen - seen_mean[:, None]
    covariance = np.einsum("k,nki,kj->nij", weight, b, a)
    u, d, vt = np.linalg.svd(covariance)
    sign = np.ones_like(d)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (d * sign).sum(1) / (weight @ (a**2).sum(1))
    scale = np.maximum(scale, 1e-6)
    place = seen_mean - scale[:, None] * np.einsum("nij,j->ni", rotation, model_mean)
    return Pose(rotation, scale, place)


def to_face(landmarks: Floats, pose: Pose) -> NDArray[np.float64]:
    """Points [n, k, 3] of the frame as face coordinates in mm (pose undone)."""
    centred = np.asarray(landmarks, np.float64) - pose.place[:, None]
    undone = np.einsum("nji,nkj->nki", pose.rotation, centred)
    return np.asarray(undone / pose.scale[:, None, None])


def to_frame(face: NDArray[np.float64], pose: Pose) -> Floats:
    """Inverse of `to_face`."""
    turned = np.einsum("nij,nkj->nki", pose.rotation, face) * pose.scale[:, None, None]
    return np.asarray(turned + pose.place[:, None], np.float32)
