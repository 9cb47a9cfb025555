"""What hides a mouth: a hand, a microphone, a lens out of focus.

The mesh goes on through a hand as if the mouth were still to be seen. The picture knows better:
skin and lips keep their colours at the same points of the mesh, whatever is said, and what
lies over them has others. `FaceWatch` notes the colours at points of the lower face and how sharp
the middle of the face is, frame by frame; `doubts` compares every frame with the person's own
usual look, once all frames are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync.detect import Box, Seen
from lipsync.fitness import YAW_LIMIT
from lipsync.regions import OUTER_LIPS
from lipsync.track import Doubt
from media.far import FarRows, let_go, pieces

__all__ = ["LOWER", "UPPER", "FaceWatch", "Notes", "doubts", "foreign_share"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Points that are compared: lips, the skin around them, cheeks beside them and the chin ...
LOWER = (
    *OUTER_LIPS,
    *(164, 167, 393, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273, 106, 335, 182, 406, 83),
    *(313, 18, 200, 199, 208, 428, 201, 421, 194, 418, 204, 424, 202, 422, 212, 432, 214, 434),
    *(207, 427, 216, 436, 206, 426, 203, 423, 205, 425, 187, 411, 210, 430, 211, 431, 32, 262),
)
#: ... and points of the upper face, which show the light.
UPPER = (
    *(10, 9, 8, 151, 108, 337, 69, 299, 67, 297, 104, 333, 68, 298, 6, 197, 195, 5, 4, 50, 280),
    *(101, 330, 118, 347, 117, 346, 36, 266),
)

_SIDE = 160  # pixels of the window that is looked at
_ROOM = 1.5  # its side in face sizes
_SOFT = 16.0  # code values: below, colours are not told apart
_FOCUS_REACH = 0.22  # half the side of what is judged for focus, in window sides

# Of a model of usual colours: changes (log units) that are never, and always, too large.
_COLOUR_FLOOR, _COLOUR_SPREADS = 0.22, 4.0
_COVERED, _STILL_COVERED = 0.25, 0.12  # share of points that look foreign
_COVERED_ROOM_S = 0.06  # before and after: a hand comes with a blur
_BLURRED = 0.62  # log units of fine detail that are missing
_BLURRED_S = 0.2  # quicker than this is a quick movement, not the lens
_FEWEST = 12  # frames from which something usual can be learnt
_LEARNT = 1200  # frames that are learnt from
_PIECE = 2000
_ROUNDS = 6
_FEW = (10, 4, 13, 14, 61, 291)  # forehead, nose, inner lips, corners


@dataclass(frozen=True, slots=True, eq=False)
class Notes:
    """What was seen in n frames: `colours` uint8[n, k, 3] at `LOWER` and `UPPER`, `focus`
    float32[n] the log share of fine detail. Rows of absent frames mean nothing.
    """

    colours: NDArray[np.uint8]
    focus: Floats


class FaceWatch:
    """Takes notes of a face, one frame after another."""

    def __init__(self) -> None:
        self._colours = FarRows((len(LOWER) + len(UPPER), 3), np.uint8)
        self._focus: list[float] = []

    def look(self, rgb: Seen, landmarks: Floats | None) -> None:
        """Note one frame; `landmarks` float32[478, 3] in its pixels, None without a face."""
        if landmarks is None:
            self._colours.append(np.zeros((len(LOWER) + len(UPPER), 3), np.uint8))
            self._focus.append(np.nan)
            return
        import cv2

        window, origin, zoom = _window(rgb, Box.around(landmarks))
        at = (landmarks[[*LOWER, *UPPER], :2] + 0.5 - origin) * zoom - 0.5
        near = cv2.blur(window, (3, 3))
        taken = cv2.remap(
            near, np.ascontiguousarray(at[None, :, 0]), np.ascontiguousarray(at[None, :, 1]),
            cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE,
        )  # fmt: skip
        self._colours.append(np.asarray(taken[0], np.uint8))
        middle = (landmarks[[168, 4], :2].mean(0) - origin) * zoom
        self._focus.append(_fine_share(window, middle))

    def notes(self) -> Notes:
        """All that was seen."""
        return Notes(self._colours.array(), np.array(self._focus, np.float32))


def _window(rgb: Seen, box: Box) -> tuple[NDArray[np.uint8], Floats, float]:
    """The face at a steady size, uint8[160, 160, 3]; its corner in the frame; its zoom."""
    import cv2

    side = max(round(_ROOM * box.size), 16)
    x0, y0 = round(box.x - side / 2), round(box.y - side / 2)
    height, width = rgb.shape[:2]
    x0, y0 = max(min(x0, width - side), 0), max(min(y0, height - side), 0)
    part = rgb[y0 : min(y0 + side, height), x0 : min(x0 + side, width)]
    zoom = _SIDE / side
    size = (max(2, round(part.shape[1] * zoom)), max(2, round(part.shape[0] * zoom)))
    if zoom < 0.5:  # whole steps are averaged quickly, the rest is less than a half
        step = int(1 / zoom)
        whole = (part.shape[1] // step, part.shape[0] // step)
        part = cv2.resize(
            part[: whole[1] * step, : whole[0] * step], whole, interpolation=cv2.INTER_AREA
        )
    small = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8), np.array([x0, y0], np.float32), zoom


def _fine_share(window: NDArray[np.uint8], middle: Floats) -> float:
    """Log of the fine detail around eyes and nose over the coarse."""
    import cv2

    reach = round(_FOCUS_REACH * _SIDE)
    x, y = (int(np.clip(v, 0, n - 1)) for v, n in zip(middle, window.shape[1::-1], strict=True))
    part = window[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    if min(part.shape[:2]) < 8:
        return float("nan")
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft, softer = cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.GaussianBlur(grey, (0, 0), 3.0)
    fine, coarse = float(np.abs(grey - soft).mean()), float(np.abs(soft - softer).mean())
    return float(np.log((fine + 0.05) / (coarse + 0.5)))


def doubts(
    notes: Notes, landmarks: Floats, angles: Floats, shot: NDArray[np.int32], rate: float
) -> NDArray[np.uint8]:
    """A `Doubt` for every frame, uint8[n].

    `landmarks` float32[n, 478, 3] and `angles` float32[n, 3] (degrees), NaN where absent. Each
    shot is compared with itself: something is noticed that is not there most of the time.
    """
    result = np.zeros(len(shot), np.uint8)
    few = _few(landmarks)
    present = np.isfinite(few[:, 0, 0])
    for number in np.unique(shot):
        frames = np.flatnonzero(present & (shot == number))
        if len(frames) < _FEWEST:
            continue
        result[frames[_blurred(notes.focus[frames], rate)]] = Doubt.BLURRED
        share = _foreign_share(notes.colours[frames], few[frames], angles[frames])
        let_go(notes.colours)
        # Beyond the limit the cheek hides the lips itself; such frames are unfit anyway.
        share[np.abs(angles[frames, 0]) > YAW_LIMIT] = 0.0
        covered = _widened(_held(share), max(1, round(_COVERED_ROOM_S * rate)))
        result[frames[covered]] = Doubt.COVERED
    return result


def foreign_share(colours: NDArray[np.uint8], landmarks: Floats, angles: Floats) -> Doubles:
    """Share of the lower face's points that have foreign colours, float64[n], of one shot.

    Every point's colour is a linear function of the head's turn and the lips' opening, learnt
    from the shot itself; frames with many foreign points count less and less (iteratively
    reweighted least squares).
    """
    return _foreign_share(colours, _few(landmarks), angles)


def _foreign_share(colours: NDArray[np.uint8], few: Floats, angles: Floats) -> Doubles:
    facts = _facts(few, angles)
    learnt = np.linspace(0, len(facts) - 1, min(len(facts), _LEARNT)).astype(np.intp)
    usual = np.median(_logs(colours[learnt]), axis=0)
    seen = _unlit(_logs(colours[learnt]), usual)
    weights = np.ones(len(learnt))
    columns = 1 if len(facts) < 25 else 2 if len(facts) < 75 else facts.shape[1]
    facts = facts[:, :columns]
    spread = np.zeros(len(LOWER))
    model = np.zeros((columns, *seen.shape[1:]))
    for turn in range(_ROUNDS):
        if turn:
            model = _fit(facts[learnt], seen, weights)
        away = np.linalg.norm(seen - np.einsum("nf,fkc->nkc", facts[learnt], model), axis=2)
        spread = np.median(away, axis=0)
        foreign = (away > _limit(spread)).mean(1)
        weights = 1.0 / (1.0 + (foreign / 0.1) ** 4)
    share = np.zeros(len(facts))
    for first in range(0, len(facts), _PIECE):
        part = slice(first, first + _PIECE)
        rest = _unlit(_logs(colours[part]), usual)
        away = np.linalg.norm(rest - np.einsum("nf,fkc->nkc", facts[part], model), axis=2)
        share[part] = (away > _limit(spread)).mean(1)
    return share


def _logs(colours: NDArray[np.uint8]) -> Doubles:
    return np.log(colours.astype(np.float64) + _SOFT)


def _unlit(logs: Doubles, usual: Doubles) -> Doubles:
    """Colours of the lower points against their usual ones, the frame's own light taken off."""
    away = logs - usual
    light = np.median(away[:, len(LOWER) :], axis=1, keepdims=True)
    return np.asarray(away[:, : len(LOWER)] - light)


