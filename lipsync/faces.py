"""Track one person's face through a whole clip: one record per frame, whatever happens.

    track = track_faces(Path("scene.mp4"))
    track.landmarks[120]        # 478 points in pixels, or NaN where there is no face

The clip is read once, streaming. The track is cached on disk under the footage's SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.detect import Seen
from lipsync.fitness import MIN_SCALE, YAW_LIMIT, Unfit, unfitness
from lipsync.follow import FaceFollower
from lipsync.likeness import Likeness
from lipsync.pose import FACE_HEIGHT_MM, Pose
from lipsync.shots import CUT_CHANGE, ContentChange, NoseWatch, shot_numbers, smooth_landmarks
from lipsync.square import pixel_aspect, squared
from lipsync.track import LANDMARKS, Absence, FaceTrack
from lipsync.watch import FaceWatch, doubts
from media.errors import MediaError, NoFaceError, NoSoundError
from media.far import FarRows
from media.time import FrameRate

if TYPE_CHECKING:
    from lipsync.people import FaceChoice, Person, Sighting
    from media.footage import FootageInfo
    from media.video import Frame, Picture

__all__ = [
    "MIN_SCALE",
    "YAW_LIMIT",
    "Absence",
    "FaceTrack",
    "assembled",
    "build_track",
    "track_faces",
    "usable_frames",
]

Floats = NDArray[np.float32]
#: Called with (what is being done, finished, total or None).
Progress = Callable[[str, int, int | None], None]

_AHEAD = 4  # pictures between two threads

# Raise when tracking changes, so that old caches are not read.
_VERSION = 5
_CHOSEN = 2  # the same for tracks of somebody who was chosen


def track_faces(
    path: Path,
    *,
    at: tuple[float, float] | None = None,
    face: FaceChoice | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> FaceTrack:
    """The track of one person's face in the footage at `path`.

    `face` chooses the person (`lipsync.people`), or `at` does: a point (fractions of width and
    height) in the first frame with a face; without both it is the largest face there. `cache` is a
    folder for finished tracks, keyed by the footage's SHA-256, the choice and the tracker's
    version; None keeps nothing.

    Raises `NoFaceError` when no frame has a usable face or the choice fits nobody, `MediaError`
    when the footage cannot be read.
    """
    from media.files import sha256_of
    from media.video import probe

    work = _Tracking(path, probe(path), sha256_of(path), progress, cache)
    track = work.largest(at) if face is None else work.chosen(face)
    if not track.present.any():
        raise NoFaceError(
            f"'{path}' shows no face that can be followed; choose footage in which the face is "
            f"at least {MIN_SCALE:.0f} pixels high and turned to the camera"
        )
    return track


@dataclass(frozen=True, slots=True)
class _Tracking:
    """One film to be tracked, and where finished tracks are kept."""

    path: Path
    info: FootageInfo
    sha: str
    progress: Progress | None
    cache: Path | None

    def largest(self, at: tuple[float, float] | None) -> FaceTrack:
        """The face at `at`, or the largest of the first frame that has one."""
        return self._kept(at, lambda: self._build(at, None))

    def chosen(self, face: FaceChoice) -> FaceTrack:
        """The person whom `face` means."""
        return self._kept([*face.key, _CHOSEN], lambda: self._choose(face))

    def _choose(self, face: FaceChoice) -> FaceTrack:
        from lipsync.people import choose, people_in

        people = people_in(self.path)
        if face.kind == "talking":
            return self._talking(people, face)
        return self._build(None, choose(people, face, self.path))

    def _talking(self, people: Sequence[Person], face: FaceChoice) -> FaceTrack:
        """The person whose lips go with the footage's own sound."""
        from lipsync.talking import talking_score, who_talks
        from media.audio import read_sound

        if len(people) < 2:
            return self._build(None, people[0] if people else None)
        try:
            sound = read_sound(self.path)
        except NoSoundError as error:
            raise NoFaceError(
                f"'{self.path}' has no sound that could tell who talks; name the face with a "
                "picture, left, right or x,y"
            ) from error
        tracks = [self._build(None, person) for person in people]
        scores = [talking_score(track, sound, face.span) for track in tracks]
        return tracks[who_talks(scores, self.path)]

    def _kept(self, choice: object, make: Callable[[], FaceTrack]) -> FaceTrack:
        """The track from the cache, or made and put there."""
        if self.cache is None:
            return make()
        kept = self.cache / f"track-{_key(self.sha, choice, pixel_aspect(self.info))}.npz"
        track = _from_cache(kept)
        if track is None:
            track = make()
            kept.parent.mkdir(parents=True, exist_ok=True)
            track.save(kept)
        return track

    def _build(self, at: tuple[float, float] | None, who: Person | None) -> FaceTrack:
        from media.video import read_pictures

        aspect = pixel_aspect(self.info)
        track = build_track(
            squared(read_pictures(self.path), aspect),
            self.info.rate,
            (max(1, round(self.info.width * aspect)), self.info.height),
            at=at,
            who=None if who is None else who.likeness,
            places=() if who is None else who.sightings,
            sha256=self.sha,
            progress=self.progress,
            total=self.info.frames,
        )
        return replace(track, aspect=aspect)


def _key(sha: str, choice: object, aspect: float) -> str:
    settings = json.dumps([_VERSION, sha, choice, *([] if aspect == 1.0 else [aspect])])
    return hashlib.sha256(settings.encode()).hexdigest()[:24]


def _from_cache(kept: Path) -> FaceTrack | None:
    if not kept.is_file():
        return None
    try:
        return FaceTrack.load(kept)
    except MediaError:
        return None  # damaged or of an older version: track again and overwrite


