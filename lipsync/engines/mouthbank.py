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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._speech import STEPS_PER_S, viseme_track
from lipsync.engines import MouthPatch
from lipsync.engines._bank import Mouths, collect
from lipsync.engines._select import Bank, Wanted, cheapest_path
from lipsync.morph import (
    CONTROL,
    FOLLOW,
    dissolve,
    match_light,
    reshape,
    spread_follow,
    warp,
)
from lipsync.motion import (
    JAW_DROP,
    NATURAL_LEAD_S,
    OPENING,
    WIDTH,
    MotionExample,
    MotionModel,
    closures,
    in_sync,
    picture_lead,
    silence,
)
from lipsync.pose import Pose, fit_pose, to_face, to_frame

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.engines import Progress, RenderJob
    from media.time import FrameRate

__all__ = ["MouthBankRenderer"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]

# Weights of the selection. Shape: per LIP_FEATURES, in units of the person's own spread.
_SHAPE_WEIGHT = np.array([1.6, 0.5, 0.3, 0.9, 0.4, 0.1, 0.4], np.float32)
_CONTEXT_WEIGHT = 0.5
_CONTEXT_ALONE = 1.0
_CONTEXT_S = np.array([-0.24, -0.12, -0.04, 0.0, 0.04, 0.12, 0.24])
_CONTEXT_TAPER = np.array([0.25, 0.5, 0.8, 1.0, 0.8, 0.5, 0.25])
# Degrees of head turn that cost as much as one spread of the lips.
_POSE_DEG = np.array([7.0, 7.0, 20.0], np.float32)
_LOOK_WEIGHT, _LIGHT_WEIGHT, _SHAPE_JOIN = 1.5, 8.0, 0.15
_BLUR_WEIGHT = 1.0
# The warp may change what a mouth was filmed doing by this much (eye distances).
_OPEN_MORE, _OPEN_LESS, _WIDER, _JAW_SHIFT = 0.05, 0.12, 0.06, 0.06
# Seconds over which a join is spread, and the spread of the smoothing of the warp.
_JOIN_S, _SMOOTH_S = 0.12, 0.04
_NOSE_BASE = (2, 98, 327)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What to show at target frame i: `path[i]` (-1: nothing), and what to change of it.

    `parts[i]` are (mouth, weight); `change` float32[n, 3] of opening, width and jaw.
    """

    path: Ints
    parts: tuple[tuple[tuple[int, float], ...], ...]
    change: Floats
    tight: Flags


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What is known of the person; `examples` are the sources in sync with their sound."""

    key: tuple[object, ...]
    mouths: Mouths
    model: MotionModel
    examples: tuple[MotionExample, ...]


class MouthBankRenderer:
    """`lipsync.engines.MouthRenderer` on real pictures of the person.

    `articulation` 1.0 moves the lips as much as the person does.
    """

    name = "mouthbank"

    def __init__(self, *, articulation: float = 1.0) -> None:
        self.articulation = articulation
        self._learnt: _Learnt | None = None
        self._plan: _Plan | None = None
        self._follow: Floats | None = None
        self._picture = lru_cache(maxsize=64)(self._decode)

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
            self._learnt = _learn(job, key, progress)
            self._picture.cache_clear()
        if progress:
            progress("choosing mouths", 0, None)
        target = job.target
        shapes = self._learnt.model.predict(
            job.timing, job.sound, target.rate, len(target), articulation=self.articulation
        )
        self._follow = None
        self._plan = _plan(job, self._learnt, shapes)

    def render(self, indices: Sequence[int], crops: Pixels, landmarks: Floats) -> list[MouthPatch]:
        """Mouths for target frames `indices`; see `MouthRenderer`."""
        learnt, plan = self._ready()
        pose = fit_pose(landmarks)
        own = to_face(landmarks, pose)
        if self._follow is None:
            self._follow = spread_follow(landmarks[0, :, :2])
        patches = []
        for k, i in enumerate(indices):
            if plan.path[i] < 0:
                patches.append(MouthPatch(crops[k], landmarks[k, :, :2].astype(np.float32)))
                continue
            face = _new_face(learnt.mouths, plan, int(i), own[k])
            one = Pose(pose.rotation[k : k + 1], pose.scale[k : k + 1], pose.place[k : k + 1])
            new = to_frame(face[None], one)[0, :, :2]
            patches.append(self._patch(plan.parts[i], new, landmarks[k, :, :2], crops[k]))
        return patches

    def _patch(
        self, parts: tuple[tuple[int, float], ...], new: Floats, old: Floats, own: Pixels
    ) -> MouthPatch:
        """Every part bent to the same points and lit alike, dissolved."""
        mouths = self._ready()[0].mouths
        assert self._follow is not None
        to = old[CONTROL] + FOLLOW[:, None] * (new[CONTROL] - old[CONTROL])
        points = old + self._follow[:, None] * (new - old)
        points[CONTROL] = to
        bent = [
            match_light(warp(self._picture(m), mouths.points[m][CONTROL], to), own, points, old)
            for m, _ in parts
        ]
        return MouthPatch(dissolve(bent, [w for _, w in parts]), points.astype(np.float32))

    def _decode(self, index: int) -> Pixels:
        return self._ready()[0].mouths.picture(index)

    def _ready(self) -> tuple[_Learnt, _Plan]:
        if self._learnt is None or self._plan is None:
            raise RuntimeError("MouthBankRenderer.prepare must run before render")
        return self._learnt, self._plan


