"""Follow one person's face from frame to frame, through losses and cuts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lipsync.detect import Box, FaceFinder, FaceMesh, Seen
from lipsync.pose import fit_pose, to_face
from lipsync.track import Absence

__all__ = ["FaceFollower", "Likeness"]

Floats = NDArray[np.float32]

_TILES_EVERY = 6  # frames between thorough searches while nobody is in sight
_CANDIDATES = 4
_HOLD = 0.12  # how far a face may leave the middle of its window, in face sizes
_STRANGER = 5.5  # likeness distance beyond which a face in a new shot is someone else
_ACQUAINTED = 12  # frames after which a likeness is trusted to call others strangers

# Points whose place on the head is the person's own and hardly changes in speech.
_TELLING = (
    *(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 151, 10, 9, 8, 127, 356, 234),
    *(454, 50, 280, 70, 300, 105, 334, 93, 323, 55, 285),
)
_SKIN = (50, 280, 101, 330, 151, 9, 5, 195)


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """A face's bony shape (mm) and skin colour (8-bit L*a*b*), averaged over `seen` frames.

    Enough to tell who of several is meant; not a biometric identification.
    """

    shape: NDArray[np.float64]
    colour: NDArray[np.float64]
    seen: int = 1

    @classmethod
    def of(cls, landmarks: Floats, rgb: Seen) -> Likeness:
        """Measure one frame."""
        import cv2

        points = landmarks[None]
        shape = to_face(points, fit_pose(points))[0, _TELLING]
        height, width = rgb.shape[:2]
        patches = []
        for x, y in landmarks[list(_SKIN), :2]:
            i, j = int(np.clip(y, 1, height - 2)), int(np.clip(x, 1, width - 2))
            patches.append(rgb[i - 1 : i + 2, j - 1 : j + 2].reshape(1, -1, 3).mean(1))
        skin = np.asarray(patches, np.float32).astype(np.uint8).reshape(-1, 1, 3)
        colour = np.median(cv2.cvtColor(skin, cv2.COLOR_RGB2LAB).reshape(-1, 3), axis=0)
        return cls(shape, colour.astype(np.float64))

    def distance(self, other: Likeness) -> float:
        """About 1-2 for one person in two shots, 3 and more for two people."""
        shape = np.sqrt(((self.shape - other.shape) ** 2).sum(-1).mean())
        # Lightness changes with the set; the colour of skin less so.
        tint = np.linalg.norm(self.colour[1:] - other.colour[1:])
        return float(shape / 1.2 + tint / 8.0)

    def joined(self, other: Likeness) -> Likeness:
        """The average of both; forgets slowly, so that it may drift with the light."""
        weight = 1.0 / min(self.seen + 1, 500)
        return replace(
            self,
            shape=self.shape + weight * (other.shape - self.shape),
            colour=self.colour + weight * (other.colour - self.colour),
            seen=self.seen + 1,
        )


class FaceFollower:
    """Landmarks of one person's face, one frame after another.

    `at` picks the person: a point (x, y) as fractions of the picture's width and height
    in the first frame with a face; without it, the largest face.
    """

    def __init__(self, at: tuple[float, float] | None = None) -> None:
        self._finder, self._mesh = FaceFinder(), FaceMesh()
        self._at = at
        self._who: Likeness | None = None
        self._window: Box | None = None
        self._velocity = (0.0, 0.0)
        self._last_seen: Box | None = None
        self._missing = 0

    def step(self, rgb: Seen, *, cut: bool) -> tuple[Floats | None, Absence]:
        """The face in the next frame, and why not when None. `cut`: a new shot starts."""
        if cut:
            self._window = self._last_seen = None
        points = self._continue(rgb) if self._window is not None else None
        reason = Absence.NO_FACE
        if points is None:
            self._window, self._velocity = None, (0.0, 0.0)
            points, reason = self._search(rgb)
        if points is None:
            self._missing += 1
            return None, reason
        self._remember(points, rgb)
        return points, Absence.PRESENT

    def _continue(self, rgb: Seen) -> Floats | None:
        """The face where it was a frame ago; the window moves only when it has to.

        The network's answer trembles when its window shifts by a pixel, so the window is held
        while the face stays near its middle, and the face is settled anew when it moves.
        """
        window, last = self._window, self._last_seen
        assert window is not None
        assert last is not None
        ahead = replace(last, x=last.x + self._velocity[0], y=last.y + self._velocity[1])
        moved = max(abs(ahead.x - window.x), abs(ahead.y - window.y)) > _HOLD * window.size
        resized = not 1 - _HOLD < last.size / window.size < 1 + _HOLD
        if moved or resized:
            self._window = window = ahead
        points = self._mesh.measure(rgb, window, settle=3 if moved or resized else 1)
        if points is None:
            return None
        now = Box.around(points)
        jumped = max(abs(now.x - ahead.x), abs(now.y - ahead.y)) > 0.4 * last.size
        return None if jumped or not 0.6 < now.size / last.size < 1.7 else points

    def _search(self, rgb: Seen) -> tuple[Floats | None, Absence]:
        """Find the person anew among all faces of the picture."""
        thorough = self._missing % _TILES_EVERY == 0
        boxes = self._finder.find(rgb, tiles=thorough)
        best: tuple[float, Floats] | None = None
        known = self._who
        for box in self._in_order(boxes, rgb)[:_CANDIDATES]:
            points = self._mesh.measure(rgb, box, settle=4)
            if points is None:
                continue
            if known is None:
                return points, Absence.PRESENT
            distance = known.distance(Likeness.of(points, rgb)) + self._strayed(box)
            if best is None or distance < best[0]:
                best = (distance, points)
        if best is None or known is None:
            return None, Absence.NO_FACE
        if best[0] > _STRANGER:
            if self._at is not None or known.seen >= _ACQUAINTED:
                return None, Absence.OTHER_PERSON
            # A likeness of a few frames may come from a broken opening: begin again.
            self._who = None
        return best[1], Absence.PRESENT

    def _in_order(self, boxes: list[Box], rgb: Seen) -> list[Box]:
        if self._who is None and self._at is not None:
            x, y = self._at[0] * rgb.shape[1], self._at[1] * rgb.shape[0]
            return sorted(boxes, key=lambda b: float(np.hypot(b.x - x, b.y - y)))
        return boxes

    def _strayed(self, box: Box) -> float:
        """Penalty for being elsewhere than the person last was in this shot."""
        last = self._last_seen
        if last is None:
            return 0.0
        return min(2.0, float(np.hypot(box.x - last.x, box.y - last.y)) / (2 * last.size))

    def _remember(self, points: Floats, rgb: Seen) -> None:
        now = Box.around(points)
        if self._window is None:
            self._window, self._velocity = now, (0.0, 0.0)
        elif self._last_seen is not None:
            last = self._last_seen
            self._velocity = (0.6 * (now.x - last.x), 0.6 * (now.y - last.y))
        self._last_seen = now
        if self._missing or self._who is None or self._who.seen < 50 or self._who.seen % 10 == 0:
            likeness = Likeness.of(points, rgb)
            self._who = likeness if self._who is None else self._who.joined(likeness)
        else:
            self._who = replace(self._who, seen=self._who.seen + 1)
        self._missing = 0

    def close(self) -> None:
        """Free the models."""
        self._finder.close()
        self._mesh.close()
