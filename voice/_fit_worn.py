"""What a narrow band of recordings lacks, lent by the voice that a fit starts from.

A narrow clip says nothing about the rest of the band, where a fit would drift: what has no
measure goes wherever the numbers that are measured take it. There the voice that the fit starts
from, saying the same words, is the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from voice._band import band_filter
from voice._fit_targets import FRAME_SAMPLES

if TYPE_CHECKING:
    from voice._fit_gradient import Prepared
    from voice.engines.kokoro_model import KokoroModel

__all__ = ["lent"]

Floats = NDArray[np.float32]


def lent(
    model: KokoroModel, prepared: Sequence[Prepared], style: Floats, low_hz: float, top_hz: float
) -> list[Prepared]:
    """The targets with what lies outside their band from the engine's own sound in `style` [256],
    which says the same words with the same lengths, pitch and energy."""
    band = band_filter(top_hz, low_hz=low_hz)
    if band is None:
        return list(prepared)
    whole, band = torch.from_numpy(style.copy())[None].to(model.device), band.to(model.device)
    made = []
    with torch.no_grad():
        for item in prepared:
            spoken = model.decode(item.acoustic, item.f0, item.energy, whole)
            count = min(spoken.shape[1], len(item.samples), FRAME_SAMPLES * item.acoustic.shape[1])
            both = torch.stack((item.samples[:count], spoken[0, :count]))[:, None]
            inside = torch.conv1d(both, band, padding=band.shape[-1] // 2)[:, 0]
            made.append(replace(item, samples=inside[0] + both[1, 0] - inside[1]))
    return made
