"""Noisy clips before a fit: without their noise, and what that noise was.

A voice must not learn the noise of its recordings, and the first encoder would: it takes the
person's noise for the person. What the denoiser takes out says below which level its result is
invention, so that the fit can be blind there (`MelLoss`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from media.audio import Sound
from media.errors import EngineMissingError
from voice.ingest.denoise import Denoiser

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voice.archive import Clip

    Floats = NDArray[np.float32]

__all__ = ["NOISY_DB", "without_noise"]

_log = logging.getLogger(__name__)

NOISY_DB = 20.0
"""Clips whose speech lies less above their noise than this are cleaned."""
_WARM_UP_S = 1.0  # the network needs a moment to know the noise; it hears the clip's first second


def without_noise(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], Floats | None]:
    """(the clips, noisy ones cleaned; the noise float32 [n] beside speech of RMS 1).

    The noise is None where nothing was cleaned, and where the denoiser does not load.
    """
    if all(clip.snr_db >= NOISY_DB for clip in clips):
        return tuple(clips), None
    found: list[Clip] = []
    noise: list[Floats] = []
    try:
        with Denoiser() as denoiser:
            for clip in clips:
                if clip.snr_db >= NOISY_DB:
                    found.append(clip)
                    continue
                sound = _clean(denoiser, clip.sound)
                found.append(replace(clip, sound=sound))
                level = float(np.sqrt(np.mean(sound.samples.astype(np.float64) ** 2)))
                noise.append((clip.sound.samples - sound.samples) / np.float32(max(level, 1e-6)))
    except EngineMissingError as error:
        _log.warning("noise stays in the recordings: %s", error)
        return tuple(clips), None
    _log.info("%d of %d clips cleaned of noise", len(noise), len(clips))
    return tuple(found), np.concatenate(noise).astype(np.float32)


def _clean(denoiser: Denoiser, sound: Sound) -> Sound:
    before = sound.samples[: round(_WARM_UP_S * sound.rate)]
    whole = Sound(np.concatenate((before, sound.samples)), sound.rate)
    return replace(sound, samples=denoiser.clean(whole).samples[len(before) :])
