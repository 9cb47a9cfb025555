"""What is heard: the scene, and three old recordings of the same voice.

A recording is made old in four steps: a small room (noise decaying exponentially, the
classic model of late reverberation), a narrow band, hiss and hum, a slow wow of the tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from align.text import speakable
from align.timing import Span, Timing
from media.audio import Sound, resample
from voice.engines import get_synthesizer
from voice.prosody import Prosody
from voice.voice import Voice

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Age:
    """How old a recording sounds. Times in seconds, levels in dB below the speech."""

    reverb_s: float
    wetness: float
    low_hz: float
    high_hz: float
    hiss_db: float
    hum_db: float
    wow: float
    rate: int


AGES = {
    "reel_01_studio": Age(0.45, 0.10, 70, 7000, 44, 62, 0.0008, 24000),
    "reel_02_field": Age(0.18, 0.06, 120, 7800, 34, 90, 0.0012, 24000),
    "reel_03_telephone": Age(0.25, 0.05, 300, 3400, 38, 52, 0.0, 16000),
}


def say(
    sentences: Sequence[str], voice: Voice, *, pause: float, lead: float, tail: float, speed: float
) -> tuple[Sound, Timing]:
    """Sentences with pauses (seconds) before, between and after; exact timing."""
    engine = get_synthesizer("kokoro")
    parts: list[NDArray[np.float32]] = []
    words: list[Span] = []
    phones: list[Span] = []
    rate, count = 24000, 0

    def silence(seconds: float) -> None:
        nonlocal count
        parts.append(np.zeros(round(seconds * rate), np.float32))
        count += len(parts[-1])

    silence(lead)
    for number, sentence in enumerate(sentences):
        if number:
            silence(pause)
        spoken = engine.speak(speakable(sentence), voice, Prosody(speed=speed))
        at = count / rate
        words += [Span(s.label, s.start_s + at, s.end_s + at) for s in spoken.timing.words]
        phones += [Span(s.label, s.start_s + at, s.end_s + at) for s in spoken.timing.phones]
        parts.append(spoken.sound.samples)
        count += len(spoken.sound)
    silence(tail)
    sound = Sound(np.concatenate(parts), rate)
    return sound, Timing(tuple(words), tuple(phones), count / rate, engine="exact")


def at_level(sound: Sound, rms_db: float = -22.0) -> Sound:
    """Speech brought to an RMS level (dB of full scale), peaks kept below full scale."""
    x = sound.samples.astype(np.float64)
    loud = x[np.abs(x) > 1e-3]
    gain = 10 ** (rms_db / 20) / max(float(np.sqrt(np.mean(loud**2))), 1e-9)
    gain = min(gain, 0.97 / max(float(np.abs(x).max()), 1e-9))
    return Sound((x * gain).astype(np.float32), sound.rate)


def grow_old(sound: Sound, age: Age, seed: int) -> Sound:
    """The sound as an old recording, at the recording's own rate."""
    rng = np.random.default_rng(seed)
    x = at_level(sound).samples.astype(np.float64)
    rate = sound.rate
    x = _wow(x, rate, age.wow, rng)
    x = x + age.wetness * 6 * _late_room(x, rate, age.reverb_s, rng)
    level = float(np.sqrt(np.mean(x[np.abs(x) > 1e-3] ** 2)))
    hiss = rng.standard_normal(len(x))
    x = x + level * 10 ** (-age.hiss_db / 20) * hiss
    t = np.arange(len(x)) / rate
    hum = np.sin(2 * np.pi * 50 * t) + 0.5 * np.sin(2 * np.pi * 150 * t + 1)
    x = x + level * 10 ** (-age.hum_db / 20) * hum
    band = signal.butter(4, [age.low_hz, age.high_hz], "bandpass", fs=rate, output="sos")
    x = signal.sosfilt(band, x)
    # Tape saturates softly; a telephone clips a little.
    x = np.tanh(1.6 * x) / 1.6
    return at_level(resample(Sound(x.astype(np.float32), rate), age.rate))


def _late_room(x: Array, rate: int, seconds: float, rng: np.random.Generator) -> Array:
    n = int(seconds * rate)
    t = np.arange(n) / rate
    tail = rng.standard_normal(n) * 10 ** (-3 * t / seconds)
    tail[: int(0.006 * rate)] = 0
    tail /= np.sqrt((tail**2).sum())
    soft = signal.butter(1, 4200, fs=rate, output="sos")
    return np.asarray(signal.fftconvolve(x, signal.sosfilt(soft, tail))[: len(x)]) * 0.6


def _wow(x: Array, rate: int, depth: float, rng: np.random.Generator) -> Array:
    if not depth:
        return x
    t = np.arange(len(x)) / rate
    drift = depth * (np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6)) / (2 * np.pi * 0.7))
    drift += 0.4 * depth * np.sin(2 * np.pi * 5.3 * t) / (2 * np.pi * 5.3)
    return np.interp(t + drift, t, x)
