"""Boundaries moved to where the sound itself changes.

Aligners place boundaries on a grid of 10 ms (25 ms for a synthesiser's durations) and with
a bias per phone. Speech changes abruptly at most boundaries: closures, bursts, the
start of voicing or of friction. Each boundary moves to the strongest change of the
short-time spectrum nearby, weighed by its distance, and never past its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from media.audio import Sound

__all__ = [
    "BEFORE_S",
    "CLOSURE_S",
    "HOP_S",
    "STOPS",
    "loudness",
    "novelty",
    "phrase_end",
    "phrase_start",
    "refine_edges",
    "speech_level",
]

HOP_S = 0.0025
_WINDOW_S = 0.012
_BANDS = 18
_RUMBLE_HZ = 250.0
_SIDE_S = 0.015
_LEAST_PHONE_S = 0.02
STOPS = frozenset("PTKBDG") | {"CH", "JH"}
"""Sounds that begin with a closure."""
CLOSURE_S = 0.05
"""The silent closure of a stop that opens a phrase: the mouth is there before the burst."""
BEFORE_S = 0.06
"""So much farther back than it is told to, `phrase_start` looks."""
_QUIET_S = 0.04


def _band_levels(sound: Sound) -> NDArray[np.float64]:
    """Log energies in bands of equal width in Bark: [frames, bands], a frame per 2.5 ms."""
    rate = sound.rate
    hop, size = HOP_S * rate, max(32, round(_WINDOW_S * rate))
    samples = np.pad(sound.samples, size)
    count = int(len(sound.samples) / hop) + 1
    starts = (np.arange(count) * hop).astype(np.int64) + size - size // 2
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)
    window = np.hanning(size).astype(np.float32)
    weights = _bands(rate, size)
    levels = np.empty((count, _BANDS))
    for at in range(0, count, 1024):
        spectrum = np.fft.rfft(frames[starts[at : at + 1024]] * window, size * 2)
        powers = spectrum.real**2 + spectrum.imag**2
        levels[at : at + 1024] = np.log(powers @ weights + np.float32(1e-9))
    return levels


def _bands(rate: int, size: int) -> NDArray[np.float32]:
    """What each frequency of a window of `size` samples gives to each band: [size + 1, bands]."""
    frequencies = np.fft.rfftfreq(size * 2, 1 / rate)
    bark = 26.81 / (1 + 1960 / np.maximum(frequencies, 1)) - 0.53  # Traunmueller 1990
    top = min(20.0, float(bark[-1]))
    place = np.clip((bark / top * _BANDS).astype(int), -1, _BANDS - 1)
    pool = np.stack([(place == b) & (frequencies > 60) for b in range(_BANDS)], axis=1)
    return np.asarray(pool / np.maximum(pool.sum(axis=0), 1), dtype=np.float32)


def novelty(sound: Sound) -> NDArray[np.float64]:
    """How much the spectrum changes at each 2.5 ms: distance of the means on both sides."""
    levels = _band_levels(sound)
    # A noise floor common to both sides must not drown a change: compress below it.
    floor = np.percentile(levels, 10, axis=0)
    levels = np.maximum(levels, floor)
    side = round(_SIDE_S / HOP_S)
    total = np.concatenate([np.zeros((1, levels.shape[1])), np.cumsum(levels, axis=0)])
    count = len(levels)
    at = np.arange(count)
    left, right = np.maximum(at - side, 0), np.minimum(at + side, count)
    before = (total[at] - total[left]) / np.maximum(at - left, 1)[:, None]
    after = (total[right] - total[at]) / np.maximum(right - at, 1)[:, None]
    change = np.sqrt(((after - before) ** 2).mean(axis=1))
    change[0] = 0.0
    return np.asarray(change, dtype=np.float64)


def loudness(sound: Sound) -> NDArray[np.float64]:
    """Level in dB (re full scale) above 250 Hz in windows of 15 ms, one per 2.5 ms.

    Hum and rumble lie below 250 Hz, and every speech sound reaches above it.
    """
    rate = sound.rate
    half = round(0.0075 * rate)
    above = _above(sound.samples, rate)
    power = np.concatenate([[0.0], np.cumsum(above * above, dtype=np.float64)])
    count = int(len(sound.samples) / (HOP_S * rate)) + 1
    centres = (np.arange(count) * HOP_S * rate).astype(np.int64)
    low, high = np.maximum(centres - half, 0), np.minimum(centres + half, len(sound.samples))
    mean = (power[high] - power[low]) / np.maximum(high - low, 1)
    return np.asarray(10 * np.log10(np.maximum(mean, 0.0) + 1e-10), dtype=np.float64)


def _above(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """`samples` without what lies below 250 Hz.

    A Butterworth filter of second order there and back, which shifts nothing, as one product of
    spectra: `scipy.signal` takes two seconds to load.
    """
    size = -(-(len(samples) + rate // 50) // 1024) * 1024  # silence for its echo to fade in
    turn = np.tan(np.minimum(np.pi / size * np.arange(size // 2 + 1), 1.57)) ** 4
    corner = np.tan(np.pi * _RUMBLE_HZ / rate) ** 4
    gain = (turn / (turn + corner)).astype(np.float32)
    found = np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)]
    return np.asarray(found, dtype=np.float32)


def speech_level(levels: NDArray[np.float64]) -> float:
    """The level in dB above which a sound with these `loudness` levels is speech."""
    floor, top = np.percentile(levels, 5), np.percentile(levels, 97)
    return float(max(top - 38.0, floor + 0.25 * (top - floor)))


def phrase_start(loud: NDArray[np.bool_], start: float, end: float, phone: str) -> float:
    """Where the first phone after a pause begins: the loud frames at the end of [start, end).

    `loud` says for every 2.5 ms whether it is louder than `speech_level`. A click or a
    breath that 40 ms of quiet divide from the rest belongs to the pause. Stops keep a
    silent closure before their burst.
    """
    low, high = max(0, round((start - BEFORE_S) / HOP_S)), round(end / HOP_S)
    inside = np.flatnonzero(loud[low:high])
    if not len(inside):
        return start
    breaks = np.flatnonzero(np.diff(inside) * HOP_S >= _QUIET_S)
    first = inside[breaks[-1] + 1] if len(breaks) else inside[0]
    heard = float((low + first) * HOP_S)
    return min(heard, max(start, heard - CLOSURE_S)) if phone in STOPS else heard


def phrase_end(loud: NDArray[np.bool_], start: float, end: float) -> float:
    """Where the last phone before a pause ends: the last loud frame in [start, end)."""
    low, high = max(0, round(start / HOP_S)), max(0, round(end / HOP_S))
    inside = np.flatnonzero(loud[low:high])
    return float((low + inside[-1] + 1) * HOP_S) if len(inside) else min(end, start + 0.05)


def refine_edges(
    sound: Sound, edges: Sequence[float], spread_s: float = 0.010, reach_s: float = 0.025
) -> list[float]:
    """`edges` (seconds, ascending) moved to the change of the sound nearby.

    `spread_s` is how far off they are believed to be (standard deviation), `reach_s` the
    farthest move. Order is kept, and phones stay 20 ms long where they were longer.
    """
    change = novelty(sound)
    found = list(edges)
    for i, edge in enumerate(edges):
        low, high = edge - reach_s, edge + reach_s
        if i > 0:
            low = max(low, min(found[i - 1] + _LEAST_PHONE_S, edge))
        if i + 1 < len(edges):
            high = min(high, max(edges[i + 1] - _LEAST_PHONE_S, edge))
        first, last = int(np.ceil(low / HOP_S)), int(np.floor(high / HOP_S)) + 1
        first, last = max(first, 0), min(last, len(change))
        if last - first < 3:
            continue
        times = np.arange(first, last) * HOP_S
        merit = change[first:last] * np.exp(-0.5 * ((times - edge) / spread_s) ** 2)
        found[i] = float(times[int(np.argmax(merit))])
    return found