def _key(job: RenderJob) -> tuple[object, ...]:
    """What the learnt part of a job depends on."""
    sources = tuple((s.path, s.track.sha256, s.timing, s.sound is None) for s in job.sources)
    return (sources, job.crop, job.seed)


def _learn(job: RenderJob, key: tuple[object, ...], progress: Progress | None) -> _Learnt:
    mouths = collect(job.sources, job.crop, progress)
    if progress:
        progress("learning how the lips follow speech", 0, None)
    examples = _examples(job)
    model = MotionModel.fit(examples, seed=job.seed)
    return _Learnt(key, mouths, model, tuple(examples))


def _examples(job: RenderJob) -> list[MotionExample]:
    """The sources as examples of motion, brought into sync with their own sound."""
    from lipsync.crop import lip_shape
    from lipsync.faces import usable_frames

    examples = []
    for source in job.sources:
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
    return examples


def _plan(job: RenderJob, learnt: _Learnt, shapes: Floats) -> _Plan:
    """Choose a path for every unbroken stretch of usable frames, and how to bend it."""
    n, rate = len(job.target), job.target.rate
    tight = closures(job.timing, rate, n) | silence(job.timing, rate, n)
    mouths = learnt.mouths
    spread = np.maximum(mouths.shape.std(0), 1e-3)
    context = _CONTEXT_WEIGHT if learnt.model.kernel is not None else _CONTEXT_ALONE
    bank = _bank(job, learnt, spread, context)
    said = np.sqrt(context) * _context(job.timing, rate, np.arange(n))
    aims = _features(said, shapes / spread, job.target.pose)
    path = np.full(n, -1, np.intp)
    parts: list[tuple[tuple[int, float], ...]] = [()] * n
    change = np.zeros((n, 3), np.float32)
    for frames in _stretches(job):
        chosen = cheapest_path(bank, Wanted(aims[frames], tight[frames]))
        path[frames] = chosen
        joined = _parts(bank, chosen, float(rate), tight[frames])
        for frame, part in zip(frames, joined, strict=True):
            parts[frame] = part
        change[frames] = _change(mouths, joined, shapes[frames], tight[frames], float(rate))
    return _Plan(path, tuple(parts), change, tight)


def _bank(job: RenderJob, learnt: _Learnt, spread: Floats, context: float) -> Bank:
    """The mouths as the search wants them."""
    mouths = learnt.mouths
    said = np.zeros((len(mouths), _CONTEXT_S.size * 15), np.float32)
    known = np.zeros(len(mouths), np.bool_)
    for number, example in enumerate(learnt.examples):
        rows = np.flatnonzero(mouths.source == number)
        if example.timing is not None and example.timing.phones and len(rows):
            said[rows] = _context(example.timing, example.rate, mouths.frame[rows])
            known[rows] = True
    # Silent footage says nothing: as if it said the average.
    if known.any():
        said[~known] = said[known].mean(0)
    target = _features(np.sqrt(context) * said, mouths.shape / spread, mouths.pose)
    blur = np.maximum(np.median(mouths.sharp) - mouths.sharp, 0)
    look = [
        np.sqrt(_LOOK_WEIGHT) * mouths.look,
        np.sqrt(_LIGHT_WEIGHT) * mouths.light,
        np.sqrt(_SHAPE_JOIN) * mouths.shape / spread,
        0.5 * mouths.pose / _POSE_DEG,
    ]
    rates = np.array([float(s.track.rate) for s in job.sources], np.float32)
    return Bank(
        target=target,
        penalty=(_BLUR_WEIGHT * blur).astype(np.float32),
        look=np.concatenate(look, axis=1).astype(np.float32),
        shut=mouths.shape[:, OPENING] <= learnt.model.closed_below,
        source=mouths.source,
        frame=mouths.frame,
        step=rates[mouths.source] / np.float32(float(job.target.rate)),
    )


