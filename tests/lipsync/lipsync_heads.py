"""A head of our own making: mesh points on ellipses, and a picture of it, with known truth."""

from __future__ import annotations

import numpy as np

from lipsync.pose import _HEAD, Pose, to_frame
from lipsync.regions import FACE_OVAL, OUTER_LIPS

INNER_LIPS = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
# Points of cheeks, nose and lower face on which masks and bends depend (mm).
_PLACES = {
    **{1: (0, 38, -42), 2: (0, 46, -27), 98: (-17, 44, -18), 129: (-20, 40, -15)},
    **{203: (-22, 52, -15), 205: (-38, 46, -8), 187: (-48, 58, 0), 50: (-45, 32, -5)},
    **{36: (-36, 38, -10), 192: (-52, 74, 8), 138: (-50, 82, 10), 135: (-46, 90, 10)},
    **{169: (-40, 97, 8), 170: (-32, 103, 4), 140: (-22, 108, 0), 171: (-11, 110, -4)},
    175: (0, 111, -6),
}
_MIRROR = {
    **{98: 327, 129: 358, 203: 423, 205: 425, 187: 411, 50: 280, 36: 266, 192: 416},
    **{138: 367, 135: 364, 169: 394, 170: 395, 140: 369, 171: 396},
}


def _ring(
    count: int, start: float, turn: float, middle: tuple[float, float], size: tuple[float, float]
) -> np.ndarray:
    angle = start + turn * np.arange(count) * 2 * np.pi / count
    return np.stack([middle[0] + size[0] * np.cos(angle), middle[1] + size[1] * np.sin(angle)], 1)


def head_mm(opening: float = 4.0, jaw: float = 0.0) -> np.ndarray:
    """Face coordinates float64[478, 3] in mm; lips `opening` mm apart, chin lower by `jaw` mm."""
    face = np.zeros((478, 3))
    face[:, 1] = 40.0
    oval = _ring(36, -np.pi / 2, 1, (0, 30), (70, 88))
    face[list(FACE_OVAL), :2] = oval
    face[list(FACE_OVAL), 2] = 10.0
    for index, place in _PLACES.items():
        face[index] = place
        if index in _MIRROR:
            face[_MIRROR[index]] = (-place[0], place[1], place[2])
    low = face[:, 1] > 70
    face[low, 1] += jaw * (face[low, 1] - 70) / 48
    # Rings start at the corner on the left of the picture and go along the lower lip.
    outer = _ring(20, np.pi, -1, (0, 72 + jaw / 3), (26, 9 + opening / 2))
    inner = _ring(20, np.pi, -1, (0, 72 + jaw / 3), (23, opening / 2))
    face[list(OUTER_LIPS)] = np.c_[outer, np.full(20, -20.0)]
    face[list(INNER_LIPS)] = np.c_[inner, np.full(20, -18.0)]
    face[_HEAD[:, 0].astype(int)] = _HEAD[:, 1:4]
    return face


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation float64[3, 3] with the signs of `Pose.angles` (degrees)."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def landmarks(
    face: np.ndarray | None = None,
    *,
    at: tuple[float, float] = (160.0, 100.0),
    scale: float = 1.0,
    rotation: np.ndarray | None = None,
) -> np.ndarray:
    """Frame landmarks float32[478, 3] of a head at pixel `at`, `scale` pixels per mm."""
    pose = Pose(
        (np.eye(3) if rotation is None else rotation)[None],
        np.array([scale]),
        np.array([[*at, 0.0]]),
    )
    return to_frame((head_mm() if face is None else face)[None], pose)[0]


def picture(
    points: np.ndarray, width: int = 320, height: int = 300, *, tint: float = 1.0, seed: int = 0
) -> np.ndarray:
    """A face uint8[H, W, 3] painted where `points` are: skin with soft texture, lips, collar."""
    import cv2

    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (60, 90, 140), np.uint8)
    cv2.rectangle(image, (0, int(points[152, 1]) + 12), (width, height), (230, 230, 235), -1)
    skin = np.full((height, width, 3), (190, 145, 120), np.float32)
    skin += cv2.GaussianBlur(rng.normal(0, 60, (height, width, 1)).astype(np.float32), (0, 0), 3)[
        ..., None
    ]
    skin = np.clip(skin * tint, 0, 255).astype(np.uint8)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [points[list(FACE_OVAL), :2].round().astype(np.int32)], 255)
    image[inside > 0] = skin[inside > 0]
    for ring, colour in ((OUTER_LIPS, (150, 70, 70)), (INNER_LIPS, (40, 15, 15))):
        shade = tuple(int(min(c * tint, 255)) for c in colour)
        cv2.fillPoly(image, [points[list(ring), :2].round().astype(np.int32)], shade)
    return cv2.GaussianBlur(image, (0, 0), 1.0)
