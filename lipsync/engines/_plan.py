"""Plan a line: which mouth to show at every moment, and how far to bend it.

The bank as the search wants it, what a moment asks for, and what to do with the path that
`lipsync.engines._select` finds: which mouths to dissolve at joins, and how much the lips of
the shown mouths must change to follow the predicted curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._speech import STEPS_PER_S, viseme_track
from lipsync.engines._bank import Mouths
from lipsync.engines._select import Bank, PathFinder, Wanted
from lipsync.motion import (
    JAW_DROP,
    NATURAL_LEAD_S,
    OPENING,
    WIDTH,
    MotionExample,
    MotionModel,
)

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.engines import RenderJob
    from media.time import FrameRate

__all__ = ["Learnt", "Part", "Plan", "Weights", "bank_of", "changes", "parts", "plan", "wanted"]

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]
#: (mouth, weight).
Part = tuple[int, float]

# Weights of the selection. Shape: per LIP_FEATURES, in units of the person's own spread.
_SHAPE_WEIGHT = np.array([1.6, 0.5, 0.3, 0.9, 0.4, 0.1, 0.4], np.float32)
# A mouth filmed all but shut shows no gap however far it is bent open: near closure the opening
# counts a second time, as a share of so many times what counts as shut.
_PARTED_WEIGHT, _PARTED = 6.0, 3.0
_CONTEXT_WEIGHT = 0.5
_CONTEXT_ALONE = 1.0
_CONTEXT_S = np.array([-0.24, -0.12, -0.04, 0.0, 0.04, 0.12, 0.24])
_CONTEXT_TAPER = np.array([0.25, 0.5, 0.8, 1.0, 0.8, 0.5, 0.25])
# Degrees of head turn that cost as much as one spread of the lips.
_POSE_DEG = np.array([7.0, 7.0, 20.0], np.float32)
_LOOK_WEIGHT, _LIGHT_WEIGHT, _SHAPE_JOIN = 1.5, 8.0, 0.15
# How much less fine detail (log energy) than the middle of its own footage costs 1, twice as much
# 4: a head that moves fast smears lips, and their points are found badly. At most so many times as
# much counts. (Other footage has another resolution, grain and coding: it is no measure.)
_BLUR, _BLUR_MOST = 0.25, 3.0
# The warp may change what a mouth was filmed doing by this much (eye distances).
_OPEN_MORE, _OPEN_LESS, _WIDER, _JAW_SHIFT = 0.05, 0.12, 0.06, 0.06
# Seconds over which a join is spread, and the spread of the smoothing of the warp.
_JOIN_S, _SMOOTH_S = 0.12, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What is known of the person; `examples` are the sources in sync, their sound left out."""

    key: tuple[object, ...]
    mouths: Mouths
    model: MotionModel
    examples: tuple[MotionExample, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to show at target frame i: `path[i]` (-1: nothing), and what to change of it.

    `parts[i]` are (mouth, weight); `change` float32[n, 3] of opening, width and jaw.
    """

    path: Ints
    parts: tuple[tuple[Part, ...], ...]
    change: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """How much each feature counts: `spread` float32[7] of the person's lips, `context`; up to
    which opening their lips count as shut.
    """

    spread: Floats
    context: float
    shut_below: float

    @classmethod
    def of(cls, learnt: Learnt) -> Weights:
        """For a person with or without learnt speech."""
        spread = np.maximum(learnt.mouths.shape.std(0), 1e-3)
        context = _CONTEXT_WEIGHT if learnt.model.kernel is not None else _CONTEXT_ALONE
        return cls(spread, context, learnt.model.closed_below)


def plan(job: RenderJob, learnt: Learnt, shapes: Floats) -> Plan:
    """Choose a path for every unbroken stretch of usable frames, and how to bend it."""
    n, rate = len(job.target), job.target.rate
    tight = learnt.model.tight(job.timing, rate, n)
    weights = Weights.of(learnt)
    rates = np.array([float(s.track.rate) for s in job.sources], np.float32)
    bank = bank_of(learnt, weights, rates, float(rate))
    finder = PathFinder(bank)
    aims = wanted(weights, job.timing, rate, np.arange(n), shapes, job.target.pose)
    path = np.full(n, -1, np.intp)
    shown: list[tuple[Part, ...]] = [()] * n
    change = np.zeros((n, 3), np.float32)
    for frames in _stretches(job):
        chosen = finder.cheapest(Wanted(aims[frames], tight[frames]))
        path[frames] = chosen
        joined = parts(finder, chosen, float(rate), tight[frames])
        for frame, part in zip(frames, joined, strict=True):
            shown[frame] = part
        change[frames] = changes(learnt.mouths, joined, shapes[frames], tight[frames], float(rate))
    return Plan(path, tuple(shown), change)


def wanted(
    weights: Weights,
    timing: Timing,
    rate: FrameRate,
    frames: Ints,
    shapes: Floats,
    pose: Floats,
) -> Floats:
    """What the search compares with the bank at `frames`: float32[k, d].

    `shapes` float32[k, 7] and `pose` float32[k, 3] belong to these frames.
    """
    said = np.sqrt(weights.context) * _context(timing, rate, frames)
    return _features(said, shapes, pose, weights)


def bank_of(learnt: Learnt, weights: Weights, rates: Floats, rate: float) -> Bank:
    """The mouths as the search wants them; `rates` of the sources, `rate` of the target."""
    mouths, spread, context = learnt.mouths, weights.spread, weights.context
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
    target = _features(np.sqrt(context) * said, mouths.shape, mouths.pose, weights)
    look = [
        np.sqrt(_LOOK_WEIGHT) * mouths.look,
        np.sqrt(_LIGHT_WEIGHT) * mouths.light,
        np.sqrt(_SHAPE_JOIN) * mouths.shape / spread,
        0.5 * mouths.pose / _POSE_DEG,
    ]
    return Bank(
        target=target,
        penalty=(np.minimum(_blur(mouths) / _BLUR, _BLUR_MOST) ** 2).astype(np.float32),
        look=np.concatenate(look, axis=1).astype(np.float32),
        shut=mouths.shape[:, OPENING] <= learnt.model.closed_below,
        source=mouths.source,
        frame=mouths.frame,
        step=rates[mouths.source] / np.float32(rate),
    )


def _blur(mouths: Mouths) -> Floats:
    """How much less fine detail each mouth has than the middle of its own footage, float32[n]."""
    usual: Floats = np.empty_like(mouths.sharp)
    for owner in np.unique(mouths.source):
        rows = mouths.source == owner
        usual[rows] = np.median(mouths.sharp[rows])
    return np.asarray(np.maximum(usual - mouths.sharp, 0))


def _features(said: Floats, shapes: Floats, pose: Floats, weights: Weights) -> Floats:
    """The weighted vectors whose squared distance is the cost of a mouth for a moment."""
    pose = np.nan_to_num(pose)
    shaped = np.sqrt(_SHAPE_WEIGHT) * shapes / weights.spread
    parted = np.clip(shapes[:, OPENING, None] / (_PARTED * weights.shut_below), 0, 1)
    parts = (said, shaped, np.sqrt(_PARTED_WEIGHT) * parted, pose / _POSE_DEG)
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


def parts(finder: PathFinder, path: Ints, rate: float, tight: Flags) -> list[tuple[Part, ...]]:
    """For every frame the mouths to dissolve, with weights that sum to 1.

    Each frame borrows a little from the path before and after it, continued to this moment
    within its own footage; inside a run these are the same mouth, at a join they differ.
    """
    bank, at = finder.bank, finder.where
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


def changes(
    mouths: Mouths,
    shown: Sequence[tuple[Part, ...]],
    shapes: Floats,
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
        [sum(w * mouths.shape[m][list(columns)].astype(np.float64) for m, w in p) for p in shown]
    )
    away = shapes[:, columns].astype(np.float64) - have
    smooth = gaussian_filter1d(away, max(_SMOOTH_S * rate, 0.3), axis=0, mode="nearest")
    low = np.array([-_OPEN_LESS, -_WIDER, -_JAW_SHIFT])
    high = np.array([_OPEN_MORE, _WIDER, _JAW_SHIFT])
    change = np.clip(smooth, low, high)
    shut = np.minimum(away[:, 0], 0)
    change[tight, 0] = shut[tight]
    return np.asarray(change, np.float32)
