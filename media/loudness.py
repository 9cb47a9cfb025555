"""How loud a sound is: ITU-R BS.1770-4 loudness, plain level, and a gain to reach either."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from media.audio import Sound

__all__ = ["at_loudness", "integrated_lufs", "peak_dbfs", "rms_dbfs"]

# BS.1770 measures in blocks of 400 ms; a shorter sound is one block of its own length.
_BLOCK_S = 0.4


def integrated_lufs(sound: Sound) -> float:
    """Integrated loudness (LUFS) with both gates of ITU-R BS.1770-4; -inf for silence.

    A full-scale 997 Hz sine in this one channel is -3.01 LUFS.
    """
    import pyloudnorm

    length = len(sound) / sound.rate
    if length == 0 or not sound.samples.any():
        return -math.inf
    meter = pyloudnorm.Meter(sound.rate, block_size=min(_BLOCK_S, length))
    loudness = float(meter.integrated_loudness(sound.samples.astype(np.float64)))
    return -math.inf if math.isnan(loudness) else loudness


def rms_dbfs(sound: Sound) -> float:
    """Root mean square level in dB below a sample of 1.0; -inf for silence."""
    if not len(sound):
        return -math.inf
    power = float(np.mean(sound.samples.astype(np.float64) ** 2))
    return 10 * math.log10(power) if power else -math.inf


def peak_dbfs(sound: Sound) -> float:
    """Largest sample in dB below 1.0; -inf for silence."""
    peak = float(np.abs(sound.samples).max(initial=0.0))
    return 20 * math.log10(peak) if peak else -math.inf


def at_loudness(sound: Sound, lufs: float, *, ceiling_dbfs: float = -1.0) -> Sound:
    """The sound at `lufs`, or as near as its peaks stay below `ceiling_dbfs` allow.

    Only a gain: nothing is compressed. Silence is returned as it is.
    """
    now = integrated_lufs(sound)
    if math.isinf(now):
        return sound
    gain_db = min(lufs - now, ceiling_dbfs - peak_dbfs(sound))
    return replace(sound, samples=(sound.samples * 10 ** (gain_db / 20)).astype(np.float32))
