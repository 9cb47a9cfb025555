"""Speech of our own making whose lips are known: phones, a sound that tells them apart, shapes."""

from __future__ import annotations

import numpy as np

from align.timing import Span, Timing
from align.visemes import curves
from lipsync.crop import LIP_FEATURES
from lipsync.motion import MotionExample
from media.audio import Sound
from media.time import FrameRate

PHONES = ("P", "AA", "S", "IY", "M", "OW", "T", "AE", "W", "EH", "B", "F", "AO", "N")


def talk(seconds: float, seed: int = 0, pause_every: int = 12) -> Timing:
    """Random phones of 60-160 ms, a pause of half a second now and then."""
    rng = np.random.default_rng(seed)
    phones, at = [], 0.4
    while at < seconds - 0.6:
        length = float(rng.uniform(0.06, 0.16))
        phones.append(Span(str(rng.choice(PHONES)), at, at + length))
        at += length + (0.5 if len(phones) % pause_every == 0 else 0.0)
    return Timing((), tuple(phones), seconds)


def voice(timing: Timing, seed: int = 0, rate: int = 16000) -> Sound:
    """Two tones per phone, louder for open ones, over a little noise."""
    rng = np.random.default_rng(seed)
    n = round(timing.duration_s * rate)
    samples = 1e-3 * rng.standard_normal(n)
    for phone in timing.phones:
        i, j = round(phone.start_s * rate), round(phone.end_s * rate)
        t = np.arange(j - i) / rate
        k = PHONES.index(phone.label)
        tone = np.sin(2 * np.pi * (200 + 90 * k) * t) + np.sin(2 * np.pi * (3000 - 130 * k) * t)
        samples[i:j] += (0.02 + 0.01 * (k % 5)) * tone
    return Sound(samples.astype(np.float32), rate)


def lips(
    timing: Timing, rate: FrameRate, n: int, seed: int = 0, noise: float = 0.004
) -> np.ndarray:
    """Shapes float32[n, 7] that follow dominance curves, with a tracker's noise."""
    curve = curves(timing, rate, n).astype(float)
    shapes = np.zeros((n, len(LIP_FEATURES)))
    shapes[:, 0] = 0.01 + 0.2 * curve[:, 0]
    shapes[:, 1] = 0.7 + 0.3 * curve[:, 1]
    shapes[:, 2] = 0.8 + 0.3 * curve[:, 1]
    shapes[:, 3] = 0.25 + 0.25 * curve[:, 0]
    shapes[:, 4] = 0.4 + 0.3 * curve[:, 2]
    shapes[:, 5] = 0.2 + 0.05 * curve[:, 2]
    shapes[:, 6] = 1.8 + 0.15 * curve[:, 0]
    shapes += noise * np.random.default_rng(seed).standard_normal(shapes.shape)
    return np.maximum(shapes, 0.001).astype(np.float32)


def example(seconds: float, rate: FrameRate, seed: int = 0) -> MotionExample:
    """A stretch of that speech, in sync."""
    timing = talk(seconds, seed)
    shapes = lips(timing, rate, rate.frames_in(seconds), seed)
    return MotionExample(timing, voice(timing, seed), shapes, rate)
