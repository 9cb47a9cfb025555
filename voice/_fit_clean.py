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
    from voice.archive import Clip

__all__ = ["NOISY_DB", "without_noise"]

_log = logging.getLogger(__name__)

NOISY_DB = 20.0
"""Clips whose speech lies less above their noise than this are cleaned."""
_WARM_UP_S = 1.0  # the network needs a moment to know the noise; it hears the clip's first second


def without_noise(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips, noisy ones cleaned and with their `noise` apart.

    As they are where the denoiser does not load, which is logged. Raises `WeightsError`.
    """
    if all(clip.snr_db >= NOISY_DB for clip in clips):
        return tuple(clips)
    found: list[Clip] = []
    try:
        denoiser = Denoiser()
        for clip in clips:
            if clip.snr_db >= NOISY_DB:
                found.append(clip)
                continue
            sound = _clean(denoiser, clip.sound)
            noise = clip.sound.samples - sound.samples
            found.append(replace(clip, sound=sound, noise=noise))
    except EngineMissingError as error:
        _log.warning("the noise stays in the recordings: %s", error)
        return tuple(clips)
    cleaned = sum(clip.noise is not None for clip in found)
    _log.info("%d of %d clips cleaned of noise", cleaned, len(found))
    return tuple(found)


def _clean(denoiser: Denoiser, sound: Sound) -> Sound:
    before = sound.samples[: round(_WARM_UP_S * sound.rate)]
    whole = Sound(np.concatenate((before, sound.samples)), sound.rate)
    return replace(sound, samples=denoiser.clean(whole).samples[len(before) :])
