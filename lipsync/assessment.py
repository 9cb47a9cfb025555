"""Judge a finished video: the lips, and what replacing them did to the picture.

    verdict = assess(Path("out.mp4"), timing, before=Path("scene.mp4"), before_timing=...)
    print(verdict.table())

Everything is measured on the files as they are, whoever made them. The source is measured in
the same way with its own sound, because no number here means much alone: a tracker reads
the lips, and people do not shut theirs on every b. `LIMITS` says what each measure cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.clock import sound_on_frames, timing_on_frames
from lipsync.crop import CropSpec, crop, crop_transforms, landmarks_in_crop, lip_shape
from lipsync.expert import ExpertTest, SyncExpert
from lipsync.motion import HEIGHT, OPENING, MotionExample, MotionModel
from lipsync.regions import FACE_OVAL, OUTER_LIPS, polygon_distance
from lipsync.score import score_lips
from media.errors import MediaError, NoFaceError

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.track import FaceTrack
    from media.audio import Sound
    from media.picture import Picture

__all__ = ["LIMITS", "Verdict", "VideoScores", "assess"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Progress = Callable[[str, int, int | None], None]

_NAN = float("nan")
_SPEC = CropSpec(128)
#: Code values by which a pixel must differ to count as changed: coding noise stays below.
CHANGED_BY = 16
# How far beyond the face's lower half a change may reach, as a share of the face's height.
_REACH = 0.12
_ORIENTATIONS, _CELLS = 9, 8


@dataclass(frozen=True, slots=True)
class VideoScores:
    """Scores of one video; NaN where a number cannot be had.

    - `closure_rate`: share of p, b and m with shut lips; `silence_shut`: share of silent frames
      with shut lips; `silence_motion`: lip movement in silence (eye distances x 1000 a frame).
    - `offset_ms`, `offset_confidence`: how late lips are against loudness; the correlation.
    - `sync_ms`, `sync_confidence`: how late lips are against what this person's lips do when they
      say this (`lipsync.expert`, fitted on the source); how clearly.
    - `shape_error`: lip opening against what the phonemes ask for in this person's range, in
      spreads of their opening (about 1: no better than a mouth held at rest).
    - `lip_flicker`: tremble of the lips (eye distances x 1000); `flicker`: of the mouth's
      picture (code values); `sharpness`: fine detail of the mouth against cheeks and nose.
    - `identity`: likeness of the lower face with the source's average (1: the same).
    - `seam`: edge strength along the border of what was changed, the source's there being 1.
    - `changed_outside`: pixels beyond the face's lower half that differ by more than 16 code
      values from the source, in all frames together.
    - `frames` with a face.
    """

    closure_rate: float
    silence_shut: float
    silence_motion: float
    offset_ms: float
    offset_confidence: float
    sync_ms: float
    sync_confidence: float
    shape_error: float
    lip_flicker: float
    flicker: float
    sharpness: float
    identity: float
    seam: float
    changed_outside: float
    frames: int


#: What each measure cannot tell.
LIMITS = {
    "closure_rate": "read by a face tracker: real speakers rarely score 1; depends on the timing",
    "silence_shut": "smiling or breathing people keep their lips apart; see the source",
    "silence_motion": "the tracker's own tremble is in it; see the source",
    "offset_ms": "lips run ahead of sound: about -40 is natural; meaningless below confidence 0.3",
    "offset_confidence": "correlation with loudness; music lowers it",
    "sync_ms": "needs the source and its words; the source's own lips were learnt from",
    "sync_confidence": "how much the best shift stands out; below .2 the offset means little",
    "shape_error": "against an average speaker's shapes: tells mumbling, not dialect",
    "lip_flicker": "quick speech raises it; see the source",
    "flicker": "head motion, focus and grain raise it too; see the source",
    "sharpness": "beard, lipstick and open mouths move it; compare with the source, not with 1",
    "identity": "gradient patterns, not a recognition network; tells another mouth, not a twin",
    "seam": "needs the source; a soft colour step hardly shows in it: look at the picture",
    "changed_outside": "needs the source; the encoder's noise below 16 code values is not counted",
    "frames": "frames in which the face was found",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Scores of the result, and of the source where one was given; the sync expert's own test."""

    result: VideoScores
    source: VideoScores | None = None
    expert: ExpertTest | None = None

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(measure, source, result, what it cannot tell), one row a measure."""
        return [
            (
                name.replace("_", " "),
                "-" if self.source is None else _number(getattr(self.source, name)),
                _number(getattr(self.result, name)),
                LIMITS[name],
            )
            for name in (f.name for f in fields(VideoScores))
        ]

    def table(self) -> str:
        """The rows as plain text."""
        rows = [("", "source", "result", "what it cannot tell"), *self.rows()]
        widths = [max(len(r[i]) for r in rows) for i in range(3)]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip()
            for a, b, c, d in rows
        )


def assess(
    video: Path,
    timing: Timing,
    *,
    sound: Sound | None = None,
    before: Path | None = None,
    before_timing: Timing | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Measure `video`, whose words and phones are `timing`, beside its source `before`.

    `sound` is the video's own, read from it when None. `before_timing` belongs to the source's
    sound; without it the source's lips are judged where that needs no words. `cache` keeps
    face tracks. Raises `NoFaceError`, `MediaError` (unreadable, or source and result do not
    have the same pictures).
    """
    from lipsync.faces import track_faces

    person = None if before is None else track_faces(before, cache=cache, progress=progress)
    # The same face of several: where the source's stands.
    at = None if person is None else person.place
    track = track_faces(video, at=at, cache=cache, progress=progress)
    person = person or track
    if before is not None and (track.width, track.height) != (person.width, person.height):
        raise MediaError(
            f"'{video}' is {track.width}x{track.height} and '{before}' {person.width}x"
            f"{person.height}; give the footage that the result was made from"
        )
    looks = _look(video, track, before, person, progress)
    heard = sound if sound is not None else _sound_of(video)
    if before is None or looks.source is None:
        return Verdict(_scores(track, timing, heard, person, looks.result))
    own = _sound_of(before)
    expert = _expert(person, before_timing, own)
    result = _scores(track, timing, heard, person, looks.result, expert)
    source = _scores(person, before_timing, own, person, looks.source, expert)
    return Verdict(result, source, None if expert is None else expert.test)


