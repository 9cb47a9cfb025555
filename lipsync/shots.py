"""Shots: where the picture cuts, and smoothing that never crosses a cut.

Cuts are found as PySceneDetect does it (content detector: mean change of hue, saturation
and value between frames; adaptive detector: that change against its neighbours'), plus the
jump of the face itself, which gives away a jump cut on an unchanged background.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lipsync.detect import Seen
from lipsync.pose import Pose, fit_pose, to_face, to_frame
from media.far import pieces
from media.picture import Picture

__all__ = ["CUT_CHANGE", "ContentChange", "NoseWatch", "shot_numbers", "smooth_landmarks"]

Floats = NDArray[np.float32]

#: A change of content above this is a cut whatever happens around it (PySceneDetect's 27).
CUT_CHANGE = 27.0
_ADAPTIVE_CHANGE = 9.0
_ADAPTIVE_RATIO = 3.5
_NEIGHBOURS = 3

_PIECES = 16  # of the mesh, smoothed one after the other

# Window of the smoothing: long enough for the tracker's noise, short enough for a nod.
_SMOOTH_S = 0.28

# The nose: stiff, in the middle, never hidden by eyelids, well marked by its shadows.
NOSE = (6, 197, 195, 5, 4, 1, 2, 98, 327)
_NOSE_MM = 62.0  # side of the square that is watched
_NOSE_PIXELS = 64
# Slower than this (standard deviation, seconds) the landmarks are believed, faster the picture.
_DRIFT_S = 0.5

# Points that lips and jaw move; everything else on the mesh is smoothed a second time.
_MOVED_BY_SPEECH = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 408, 304, 303, 302, 11, 72, 73, 74, 184),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 407, 272, 271, 268, 12, 38, 41, 42, 183),
    *(
        57,
        43,
        106,
        182,
        83,
        18,
        313,
        406,
        335,
        273,
        287,
        410,
        322,
        391,
        393,
        164,
        167,
        165,
        92,
        186,
    ),
    *(
        212,
        202,
        204,
        194,
        201,
        200,
        421,
        418,
        424,
        422,
        432,
        436,
        426,
        423,
        203,
        206,
        216,
        210,
        430,
    ),
    *(211, 32, 208, 199, 428, 262, 431, 214, 434, 207, 427, 187, 411, 205, 425, 192, 416, 213, 433),
    *(
        135,
        169,
        170,
        140,
        171,
        175,
        396,
        369,
        395,
        394,
        364,
        138,
        367,
        215,
        435,
        147,
        376,
        177,
        401,
    ),
    *(58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 132, 361),
)


class ContentChange:
    """Mean absolute change of hue, saturation and value from one picture to the next."""

    def __init__(self) -> None:
        self._last: NDArray[np.int16] | None = None

    def update(self, rgb: Seen) -> float:
        """Change in 0..255 against the picture before; 0 for the first."""
        import cv2

        if isinstance(rgb, Picture):
            small = rgb.thumbnail(128, 72)
        else:
            # Sampling first: averaging a whole 4K frame would cost more than the tracking.
            step = max(1, min(rgb.shape[:2]) // 180)
            sampled = np.ascontiguousarray(rgb[::step, ::step])
            small = np.asarray(cv2.resize(sampled, (128, 72), interpolation=cv2.INTER_AREA))
        now = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.int16)
        last, self._last = self._last, now
        if last is None:
            return 0.0
        difference = np.abs(now - last)
        # Hue is an angle of 180 steps, and means nothing where there is no colour.
        hue = np.minimum(difference[..., 0], 180 - difference[..., 0])
        hue = np.where(np.minimum(now[..., 1], last[..., 1]) < 32, 0, hue)
        return float((hue.mean() + difference[..., 1].mean() + difference[..., 2].mean()) / 3)


class NoseWatch:
    """Measures how far the nose moves in the picture against its landmarks.

    Consecutive frames are brought to one upright, equal-sized picture of the nose by the
    landmarks; any shift left between the two is the landmarks' error.
    """

    def __init__(self) -> None:
        self._last: Floats | None = None

    def update(self, rgb: Seen, landmarks: Floats | None) -> tuple[float, float]:
        """Shift (x, y) in pixels of the frame since the last call; NaN when unknown.

        `landmarks` float32[478, 3] of this frame, or None, which starts anew.
        """
        if landmarks is None:
            self._last = None
            return float("nan"), float("nan")
        pose = fit_pose(landmarks[None])
        zoom = _NOSE_PIXELS / (_NOSE_MM * float(pose.scale[0]))
        roll = np.radians(float(pose.angles[0, 2]))
        linear = zoom * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        centre = landmarks[list(NOSE), :2].astype(np.float64).mean(0)
        nose = _look(rgb, linear, centre)
        last, self._last = self._last, nose
        if last is None:
            return float("nan"), float("nan")
        shift = _shift_between(last, nose)
        if shift is None:
            return 0.0, 0.0
        moved = np.linalg.solve(linear, shift)
        return float(moved[0]), float(moved[1])


def _shift_between(before: Floats, after: Floats) -> NDArray[np.float64] | None:
    """How far (x, y) the picture moved from `before` to `after`; None when it is another picture.

    A first guess by phase correlation, then a few steps of B. Lucas and T. Kanade, "An iterative
    image registration technique", IJCAI 1981, over the whole windowed picture.
    """
    import cv2

    side = before.shape[0]
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    # OpenCV applies the window to its inputs in place.
    guess, response = cv2.phaseCorrelate(before.copy(), after.copy(), window)
    # A weak peak or a long way means another picture, not a tremble.
    if response < 0.15 or float(np.hypot(*guess)) > 0.12 * side:
        return None
    shift = np.array(guess, np.float64)
    for _ in range(4):
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        back = cv2.warpAffine(
            after, matrix, (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        mean = 0.5 * (back + before)
        gradients = [cv2.Scharr(mean, cv2.CV_32F, *d) / 32.0 for d in ((1, 0), (0, 1))]
        g = np.stack([(gradient * np.sqrt(window)).ravel() for gradient in gradients])
        residual = ((back - before) * np.sqrt(window)).ravel()
        normal = (g @ g.T).astype(np.float64)
        step = np.linalg.solve(normal + 1e-3 * np.eye(2), (g @ residual).astype(np.float64))
        shift -= np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 0.01:
            break
    return shift if float(np.hypot(*(shift - guess))) < 3.0 else None


def _look(rgb: Seen, linear: NDArray[np.float64], centre: NDArray[np.float64]) -> Floats:
    """Grey picture float32[64, 64] of the frame around `centre`, turned and scaled by `linear`."""
    import cv2

    reach = _NOSE_PIXELS / np.hypot(*linear[0])
    corner = np.maximum((centre - reach).astype(int), 0)
    stop = np.maximum((centre + reach).astype(int) + 2, corner + 2)
    part = rgb[corner[1] : stop[1], corner[0] : stop[0]]
    if part.size == 0:
        return np.zeros((_NOSE_PIXELS, _NOSE_PIXELS), np.float32)
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    if (steps := np.hypot(*linear[0])) < 0.7:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 / steps)
    shift = (_NOSE_PIXELS - 1) / 2 - linear @ (centre - corner)
    matrix = np.column_stack([linear, shift])
    size = (_NOSE_PIXELS, _NOSE_PIXELS)
    seen = cv2.warpAffine(
        grey, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(seen, np.float32)


def shot_numbers(change: Floats, landmarks: Floats) -> NDArray[np.int32]:
    """Shot of every frame, int32[n] from 0.

    `change` float32[n] from `ContentChange`; `landmarks` float32[n, 478, 3], NaN where there is
    no face.
    """
    n = len(change)
    cut = np.zeros(n, bool)
    jump = _face_jumps(landmarks)
    for i in range(1, n):
        around = np.r_[change[max(1, i - _NEIGHBOURS) : i], change[i + 1 : i + 1 + _NEIGHBOURS]]
        usual = float(np.median(around)) if around.size else 0.0
        spike = change[i] > _ADAPTIVE_RATIO * max(usual, 0.5)
        near = np.r_[jump[max(1, i - _NEIGHBOURS) : i], jump[i + 1 : i + 1 + _NEIGHBOURS]]
        calm = float(np.nanmax(near)) if np.isfinite(near).any() else 0.0
        jumped = jump[i] > max(0.08, 3.0 * calm)
        cut[i] = (
            change[i] > CUT_CHANGE
            or (spike and change[i] > _ADAPTIVE_CHANGE)
            or bool(jumped and change[i] > 1.8 * max(usual, 0.2))
        )
    return np.cumsum(cut).astype(np.int32)


def _face_jumps(landmarks: Floats) -> Floats:
    """Movement of the face from the frame before, in face heights; NaN where unknown."""
    with np.errstate(invalid="ignore"):
        size, eyes = np.zeros(len(landmarks), np.float32), np.zeros((len(landmarks), 2), np.float32)
        for piece in pieces(landmarks):
            seen = landmarks[piece]
            size[piece] = np.linalg.norm(seen[:, 152, :2] - seen[:, 10, :2], axis=1)
            eyes[piece] = seen[:, (33, 133, 362, 263, 168), :2].mean(1)
        jump = np.full(len(landmarks), np.nan, np.float32)
        jump[1:] = np.linalg.norm(np.diff(eyes, axis=0), axis=1) / np.maximum(size[1:], 1.0)
    return jump


def smooth_landmarks(
    landmarks: Floats,
    drift: Floats,
    shot: NDArray[np.int32],
    rate: float,
    *,
    in_place: bool = False,
) -> tuple[Floats, Pose, NDArray[np.bool_]]:
    """Landmarks with the tracker's tremble taken out, heads and lips as quick as they are.

    A filter cannot tell a nod from noise, but the picture can: `drift` float32[n, 2] is how far
    (pixels of the frame) the nose moved against its landmarks since the frame before, as
    `NoseWatch` saw it. Its sum, without its slow part, is the tremble, and is taken off.
    Rotation, scale and the face apart from mouth and jaw go through a Savitzky-Golay filter
    of second order over 0.28 s (A. Savitzky, M. Golay, Anal. Chem. 36, 1964): no lag. Lips and jaw
    keep every frame's own measure relative to the head. Each unbroken stretch of one shot is
    treated alone.

    `landmarks` float32[n, 478, 3] with NaN where absent; returns the like (`in_place`: the same
    array), the pose of the present frames, and bool[n] present.
    """
    present = np.concatenate(
        [np.zeros(0, np.bool_), *(np.isfinite(landmarks[p, 0, 0]) for p in pieces(landmarks))]
    )
    out = landmarks if in_place else landmarks.copy()
    poses = []
    for start, stop in _stretches(present, shot):
        part, tremble = out[start:stop], _tremble(drift[start:stop], rate)
        for piece in pieces(part):
            part[piece, :, :2] += tremble[piece, None]
        poses.append(_smooth_stretch(part, rate))
    if not poses:
        return out, Pose(np.zeros((0, 3, 3)), np.zeros(0), np.zeros((0, 3))), present
    return out, _joined(poses), present


def _joined(poses: Sequence[Pose]) -> Pose:
    return Pose(
        np.concatenate([p.rotation for p in poses]),
        np.concatenate([p.scale for p in poses]),
        np.concatenate([p.place for p in poses]),
    )


def _smooth_stretch(part: Floats, rate: float) -> Pose:
    """Smooth `part` in place; its smoothed pose. Some frames after the other: a long take is not
    held in double precision. Each piece sees a window of frames more on either side, so its edges
    do not show."""
    raw = _joined([fit_pose(part[piece]) for piece in pieces(part)])
    rotation, scale = _smooth_rotation(raw.rotation, rate), np.exp(_savgol(np.log(raw.scale), rate))
    pose = Pose(rotation, scale, np.empty_like(raw.place))
    room, before = _window(rate), part[:0].copy()
    for piece in pieces(part):
        around = slice(piece.start - len(before), min(piece.stop + room, len(part)))
        seen = np.concatenate([before, part[piece.start : around.stop]])
        inner = slice(len(before), len(before) + piece.stop - piece.start)
        before = seen[max(inner.stop - room, 0) : inner.stop].copy()
        _smooth_piece(seen, inner, raw.part(around), pose.part(piece), part[piece], rate)
    return pose


def _smooth_piece(
    seen: Floats, inner: slice, raw: Pose, pose: Pose, out: Floats, rate: float
) -> None:
    """The frames `inner` of `seen` smoothed into `out`, and their places into `pose`; a few points
    at a time."""
    still = np.ones(seen.shape[1], bool)
    still[list(_MOVED_BY_SPEECH)] = False

    def face_of(points: NDArray[np.intp]) -> NDArray[np.float64]:
        face = to_face(seen[:, points], raw)
        quiet = still[points]
        if quiet.any():
            face[:, quiet] = _savgol(face[:, quiet], rate)
        return face[inner]

    # The head turns and grows about the nose, whose place in the picture is known best.
    tip = np.array(NOSE, np.intp)
    arm = np.einsum("nij,nj->ni", pose.rotation, face_of(tip).mean(1)) * pose.scale[:, None]
    pose.place[:] = seen[inner, NOSE].mean(1) - arm
    for points in np.array_split(np.arange(seen.shape[1]), _PIECES):
        out[:, points] = to_frame(face_of(points), pose)


def _tremble(drift: Floats, rate: float) -> NDArray[np.float64]:
    """What to add to landmarks so that they keep to the picture, float64[n, 2] pixels."""
    from scipy.ndimage import gaussian_filter1d

    known = np.where(np.isfinite(drift), drift, 0.0).astype(np.float64)
    known[:1] = 0.0
    walk = np.cumsum(known, axis=0)
    if len(walk) < 3:
        return np.zeros_like(walk)
    # Mirrored about its ends, a steady walk stays steady there.
    return np.asarray(walk - gaussian_filter1d(walk, _DRIFT_S * rate, axis=0, mode="mirror"))


def _stretches(present: NDArray[np.bool_], shot: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Unbroken runs of present frames inside one shot."""
    label = np.where(present, shot, -1)
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1).tolist(), len(label)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a and label[a] >= 0]


def _smooth_rotation(rotation: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    u, _, vt = np.linalg.svd(_savgol(rotation, rate))
    # Back to the nearest rotation.
    flip = np.ones((len(u), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    return np.asarray((u * flip[:, None]) @ vt)


def _window(rate: float) -> int:
    """Frames that the smoothing sees at once."""
    return max(5, 2 * round(_SMOOTH_S * rate / 2) + 1)


def _savgol(values: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    from scipy.signal import savgol_filter

    window = _window(rate)
    if len(values) < window:
        window = len(values) - 1 + len(values) % 2
    if window < 5:
        return values
    return np.asarray(savgol_filter(values, window, 2, axis=0, mode="interp"))
