"""Track one person's face through a whole clip: one record per frame, whatever happens.

    track = track_faces(Path("scene.mp4"))
    track.landmarks[120]        # 478 points in pixels, or NaN where there is no face

The clip is read once, streaming. The track is cached on disk under the footage's SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.follow import FaceFollower
from lipsync.pose import FACE_HEIGHT_MM, Pose
from lipsync.shots import CUT_CHANGE, ContentChange, NoseWatch, shot_numbers, smooth_landmarks
from lipsync.track import LANDMARKS, Absence, FaceTrack
from media.errors import MediaError, NoFaceError
from media.time import FrameRate

if TYPE_CHECKING:
    from media.video import Frame, Picture

__all__ = ["Absence", "FaceTrack", "build_track", "track_faces", "usable_frames"]

Floats = NDArray[np.float32]
#: Called with (what is being done, finished, total or None).
Progress = Callable[[str, int, int | None], None]

# Raise when tracking changes, so that old caches are not read.
_VERSION = 3

# Pixels as near to square as this are square.
_SQUARE = 0.01

#: Degrees of yaw beyond which a mouth is neither replaced nor taken.
YAW_LIMIT = 35.0
#: Face height in pixels below which a mouth is too small to matter.
MIN_SCALE = 40.0


def track_faces(
    path: Path,
    *,
    at: tuple[float, float] | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> FaceTrack:
    """The track of one person's face in the footage at `path`.

    `at` chooses the person by a point (fractions of width and height) in the first frame with a
    face; without it the largest face there. `cache` is a folder for finished tracks, keyed
    by the footage's SHA-256, `at` and the tracker's version; None keeps nothing.

    Raises `NoFaceError` when no frame has a usable face, `MediaError` when the footage cannot be
    read.
    """
    from media.files import sha256_of
    from media.video import prefetch, probe, read_pictures

    info = probe(path)
    sha = sha256_of(path)
    aspect = float(info.sample_aspect)
    if abs(aspect - 1) < _SQUARE:
        aspect = 1.0
    kept = cache / f"track-{_key(sha, at, aspect)}.npz" if cache is not None else None
    track = _from_cache(kept)
    if track is None:
        track = build_track(
            _squared(prefetch(read_pictures(path)), aspect),
            info.rate,
            (max(1, round(info.width * aspect)), info.height),
            at=at,
            sha256=sha,
            progress=progress,
            total=info.frames,
        )
        track = replace(track, aspect=aspect)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            track.save(kept)
    if not track.present.any():
        raise NoFaceError(
            f"'{path}' shows no face that can be followed; choose footage in which the face is "
            f"at least {MIN_SCALE:.0f} pixels high and turned to the camera"
        )
    return track


def _squared(pictures: Iterator[Picture], aspect: float) -> Iterator[Picture]:
    """Pictures with square pixels: a squeezed face is not what the network knows."""
    if aspect == 1.0:
        yield from pictures
        return
    from media.picture import SquarePicture

    for picture in pictures:
        yield SquarePicture(picture, aspect)


def _key(sha: str, at: tuple[float, float] | None, aspect: float) -> str:
    settings = json.dumps([_VERSION, sha, at, *([] if aspect == 1.0 else [aspect])])
    return hashlib.sha256(settings.encode()).hexdigest()[:24]


def _from_cache(kept: Path | None) -> FaceTrack | None:
    if kept is None or not kept.is_file():
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
    sha256: str = "",
    progress: Progress | None = None,
    total: int | None = None,
) -> FaceTrack:
    """Track faces in `frames` as they come; `size` is (width, height) in pixels."""
    from media.footage import Frame

    rows, reasons, changes, times, drifts = [], [], [], [], []
    nothing = np.full((LANDMARKS, 3), np.nan, np.float32)
    follower, content, nose = FaceFollower(at), ContentChange(), NoseWatch()
    try:
        for frame in frames:
            seen = frame.rgb if isinstance(frame, Frame) else frame
            change = content.update(seen)
            points, reason = follower.step(seen, cut=change > 0.7 * CUT_CHANGE)
            rows.append(nothing if points is None else points)
            reasons.append(reason)
            drifts.append(nose.update(seen, points))
            changes.append(change)
            times.append(float(frame.pts))
            if progress is not None:
                progress("tracking the face", len(rows), total)
    finally:
        follower.close()
    raw = np.stack(rows) if rows else np.zeros((0, LANDMARKS, 3), np.float32)
    shot = shot_numbers(np.array(changes, np.float32), raw)
    drift = np.array(drifts, np.float32).reshape(-1, 2)
    steady = smooth_landmarks(raw, drift, shot, float(rate))
    return _assemble(steady, shot, rate, size, reasons, times, sha256)


def _assemble(
    steady: tuple[Floats, Pose, NDArray[np.bool_]],
    shot: NDArray[np.int32],
    rate: FrameRate,
    size: tuple[int, int],
    reasons: list[Absence],
    times: list[float],
    sha256: str,
) -> FaceTrack:
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

    The face is present, turned by no more than `yaw_limit` degrees, and at least `min_scale` pixels
    high (forehead to chin).
    """
    with np.errstate(invalid="ignore"):
        frontal = np.abs(track.pose[:, 0]) <= yaw_limit
        large = track.scale >= min_scale
    return np.asarray(track.present & frontal & large)