def _expert(person: FaceTrack, timing: Timing | None, sound: Sound | None) -> SyncExpert | None:
    """What tells sync for this person; None where their own speech is not known or too little."""
    if timing is None or sound is None:
        return None
    lips = lip_shape(person.landmarks)
    said, heard = timing_on_frames(person, timing), sound_on_frames(person, sound)
    return SyncExpert.fit(MotionExample(said, heard, lips, person.rate))


def _sound_of(path: Path) -> Sound | None:
    from media.audio import read_sound
    from media.errors import NoSoundError

    try:
        return read_sound(path)
    except NoSoundError:
        return None


@dataclass(frozen=True, slots=True)
class _Looks:
    """What the pictures alone say."""

    flicker: float = _NAN
    sharpness: float = _NAN
    identity: float = _NAN
    seam: float = _NAN
    changed_outside: float = _NAN


@dataclass(frozen=True, slots=True)
class _Pair:
    result: _Looks
    source: _Looks | None


def _scores(
    track: FaceTrack,
    timing: Timing | None,
    sound: Sound | None,
    person: FaceTrack,
    looks: _Looks,
    expert: SyncExpert | None = None,
) -> VideoScores:
    from align.timing import Timing

    words = timing_on_frames(track, timing or Timing((), (), 0.0))
    sound = None if sound is None else sound_on_frames(track, sound)
    lips = score_lips(track, words, sound=sound, person=person)
    spoken = timing is not None and bool(timing.phones)
    sync, sure = _NAN, _NAN
    if expert is not None and spoken:
        sync, sure = expert.offset(lip_shape(track.landmarks), words, sound, track.rate)
    return VideoScores(
        closure_rate=lips.closure_rate,
        silence_shut=lips.silence_shut if spoken else _NAN,
        silence_motion=lips.silence_motion if spoken else _NAN,
        offset_ms=lips.offset_ms,
        offset_confidence=lips.offset_confidence,
        sync_ms=sync,
        sync_confidence=sure,
        shape_error=_shape_error(track, words, person) if spoken else _NAN,
        lip_flicker=lips.flicker,
        flicker=looks.flicker,
        sharpness=looks.sharpness,
        identity=looks.identity,
        seam=looks.seam,
        changed_outside=looks.changed_outside,
        frames=lips.frames,
    )


