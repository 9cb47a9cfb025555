"""Engines that make mouths, behind one Protocol: `MouthRenderer`.

An engine is prepared once for a shot (`RenderJob`: whose face, which sound, which footage
of the person to learn from) and then asked, frame by frame and in order, for the mouth
that belongs there: a `MouthPatch` in the coordinates of the target's own canonical crop.
Tracking, cropping and pasting back are done for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsync.track import FaceTrack
from media.errors import EngineMissingError

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.crop import CropSpec
    from media.audio import Sound

__all__ = [
    "BankSource",
    "MouthPatch",
    "MouthRenderer",
    "Progress",
    "RenderJob",
    "engine_names",
    "get_renderer",
]

#: Called with (what is being done, finished, total or None).
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class BankSource:
    """Footage of the person to take mouths from, or to learn from.

    `timing` and `sound` belong to this footage's own sound track and start with its first
    frame; both are None for silent footage or where nobody could be understood.
    """

    path: Path
    track: FaceTrack
    timing: Timing | None = None
    sound: Sound | None = None


@dataclass(frozen=True, slots=True)
class RenderJob:
    """All an engine may know before the first frame.

    `target` is the footage's track; `timing` and `sound` are the new line's, starting at
    frame 0 of the target. `usable` bool[n] marks frames whose mouth will be replaced at
    all (face present, near enough to frontal, large enough): others are never asked for.
    `sources` may include the target footage itself.
    """

    target: FaceTrack
    usable: NDArray[np.bool_]
    timing: Timing
    sound: Sound
    sources: Sequence[BankSource]
    crop: CropSpec
    seed: int = 0


@dataclass(frozen=True, slots=True)
class MouthPatch:
    """A mouth in the target's crop frame.

    `rgb` uint8[S, S, 3]; `landmarks` float32[478, 2]: where the new face's points lie in
    it, in crop pixels (the lips and jaw decide the mask).
    """

    rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


class MouthRenderer(Protocol):
    """Makes the mouth for each frame of one job."""

    @property
    def name(self) -> str:
        """The engine's name in reports."""

    def prepare(self, job: RenderJob, progress: Progress | None = None) -> None:
        """Read the sources, learn, plan the whole line. Called once, before `render`.

        Raises `ArchiveError` when the sources hold no usable mouth.
        """

    def render(
        self,
        indices: Sequence[int],
        crops: NDArray[np.uint8],
        landmarks: NDArray[np.float32],
    ) -> list[MouthPatch]:
        """Mouths for a batch of k frames.

        `indices` are frame numbers in the target, ascending; `crops` uint8[k, S, S, 3] the
        target's own canonical crops; `landmarks` float32[k, 478, 3] in crop pixels.
        """


def engine_names() -> tuple[str, ...]:
    """Names that `get_renderer` knows."""
    return ("mouthbank",)


def get_renderer(name: str) -> MouthRenderer:
    """The engine called `name`, imported on use. Raises `EngineMissingError`."""
    if name == "mouthbank":
        from lipsync.engines.mouthbank import MouthBankRenderer

        return MouthBankRenderer()
    raise EngineMissingError(
        f"there is no lip-sync engine '{name}'; choose one of {', '.join(engine_names())}"
    )