def _limit(spread: Doubles) -> Doubles:
    return np.maximum(_COLOUR_FLOOR, _COLOUR_SPREADS * spread)


def _few(landmarks: Floats) -> Floats:
    """The points of a mesh that `_facts` looks at, float32[n, 6, 2]."""
    few = np.empty((len(landmarks), len(_FEW), 2), np.float32)
    for piece in pieces(landmarks):
        few[piece] = landmarks[piece][:, _FEW, :2]
    return few


def _facts(few: Floats, angles: Floats) -> Doubles:
    """What a point's colour may depend on, float64[n, 6]: 1, opening, turn, nod, turn^2, width."""
    tall = np.linalg.norm(few[:, 0] - few[:, 1], axis=1) + 1e-6
    opening, width = (
        np.linalg.norm(few[:, a] - few[:, b], axis=1) / tall for a, b in ((2, 3), (4, 5))
    )
    yaw, pitch = angles[:, 0] / 20.0, angles[:, 1] / 15.0
    rows = np.stack([opening, yaw, pitch, yaw**2, width], axis=1).astype(np.float64)
    return np.column_stack([np.ones(len(rows)), rows - np.median(rows, axis=0)])


def _fit(facts: Doubles, seen: Doubles, weights: Doubles) -> Doubles:
    """Weighted least squares with a little ridge: float64[f, k, 3]."""
    weighted = facts * weights[:, None]
    gram = weighted.T @ facts + 1e-3 * weights.sum() * np.diag(
        [0.0, *([1.0] * (facts.shape[1] - 1))]
    )
    flat = weighted.T @ seen.reshape(len(seen), -1)
    return np.asarray(np.linalg.solve(gram, flat).reshape(-1, *seen.shape[1:]))


def _held(share: Doubles) -> Flags:
    """Frames above the limit, and those around them until it is clearly over."""
    from scipy.ndimage import label

    runs, _ = label(share > _STILL_COVERED)
    certain = np.unique(runs[share > _COVERED])
    return np.asarray(np.isin(runs, certain[certain > 0]))


def _widened(flags: Flags, by: int) -> Flags:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(flags, iterations=by)) if flags.any() else flags


def _blurred(focus: Floats, rate: float) -> Flags:
    """Frames that lack the detail that the shot has elsewhere, and for long enough."""
    from scipy.ndimage import median_filter

    known = np.where(np.isfinite(focus), focus, np.nanmedian(focus) if len(focus) else 0.0)
    window = max(3, 2 * round(_BLURRED_S * rate / 2) + 1)
    steady = median_filter(known, window, mode="nearest")
    usual = float(np.percentile(steady, 80))
    return np.asarray(steady < usual - _BLURRED)
