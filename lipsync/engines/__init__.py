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
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
    "RepeatableRenderer",
    "WholeFaceRenderer",
    "engine_names",
    "get_renderer",
]

#: Called with (what is being done, finished, total or None).
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class BankSource:
    """Footage of the person to take mouths from, or to learn from.

    `timing` and `sound` belong to this footage's own sound track and start with its first
    frame, frame i being at i / rate (`lipsync.clock`); both are None for silent footage or where
    nobody could be understood.
    """

    path: Path
    track: FaceTrack
    timing: Timing | None = None
    sound: Sound | None = None


@dataclass(frozen=True, slots=True)
class RenderJob:
    """All an engine may know before the first frame.

    `target` is the footage's track; `timing` and `sound` are the new line's, starting at
    frame 0 of the target, frame i being at i / rate (`lipsync.clock`). `usable` bool[n] marks
    frames whose mouth will be replaced at all (face present, near enough to frontal, large
    enough): others are never asked for. `sources` may include the target footage itself.
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


@runtime_checkable
class RepeatableRenderer(MouthRenderer, Protocol):
    """An engine whose mouths depend on its job and the frame alone, not on frames before it: a run
    that was killed can go on with the frame at which it broke off.
    """

    @property
    def fingerprint(self) -> str:
        """Its name, settings, weights and plan for its job: the same for the same mouths."""


@runtime_checkable
class WholeFaceRenderer(MouthRenderer, Protocol):
    """An engine whose network looks at the whole face, not at mouth and chin alone."""

    @property
    def view_size(self) -> int:
        """Side in pixels of the square picture of the face that it wants."""

    def views(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps float32[k, 2, 3] from the crop to the picture of the face.

        `landmarks` float32[k, 478, 3] in crop pixels.
        """

    def render_views(
        self,
        indices: Sequence[int],
        crops: NDArray[np.uint8],
        landmarks: NDArray[np.float32],
        views: NDArray[np.uint8],
    ) -> list[MouthPatch]:
        """As `render`, with the faces uint8[k, V, V, 3] that `views` asked for."""


def engine_names() -> tuple[str, ...]:
    """Names that `get_renderer` knows."""
    return ("mouthbank", "mouthnet", "wav2lip")


def get_renderer(name: str, weights: Path | None = None) -> MouthRenderer:
    """The engine called `name`, imported on use.

    `weights` is the checkpoint of an engine that brings none ("wav2lip"), or the folder of a
    trained face ("mouthnet"); "wav2lip:FILE" says both in one. Raises `EngineMissingError` for an
    unknown name or a missing checkpoint, `WeightsError` for a checkpoint of another kind.
    """
    name, _, path = name.partition(":")
    if path:
        weights = Path(path)
    if name == "mouthbank" and weights is None:
        from lipsync.engines.mouthbank import MouthBankRenderer

        return MouthBankRenderer()
    if name == "mouthbank":
        raise EngineMissingError("the mouthbank learns from the footage; leave --weights out")
    if name == "mouthnet":
        from lipsync.engines.mouthnet import MouthNetRenderer

        if weights is None:
            raise EngineMissingError(
                "mouthnet needs a trained face; train one with: wildline train-face FOOTAGE -o "
                "faces/NAME, and name that folder with --face-model"
            )
        return MouthNetRenderer(weights)
    if name == "wav2lip":
        from lipsync.engines.wav2lip import Wav2LipRenderer

        if weights is None:
            raise EngineMissingError(
                "wav2lip needs the public checkpoint, which does not come with Wildline; get "
                "wav2lip.pth or wav2lip_gan.pth from its authors and name it with --weights FILE"
            )
        return Wav2LipRenderer(weights)
    raise EngineMissingError(
        f"there is no lip-sync engine '{name}'; choose one of {', '.join(engine_names())}"
    )
