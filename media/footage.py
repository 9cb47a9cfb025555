"""The two nouns of picture: what a video file is, and one of its frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.colour import ColourTags
from media.time import FrameRate, Timecode

__all__ = ["FootageInfo", "Frame"]


@dataclass(frozen=True, slots=True)
class FootageInfo:
    """What a video file is.

    `width` and `height` are pixels as displayed, after the rotation flag (`rotation`,
    degrees counter-clockwise, one of 0, 90, 180, 270) and before `sample_aspect`.
    `frames` is None where the container does not say. With `variable_rate` the `rate` is
    only the average: use each frame's `pts`. `time_base` is the unit (seconds) in which
    the file counts its time stamps, None when unknown. `centred_chroma`: colour samples lie
    between two pixels (MPEG-1, Motion JPEG), not on the left one.
    """

    path: Path
    rate: FrameRate
    width: int
    height: int
    frames: int | None
    duration_s: Fraction
    pix_fmt: str = "yuv420p"
    colour: ColourTags = field(default_factory=ColourTags)
    start_timecode: Timecode | None = None
    has_sound: bool = False
    rotation: int = 0
    sample_aspect: Fraction = Fraction(1)
    variable_rate: bool = False
    time_base: Fraction | None = None
    centred_chroma: bool = False

    @property
    def stored_lines(self) -> int:
        """Lines of the picture as stored, before the rotation flag."""
        return self.width if self.rotation % 180 else self.height


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of some footage.

    `index` counts in display order from 0; `pts` is exact seconds since frame 0 appeared;
    `rgb` is uint8 [height, width, 3] as displayed. `length` is how many seconds the file shows
    it, None when it does not say: the time to the next frame says that as well, but for
    the last one.
    """

    index: int
    pts: Fraction
    rgb: NDArray[np.uint8]
    length: Fraction | None = None