def build_track(
    frames: Iterable[Frame | Picture],
    rate: FrameRate,
    size: tuple[int, int],
    *,
    at: tuple[float, float] | None = None,
    who: Likeness | None = None,
    places: Sequence[Sighting] = (),
    sha256: str = "",
    progress: Progress | None = None,
    total: int | None = None,
) -> FaceTrack:
    """Track faces in `frames` as they come; `size` is (width, height) in pixels.

    Three threads pass every picture on: one decodes it and compares it with the one before, one
    follows the face, one takes notes of how it looks.
    """
    from media.video import prefetch

    follower = FaceFollower(at, who, places)
    with _Record() as record:
        try:
            for frame, seen, change in prefetch(_compared(frames, follower), _AHEAD):
                record.add(frame, seen, change, follower)
                if progress is not None:
                    progress("tracking the face", len(record.rows), total)
        finally:
            follower.close()
        return record.track(rate, size, sha256, follower)


def _compared(
    frames: Iterable[Frame | Picture], follower: FaceFollower
) -> Iterator[tuple[Frame | Picture, Seen, float]]:
    """Every frame, its picture, and how much that differs from the one before."""
    from media.footage import Frame

    content = ContentChange()
    for frame in frames:
        seen = frame.rgb if isinstance(frame, Frame) else frame
        change = content.update(seen)
        follower.look_ahead(seen)
        yield frame, seen, change


class _Record:
    """What is noted of every frame, and the track that comes of it."""

    def __init__(self) -> None:
        self.rows = FarRows((LANDMARKS, 3), np.float32)
        self._reasons: list[Absence] = []
        self._changes: list[float] = []
        self._times: list[float] = []
        self._drifts: list[tuple[float, float]] = []
        self._nose, self._watch = NoseWatch(), FaceWatch()
        self._nothing = np.full((LANDMARKS, 3), np.nan, np.float32)
        # One thread alone, so notes are taken in order.
        self._notes = ThreadPoolExecutor(1, "notes")
        # A thread of its own: the first notes need not wait for it.
        self._imports = ThreadPoolExecutor(1, "import")
        self._imports.submit(_ready_to_smooth)
        self._due: deque[Future[None]] = deque()

    def __enter__(self) -> _Record:
        return self

    def __exit__(self, *_: object) -> None:
        self._notes.shutdown(cancel_futures=True)
        self._imports.shutdown()

    def add(
        self, frame: Frame | Picture, seen: Seen, change: float, follower: FaceFollower
    ) -> None:
        """The next frame."""
        points, reason = follower.step(seen, cut=change > 0.7 * CUT_CHANGE)
        for back in range(1, follower.mistaken + 1):
            self.rows.replace_last(back, self._nothing)
            self._reasons[-back] = Absence.OTHER_PERSON
        self.rows.append(self._nothing if points is None else points)
        self._reasons.append(reason)
        self._due.append(self._notes.submit(self._note, seen, points))
        if len(self._due) > _AHEAD:
            self._due.popleft().result()
        self._changes.append(change)
        self._times.append(float(frame.pts))

    def _note(self, seen: Seen, points: Floats | None) -> None:
        """How the face looks; nobody else uses the picture any more."""
        self._drifts.append(self._nose.update(seen, points))
        self._watch.look(seen, points)

    def track(
        self, rate: FrameRate, size: tuple[int, int], sha256: str, follower: FaceFollower
    ) -> FaceTrack:
        """All frames smoothed, cut into shots and judged."""
        while self._due:
            self._due.popleft().result()
        raw = self.rows.array()
        shot = shot_numbers(np.array(self._changes, np.float32), raw)
        drift = np.array(self._drifts, np.float32).reshape(-1, 2)
        steady = smooth_landmarks(raw, drift, shot, float(rate), in_place=True)
        track = assembled(steady, shot, rate, size, self._reasons, self._times, sha256)
        doubt = doubts(self._watch.notes(), track.landmarks, track.pose, shot, float(rate))
        return replace(track, doubt=doubt, faces=max(follower.faces, 1), likeness=follower.who)


def _ready_to_smooth() -> None:
    """Import what smoothing wants, which takes seconds, while the face is followed."""
    import scipy.ndimage
    import scipy.signal  # noqa: F401


def assembled(
    steady: tuple[Floats, Pose, NDArray[np.bool_]],
    shot: NDArray[np.int32],
    rate: FrameRate,
    size: tuple[int, int],
    reasons: Sequence[int],
    times: Sequence[float],
    sha256: str,
) -> FaceTrack:
    """The track of n smoothed frames (`smooth_landmarks`); `times` count from anywhere."""
    landmarks, pose, present = steady
    n = len(landmarks)
    angles = np.full((n, 3), np.nan, np.float32)
    scale = np.full(n, np.nan, np.float32)
    angles[present] = pose.angles
    scale[present] = pose.scale * FACE_HEIGHT_MM
    start = times[0] if times else 0.0
    return FaceTrack(
        rate=rate,
        width=size[0],
        height=size[1],
        landmarks=landmarks,
        reason=np.array(reasons, np.uint8),
        shot=shot,
        pose=angles,
        scale=scale,
        times=np.array(times, np.float64) - start,
        sha256=sha256,
    )


def usable_frames(
    track: FaceTrack, *, yaw_limit: float = YAW_LIMIT, min_scale: float = MIN_SCALE
) -> NDArray[np.bool_]:
    """bool[n]: frames whose mouth can be replaced, or taken for another frame.

    The face is present, turned by no more than `yaw_limit` degrees, at least `min_scale` pixels
    high (forehead to chin), in focus, with nothing in front of the mouth and lips inside the
    picture; `lipsync.fitness.unfitness` says which of these fails.
    """
    return np.asarray(unfitness(track, yaw_limit=yaw_limit, min_scale=min_scale) == Unfit.FIT)
