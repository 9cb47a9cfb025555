"""One pass over a recording: where somebody speaks, and how it was recorded.

    facts = survey(tape)
    facts.clips, facts.hum, facts.clicks_min, facts.noise_dbfs, facts.snr_db, facts.room

The recording is streamed in blocks of 12 s; what is kept is a number per 20 or 32 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align.recording import at_speech_rate
from align.vad import BLOCK_S, probabilities
from media.audio import Sound
from voice.ingest.clicks import confirmed_clicks, count_clicks
from voice.ingest.cutting import cut_at_pauses, regions
from voice.ingest.hum import Hum, HumMeter
from voice.ingest.tapes import Tape
from voice.reverberation import Room, measure_room

__all__ = ["Survey", "at_full_scale", "floor_and_speech", "frame_power", "survey"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Span = tuple[float, float]

_FRAMES_S = 50  # of power, a second
_SAMPLE_S = 40.0  # of speech, from all over the recording, in which its room is measured
_ROOM_LEAST_S = 10.0
_TONE_SIZE = 1024  # at 16 kHz
_TONAL = -2.2  # logarithm of the spectral flatness below which sound is tones
_HALF_SCALE = 0.5
_SEEN_CLICKS, _ASKED_BLOCKS = 2, 6


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """`clips` and `short` in seconds; levels in dBFS; `clipped` the share of samples in flat tops.

    `room` is None where there is too little speech to hear one; `tonal` says that what is loud
    is made of tones. `pause_s` is the time in which nobody speaks.
    """

    duration_s: float
    speech_s: float
    clips: tuple[Span, ...]
    short: tuple[Span, ...]
    hum: Hum
    clicks_min: float
    clipped: float
    noise_dbfs: float
    speech_dbfs: float
    room: Room | None
    tonal: bool
    pause_s: float

    @property
    def snr_db(self) -> float:
        """Speech above the noise of its pauses."""
        return self.speech_dbfs - self.noise_dbfs


def survey(tape: Tape, progress: Callable[[float], None] = lambda _seconds: None) -> Survey:
    """Measure a recording; `progress` is called with seconds done. Raises `MediaError`."""
    meters = _Meters(tape, progress)
    probability = probabilities(meters.watch())
    duration = meters.samples / tape.rate
    found = regions(probability, duration)
    clips, short = cut_at_pauses(found, duration)
    power = np.concatenate(meters.power) if meters.power else np.zeros(0, np.float32)
    floor, speech = floor_and_speech(power, found)
    return Survey(
        duration_s=duration,
        speech_s=sum(b - a for a, b in found),
        clips=tuple(clips),
        short=tuple(short),
        hum=meters.hum.result(),
        clicks_min=60 * meters.faults() / max(duration, 1.0),
        clipped=meters.clipped / max(meters.samples, 1),
        noise_dbfs=floor,
        speech_dbfs=speech,
        room=_room(tape, clips),
        tonal=meters.is_tonal(),
        pause_s=max(0.0, duration - sum(b - a for a, b in found)),
    )


class _Meters:
    """What is measured block by block, on the way to the speech detector."""

    def __init__(self, tape: Tape, progress: Callable[[float], None]) -> None:
        self.tape, self.progress = tape, progress
        self.hum = HumMeter()
        self.power: list[Floats] = []
        self.samples = self.clicks = self.clipped = 0
        self._asked = self._seen = self._confirmed = 0
        self._flatness: list[Floats] = []

    def watch(self) -> Iterator[Sound]:
        """The blocks at 16 kHz, each measured."""
        for block in self.tape.stream().blocks(BLOCK_S):
            low = at_speech_rate(block)
            self.hum.add(low)
            self.power.append(frame_power(block.samples, block.rate))
            self._count(block)
            self.clipped += int(at_full_scale(block.samples, self.tape.peak).sum())
            self._flatness.append(_flatness(low.samples))
            self.samples += len(block)
            self.progress(self.samples / block.rate)
            yield low

    def _count(self, block: Sound) -> None:
        """Clicks: seen in every block, confirmed in a few, the rest in proportion."""
        seen = count_clicks(block)
        self.clicks += seen
        if seen >= _SEEN_CLICKS and self._asked < _ASKED_BLOCKS:
            self._asked += 1
            self._seen += seen
            self._confirmed += min(confirmed_clicks(block), 2 * seen)

    def faults(self) -> float:
        """Clicks that are faults of the recording, in all of it."""
        return self.clicks * self._confirmed / self._seen if self._seen else 0.0

    def is_tonal(self) -> bool:
        """Whether the loud parts are tones rather than noise."""
        found = np.concatenate(self._flatness) if self._flatness else np.zeros(0, np.float32)
        found = found[np.isfinite(found)]
        return bool(found.size > 10 and np.median(found) < _TONAL)


def frame_power(samples: Floats, rate: int) -> Floats:
    """Mean square of every 20 ms, without the block's steady offset: float32 [n]."""
    size = max(1, rate // _FRAMES_S)
    count = len(samples) // size
    if not count:
        return np.zeros(0, np.float32)
    frames = samples[: count * size].reshape(count, size).astype(np.float64)
    return np.asarray(((frames - frames.mean()) ** 2).mean(axis=1), dtype=np.float32)


def _flatness(samples: Floats) -> Floats:
    """Logarithm of the spectral flatness (0.1 to 5 kHz) of frames; NaN where it is quiet."""
    count = len(samples) // _TONE_SIZE
    if not count:
        return np.zeros(0, np.float32)
    frames = samples[: count * _TONE_SIZE].reshape(count, _TONE_SIZE) * np.hanning(_TONE_SIZE)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 6:320]) ** 2 + 1e-14
    mean = power.mean(axis=1)
    flat = np.log(power).mean(axis=1) - np.log(mean)
    flat[mean < 1e-6] = np.nan
    return np.asarray(flat / np.log(10), dtype=np.float32)