def _shape_error(track: FaceTrack, timing: Timing, person: FaceTrack) -> float:
    """Root mean square of opening against the phonemes' dominance curves, in spreads."""
    own = lip_shape(person.landmarks)
    model = MotionModel.fit([MotionExample(None, None, own, person.rate)])
    wanted = model.predict(timing, None, track.rate, len(track))
    have = lip_shape(track.landmarks)
    seen = np.isfinite(have[:, OPENING])
    spread = float(np.nanstd(own[:, OPENING]))
    if not seen.any() or spread < 1e-6:
        return _NAN
    away = [
        (have[seen, c] - wanted[seen, c]) / float(np.nanstd(own[:, c])) for c in (OPENING, HEIGHT)
    ]
    return float(np.sqrt(np.mean(np.square(away))))


def _look(
    video: Path,
    track: FaceTrack,
    before: Path | None,
    person: FaceTrack,
    progress: Progress | None,
) -> _Pair:
    """One pass over both files, frame by frame, side by side."""
    ours, theirs, between = _Watch(), _Watch(), _Between()
    for at, (new, old) in enumerate(_side_by_side(video, before, track.aspect)):
        if progress is not None:
            progress("looking at the pictures", at + 1, len(track))
        marks = track.landmarks[at] if at < len(track) else None
        if marks is None or np.isnan(marks[0, 0]):
            ours.forget()
            theirs.forget()
            continue
        ours.see(new, marks)
        if old is None:
            continue
        # The source through the same window, so that only the mouth can differ.
        theirs.see(old, marks)
        between.see(new, old, marks)
    if not ours.patterns:
        raise NoFaceError(f"'{video}' shows no face to judge; give the finished scene")
    if before is None:
        return _Pair(ours.looks(None), None)
    if len(person) != len(track):
        raise MediaError(
            f"'{video}' has {len(track)} frames and '{before}' {len(person)}; give the footage "
            "that the result was made from"
        )
    average = np.mean(theirs.patterns, axis=0)
    return _Pair(
        ours.looks(average, between.seam(), float(between.outside)),
        theirs.looks(average, 1.0, 0.0),
    )


def _side_by_side(
    video: Path, before: Path | None, aspect: float
) -> Iterator[tuple[Picture, Picture | None]]:
    """Pictures of both, with square pixels."""
    from media.picture import SquarePicture
    from media.video import prefetch, read_pictures

    def pictures(path: Path) -> Iterator[Picture]:
        for picture in prefetch(read_pictures(path)):
            yield picture if aspect == 1.0 else SquarePicture(picture, aspect)

    if before is None:
        yield from ((picture, None) for picture in pictures(video))
        return
    yield from zip(pictures(video), pictures(before), strict=False)


