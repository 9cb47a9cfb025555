"""The mouthbank: real mouths of this person, chosen frame by frame, bent and joined.

Nothing is generated: every tooth was filmed. From all usable mouths of the archive a path is
chosen by dynamic programming (what is said around the moment, the lip shape that the
person's motion model predicts, head pose, continuity); each chosen picture is bent by a smooth
warp so that its lips follow the predicted curve and its head the target's; where the path
leaves one stretch of footage for another, both pictures are bent to the same landmarks
before one fades into the other, so there is never a second pair of lips. On p, b, m and in
silence only shut mouths are allowed, or the nearest is bent shut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._unwanted import ending_with
from lipsync.crop import crop_transforms, landmarks_in_crop
from lipsync.engines import MouthPatch
from lipsync.engines._bank import MOST_MOUTHS, collect
from lipsync.engines._draw import MouthArtist
from lipsync.engines._plan import Learnt, Plan, plan
from lipsync.motion import (
    JAW_DROP,
    OPENING,
    WIDTH,
    MotionExample,
    MotionModel,
    in_sync,
    one_thread,
    picture_lead,
)
from media.far import give_back, pieces

if TYPE_CHECKING:
    from lipsync.crop import CropSpec
    from lipsync.engines import BankSource, Progress, RenderJob

__all__ = ["MouthBankRenderer", "learn"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class MouthBankRenderer:
    """`lipsync.engines.MouthRenderer` on real pictures of the person.

    `articulation` 1.0 moves the lips as much as the person does.
    """

    name = "mouthbank"

    def __init__(self, *, articulation: float = 1.0) -> None:
        self.articulation = articulation
        self._learnt: Learnt | None = None
        self._plan: Plan | None = None
        self._artist: MouthArtist | None = None
        self._predicted: Floats = np.zeros((0, 0), np.float32)

    @property
    def predicted(self) -> Floats:
        """Lip shapes float32[n, 7] that the motion model asked for, whatever the bank can show."""
        self._ready()
        return self._predicted

    @property
    def fingerprint(self) -> str:
        """See `RepeatableRenderer`; with a digest of the bank and the plan once they are made."""
        own = f"{self.name} {self.articulation!r}"
        if self._learnt is None or self._plan is None:
            return own
        mouths, plan = self._learnt.mouths, self._plan
        planned = hashlib.sha256(repr(plan.parts).encode())
        for numbers in (mouths.source, mouths.frame, mouths.points, plan.path, plan.change):
            for piece in pieces(numbers):
                planned.update(np.ascontiguousarray(numbers[piece]).data)
        return f"{own} {planned.hexdigest()}"

    @property
    def model(self) -> MotionModel:
        """The motion model fitted by `prepare`."""
        return self._ready()[0].model

    @property
    def path(self) -> list[tuple[int, int] | None]:
        """(source number, frame number) shown at every target frame; None where nothing is."""
        learnt, plan = self._ready()
        mouths = learnt.mouths
        return [None if p < 0 else (int(mouths.source[p]), int(mouths.frame[p])) for p in plan.path]

    @property
    def shapes(self) -> Floats:
        """Lip shapes that the drawn mouths should have, float32[n, 7]; NaN where none is drawn."""
        learnt, plan = self._ready()
        shapes = np.full((len(plan.path), learnt.mouths.shape.shape[1]), np.nan, np.float32)
        for i, parts in enumerate(plan.parts):
            if parts:
                shapes[i] = sum(w * learnt.mouths.shape[m] for m, w in parts)
        shapes[:, (OPENING, WIDTH, JAW_DROP)] += plan.change
        return shapes

    def prepare(self, job: RenderJob, progress: Progress | None = None) -> None:
        """Read the sources, fit the motion, choose the whole path.

        The next job with the same sources (another line, another shot) only chooses.
        Raises `ArchiveError` when the sources hold no usable mouth.
        """
        key = _key(job)
        if self._learnt is None or self._learnt.key != key:
            self._plan = None
            self._learnt = learn(job.sources, job.crop, seed=job.seed, progress=progress, key=key)
            self._artist = MouthArtist(self._learnt.mouths)
            give_back()
        if progress:
            progress("choosing mouths", 0, None)
        target = job.target
        shapes = self._learnt.model.predict(
            job.timing, job.sound, target.rate, len(target), articulation=self.articulation
        )
        assert self._artist is not None
        with one_thread():
            self._predicted, self._plan = shapes, plan(job, self._learnt, shapes)
        self._artist.begin(first_face(job, self._plan))

    def render(self, indices: Sequence[int], crops: Pixels, landmarks: Floats) -> list[MouthPatch]:
        """Mouths for target frames `indices`; see `MouthRenderer`."""
        learnt, plan = self._ready()
        assert self._artist is not None
        patches = []
        for k, i in enumerate(indices):
            if plan.path[i] < 0:
                patches.append(MouthPatch(crops[k], landmarks[k, :, :2].astype(np.float32)))
                continue
            parts, change = plan.parts[i], plan.change[i]
            patches.append(self._artist.draw(parts, change, crops[k], landmarks[k]))
        learnt.mouths.let_go()
        return patches

    def _ready(self) -> tuple[Learnt, Plan]:
        if self._learnt is None or self._plan is None:
            raise RuntimeError("MouthBankRenderer.prepare must run before render")
        return self._learnt, self._plan


def first_face(job: RenderJob, plan: Plan) -> Floats | None:
    """Points float32[478, 2] (crop pixels) of the first face that gets a mouth; None without."""
    shown = np.flatnonzero(plan.path >= 0)[:1]
    if not len(shown):
        return None
    marks = job.target.landmarks[shown]
    inside = landmarks_in_crop(marks, crop_transforms(marks, job.crop))
    return np.asarray(inside[0, :, :2], np.float32)


def _key(job: RenderJob) -> tuple[object, ...]:
    """What the learnt part of a job depends on."""
    sources = tuple((s.path, s.track.sha256, s.timing, s.sound is None) for s in job.sources)
    return (sources, job.crop, job.seed)


def learn(
    sources: Sequence[BankSource],
    crop: CropSpec,
    *,
    seed: int = 0,
    most: int = MOST_MOUTHS,
    progress: Progress | None = None,
    key: tuple[object, ...] = (),
) -> Learnt:
    """Read the mouths of `sources` and fit the motion. Raises `ArchiveError` without mouths.

    The motion needs tracks and sounds alone, so it is learnt while the pictures are read; where
    that fails, or is stopped, learning ends soon.
    """
    stop = Event()
    # The limit is the whole process's, so it is held here, around both: one taken by the learner
    # alone would hold for the reader as the race falls.
    with one_thread(), ThreadPoolExecutor(1, "learning") as pool:
        motion = pool.submit(_motion, sources, seed, stop)
        try:
            mouths = collect(sources, crop, progress, most=most)
            if progress:
                progress("learning how the lips follow speech", 0, None)
            model, examples = motion.result()
        except BaseException:
            stop.set()
            raise
    return Learnt(key, mouths, model, examples)


def _motion(
    sources: Sequence[BankSource], seed: int, stop: Event
) -> tuple[MotionModel, tuple[MotionExample, ...]]:
    """The motion model, and what it was learnt from, in sync, unless `stop` is set."""
    with ending_with(stop):
        examples = _examples(sources)
        model = MotionModel.fit(examples, seed=seed, hear=True)
    # Their sound is not wanted again: of half an hour it is 0.1 GB.
    return model, tuple(replace(e, sound=None) for e in examples)


def _examples(sources: Sequence[BankSource]) -> list[MotionExample]:
    """The sources as examples of motion, brought into sync with their own sound."""
    from lipsync.crop import lip_shape
    from lipsync.faces import usable_frames
    from lipsync.steps import in_step

    examples = []
    for source in sources:
        shapes = lip_shape(source.track.landmarks)
        shapes[~usable_frames(source.track)] = np.nan
        examples.append(MotionExample(source.timing, source.sound, shapes, source.track.rate))
    # Long sources have each their own lead; short clips are taken to come from one tape.
    long = [i for i, e in enumerate(examples) if len(e.shapes) / float(e.rate) >= 10.0]
    short = [i for i in range(len(examples)) if i not in long]
    for group in [*([i] for i in long), short]:
        lead = picture_lead([examples[i] for i in group])
        for i in group:
            examples[i] = in_sync(examples[i], lead)
    for i, moved in zip(short, in_step([examples[i] for i in short]), strict=True):
        examples[i] = moved
    return examples
