"""The last resort: phones spread over the loud parts of a sound.

Every phone gets a typical length, and the words together are stretched over the frames
that are louder than the pauses. Far better than losing the file, and marked as such: the
confidence is at most 0.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from align.phones import VOWELS, without_stress
from align.timing import Span, Timing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.text import Script
    from media.audio import Sound

__all__ = ["CONFIDENCE", "spread"]

CONFIDENCE = 0.1
_HOP_S = 0.01


def _loud(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Seconds of the frames that are speech rather than pause; all when none stands out."""
    hop = max(1, round(rate * _HOP_S))
    count = max(1, len(samples) // hop)
    frames = np.resize(samples, count * hop).reshape(count, hop).astype(np.float64)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
    floor, top = np.percentile(level, 5), np.percentile(level, 95)
    loud = level > floor + 0.3 * (top - floor)
    chosen = np.flatnonzero(loud) if top - floor > 10 and loud.sum() > 3 else np.arange(count)
    return np.asarray(chosen * _HOP_S, dtype=np.float64)


def spread(sound: Sound, script: Script) -> Timing:
    """Time `script` by the loudness of `sound` alone; always answers."""
    duration = float(sound.duration_s)
    times = _loud(sound.samples, sound.rate)
    weights = np.array(
        [1.6 if without_stress(p) in VOWELS else 1.0 for w in script.words for p in w.phones]
    )
    # Boundaries as positions on the axis of loud time, then back to real time.
    shares = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    axis = np.append(times, min(times[-1] + _HOP_S, duration))
    edges = np.interp(shares * (len(axis) - 1), np.arange(len(axis)), axis)
    edges = np.clip(edges, 0.0, duration)
    least = 1e-4 * duration / len(weights)
    for i in range(1, len(edges)):
        edges[i] = max(edges[i], edges[i - 1] + least)
    edges *= min(1.0, duration / edges[-1])
    return _timing(script, edges, duration)


def _timing(script: Script, edges: NDArray[np.float64], duration: float) -> Timing:
    phones: list[Span] = []
    words: list[Span] = []
    at = 0
    for first, last in script.written_words():
        begin = at
        for word in script.words[first:last]:
            for phone in word.phones:
                span = Span(
                    without_stress(phone), float(edges[at]), float(edges[at + 1]), CONFIDENCE
                )
                phones.append(span)
                at += 1
        written = script.words[first].written
        words.append(Span(written, float(edges[begin]), float(edges[at]), CONFIDENCE))
    return Timing(tuple(words), tuple(phones), duration, engine="spread")
