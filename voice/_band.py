"""Sound cut to a band, so that like meets like."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from media.audio import Sound

__all__ = ["ENCODERS_HEAR_HZ", "band_filter", "band_limited"]

ENCODERS_HEAR_HZ = 7_500.0
"""A band wider than this needs no limiting before speaker encoders compare."""


def band_filter(top_hz: float, rate: int = 24_000, low_hz: float = 0.0) -> Tensor | None:
    """Linear-phase filter [1, 1, taps] that keeps `low_hz` to `top_hz`; None where there is
    nothing to cut. 257 taps, four times as many for a lower edge."""
    from scipy.signal import firwin

    edges = [hz for hz in (low_hz, top_hz) if 0 < hz < 0.48 * rate]
    if not edges:
        return None
    taps = 257 if low_hz <= 0 else 1025
    found = firwin(taps, edges, fs=rate, window=("kaiser", 8.0), pass_zero=low_hz <= 0)
    return torch.from_numpy(found.astype(np.float32))[None, None]


def band_limited(sound: Sound, top_hz: float, low_hz: float = 0.0) -> Sound:
    """`sound` as a recording with that band would have it, so that like meets like."""
    top_hz = top_hz if top_hz < ENCODERS_HEAR_HZ else sound.rate / 2
    band = band_filter(top_hz, sound.rate, low_hz)
    if band is None:
        return sound
    samples = torch.from_numpy(sound.samples)[None, None]
    filtered = torch.conv1d(samples, band, padding=band.shape[-1] // 2)[0, 0]
    return Sound(filtered.numpy(), sound.rate, sound.start)