def at_full_scale(samples: Floats, peak: float) -> Bools:
    """Samples inside a flat top: three or more alike at the recording's own `peak`."""
    if peak < _HALF_SCALE or len(samples) < 3:
        return np.zeros(len(samples), bool)
    flat = np.abs(samples) >= peak * 0.9995
    run = flat.copy()
    run[1:-1] = flat[1:-1] & flat[:-2] & flat[2:]
    return run


def floor_and_speech(power: Floats, spoken: Sequence[Span]) -> tuple[float, float]:
    """(noise, speech) in dBFS from the power of 20 ms frames and where somebody speaks.

    The noise is the level of the pauses, or of the quietest twentieth where that is lower:
    breaths and lips sound in the pauses of a close microphone, and are not its noise.
    """
    if not len(power):
        return -120.0, -120.0
    quiet = np.ones(len(power), bool)
    for start, end in spoken:
        quiet[int(start * _FRAMES_S) : int(end * _FRAMES_S) + 1] = False
    floor = float(np.percentile(power, 5))
    if quiet.sum() >= 10:
        floor = min(floor, float(np.median(power[quiet])))
    speech = float(power[~quiet].mean()) if (~quiet).any() else 0.0
    return _decibels(floor), _decibels(speech)


def _decibels(power: float) -> float:
    return float(10 * np.log10(power + 1e-12))


def _room(tape: Tape, clips: Sequence[Span]) -> Room | None:
    """The room, heard in clips from all over the recording."""
    if sum(b - a for a, b in clips) < _ROOM_LEAST_S:
        return None
    length = sum(b - a for a, b in clips) / len(clips)
    count = min(len(clips), max(1, round(_SAMPLE_S / length)))
    chosen = [clips[int((k + 0.5) * len(clips) / count)] for k in range(count)]
    parts = [at_speech_rate(sound).samples for sound in tape.stream().windows(chosen)]
    return measure_room(Sound(np.concatenate(parts), 16_000))
