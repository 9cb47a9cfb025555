"""A film of a head of our own making that talks, its track, and what it says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from lipsync_heads import head_mm, landmarks, picture
from synthetic import synthetic_info

from align.timing import Timing
from align.visemes import curves
from lipsync.track import FaceTrack
from media.audio import Sound
from media.time import FrameRate
from media.video import ColourTags, FootageWriter, Frame

R25 = FrameRate(Fraction(25))
SIDE = 200


def talking_marks(timing: Timing, n: int, *, sway: float = 2.0) -> np.ndarray:
    """Landmarks float32[n, 478, 3] of lips that follow the timing."""
    opening = 1.0 + 12.0 * curves(timing, R25, n)[:, 0]
    return np.stack(
        [
            landmarks(
                head_mm(float(o), float(o) / 3),
                at=(100 + sway * np.sin(i / 9), 75 + sway * np.cos(i / 11)),
                scale=0.8,
            )
            for i, o in enumerate(opening)
        ]
    )


def film(
    path: Path, marks: np.ndarray, *, seed: int = 1, sound: Sound | None = None, quality: int = 14
) -> Path:
    """Paint and write them at 25 frames a second."""
    info = synthetic_info("25", SIDE, SIDE, colour=ColourTags(1, 1, 1, False))
    with FootageWriter(path, info, sound=sound, quality=quality) as writer:
        for i, points in enumerate(marks):
            rgb = picture(points, SIDE, SIDE, seed=seed)
            writer.write(Frame(index=i, pts=Fraction(i, 25), rgb=rgb))
    return path


def track_of(marks: np.ndarray, size: tuple[int, int] = (SIDE, SIDE)) -> FaceTrack:
    """The track that those landmarks are."""
    n = len(marks)
    return FaceTrack(
        rate=R25,
        width=size[0],
        height=size[1],
        landmarks=marks.astype(np.float32),
        reason=np.where(np.isnan(marks[:, 0, 0]), 1, 0).astype(np.uint8),
        shot=np.zeros(n, np.int32),
        pose=np.zeros((n, 3), np.float32),
        scale=np.full(n, 140, np.float32),
        times=np.arange(n) / 25,
    )
