"""When lips rest, as this person does it: how early they part before a phrase, how softly they
shut.

    ahead_s = parting(examples, shut_below)     # learnt; PARTING_S where too little tells
    shapes = person.possible(softened(shapes, rate), ...)

People draw breath and take the first vowel's shape before they speak, some a quarter of a second
before, some nearly half a second. Shutting their lips for longer than they do is as wrong as
letting them gape, and seen at the start of every line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align import visemes

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.motion import MotionExample
    from media.time import FrameRate

__all__ = [
    "CLOSING_S",
    "EARLIEST_S",
    "ENOUGH_REST_S",
    "PARTING_S",
    "closed_below",
    "closures",
    "inner",
    "parting",
    "silence",
    "softened",
]

Flags = NDArray[np.bool_]
Doubles = NDArray[np.float64]

#: Lips stay shut in a pause, but for the time they take to close after the last sound, and to
#: part before the next (`parting`).
CLOSING_S = 0.1
#: Seconds before a phrase at which lips part, where the footage does not tell it (two speakers).
PARTING_S = 0.24
#: Nobody's are taken to part earlier than this.
EARLIEST_S = 0.44
#: Seconds of rest before phrases that must have been seen.
ENOUGH_REST_S = 10.0

_STEP_S = 0.04
# Frames this near the end of the phrase before say more about closing than about parting.
_CLOSED_S = 0.2
# Standard deviation in time of what softens the movement: where sounds lie to the hundredth of a
# second nobody knows better than this.
_SOFT_S = 0.02


def closures(timing: Timing, rate: FrameRate, n: int) -> Flags:
    """bool[n]: frames that p, b and m keep shut, at least one for each of them."""
    return visemes.closures(timing, rate, n)


def silence(timing: Timing, rate: FrameRate, n: int, parting_s: float = PARTING_S) -> Flags:
    """bool[n]: frames in which nothing is said, so the lips rest shut.

    Gaps too short to close and part in (`CLOSING_S`, `parting_s`) belong to the speech around
    them; the timing's own end is no boundary, nothing is said after it.
    """
    middles = (np.arange(n) + 0.5) / float(rate)
    quiet = np.zeros(n, np.bool_)
    last = max(timing.duration_s, (n + 1) / float(rate))
    for gap in replace(timing, duration_s=last).silences():
        start = gap.start_s + (CLOSING_S if gap.start_s > 0 else 0)
        stop = gap.end_s - (parting_s if gap.end_s < last else 0)
        quiet |= (middles >= start) & (middles < stop)
    return quiet


def closed_below(opening: NDArray[np.floating[Any]], share: float = 0.12) -> float:
    """The lip opening (`lip_shape` units) up to which this person's lips count as shut.

    Mesh points of shut lips do not meet exactly, so this is a `share` of the person's range
    (3rd to 95th percentile) above the narrowest openings. The default is strict, for choosing
    pictures; a tracker's reading of finished footage needs about 0.2.
    """
    seen = np.asarray(opening)[np.isfinite(opening)]
    if not len(seen):
        return 0.03
    low, high = np.percentile(seen, (3, 95))
    return float(np.clip(low + share * (high - low), 0.015, low + 0.25 * share))


def parting(examples: Sequence[MotionExample], shut_below: float) -> float:
    """Seconds before a phrase from which on this person's lips are more often open than shut.

    Between `PARTING_S` and `EARLIEST_S`: the limit that tells fewest frames of the pauses before
    phrases wrongly. `shut_below` is the opening up to which lips count as shut.
    """
    ahead, parted, rest_s = _before_phrases(examples, shut_below)
    if rest_s < ENOUGH_REST_S:
        return PARTING_S
    limits = np.arange(PARTING_S, EARLIEST_S + 1e-6, _STEP_S)
    wrong = [np.sum(parted & (ahead >= s)) + np.sum(~parted & (ahead < s)) for s in limits]
    return float(limits[int(np.argmin(wrong))])


def _before_phrases(
    examples: Sequence[MotionExample], shut_below: float
) -> tuple[Doubles, Flags, float]:
    """Of every frame of the pauses in which lips are seen: seconds to the next phrase, whether
    the lips are parted; how long that is in all, seconds.
    """
    ahead, parted, rest_s = [np.zeros(0)], [np.zeros(0, np.bool_)], 0.0
    for example in examples:
        if example.timing is None or not example.timing.phones:
            continue
        opening = example.shapes[:, 0]
        middles = (np.arange(len(opening)) + 0.5) / float(example.rate)
        starts = np.array([p.start_s for p in example.timing.phones])
        ends = np.maximum.accumulate([p.end_s for p in example.timing.phones])
        nth = np.searchsorted(starts, middles)
        to_come = starts[np.minimum(nth, len(starts) - 1)] - middles
        since = np.where(nth > 0, middles - ends[np.maximum(nth - 1, 0)], np.inf)
        near = (nth < len(starts)) & (to_come < EARLIEST_S + PARTING_S) & (since >= _CLOSED_S)
        near &= np.isfinite(opening)
        ahead.append(to_come[near])
        parted.append(opening[near] > shut_below)
        rest_s += int(near.sum()) / float(example.rate)
    return np.concatenate(ahead), np.concatenate(parted), rest_s


def softened(shapes: Doubles, rate: FrameRate) -> Doubles:
    """`shapes` [n, k] softened by a Gaussian of 20 ms (standard deviation), without lag."""
    from scipy.ndimage import gaussian_filter1d

    if not len(shapes):
        return shapes
    return np.asarray(gaussian_filter1d(shapes, _SOFT_S * float(rate), axis=0, mode="nearest"))


def inner(flags: Flags, rate: FrameRate) -> Flags:
    """`flags` bool[n] without what lies within the reach of `softened` of where they begin or end;
    the ends of the line are no such place.
    """
    inside = flags.copy()
    for i in range(1, round(2 * _SOFT_S * float(rate)) + 1):
        inside[i:] &= flags[:-i]
        inside[:-i] &= flags[i:]
    return inside
