"""The lips of a finished film, measured where they are known to be.

    lips = finished_lips(Path("out.mp4"), source_track, timing, sound)

Nothing but the mouth was changed, so nobody need be looked for: the mesh is given the window in
which the source's face stood, frame by frame, and only where the line goes. What is measured is the
finished file's own picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._rest import EARLIEST_S
from lipsync.clock import sound_on_frames, timing_on_frames
from lipsync.detect import Box, FaceMesh
from lipsync.faces import assembled
from lipsync.score import LipScores, score_lips
from lipsync.shots import smooth_landmarks
from lipsync.square import pixel_aspect, squared
from lipsync.track import LANDMARKS, Absence, FaceTrack
from media.time import FrameRate

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound
    from media.picture import Picture

__all__ = ["finished_lips", "line_frames", "track_again"]

Floats = NDArray[np.float32]
Progress = Callable[[str, int, int | None], None]

# Before the first sound and after the last: the lips part, and come to rest.
_AROUND_S = 1.0
# The offset of lips against sound is not told from less than this.
_SHORTEST_S = 6.0
# How far a face may leave the middle of its window, in face sizes (as when it is followed).
_HOLD = 0.12
_AHEAD = 4


def finished_lips(
    video: Path,
    person: FaceTrack,
    timing: Timing,
    sound: Sound,
    progress: Progress | None = None,
) -> LipScores | None:
    """Scores of the lips in the finished `video`, where its words are and a second around them.

    `person` is the track of the source, frame for frame; what counts as shut is read off it.
    `timing` and `sound` start with the video's first frame. Silence is judged where nobody's lips
    part for the next phrase yet, however early this person's do. None where no face is seen there.
    """
    timing, sound = timing_on_frames(person, timing), sound_on_frames(person, sound)
    first, stop = line_frames(timing, person.rate, len(person))
    found = track_again(video, person, (first, stop), progress)
    if not found.present.any():
        return None
    start, end = (float(person.rate.time_of(i)) for i in (first, stop))
    said = timing.shifted(-start, end - start)
    heard = sound.cut(start, end)
    return score_lips(found, said, sound=heard, person=person, parting_s=EARLIEST_S)


def line_frames(timing: Timing, rate: FrameRate, n: int) -> tuple[int, int]:
    """First frame and the one after the last, of n, around what is said; all when nothing is."""
    spans = timing.phones or timing.words
    if not spans:
        return 0, n
    start, end = spans[0].start_s - _AROUND_S, spans[-1].end_s + _AROUND_S
    short = max(_SHORTEST_S - (end - start), 0.0) / 2
    first = rate.frames_in(Fraction(max(start - short, 0.0)))
    stop = rate.frames_in(Fraction(end + short)) + 1
    return min(first, max(n - 1, 0)), min(stop, n)


def track_again(
    video: Path,
    known: FaceTrack,
    span: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> FaceTrack:
    """The track of the face that stands where that of `known` stood, in frames `span` (or all).

    As long as the span; `shot` numbers are those of `known`. Raises `MediaError` when the video
    cannot be read.
    """
    from media.video import prefetch, probe, read_pictures

    first, stop = span or (0, len(known))
    rows: list[Floats] = []
    nothing = np.full((LANDMARKS, 3), np.nan, np.float32)
    pictures = squared(read_pictures(video, first, stop), pixel_aspect(probe(video)))
    with FaceMesh() as mesh:
        look = _Look(mesh, known)
        for picture in prefetch(_prepared(pictures, known), _AHEAD):
            points = look(picture)
            rows.append(nothing if points is None else points)
            if progress is not None:
                progress("checking the lips", len(rows), stop - first)
    n = len(rows)
    raw = np.stack(rows) if rows else np.zeros((0, LANDMARKS, 3), np.float32)
    shot, times = known.shot[first : first + n], known.times[first : first + n]
    steady = smooth_landmarks(raw, np.zeros((n, 2), np.float32), shot, float(known.rate))
    reasons = np.where(steady[2], Absence.PRESENT, Absence.NO_FACE).tolist()
    size = (known.width, known.height)
    return assembled(steady, shot, known.rate, size, reasons, times.tolist(), "")


def _prepared(pictures: Iterator[Picture], known: FaceTrack) -> Iterator[Picture]:
    """The pictures, the face in each converted already."""
    for picture in pictures:
        if picture.index < len(known) and known.present[picture.index]:
            box = Box.around(known.landmarks[picture.index])
            rows, columns = (
                slice(max(int(v - 1.3 * box.size), 0), max(int(v + 1.3 * box.size), 0))
                for v in (box.y, box.x)
            )
            picture.prepare(rows, columns)
        yield picture


class _Look:
    """Reads the mesh where the face is known to stand; the window moves only when it has to."""

    def __init__(self, mesh: FaceMesh, known: FaceTrack) -> None:
        self._mesh, self._known = mesh, known
        self._window: Box | None = None
        self._shot = -1

    def __call__(self, picture: Picture) -> Floats | None:
        """Landmarks float32[478, 3] in the next picture; None where there is no face."""
        i, known = picture.index, self._known
        if i >= len(known) or not known.present[i]:
            self._window = None
            return None
        box, window = Box.around(known.landmarks[i]), self._window
        settle = 1
        if window is None or known.shot[i] != self._shot or _left(box, window):
            self._window = window = box
            settle = 3
        self._shot = int(known.shot[i])
        points = self._mesh.measure(picture, window, settle=settle)
        if points is not None and Box.around(points).overlaps(box):
            return points
        self._window = None
        return None


def _left(box: Box, window: Box) -> bool:
    """Whether a face at `box` is no longer in the middle of `window`."""
    moved = max(abs(box.x - window.x), abs(box.y - window.y)) > _HOLD * window.size
    return moved or not 1 - _HOLD < box.size / window.size < 1 + _HOLD
