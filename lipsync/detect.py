"""MediaPipe behind two small classes: where faces are, and the mesh of one of them.

The mesh network looks at 192 pixels around a face, but the detector that feeds it sees the
whole frame in 128 and misses small faces. So faces are found by three means (near model,
far model, far model on overlapping tiles), and the mesh is given a window around the
face it follows, never the whole frame: a small face is measured like a large one, and
a second face in the picture cannot take over.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media.picture import Picture

__all__ = ["Box", "FaceFinder", "FaceMesh", "Seen"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
#: A picture as an array, or one that is converted only where it is looked at.
Seen = NDArray[np.uint8] | Picture

_WINDOW = 320  # pixels the mesh is given
_ROOM = 2.1  # window side in face sizes
_TILE_OVERLAP = 0.3


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face: centre and side in pixels of the frame, score in 0..1."""

    x: float
    y: float
    size: float
    score: float = 1.0

    def overlaps(self, other: Box) -> bool:
        """True when the two are likely the same face."""
        near = max(abs(self.x - other.x), abs(self.y - other.y))
        return near < 0.5 * max(self.size, other.size)

    @classmethod
    def around(cls, landmarks: Floats) -> Box:
        """The box of a face mesh [478, 3]."""
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        x, y = 0.5 * (low + high)
        return cls(float(x), float(y), float((high - low).max()))


@contextmanager
def _quiet() -> Iterator[None]:
    """MediaPipe's C++ start-up notes go to the process's stderr; keep them off the screen."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # mediapipe 0.10.14 calls protobuf by an old name, once for every kind of answer.
    warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype")
    null, kept = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


class FaceFinder:
    """Boxes of all faces in a picture."""

    def __init__(self, min_score: float = 0.5) -> None:
        self._min_score = min_score
        self._models: list[Any] = []

    def _run(self, which: int, rgb: Pixels) -> list[Box]:
        if not self._models:
            import mediapipe as mp

            make = mp.solutions.face_detection.FaceDetection
            with _quiet():
                self._models = [make(self._min_score, kind) for kind in (0, 1)]
                # The graph's threads write their notes on first use.
                for model in self._models:
                    model.process(np.zeros((64, 64, 3), np.uint8))
        found = self._models[which].process(np.ascontiguousarray(rgb))
        height, width = rgb.shape[:2]
        boxes = []
        for one in found.detections or ():
            box = one.location_data.relative_bounding_box
            w, h = box.width * width, box.height * height
            x, y = box.xmin * width + w / 2, box.ymin * height + h / 2
            boxes.append(Box(x, y, max(w, h), float(one.score[0])))
        return boxes

    def find(self, seen: Seen, *, tiles: bool = True) -> list[Box]:
        """Faces in a picture uint8[H, W, 3], largest first.

        `tiles`: when neither model sees a face in the whole picture, look again in
        overlapping tiles of half and a third of its longer side.
        """
        rgb = seen.rgb if isinstance(seen, Picture) else seen
        small, zoom = _reduced(rgb, 640)
        boxes = _merge([*self._run(0, small), *self._run(1, small)])
        boxes = [Box(b.x / zoom, b.y / zoom, b.size / zoom, b.score) for b in boxes]
        if not boxes and tiles:
            boxes = self._find_in_tiles(rgb)
        return sorted(boxes, key=lambda box: -box.size)

    def _find_in_tiles(self, rgb: Pixels) -> list[Box]:
        for parts in (2, 3):
            boxes = []
            for x0, y0, tile in _tiles(rgb, parts):
                small, zoom = _reduced(tile, 384)
                for b in self._run(1, small):
                    boxes.append(Box(b.x / zoom + x0, b.y / zoom + y0, b.size / zoom, b.score))
            if boxes:
                return _merge(boxes)
        return []

    def close(self) -> None:
        """Free the models."""
        for model in self._models:
            model.close()
        self._models = []


class FaceMesh:
    """478 points of the face in a window, following from one call to the next."""

    def __init__(self) -> None:
        self._model: Any = None

    def measure(self, rgb: Seen, box: Box, *, settle: int = 1) -> Floats | None:
        """Landmarks float32[478, 3] (pixels of the frame) of the face at `box`, or None.

        With `settle` > 1 the same window is read again until points stop moving (at most so many
        times): needed where the window is new, because the network's own region of
        interest comes from its last answer.
        """
        window, origin, zoom = _window(rgb, box)
        last: Floats | None = None
        for _ in range(settle):
            points = self._points(window)
            if points is None:
                last = None
                continue
            if last is not None and float(np.abs(points - last).mean()) < 0.15:
                last = points
                break
            last = points
        if last is None:
            return None
        last /= zoom
        # MediaPipe counts from the edge of a picture; pixel i has its centre at i + 0.5.
        last[:, :2] += origin
        return last

    def _points(self, window: Pixels) -> Floats | None:
        if self._model is None:
            import mediapipe as mp

            with _quiet():
                self._model = mp.solutions.face_mesh.FaceMesh(
                    static_image_mode=False,
                    max_num_faces=1,
                    refine_landmarks=True,
                    min_detection_confidence=0.4,
                    min_tracking_confidence=0.5,
                )
                self._model.process(np.zeros((64, 64, 3), np.uint8))
        found = self._model.process(window).multi_face_landmarks
        if not found:
            return None
        points = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32)
        return points * np.float32(_WINDOW) if np.isfinite(points).all() else None

    def close(self) -> None:
        """Free the model."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _window(rgb: Seen, box: Box) -> tuple[Pixels, Floats, float]:
    """A square of the frame around `box` at `_WINDOW` pixels, its corner, and its zoom."""
    import cv2

    side = max(round(_ROOM * box.size), 16)
    x0, y0 = round(box.x - side / 2), round(box.y - side / 2)
    height, width = rgb.shape[:2]
    left, top = max(-x0, 0), max(-y0, 0)
    right, bottom = max(x0 + side - width, 0), max(y0 + side - height, 0)
    part = rgb[max(y0, 0) : max(y0 + side, 0), max(x0, 0) : max(x0 + side, 0)]
    if part.size == 0:
        part = np.zeros((side, side, 3), np.uint8)
    elif left or top or right or bottom:
        part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT)
    how = cv2.INTER_AREA if side > _WINDOW else cv2.INTER_CUBIC
    window = cv2.resize(part, (_WINDOW, _WINDOW), interpolation=how)
    return window, np.array([x0, y0], np.float32) - 0.5, _WINDOW / side


def _reduced(rgb: Pixels, longest: int) -> tuple[Pixels, float]:
    """The picture no larger than `longest` pixels, and by how much it was reduced."""
    import cv2

    zoom = longest / max(rgb.shape[:2])
    if zoom >= 1:
        return rgb, 1.0
    size = (max(1, round(rgb.shape[1] * zoom)), max(1, round(rgb.shape[0] * zoom)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), zoom


def _tiles(rgb: Pixels, parts: int) -> Iterator[tuple[int, int, Pixels]]:
    """Overlapping squares of 1/parts of the longer side, row by row, with their corners."""
    height, width = rgb.shape[:2]
    side = int(max(height, width) / parts * (1 + _TILE_OVERLAP))
    for y0 in _starts(height, side):
        for x0 in _starts(width, side):
            yield x0, y0, rgb[y0 : y0 + side, x0 : x0 + side]


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))) + 1
    return [round(v) for v in np.linspace(0, length - side, count)]


def _merge(boxes: list[Box]) -> list[Box]:
    """One box per face: the best score of those that overlap."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        if not any(box.overlaps(other) for other in kept):
            kept.append(box)
    return kept
