"""An inaudible mark in every generated sound that says: made by a machine.

    marked = watermark(sound)         # same rate and length, level unchanged
    detect(marked)                    # Reading(found=True, confidence=0.99, ...)

The mark is Perth's (Resemble AI, MIT licence): presence only, no message. It survives AAC,
MP3 and Opus, resampling and cuts down to a second; it is lost under heavy noise (10 dB)
or a change of speed of a few per cent, so its absence proves nothing.

It is computed at 32 kHz and added as a residual below 2 kHz: whatever rate the sound has,
what lies above is the recording's own. The residual is scaled against the sound so that the
level in the band stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.errors import ProvenanceError

if TYPE_CHECKING:
    from media.audio import Sound
    from studio._perth import PerthNet

__all__ = ["Reading", "detect", "watermark"]

# Windows of clean speech reach .35 at 6 s, .52 at 3 s and .87 at 1 s; marked ones stay above
# .95, and .76 at 1 s (benchmarks/watermark.py).
_THRESHOLD, _SHORT_THRESHOLD = 0.6, 0.9
_SHORT_S = 2.5
# Parts of Perth's own strength, the gentler one where it holds: .7 costs .05 of DNSMOS, 1 .12.
_STRENGTHS = (0.7, 1.0)
_HOLDS = 0.9  # confidence at which a strength is good enough
_BLOCK_S, _OVERLAP_S = 20, 1  # seconds worked at a time, so that memory stays small
_WINDOW_S, _HOP_S = 6, 3  # seconds looked at by `detect`
_SILENT = 1e-3  # a window that stays below (-60 dBFS) needs no mark


@dataclass(frozen=True, slots=True)
class Reading:
    """What `detect` heard: whether the mark is there, how surely (0..1), and where.

    `spans` are the stretches (start, end in seconds) whose own confidence is above the
    threshold; windows overlap, so they are good to about three seconds.
    """

    found: bool
    confidence: float
    spans: tuple[tuple[float, float], ...]


def watermark(sound: Sound) -> Sound:
    """The same sound with the mark in it: same rate, length and start.

    A sound that already carries the mark throughout comes back as it is. Raises
    `ProvenanceError` when the mark does not hold in this sound (silence, or too short:
    under about half a second of speech), because nothing may leave unmarked.
    """
    if _carries_throughout(sound):
        return sound
    for strength in _STRENGTHS:
        marked = _marked(sound, strength)
        reading = detect(marked)
        if reading.confidence >= _HOLDS:
            return marked
    if reading.found:
        return marked
    raise ProvenanceError(
        f"the watermark does not hold in this sound of {float(sound.duration_s):.1f} s "
        "(silent, or too little speech); make a longer or louder line"
    )


def detect(sound: Sound) -> Reading:
    """Look for the mark in windows of 6 s; the surest window decides."""
    found: list[tuple[float, float]] = []
    best = 0.0
    for first, last, confidence, _ in _windows(sound):
        best = max(best, confidence)
        if confidence >= _threshold(last - first):
            if found and found[-1][1] >= first:
                first = found.pop()[0]
            found.append((first, last))
    return Reading(bool(found), best, tuple(found))


def _carries_throughout(sound: Sound) -> bool:
    """Whether the mark is there and no window that sounds is without it."""
    marked = [
        confidence >= _threshold(last - first)
        for first, last, confidence, sounds in _windows(sound)
        if sounds
    ]
    return bool(marked) and all(marked)


def _threshold(length_s: float) -> float:
    """The confidence from which a window of so many seconds counts as marked."""
    return _THRESHOLD if length_s >= _SHORT_S else _SHORT_THRESHOLD


def _windows(sound: Sound) -> Iterator[tuple[float, float, float, bool]]:
    """(start s, end s, confidence, whether anything sounds) of each window."""
    from studio._perth import RATE

    samples = _at_rate(sound, RATE)
    window, hop = _WINDOW_S * RATE, _HOP_S * RATE
    for start in range(0, max(1, len(samples) - window + hop), hop):
        piece = samples[start : start + window]
        sounds = bool(len(piece)) and float(np.abs(piece).max()) > _SILENT
        yield start / RATE, (start + len(piece)) / RATE, _confidence(piece), sounds


@cache
def _network() -> PerthNet:
    from studio._perth import load_perth
    from weights.registry import locate

    return load_perth(locate("perth") / "perth_net_250000.pth.tar")


def _at_rate(sound: Sound, rate: int) -> NDArray[np.float32]:
    from media.audio import resample

    return resample(sound, rate).samples


def _confidence(samples: NDArray[np.float32]) -> float:
    import torch

    from studio._perth import RATE

    if len(samples) < RATE // 4:
        return 0.0
    with torch.inference_mode():
        return _network().confidence(torch.from_numpy(np.array(samples)))


def _marked(sound: Sound, strength: float) -> Sound:
    from media.audio import Sound as MediaSound
    from media.audio import resample
    from studio._perth import RATE

    residual = _residual(_at_rate(sound, RATE), strength)
    back = resample(MediaSound(residual, RATE), sound.rate).samples
    samples = sound.samples.copy()
    n = min(len(samples), len(back))
    samples[:n] += back[:n]
    return replace(sound, samples=samples)


def _residual(samples: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """The mark for a whole 32 kHz sound, block by block, cross-faded where blocks meet."""
    from studio._perth import RATE

    step, overlap = _BLOCK_S * RATE, _OVERLAP_S * RATE
    residual = np.zeros(len(samples), np.float32)
    ramp = np.linspace(0, 1, overlap, dtype=np.float32)
    for start in range(0, max(1, len(samples) - overlap), step):
        block = samples[start : start + step + overlap]
        mark = _block_residual(block, strength)
        if start:
            mark[:overlap] *= ramp[: len(mark)]
        if start + len(block) < len(samples):
            mark[-overlap:] *= ramp[::-1]
        residual[start : start + len(block)] += mark
    return residual


def _block_residual(block: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """The mark for one block, less so much of the block's own band that the level stays.

    With the block q, its band l and the mark r, the share a solves |q + r - a l| = |q|.
    """
    import torch

    from studio._perth import RATE

    edge = RATE // 8  # so that the ends are inside whole windows
    if not block.any():
        return np.zeros_like(block)
    with torch.inference_mode():
        mark, band = _network().mark_and_band(torch.from_numpy(np.pad(block, edge)))
    r = strength * mark.numpy()[edge:-edge].astype(np.float64)
    low, q = band.numpy()[edge:-edge].astype(np.float64), block.astype(np.float64)
    # The root near 0 of a2 l.l - 2a l.(q + r) + 2 q.r + r.r = 0.
    square, half, rest = low @ low, low @ (q + r), 2 * (q @ r) + r @ r
    inside = half * half - square * rest
    if inside >= 0 and half > 0:
        r -= rest / (half + np.sqrt(inside)) * low
    return r.astype(np.float32)
