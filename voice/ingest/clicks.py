"""Clicks: counted cheaply everywhere, and taken out by grooveclean where there are any.

    spans = click_candidates(sound)                 # seconds; a few that are none among them
    sound, count = declick(sound)

A click is a sample or a few that bend far more than their surroundings. That is seen in the
second difference against its local mean, at no cost; grooveclean's network, which costs a tenth
of real time, is then asked only about a tenth of a second around each, and its interpolator fills
what it confirms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound, resample

if TYPE_CHECKING:
    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["click_candidates", "confirmed_clicks", "count_clicks", "declick"]

_BENDS = 14.0  # times the local mean: what is looked at
_SURE_BENDS = 25.0  # and what is counted
_LONGEST_S = 0.002  # glottal pulses come in runs, clicks alone
_APART_S = 0.003
_AROUND_S = 0.15  # heard on either side by the network, whose own context is 46 ms
_EDGE_S = 0.03  # of such a window: its resampling wraps round
_NEIGHBOURS_S = 0.016
_COUNTED, _WIDEST = 22_050, 50_000  # Hz, the rates at which clicks are counted and filled
_ALONE = 0.35  # of a click: what its neighbours may bend


def click_candidates(sound: Sound, bends: float = _BENDS) -> list[tuple[float, float]]:
    """Stretches (seconds) that bend `bends` times more than what is around them."""
    if len(sound) < sound.rate // 10:
        return []
    runs = _runs(_bends(sound), bends, sound.rate)
    return [(a / sound.rate, b / sound.rate) for a, b in runs]


def _without_hiss(sound: Sound) -> Sound:
    """The band up to 11 kHz or so: above it noise bends more than clicks do."""
    from scipy.signal import resample_poly

    parts = sound.rate // _COUNTED
    if parts < 2:
        return sound
    low = resample_poly(sound.samples, 1, parts).astype(np.float32)
    return Sound(low, round(sound.rate / parts))


def _bends(sound: Sound) -> Floats:
    """How much every sample bends, in local means."""
    from grooveclean.detect import impulsiveness
    from torch import from_numpy

    return np.asarray(impulsiveness(from_numpy(sound.samples), sound.rate).numpy())


def _runs(found: Floats, bends: float, rate: int) -> list[tuple[int, int]]:
    """Samples [start, end) of short runs above `bends`."""
    at = np.flatnonzero(found >= bends)
    if not at.size:
        return []
    first = np.concatenate(([True], np.diff(at) > _APART_S * rate))
    starts = at[first]
    ends = np.concatenate((at[np.flatnonzero(first)[1:] - 1], at[-1:])) + 1
    short = ends - starts <= _LONGEST_S * rate
    return [(int(a), int(b)) for a, b in zip(starts[short], ends[short], strict=True)]


def count_clicks(sound: Sound) -> int:
    """How many clicks stand out by themselves; a voice's own pulses come one after another.

    Lips and stops click too: ask `confirmed_clicks` how many of them are faults.
    """
    if len(sound) < sound.rate // 10:
        return 0
    sound = _without_hiss(sound)
    found = _bends(sound)
    count = 0
    near, far = (int(t * sound.rate) for t in (_LONGEST_S, _NEIGHBOURS_S))
    for start, end in _runs(found, _SURE_BENDS, sound.rate):
        top = found[start:end].max()
        around = [found[max(0, start - far) : max(0, start - near)], found[end + near : end + far]]
        count += int(max(part.max(initial=0.0) for part in around) < _ALONE * top)
    return count


@cache
def _detector() -> Any:
    from grooveclean.detect import Detector

    return Detector.load(device="cpu")


def declick(sound: Sound) -> tuple[Sound, int]:
    """The sound with its clicks filled in, and how many there were.

    Above 50 kHz there is more hiss than click: the change is worked out at half the rate or less.
    """
    from grooveclean.repair import repair

    parts = -(-sound.rate // _WIDEST)
    if parts > 1:
        low = resample(sound, sound.rate // parts)
        done, count = declick(low)
        change = resample(Sound(done.samples - low.samples, low.rate), sound.rate)
        mended = sound.samples + change.fitted(len(sound)).samples
        return (replace(sound, samples=mended) if count else sound), count
    found = [_confirmed(sound, first, last) for first, last in _windows(sound)]
    starts = np.concatenate([s for s, _ in found]) if found else np.zeros(0, np.int64)
    ends = np.concatenate([e for _, e in found]) if found else np.zeros(0, np.int64)
    if not starts.size:
        return sound, 0
    filled, _ = repair(sound.samples.astype(np.float64), starts, ends, device=_detector().device)
    return replace(sound, samples=filled.astype(np.float32)), int(starts.size)


def confirmed_clicks(sound: Sound) -> int:
    """How many clicks the network finds; some tenths of real time where there are many."""
    parts = -(-sound.rate // _WIDEST)
    if parts > 1:
        sound = resample(sound, sound.rate // parts)
    return sum(len(_confirmed(sound, *window)[0]) for window in _windows(sound))


def _windows(sound: Sound) -> list[tuple[int, int]]:
    """Samples (first, last) around the candidates, joined where they meet."""
    around = int(_AROUND_S * sound.rate)
    joined: list[tuple[int, int]] = []
    found = click_candidates(sound)
    if sound.rate >= 2 * _COUNTED:
        found = sorted([*found, *click_candidates(_without_hiss(sound))])
    for start, end in found:
        first = max(0, int(start * sound.rate) - around)
        last = min(len(sound), int(end * sound.rate) + around)
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _confirmed(sound: Sound, first: int, last: int) -> tuple[Ints, Ints]:
    """Samples [starts], [ends] of the clicks that the network confirms in one window."""
    from grooveclean import detect
    from torch import from_numpy

    detector = _detector()
    part = sound.samples[first:last]
    probability = detector.probabilities(from_numpy(part)[None], sound.rate)[0].cpu().numpy()
    calibration = detector.calibration
    high, low, gate = detect.thresholds(0.5, calibration.hi, calibration.lo)
    active = detect.active_mask(part, sound.rate, gate)
    starts, ends, _ = detect.spans(probability, active, sound.rate, high, low)
    edge = int(_EDGE_S * sound.rate)
    inside = (starts >= (edge if first else 0)) & (
        ends <= len(part) - (edge if last < len(sound) else 0)
    )
    return _whole(starts[inside] + first), _whole(ends[inside] + first)


def _whole(numbers: Sequence[int]) -> Ints:
    return np.asarray(numbers, dtype=np.int64)
