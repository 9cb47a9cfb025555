"""A renderer that gives every face its own mouth back, painted over, and little films for it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from synthetic import synthetic_info

from align.timing import Span, Timing
from lipsync.engines import MouthPatch, Progress, RenderJob
from media.audio import Sound
from media.time import Timecode
from media.video import FootageWriter, Frame, read_frames

TIMING = Timing((Span("a", 0.2, 0.5),), (Span("AA", 0.2, 0.5),), 1.0)


class OwnMouth:
    """A renderer that gives every frame its own mouth back, darkened by `shade`."""

    name = "own"

    def __init__(self, shade: float = 1.0) -> None:
        self.shade = shade
        self.job: RenderJob | None = None
        self.asked: list[int] = []

    def prepare(self, job: RenderJob, progress: Progress | None = None) -> None:
        self.job = job

    def render(
        self, indices: Sequence[int], crops: np.ndarray, landmarks: np.ndarray
    ) -> list[MouthPatch]:
        self.asked += indices
        dark = (crops * self.shade).astype(np.uint8)
        # A mouth painted over: lips must differ, skin must not.
        for picture, points in zip(dark, landmarks, strict=True):
            x, y = points[[13, 14], :2].mean(0).astype(int)
            picture[y - 6 : y + 6, x - 20 : x + 20] = (90, 20, 20)
        return [MouthPatch(c, p[:, :2]) for c, p in zip(dark, landmarks, strict=True)]


def grid_frames(data_dir: Path, count: int) -> list[np.ndarray]:
    clip = sorted((data_dir / "archive_grid_s1").glob("*.mpg"))[0]
    return [frame.rgb for frame in read_frames(clip, 0, count)]


def write_footage(path: Path, pictures: Sequence[np.ndarray], sound: Sound | None = None) -> Path:
    height, width = pictures[0].shape[:2]
    start = Timecode.parse("10:00:00:00", synthetic_info("25").rate)
    info = synthetic_info("25", width, height, start_timecode=start)
    with FootageWriter(path, info, sound=sound, quality=8) as writer:
        for i, rgb in enumerate(pictures):
            writer.write(Frame(i, Fraction(i, 25), rgb))
    return path
