"""How a recording sounds, apart from who speaks: its spectrum, band, room, noise and level.

    facts = measure_acoustics(read_sound(Path("scene.wav")))
    facts.level_dbfs, facts.noise_dbfs, facts.bandwidth_hz, facts.room
    spectrum_distance(facts, other)                # dB

Speech and pauses are told apart by silero-vad and level together. The spectrum of the
speech is that of the frames that speak less that of the pauses, so that the noise is not
taken for the voice's colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound
from media.errors import NoSpeechError
from voice.reverberation import Room, measure_room

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = [
    "BAND_HZ",
    "Acoustics",
    "band_levels",
    "measure_acoustics",
    "smoothed",
    "spectrum_distance",
]

BAND_HZ = tuple(round(1000 * 10 ** (k / 10)) for k in range(-10, 11))
"""Centres of the third-octave bands in which spectra are compared, 100 Hz to 10 kHz."""
_FRAME_S = 0.0427  # 2048 samples at 48 kHz
_LONGEST_S = 120.0  # of a reference: more does not change the figures
_SPEAKS, _PAUSES = 0.5, 0.2  # probability of speech
_WITHIN_DB = 25.0  # of the loud frames: what counts as speech
_AFTER_SPEECH_S, _BEFORE_SPEECH_S = 0.25, 0.08  # not yet a pause: the room still sounds
_LEAST_PAUSE_S = 0.3
_FLOOR = 1e-15  # power per Hz of digital silence, -150 dB
_RANGE_DB = 60.0  # below the whole: what a spectrum is compared down to
_RUMBLE_HZ = 40.0
_SYLLABLE_S, _FEWEST_SYLLABLES = 0.25, 4
_UNKNOWN_DB2 = 9.0
_BAND_SHARE = 10**-4.0  # of the strongest part: what still counts as inside the band


@dataclass(frozen=True, slots=True, eq=False)
class Acoustics:
    """What was measured of one recording.

    `speech` and `noise` float64 [bins]: power per Hz at `frequencies` (0 to half of `rate`),
    the speech without the noise. `heard` is the spectrum of speaking frames as they are.
    `level_dbfs` is the RMS level of the speech, `noise_dbfs` that of the pauses (above 40 Hz;
    -120 and less is digital silence); `bandwidth_hz` the lowest and highest frequency at which
    speech stands out; `room` None where it was not measured. `doubt` float64 [bins] is the variance
    in dB^2 of `speech` that comes from these words having been said and no others; where the speech
    is below the noise it is 9 at least.
    """

    rate: int
    frequencies: Doubles
    speech: Doubles
    noise: Doubles
    heard: Doubles
    level_dbfs: float
    noise_dbfs: float
    bandwidth_hz: tuple[float, float]
    room: Room | None
    pause_s: float
    doubt: Doubles

    def psd(self, name: str, frequencies: Doubles) -> Doubles:
        """One of "speech", "noise", "heard" at other frequencies; silence above half the rate."""
        own: Doubles = getattr(self, name)
        log = np.interp(frequencies, self.frequencies, np.log(own), right=np.log(_FLOOR))
        return np.asarray(np.exp(log))


def measure_acoustics(sound: Sound, *, room: bool = True) -> Acoustics:
    """Measure a recording of at least a second of speech (the first two minutes of it).

    Raises `NoSpeechError` when nobody speaks in it.
    """
    sound = sound.cut(0, _LONGEST_S)
    power, frequencies, frame_s = _frames(sound)
    speaks, pauses = _activity(sound, power, frequencies, frame_s)
    heard = np.maximum(power[speaks].mean(axis=0), _FLOOR)
    noise = np.maximum(_noise(power, pauses), _FLOOR)
    speech = np.maximum(heard - noise, 0.05 * np.minimum(noise, heard))
    speech = np.maximum(speech, _FLOOR)
    width = frequencies[1]
    audible = frequencies >= _RUMBLE_HZ
    return Acoustics(
        sound.rate,
        frequencies,
        speech,
        noise,
        heard,
        10 * np.log10(speech[audible].sum() * width),
        10 * np.log10(noise[audible].sum() * width),
        _band(speech, noise, frequencies),
        measure_room(sound) if room else None,
        float(pauses.sum() * frame_s),
        _doubt(power[speaks], speech, noise, frequencies, frame_s),
    )


def _frames(sound: Sound) -> tuple[Doubles, Doubles, float]:
    """Power per Hz float64 [frames, bins], the bins' frequencies, seconds between frames."""
    size = 1 << round(np.log2(_FRAME_S * sound.rate))
    hop = size // 2
    samples = sound.samples.astype(np.float64)
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    views = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    window = np.hanning(size + 1)[:-1]
    power = np.empty((len(views), size // 2 + 1))
    for first in range(0, len(views), 256):
        block = np.fft.rfft(views[first : first + 256] * window, axis=1)
        power[first : first + 256] = np.abs(block) ** 2
    power *= 2.0 / (sound.rate * float(np.sum(window**2)))
    return power, np.asarray(np.fft.rfftfreq(size, 1 / sound.rate)), float(hop / sound.rate)


def _activity(
    sound: Sound, power: Doubles, frequencies: Doubles, frame_s: float
) -> tuple[Bools, Bools]:
    """Frames that speak, and frames in which only the recording itself is heard."""
    from align.vad import FRAME_S, speech_probability

    probability = speech_probability(sound)
    times = (np.arange(len(power)) + 1) * frame_s  # middles
    spoken = np.interp(times, (np.arange(len(probability)) + 0.5) * FRAME_S, probability)
    level = 10 * np.log10(power[:, frequencies > 150].sum(axis=1) + 1e-20)
    if (spoken > _SPEAKS).sum() * frame_s < 0.16:
        raise NoSpeechError(
            f"nobody speaks in this sound ({float(sound.duration_s):.1f} s), so it cannot be "
            "matched; give a scene in which someone does"
        )
    loud = np.percentile(level[spoken > _SPEAKS], 95)
    speaks = (spoken > _SPEAKS) & (level > loud - _WITHIN_DB)
    for share in (1.0, 0.5, 0.2):  # of the margins: short lines have short pauses
        pauses = ~_near(spoken > _PAUSES, share, frame_s)
        if pauses.sum() * frame_s >= _LEAST_PAUSE_S:
            return speaks, pauses
    return speaks, level <= np.percentile(level, 5)  # nobody draws breath: the quietest moments


def _near(busy: Bools, share: float, frame_s: float) -> Bools:
    """Frames of speech, some before and, while the room still sounds, some more after."""
    after = 1 + round(share * _AFTER_SPEECH_S / frame_s)
    before = 1 + round(share * _BEFORE_SPEECH_S / frame_s)
    near = np.convolve(busy, np.ones(after))[: len(busy)] > 0
    return np.asarray(near | (np.convolve(busy[::-1], np.ones(before))[: len(busy)][::-1] > 0))


def _noise(power: Doubles, pauses: Bools) -> Doubles:
    """Mean spectrum of the pauses without their loudest fifth (a breath, a click)."""
    frames = power[pauses]
    total = frames.sum(axis=1)
    kept = frames[total <= np.percentile(total, 80)]
    return np.asarray(kept.mean(axis=0))


def _doubt(
    power: Doubles, speech: Doubles, noise: Doubles, frequencies: Doubles, frame_s: float
) -> Doubles:
    """Variance in dB^2 of `speech`, float64 [bins]: how syllables differ, and what noise hides.

    `power` float64 [frames, bins] is of the speaking frames as they are. Noise is steady: counted
    with the speech, it would make most certain what is hidden most.
    """
    size = max(1, round(_SYLLABLE_S / frame_s))
    count = len(power) // size
    if count < _FEWEST_SYLLABLES:
        return np.full(len(frequencies), _UNKNOWN_DB2)
    means = power[: count * size].reshape(count, size, -1).mean(axis=1)
    flat = np.array([smoothed(mean, frequencies) for mean in means])
    own, floor = smoothed(speech, frequencies), smoothed(noise, frequencies)
    found = (10 / np.log(10)) ** 2 * flat.var(axis=0, ddof=1) / count / own**2
    return np.asarray(np.where(own < floor, np.maximum(found, _UNKNOWN_DB2), found))


def _band(speech: Doubles, noise: Doubles, frequencies: Doubles) -> tuple[float, float]:
    """Lowest and highest frequency at which speech is above the noise and not far below itself."""
    flat, floor = smoothed(speech, frequencies), smoothed(noise, frequencies)
    heard = (flat > floor) & (flat > flat.max() * _BAND_SHARE)
    inside = frequencies[heard]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (0.0, float(frequencies[-1]))


def smoothed(
    psd: Doubles, frequencies: Doubles, *, least_hz: float = 60.0, octaves: float = 0.25
) -> Doubles:
    """A spectrum averaged over a part of an octave, and over `least_hz` at least.

    As it stands: wide enough that harmonics and single sounds vanish, and the slope of a band's
    end stays.
    """
    width = np.maximum(least_hz, frequencies * octaves / 1.5)
    total = np.concatenate(([0.0], np.cumsum(psd)))
    step = frequencies[1]
    edges = np.arange(len(psd) + 1, dtype=np.float64)
    low = np.clip((frequencies - width / 2) / step + 0.5, 0, len(psd))
    high = np.clip((frequencies + width / 2) / step + 0.5, 0, len(psd))
    sums = np.interp(high, edges, total) - np.interp(low, edges, total)
    return np.asarray(np.maximum(sums / np.maximum(high - low, 1e-9), _FLOOR))


def band_levels(facts: Acoustics, name: str = "heard") -> Doubles:
    """Third-octave levels in dB relative to the whole, float64 [21], floored at -60."""
    grid = np.arange(0.0, 12_000.0, 5.0)
    psd = facts.psd(name, grid)
    total = np.concatenate(([0.0], np.cumsum(psd)))
    half = 10 ** (1 / 20)
    low = np.array(BAND_HZ) / half / 5.0
    high = np.minimum(np.array(BAND_HZ) * half / 5.0, len(grid))
    at = np.arange(len(total), dtype=np.float64)
    power = np.interp(high, at, total) - np.interp(low, at, total)
    level = 10 * np.log10(power / power.sum() + 1e-30)
    return np.asarray(np.maximum(level, -_RANGE_DB))


def spectrum_distance(a: Acoustics, b: Acoustics) -> float:
    """Root mean square difference in dB of two long-term spectra, level apart.

    Over third-octave bands from 100 Hz to 10 kHz, down to 60 dB below the whole.
    """
    difference = band_levels(a) - band_levels(b)
    difference -= np.mean(difference)
    return float(np.sqrt(np.mean(difference**2)))