def _features(said: Floats, shapes: Floats, pose: Floats) -> Floats:
    """The weighted vectors whose squared distance is the cost of a mouth for a moment."""
    pose = np.nan_to_num(pose)
    parts = (said, np.sqrt(_SHAPE_WEIGHT) * shapes, pose / _POSE_DEG)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _context(timing: Timing, rate: FrameRate, frames: Ints) -> Floats:
    """Tapered visemes around `frames`, float32[k, 7 * 15]."""
    middles = (frames + 0.5) / float(rate) + NATURAL_LEAD_S
    longest = max(float(middles.max(initial=0.0)), timing.duration_s) + 0.5
    track = viseme_track(timing, int(np.ceil(longest * STEPS_PER_S)))
    at = np.floor((middles[:, None] + _CONTEXT_S) * STEPS_PER_S).astype(np.intp)
    taken = track[np.clip(at, 0, len(track) - 1)] * _CONTEXT_TAPER[:, None]
    return np.asarray(taken.reshape(len(frames), -1), np.float32)


def _stretches(job: RenderJob) -> Iterator[Ints]:
    """Runs of usable frames within one shot."""
    usable = np.flatnonzero(job.usable)
    if len(usable):
        shot = job.target.shot[usable]
        breaks = np.flatnonzero((np.diff(usable) > 1) | (np.diff(shot) != 0)) + 1
        yield from np.split(usable, breaks)


def _parts(
    bank: Bank, path: Ints, rate: float, tight: Flags
) -> list[tuple[tuple[int, float], ...]]:
    """For every frame the mouths to dissolve, with weights that sum to 1.

    Each frame borrows a little from the path before and after it, continued to this moment
    within its own footage; inside a run these are the same mouth, at a join they differ.
    """
    at = {(int(s), int(f)): i for i, (s, f) in enumerate(zip(bank.source, bank.frame, strict=True))}
    reach = max(1, round(_JOIN_S * rate / 3))
    weights = {d: float(reach + 1 - abs(d)) for d in range(-reach, reach + 1)}
    result = []
    for t in range(len(path)):
        shares: dict[int, float] = {}
        for d, weight in weights.items():
            if not 0 <= t + d < len(path):
                continue
            near = int(path[t + d])
            frame = int(bank.frame[near]) - round(d * float(bank.step[near]))
            mouth = at.get((int(bank.source[near]), frame), near)
            # A mouth that is open may not show through one that must be shut.
            if tight[t] and not bank.shut[mouth] and bank.shut[path[t]]:
                continue
            shares[mouth] = shares.get(mouth, 0.0) + weight
        total = sum(shares.values())
        best = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:3]
        kept = sum(w for _, w in best)
        assert total > 0
        result.append(tuple((m, w / kept) for m, w in best))
    return result


def _change(
    mouths: Mouths,
    parts: Sequence[tuple[tuple[int, float], ...]],
    wanted: Floats,
    tight: Flags,
    rate: float,
) -> Floats:
    """Change of opening, width and jaw float32[t, 3] (eye distances), smooth in time.

    Smoothed so that the landmarks' noise never becomes motion; limited so that no mouth is
    bent into what it was not filmed doing; but what must be shut is shut exactly.
    """
    from scipy.ndimage import gaussian_filter1d

    columns = (OPENING, WIDTH, JAW_DROP)
    have = np.array(
        [sum(w * mouths.shape[m][list(columns)].astype(np.float64) for m, w in p) for p in parts]
    )
    away = wanted[:, columns].astype(np.float64) - have
    smooth = gaussian_filter1d(away, max(_SMOOTH_S * rate, 0.3), axis=0, mode="nearest")
    low = np.array([-_OPEN_LESS, -_WIDER, -_JAW_SHIFT])
    high = np.array([_OPEN_MORE, _WIDER, _JAW_SHIFT])
    change = np.clip(smooth, low, high)
    shut = np.minimum(away[:, 0], 0)
    change[tight, 0] = shut[tight]
    return np.asarray(change, np.float32)


def _new_face(
    mouths: Mouths, plan: _Plan, frame: int, own: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The face with its new mouth in face coordinates (mm), float64[478, 3]."""
    face = np.zeros_like(own)
    for mouth, weight in plan.parts[frame]:
        face += weight * mouths.face[mouth]
    face += (own[list(_NOSE_BASE)] - face[list(_NOSE_BASE)]).mean(0)
    opening, width, jaw = (float(c) for c in plan.change[frame])
    return reshape(face, opening=opening, width=width, jaw=jaw)
