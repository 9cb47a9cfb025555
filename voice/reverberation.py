"""The room in a recording: how long it rings and how much, heard without a test signal.

Speech falls silent many times a second. In a room it cannot fall faster than the room lets
it: at first by the share of the direct sound, then by 60 dB in each reverberation time. So
the steepest falls of the level over 25 to 240 ms, in octave bands, tell both numbers. Dry
speech is put through rooms of every length and strength, as energy only (an envelope and an
exponential: Polack 1988), and the rooms whose falls are most like the recording's are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound, resample

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]

__all__ = ["Room", "envelopes", "measure_room", "room_tail"]

_RATE = 16_000
_STEP = 128  # 8 ms
_BANDS_HZ = (500, 1000, 2000, 4000)
_LAGS = (3, 5, 8, 12, 16, 20, 25, 30)  # steps
_STEEPEST = (0.98, 0.95, 0.9)
_LOUD_DB = 12.0  # a fall is looked at that starts so near the top
_TIMES_S = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
_DIRECT_DB = tuple(range(-9, 28, 3))
_SOFTNESS_DB = 0.15
_DRY_DB = 20.0  # direct sound so far above the room: no room to speak of
_PREDELAY_S = 0.002
_DECAY = 6.907755  # amplitude falls by 60 dB over the reverberation time
_DRY_FILE = Path(__file__).parent / "data" / "dry_speech.npz"
_HIGH_HZ, _HIGH_SHARE = 8000.0, 0.5  # air and curtains: reverberation time at 8 kHz


@dataclass(frozen=True, slots=True)
class Room:
    """`rt60_s` seconds for 60 dB of decay; `direct_db` the direct sound over the reverberation."""

    rt60_s: float
    direct_db: float

    @property
    def is_dry(self) -> bool:
        """Whether there is nothing of a room to be heard."""
        return self.direct_db >= _DRY_DB or self.rt60_s < 0.12


def measure_room(sound: Sound) -> Room:
    """The room of a recording of some seconds of speech, in any noise below it.

    Good to about a quarter of the reverberation time and 3 dB (`tests/voice`); of dry
    speech the time means nothing, and `Room.is_dry` says so.
    """
    found = envelopes(sound)
    loud, quiet = np.percentile(found, 99, axis=1), np.percentile(found, 3, axis=1)
    falls = _falls(found)
    usable = np.isfinite(falls).all(axis=(1, 2)) & (loud > 1e-12)
    if not usable.any():
        return Room(0.0, 60.0)
    rows = []
    for seconds in _TIMES_S:
        for direct in _DIRECT_DB:
            dry = _in_room(_dry_speech()[: len(found)], seconds, direct)
            level = loud / np.percentile(dry, 99, axis=1)
            heard = _falls(dry * level[:, None] + quiet[:, None])
            cost = float(np.mean(np.abs(heard - falls)[usable]))
            rows.append((cost, np.log(seconds), float(direct)))
    costs, log_s, direct_db = np.array(rows).T
    weight = np.exp(-(costs - costs.min()) / _SOFTNESS_DB)
    weight /= weight.sum()
    return Room(float(np.exp(weight @ log_s)), float(weight @ direct_db))


def envelopes(sound: Sound) -> Doubles:
    """Power in octave bands every 8 ms, float64 [bands, steps]; bands that the sound has."""
    from scipy.signal import butter, sosfilt

    rate = min(sound.rate, _RATE)
    samples = resample(sound, _RATE).samples.astype(np.float64)
    found = []
    for centre in _BANDS_HZ:
        low, high = centre / np.sqrt(2), centre * np.sqrt(2)
        if high > 0.5 * rate:
            break
        band = sosfilt(butter(2, (low, high), "band", fs=_RATE, output="sos"), samples) ** 2
        steps = len(band) // _STEP
        found.append(band[: steps * _STEP].reshape(steps, _STEP).mean(axis=1))
    return np.array(found)


def _falls(power: Doubles) -> Doubles:
    """The steepest falls in dB, float64 [bands, lags, quantiles]; NaN where there are none."""
    rows = []
    for band in power:
        even = np.convolve(band, np.ones(3) / 3, "same")
        level = 10 * np.log10(np.maximum(even, np.percentile(even, 5) * 1e-3) + 1e-14)
        top = np.percentile(level, 95) - _LOUD_DB
        lags = []
        for lag in _LAGS:
            fall = (level[:-lag] - level[lag:])[level[:-lag] > top]
            lags.append(np.quantile(fall, _STEEPEST) if fall.size > 20 else [np.nan] * 3)
        rows.append(lags)
    return np.array(rows)


def _in_room(power: Doubles, seconds: float, direct_db: float) -> Doubles:
    """Envelopes after an exponential room: energies add where sound is noise."""
    from scipy.signal import fftconvolve

    steps = max(2, int(1.2 * seconds * _RATE / _STEP))
    tail = np.exp(-2 * _DECAY * (np.arange(steps) + 0.5) * _STEP / _RATE / seconds)
    tail *= 10 ** (-direct_db / 10) / tail.sum()
    tail[0] += 1.0
    mixed = fftconvolve(power, tail[None], axes=1)[:, : power.shape[1]]
    return np.asarray(np.maximum(mixed, 0.0))


@cache
def _dry_speech() -> Doubles:
    """Envelopes of stock voices in no room; made by `benchmarks/match.py --make-dry`."""
    with np.load(_DRY_FILE) as data:
        return np.asarray(10 ** (data["level_db"].astype(np.float64) / 10))


def room_tail(room: Room, rate: int, seed: int) -> Doubles:
    """A room's answer to one sample, float64 [n], the direct sound excluded.

    Noise that decays by 60 dB in `rt60_s` below 1 kHz and faster above, from 2 ms on, with
    the energy that `direct_db` asks for. The same seed gives the same room.
    """
    length = max(8, int(1.1 * room.rt60_s * rate))
    dice = np.random.default_rng((seed, 77))
    time = np.arange(length) / rate
    noise = np.fft.rfft(dice.standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    edges = (0.0, 1000.0, 2000.0, 4000.0, 8000.0, rate)
    tail = np.zeros(length)
    for low, high in pairwise(edges):
        middle = max(np.sqrt(max(low, 500.0) * min(high, 16_000.0)), 1000.0)
        share = np.clip(np.log2(middle / 1000) / np.log2(_HIGH_HZ / 1000), 0, 1)
        seconds = room.rt60_s * (1 - (1 - _HIGH_SHARE) * share)
        band = np.fft.irfft(noise * ((frequencies >= low) & (frequencies < high)), length)
        tail += band * np.exp(-_DECAY * time / seconds)
    tail[: int(_PREDELAY_S * rate)] = 0.0
    energy = float(np.sum(tail**2))
    return np.asarray(tail * np.sqrt(10 ** (-room.direct_db / 10) / max(energy, 1e-30)))
