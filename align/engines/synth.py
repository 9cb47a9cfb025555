"""Alignment by comparison with a synthesis of the same words.

Works in every language that the synthesiser speaks, because nothing here knows phones: the
synthesised line, whose times are known, is laid on the recording by dynamic time warping of
their mel cepstra, and its edges come along. A synthesis in the same voice fits best.

The synthesiser is handed in, so that this room stays without one:

    aligner = SynthAligner(speak)      # speak(script) -> (sound, its exact Timing)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from align.engines._features import BANDS, FRAME_S, RATE, features
from align.engines.sphinx import check_fits
from align.refine import HOP_S, loudness, refine_edges, speech_level
from align.timing import Span, Timing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.text import Script
    from media.audio import Sound

    Floats = NDArray[np.float32]

__all__ = ["Speak", "SynthAligner", "laid_on"]

Speak = Callable[["Script"], "tuple[Sound, Timing]"]
"""Speaks a script: the sound, and the exact times of its words and phones in it."""

_CEPSTRA = 16
_SIDE_S = 0.06
_LEAST_S = 0.004
# Staying on a frame of the synthesis, going on, and skipping one: what each costs extra.
_STAY, _ON, _SKIP = 0.15, 0.0, 0.15
# Mean cosine distance along the path: about 0.25 for the same words, above 0.6 for others.
_SAME, _OTHER = 0.25, 0.65


@dataclass(frozen=True, slots=True)
class SynthAligner:
    """Aligns by comparing with what `speak` says. See the module."""

    speak: Speak
    name: str = "synth"

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time `script` in `sound`; raises `AlignError` when it cannot fit, and whatever
        `speak` raises.
        """
        check_fits(script, float(sound.duration_s))
        spoken, timing = self.speak(script)
        return laid_on(sound, spoken, timing)


def laid_on(sound: Sound, spoken: Sound, timing: Timing) -> Timing:
    """`timing` of `spoken` carried over to `sound`, which says the same words."""
    duration = float(sound.duration_s)
    ours, theirs = _extent(sound), (timing.phones[0].start_s, timing.phones[-1].end_s)
    reference, recorded = _cepstra(spoken, theirs), _cepstra(sound, ours)
    # As many frames as the recording has: the warp then only has to follow the rhythm.
    at = np.linspace(0, len(reference) - 1, len(recorded))
    low = np.floor(at).astype(int)
    high, part = np.minimum(low + 1, len(reference) - 1), (at - low)[:, None].astype(np.float32)
    stretched = reference[low] * (1 - part) + reference[high] * part
    distance = _distance(recorded, stretched)
    path = _warp(distance)
    costs = distance[np.arange(len(path)), path]
    scale = (theirs[1] - theirs[0]) / max(len(recorded), 1)
    theirs_at = theirs[0] + (path + 0.5) * scale

    def carried(time: float) -> float:
        frame = float(np.searchsorted(theirs_at, time))
        return float(ours[0] + frame * FRAME_S)

    edges = sorted({e for p in timing.phones for e in (p.start_s, p.end_s)})
    moved = _ordered([carried(e) for e in edges], ours, duration)
    fine = _ordered(refine_edges(sound, moved, spread_s=0.015, reach_s=0.03), ours, duration)
    place = dict(zip(edges, fine, strict=True))
    return _rebuilt(timing, place, costs, ours[0], duration)


def _extent(sound: Sound) -> tuple[float, float]:
    """From the first to the last loud moment, in seconds."""
    levels = loudness(sound)
    loud = np.flatnonzero(levels > speech_level(levels))
    duration = float(sound.duration_s)
    if not len(loud):
        return 0.0, duration
    return max(0.0, loud[0] * HOP_S), min(duration, (loud[-1] + 1) * HOP_S)


def _cepstra(sound: Sound, extent: tuple[float, float]) -> Floats:
    """float32 [frames of 10 ms, 32]: cepstra and their slopes, of equal spread."""
    from scipy.fft import dct

    from media.audio import resample

    part = resample(sound.cut(*extent), RATE)
    levels = features(part.samples).reshape(-1, 2, BANDS).mean(axis=1)
    cepstra = dct(levels, axis=1, norm="ortho")[:, :_CEPSTRA]
    slopes = np.gradient(cepstra, axis=0) if len(cepstra) > 1 else np.zeros_like(cepstra)
    both = np.concatenate([cepstra, 2 * slopes], axis=1)
    spread = both.std(axis=0) + 1e-3
    return np.asarray((both - both.mean(axis=0)) / spread, dtype=np.float32)


def _distance(a: Floats, b: Floats) -> Floats:
    """Cosine distance of every row of `a` to every row of `b`: float32 [a, b]."""
    a = a / (np.linalg.norm(a, axis=1, keepdims=True) + 1e-9)
    b = b / (np.linalg.norm(b, axis=1, keepdims=True) + 1e-9)
    return np.asarray(1.0 - a @ b.T, dtype=np.float32)


def _warp(distance: Floats) -> NDArray[np.int64]:
    """The column of each row on the cheapest way from corner to corner.

    From row to row the column stays, goes on by one or by two (Sakoe & Chiba 1978,
    asymmetric); where that cannot reach the corner, it ends as far as it comes.
    """
    rows, columns = distance.shape
    total = np.full(columns + 2, np.inf, np.float32)
    total[2] = distance[0, 0]
    came = np.zeros((rows, columns), np.int8)
    for row in range(1, rows):
        options = np.stack([total[2:] + _STAY, total[1:-1] + _ON, total[:-2] + _SKIP])
        best = options.argmin(axis=0)
        came[row] = best
        total[2:] = options[best, np.arange(columns)] + distance[row]
    column = columns - 1
    while column > 0 and not np.isfinite(total[column + 2]):
        column -= 1
    path = np.zeros(rows, np.int64)
    for row in range(rows - 1, -1, -1):
        path[row] = column
        column = max(0, column - int(came[row, column]))
    return path


def _ordered(times: list[float], extent: tuple[float, float], duration: float) -> list[float]:
    """The same times, ascending by at least 4 ms where there is room, inside the sound."""
    least = min(_LEAST_S, duration / (2 * len(times)))
    found: list[float] = []
    for left, time in zip(range(len(times), 0, -1), times, strict=True):
        floor = found[-1] + least if found else max(0.0, extent[0] - _SIDE_S)
        found.append(min(max(time, floor), duration - (left - 1) * least))
    return found


def _rebuilt(
    timing: Timing, place: dict[float, float], costs: Floats, start: float, duration: float
) -> Timing:
    """The spans of `timing` at their new places, with what the path cost as confidence."""

    def sure(begin: float, end: float) -> float:
        first = min(max(int((begin - start) / FRAME_S), 0), len(costs) - 1)
        cost = float(costs[first : max(int((end - start) / FRAME_S), first + 1)].mean())
        return float(np.clip(0.95 - 0.85 * (cost - _SAME) / (_OTHER - _SAME), 0.05, 0.95))

    phones = tuple(
        Span(p.label, place[p.start_s], place[p.end_s], sure(place[p.start_s], place[p.end_s]))
        for p in timing.phones
    )
    words: list[Span] = []
    for word in timing.words:
        inside = [p for p, q in zip(phones, timing.phones, strict=True) if _within(q, word)]
        if inside:
            begin, end = inside[0].start_s, inside[-1].end_s
            words.append(Span(word.label, begin, end, sure(begin, end)))
    return replace(timing, words=tuple(words), phones=phones, duration_s=duration, engine="synth")


def _within(phone: Span, word: Span) -> bool:
    return word.start_s <= phone.middle_s < word.end_s