class _Watch:
    """Sharpness, tremble and pattern of one video's lower faces."""

    def __init__(self) -> None:
        self.patterns: list[Doubles] = []
        self._sharp: list[float] = []
        self._tremble: list[float] = []
        self._last: list[Floats] = []

    def forget(self) -> None:
        """A gap: the next picture is not the last one's neighbour."""
        self._last.clear()

    def see(self, picture: Picture, marks: Floats) -> None:
        """One more picture with a face."""
        import cv2

        transform = crop_transforms(marks[None], _SPEC)[0]
        face = crop(picture, transform, _SPEC)
        grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
        points = landmarks_in_crop(marks, transform)[:, :2]
        lips, _ = polygon_distance(points[list(OUTER_LIPS)], _SPEC.size)
        oval, _ = polygon_distance(points[list(FACE_OVAL)], _SPEC.size)
        mouth = cv2.dilate((lips > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        rest = (oval > 6) & ~mouth
        detail = cv2.Laplacian(grey, cv2.CV_32F) ** 2
        if mouth.any() and rest.any():
            self._sharp.append(float(np.sqrt(detail[mouth].mean() / (detail[rest].mean() + 1e-6))))
        self.patterns.append(_pattern(grey))
        self._last = [*self._last[-2:], grey]
        if len(self._last) == 3:
            a, b, c = self._last
            self._tremble.append(float(np.abs(a - 2 * b + c)[mouth].mean()))

    def looks(self, average: Doubles | None, seam: float = _NAN, outside: float = _NAN) -> _Looks:
        """The scores; `average` is the source's mean pattern."""
        likeness = _NAN
        if average is not None:
            likeness = float(np.mean([_cosine(p, average) for p in self.patterns]))
        return _Looks(
            flicker=float(np.mean(self._tremble)) if self._tremble else _NAN,
            sharpness=float(np.mean(self._sharp)) if self._sharp else _NAN,
            identity=likeness,
            seam=seam,
            changed_outside=outside,
        )


class _Between:
    """What differs between result and source, frame for frame."""

    def __init__(self) -> None:
        self.outside = 0
        self._edges: list[tuple[float, float]] = []

    def see(self, new: Picture, old: Picture, marks: Floats) -> None:
        """One more pair."""
        a, b = new.rgb, old.rgb
        changed = np.abs(a.astype(np.int16) - b).max(-1) > CHANGED_BY
        self.outside += int((changed & ~_lower_face(marks, changed.shape)).sum())
        transform = crop_transforms(marks[None], _SPEC)[0]
        self._edge(crop(new, transform, _SPEC), crop(old, transform, _SPEC))

    def _edge(self, new: Pixels, old: Pixels) -> None:
        """Gradients along the border of the changed area, in the result and in the source."""
        import cv2

        away = cv2.GaussianBlur(np.abs(new.astype(np.float32) - old).max(-1), (0, 0), 2.0)
        area = cv2.morphologyEx(
            (away > 5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)
        )
        ring = cv2.morphologyEx(area, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
        if ring.sum() < 40:
            return
        strength = []
        for picture in (new, old):
            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
            across, down = (cv2.Scharr(grey, cv2.CV_32F, *d) / 32 for d in ((1, 0), (0, 1)))
            strength.append(float(np.hypot(across, down)[ring].mean()))
        self._edges.append((strength[0], strength[1]))

    def seam(self) -> float:
        """The result's gradients there as a share of the source's; NaN when nothing differs."""
        if not self._edges:
            return _NAN
        new, old = np.sum(self._edges, axis=0)
        return float(new / max(old, 1e-6))


def _lower_face(marks: Floats, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a new mouth and a moved jaw may show: below the nose's tip, around the face."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    oval = marks[list(FACE_OVAL), :2]
    cv2.fillPoly(mask, [np.round(oval).astype(np.int32)], 1)
    tall = float(np.linalg.norm(marks[152, :2] - marks[10, :2]))
    reach = max(3, round(_REACH * tall)) | 1
    mask = cv2.dilate(mask, np.ones((reach, reach), np.uint8))
    # Below the line through the nose's tip, along the head's own tilt.
    down = (marks[152, :2] - marks[10, :2]) / max(tall, 1e-6)
    y, x = np.indices(shape, dtype=np.float32)
    below = (x - marks[1, 0]) * down[0] + (y - marks[1, 1]) * down[1] > -0.02 * tall
    return np.asarray((mask > 0) & below)


def _pattern(grey: Floats) -> Doubles:
    """Histograms of gradient orientation in 16-pixel cells, of length 1 (after N. Dalal and B.
    Triggs, "Histograms of oriented gradients", CVPR 2005).
    """
    import cv2

    across, down = (cv2.Scharr(grey, cv2.CV_32F, *d) for d in ((1, 0), (0, 1)))
    angle = (np.arctan2(down, across) % np.pi) / np.pi * _ORIENTATIONS
    bins = np.minimum(angle.astype(np.intp), _ORIENTATIONS - 1)
    side = grey.shape[0] // _CELLS
    rows, columns = np.indices(grey.shape)
    cell = (rows // side) * _CELLS + columns // side
    counts = np.bincount(
        (cell * _ORIENTATIONS + bins).ravel(),
        weights=np.hypot(across, down).ravel(),
        minlength=_CELLS * _CELLS * _ORIENTATIONS,
    ).reshape(-1, _ORIENTATIONS)
    counts = np.sqrt(counts / (counts.sum(1, keepdims=True) + 1e-6))
    return np.asarray(counts.ravel() / max(float(np.linalg.norm(counts)), 1e-9))


def _cosine(a: Doubles, b: Doubles) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _number(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    if np.isnan(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}"
