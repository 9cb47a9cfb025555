"""Follow one person's face from frame to frame, through losses and cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.detect import Box, FaceFinder, FaceMesh, Seen
from lipsync.likeness import STRANGER, Likeness
from lipsync.track import Absence
from media.picture import Picture

if TYPE_CHECKING:
    from lipsync.people import Sighting

__all__ = ["FaceFollower"]

Floats = NDArray[np.float32]

_TILES_EVERY = 6  # frames between thorough searches while nobody is in sight
_CANDIDATES = 4
_AHEAD_ROOM = 1.15  # half the side of what is converted ahead, in face sizes
_HOLD = 0.12  # how far a face may leave the middle of its window, in face sizes
_ACQUAINTED = 12  # frames after which a likeness is trusted to call others strangers
_CENSUS = 48  # frames between counts of the faces in the picture ...
_CENSUS_IN_COMPANY = 24  # ... and while there are several
_LOOK_AGAIN = 5  # frames between looks at who it is, while others are near
_SMALLEST_COUNTED, _SUREST = 24.0, 0.6  # pixels and score of a face that is counted
_NEARER = 0.5  # how much more alike another face must be
_ELSEWHERE = 1.0  # likeness distance that another place than the known one costs at most
_OTHER = 1.0  # likeness distance beyond the usual at which it may be someone else


class FaceFollower:
    """Landmarks of one person's face, one frame after another.

    `who` is the person; without it, `at` picks one: a point (x, y) as fractions of the
    picture's width and height in the first frame with a face; without both, the largest face.

    `places` are where that person was seen in some frames: of people who look alike, the one who
    stands there is taken.

    `faces` is how many were in the picture at once. When two faces met and the wrong one was
    followed for some frames, `mistaken` says after a step how many of the frames before it those
    were.
    """

    def __init__(
        self,
        at: tuple[float, float] | None = None,
        who: Likeness | None = None,
        places: Sequence[Sighting] = (),
    ) -> None:
        self._places = places
        self._finder, self._mesh = FaceFinder(), FaceMesh()
        self._at = at
        self._sure = at is not None or who is not None
        self._who = None if who is None else replace(who, seen=max(who.seen, _ACQUAINTED))
        self.mistaken = 0
        self._counts: list[int] = []
        self._frame, self._verified = 0, 0
        self._usual = 0.0
        self._window: Box | None = None
        self._velocity = (0.0, 0.0)
        self._last_seen: Box | None = None
        self._missing = 0

    def look_ahead(self, picture: Seen) -> None:
        """Convert what will be looked at of a picture whose turn comes soon, in another thread.

        Where the face goes elsewhere meanwhile nothing is wrong, only slower.
        """
        window = self._window
        if window is not None and isinstance(picture, Picture):
            reach = _AHEAD_ROOM * window.size
            rows, columns = (
                slice(max(int(v - reach), 0), max(int(v + reach), 0)) for v in (window.y, window.x)
            )
            picture.prepare(rows, columns)

    def step(self, rgb: Seen, *, cut: bool) -> tuple[Floats | None, Absence]:
        """The face in the next frame, and why not when None. `cut`: a new shot starts."""
        if cut:
            self._window = self._last_seen = None
        self.mistaken = 0
        points = self._continue(rgb) if self._window is not None else None
        if points is not None and not self._is_still_the_one(points, rgb):
            self.mistaken = self._frame - self._verified - 1
            points = None
        reason = Absence.NO_FACE
        if points is None:
            self._window, self._velocity = None, (0.0, 0.0)
            points, reason = self._search(rgb)
            if points is not None:  # a search looks who it is
                self._verified = self._frame
        self._frame += 1
        if points is None:
            self._missing += 1
            return None, reason
        self._remember(points, rgb)
        self._count(rgb)
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
        self._note(boxes)
        best: tuple[float, float, Floats] | None = None
        known = self._who
        for box in self._in_order(boxes, rgb)[:_CANDIDATES]:
            points = self._mesh.measure(rgb, box, settle=4)
            if points is None:
                continue
            if known is None:
                return points, Absence.PRESENT
            distance = known.distance(Likeness.of(points, rgb))
            cost = distance + self._strayed(box, rgb)
            if best is None or cost < best[0]:
                best = (cost, distance, points)
        if best is None or known is None:
            return None, Absence.NO_FACE
        if best[1] > STRANGER:
            if self._sure or known.seen >= _ACQUAINTED:
                return None, Absence.OTHER_PERSON
            # A likeness of a few frames may come from a broken opening: begin again.
            self._who = None
        return best[2], Absence.PRESENT

    @property
    def faces(self) -> int:
        """How many faces were seen at once, in two counts at least (or in the only one)."""
        seen = sorted(self._counts, reverse=True)
        return seen[min(1, len(seen) - 1)] if seen else 0

    @property
    def who(self) -> Likeness | None:
        """The person, as far as they are known."""
        return self._who

    def _note(self, boxes: list[Box]) -> None:
        large = [b for b in boxes if b.size >= _SMALLEST_COUNTED and b.score >= _SUREST]
        self._counts.append(len(large))

    @property
    def _company(self) -> bool:
        return bool(self._counts) and max(self._counts[-3:]) > 1

    def _count(self, rgb: Seen) -> None:
        """Now and then, count the faces in the picture."""
        if self._frame % (_CENSUS_IN_COMPANY if self._company else _CENSUS) == 0:
            self._note(self._finder.find(rgb, tiles=False))

    def _is_still_the_one(self, points: Floats, rgb: Seen) -> bool:
        """False where the face that is followed is somebody else's by now.

        Looked at while others are in the picture: when faces cross, the nearer one covers the other
        and the mesh follows what it sees.
        """
        known = self._who
        if known is None or not self._company or known.seen < _ACQUAINTED:
            self._verified = self._frame
            return True
        if self._frame % _LOOK_AGAIN:
            return True
        distance = known.distance(Likeness.of(points, rgb))
        if distance > self._usual + _OTHER and self._is_another(distance, points, rgb):
            return False
        self._usual += 0.2 * (distance - self._usual)
        self._verified = self._frame
        return True

    def _is_another(self, distance: float, points: Floats, rgb: Seen) -> bool:
        """Whether a face as unlike the person as `distance` is a stranger's, or another nearer."""
        assert self._who is not None
        assert self._window is not None
        here, found = Box.around(points), distance > STRANGER
        boxes = [b for b in self._finder.find(rgb, tiles=False) if not b.overlaps(here)]
        for box in boxes[:_CANDIDATES]:
            other = self._mesh.measure(rgb, box, settle=3)
            if other is not None:
                unlike = self._who.distance(Likeness.of(other, rgb))
                found = found or unlike < distance - _NEARER
        if boxes and not found:  # back to the face: the network remembers where it looked last
            self._mesh.measure(rgb, self._window, settle=3)
        return found

    def _in_order(self, boxes: list[Box], rgb: Seen) -> list[Box]:
        if self._who is None and self._at is not None:
            x, y = self._at[0] * rgb.shape[1], self._at[1] * rgb.shape[0]
            return sorted(boxes, key=lambda b: float(np.hypot(b.x - x, b.y - y)))
        return boxes

    def _strayed(self, box: Box, rgb: Seen) -> float:
        """Penalty for being elsewhere than the person last was in this shot, or is known to be."""
        last = self._last_seen
        if last is None:
            if not self._places:
                return 0.0
            near = min(self._places, key=lambda place: abs(place.frame - self._frame))
            x, y = near.x * rgb.shape[1], near.y * rgb.shape[0]
            return min(_ELSEWHERE, float(np.hypot(box.x - x, box.y - y)) / (2 * box.size))
        return min(2.0, float(np.hypot(box.x - last.x, box.y - last.y)) / (2 * last.size))

    def _remember(self, points: Floats, rgb: Seen) -> None:
        now = Box.around(points)
        if self._window is None:
            self._window, self._velocity = now, (0.0, 0.0)
        elif self._last_seen is not None:
            last = self._last_seen
            self._velocity = (0.6 * (now.x - last.x), 0.6 * (now.y - last.y))
        self._last_seen = now
        self._missing, missed = 0, self._missing
        if self._who is None:
            self._who = Likeness.of(points, rgb)
            return
        seen = self._who.seen
        if missed or seen < _ACQUAINTED or seen % (4 if seen < 50 else 10) == 0:
            self._who = self._who.joined(Likeness.of(points, rgb))
        else:
            self._who = replace(self._who, seen=seen + 1)

    def close(self) -> None:
        """Free the models."""
        self._finder.close()
        self._mesh.close()
