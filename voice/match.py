"""Lay a line into a recording's sound: its spectrum, band, room, noise and level.

    lines = match_sound(take.sound, read_sound(Path("scene.wav")))
    lines = match_sound(take.sound, scene, room=False, noise=False)      # spectrum and level
    report = compare(lines, scene)       # spectrum_db, level_db, noise_db

Each part is measured and can be left out. What is applied, in this order: a room (noise that
decays as the reference's does, as strong against the direct sound), one filter of minimum
phase from the long-term spectra of the speech (the reference's band included), a gain to the
reference's speech level, and noise of the reference's pauses under the whole line, edges too.
The way back is no way at all: a line that is not matched is full-band and clean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound
from media.errors import MediaError
from voice.acoustics import Acoustics, measure_acoustics, smoothed, spectrum_distance
from voice.reverberation import Room, room_tail

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]

__all__ = [
    "PARTS",
    "Comparison",
    "Match",
    "compare",
    "match_parts",
    "match_sound",
    "plan_match",
]

PARTS = ("spectrum", "room", "noise", "level")
_LARGEST_BOOST_DB, _DEEPEST_CUT_DB = 20.0, 75.0
_BELOW_NOISE = 0.25  # speech that the noise hides is supposed 6 dB below it, at most
_TAPS_S = 0.043
_LEVEL_ROUNDS, _LEVEL_DB = 8, 0.15
_CEILING = 0.89  # -1 dBFS: room for peaks between samples, and for the noise
_LOOK_S = 0.004
_FADE_S = 0.02
_SILENT_DBFS = -100.0  # noise below this is digital silence
# A room fainter than this, of the direct sound, is left out: dry is 20 dB, give or take 3.
_LEAST_ROOM = 10 ** (-17 / 10)
_BROAD_HZ, _BROAD_OCTAVES = 200.0, 0.5  # wider than harmonics and formants lie apart
_CAUTION = 0.6  # of the doubt in a spectrum that counts against it
_NARROW_DB = (3.0, 7.0)  # what words make in narrow bands, and what they do not


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a sound is from a reference: dB, positive `level_db` and `noise_db` are louder."""

    spectrum_db: float
    level_db: float
    noise_db: float


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """What brings one voice into one recording's sound; `apply` it to any line of that voice.

    `room` None and `filter` None leave those alone; `gain_db` is added to the level; `noise`
    is the reference's power per Hz at `noise_hz`, None for no noise.
    """

    room: Room | None
    filter: Doubles | None
    gain_db: float
    noise: Doubles | None
    noise_hz: Doubles | None
    rate: int

    def apply(self, sound: Sound, *, seed: int = 0) -> Sound:
        """The sound matched: same rate, length and start. `seed` draws room and noise."""
        speech = self.voice_part(sound, seed)
        limited = _limited(speech * 10 ** (self.gain_db / 20), sound.rate)
        return replace(sound, samples=(limited + self._noise(sound, seed)).astype(np.float32))

    def voice_part(self, sound: Sound, seed: int) -> Doubles:
        """The speech in its room and band, before gain and noise: float64 [n]."""
        from scipy.signal import oaconvolve

        speech = sound.samples.astype(np.float64)
        length = len(speech)
        if self.room is not None:
            tail = room_tail(self.room, sound.rate, seed)
            speech = speech + oaconvolve(speech, tail)[:length]
        if self.filter is not None:
            speech = oaconvolve(speech, self.filter)[:length]
        if self.room is not None or self.filter is not None:
            fade = min(int(_FADE_S * sound.rate), length)
            speech[length - fade :] *= np.linspace(1, 0, fade)
        return np.asarray(speech)

    def _noise(self, sound: Sound, seed: int) -> Doubles:
        """Noise of the reference's pauses, float64 [n]."""
        if self.noise is None or self.noise_hz is None:
            return np.zeros(len(sound))
        length = len(sound)
        drawn = np.random.default_rng((seed, 78)).standard_normal(length)
        spectrum = np.fft.rfft(drawn)
        grid = np.fft.rfftfreq(length, 1 / sound.rate)
        psd = np.exp(np.interp(grid, self.noise_hz, np.log(self.noise), right=-80.0))
        return np.asarray(np.fft.irfft(spectrum * np.sqrt(psd * sound.rate / 2), length))


def match_parts(names: str | Iterable[str]) -> dict[str, bool]:
    """ "spectrum,level" as the switches of `match_sound`. Raises `MediaError` for other names."""
    wanted = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    unknown = [n for n in wanted if n not in PARTS]
    if unknown or not wanted:
        raise MediaError(
            f"'{', '.join(unknown) or names}' cannot be matched; choose from {', '.join(PARTS)}"
        )
    return {part: part in wanted for part in PARTS}


def match_sound(
    take: Sound,
    reference: Sound | Acoustics,
    *,
    spectrum: bool = True,
    room: bool = True,
    noise: bool = True,
    level: bool = True,
    seed: int = 0,
) -> Sound:
    """`take` as if it had been recorded with `reference`: same rate, length and start.

    The reference needs a second or more of speech, by anybody; pauses in it make the noise
    sure. Raises `NoSpeechError` when nobody speaks in either.
    """
    plan = plan_match(
        take, reference, spectrum=spectrum, room=room, noise=noise, level=level, seed=seed
    )
    return plan.apply(take, seed=seed)


def plan_match(
    take: Sound,
    reference: Sound | Acoustics,
    *,
    spectrum: bool = True,
    room: bool = True,
    noise: bool = True,
    level: bool = True,
    seed: int = 0,
) -> Match:
    """What `match_sound` would do to `take`, to be applied to it or to more of the same voice."""
    wanted = reference if isinstance(reference, Acoustics) else measure_acoustics(reference)
    quiet = not noise or wanted.noise_dbfs < _SILENT_DBFS
    plan = Match(
        _missing_room(take, wanted.room) if room else None,
        None,
        0.0,
        None if quiet else wanted.noise,
        None if quiet else wanted.frequencies,
        take.rate,
    )
    if spectrum:
        voice = _measured(plan, take, seed)
        plan = replace(plan, filter=_filter(voice, wanted, take.rate))
    if not level:
        return plan
    for _ in range(_LEVEL_ROUNDS):  # more than once for what the limiter takes
        now = measure_acoustics(replace(plan, noise=None).apply(take, seed=seed), room=False)
        missing = wanted.level_dbfs - now.level_dbfs
        plan = replace(plan, gain_db=plan.gain_db + missing)
        if abs(missing) < _LEVEL_DB:
            break
    return plan


def compare(sound: Sound | Acoustics, reference: Sound | Acoustics) -> Comparison:
    """How far `sound` is from `reference` in long-term spectrum, speech level and noise."""
    ours, theirs = (
        s if isinstance(s, Acoustics) else measure_acoustics(s, room=False)
        for s in (sound, reference)
    )
    return Comparison(
        spectrum_distance(ours, theirs),
        ours.level_dbfs - theirs.level_dbfs,
        max(ours.noise_dbfs, _SILENT_DBFS) - max(theirs.noise_dbfs, _SILENT_DBFS),
    )


def _measured(plan: Match, take: Sound, seed: int) -> Acoustics:
    samples = plan.voice_part(take, seed)
    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    scaled = replace(take, samples=(samples / peak).astype(np.float32))
    facts = measure_acoustics(scaled, room=False)
    return replace(facts, speech=facts.speech * peak**2)


def _missing_room(take: Sound, wanted: Room | None) -> Room | None:
    """The room to add so that the take has as much of one as the reference."""
    from voice.reverberation import measure_room

    if wanted is None or wanted.is_dry:
        return None
    own = measure_room(take)
    have = 0.0 if own.is_dry else 10 ** (-own.direct_db / 10)
    lacking = 10 ** (-wanted.direct_db / 10) - have
    return Room(wanted.rt60_s, -10 * np.log10(lacking)) if lacking > _LEAST_ROOM else None


def _filter(voice: Acoustics, wanted: Acoustics, rate: int) -> Doubles:
    """Taps float64 [n] of minimum phase that turn the voice's spectrum into the reference's.

    Some seconds of speech have a spectrum of their own, by their words: of a broad difference
    as much is believed as it is larger than that, of a narrow one only what no words make (the
    end of a band, a notch). What is left undone would have changed whose voice it is. Nothing is
    lifted to what the reference's noise hides.
    """
    size = 1 << round(np.log2(4 * _TAPS_S * rate))
    grid: Doubles = np.fft.rfftfreq(size, 1 / rate).astype(np.float64)
    fine, have_db = _difference(voice, wanted, grid)
    broad, _ = _difference(voice, wanted, grid, least_hz=_BROAD_HZ, octaves=_BROAD_OCTAVES)
    doubt = sum(np.interp(grid, a.frequencies, a.doubt) for a in (voice, wanted))
    power = smoothed(broad**2, grid, octaves=1.0)
    low, high = _NARROW_DB
    narrow = (fine - broad) * np.clip((np.abs(fine - broad) - low) / (high - low), 0, 1)
    gain = broad * power / (power + _CAUTION * doubt) + narrow
    gain = np.where(gain > 0, gain * _known(wanted, grid), gain)
    # Where the voice has nothing itself there is nothing to lift but its own noise.
    present = have_db > have_db.max() - 70
    gain = np.where(present, gain, np.minimum(gain, 0.0))
    gain = np.clip(gain, -_DEEPEST_CUT_DB, _LARGEST_BOOST_DB)
    before, after = 10 ** (have_db / 10), 10 ** ((have_db + gain) / 10)
    gain += 10 * np.log10(before.sum() / after.sum())  # colour alone: the level stays
    return _minimum_phase(10 ** (gain / 20), size, round(_TAPS_S * rate))


def _known(wanted: Acoustics, grid: Doubles) -> Doubles:
    """How far the reference's speech is known at `grid`: 1 over its noise, 0 from 6 dB below it.

    Of hidden speech nobody knows more than that it is no louder: reason to cut, not to lift.
    """
    speech, noise = (smoothed(p, wanted.frequencies) for p in (wanted.speech, wanted.noise))
    share = np.clip(1 - np.log(speech / noise) / np.log(_BELOW_NOISE), 0, 1)
    return np.asarray(np.interp(grid, wanted.frequencies, share))


def _difference(
    voice: Acoustics, wanted: Acoustics, grid: Doubles, **width: float
) -> tuple[Doubles, Doubles]:
    """(what the voice lacks, what it has) in dB at the frequencies `grid`, level apart."""
    hidden = np.maximum(wanted.speech, _BELOW_NOISE * wanted.noise)
    goal = smoothed(hidden, wanted.frequencies, **width)
    have = smoothed(voice.speech, voice.frequencies, **width)
    goal_db = np.interp(grid, wanted.frequencies, 10 * np.log10(goal), right=-150.0)
    have_db = np.interp(grid, voice.frequencies, 10 * np.log10(have), right=-150.0)
    level = goal.sum() * wanted.frequencies[1] / (have.sum() * voice.frequencies[1])
    return goal_db - have_db - 10 * np.log10(level), have_db


def _minimum_phase(magnitude: Doubles, size: int, taps: int) -> Doubles:
    """Impulse response of minimum phase by the folded cepstrum (Oppenheim & Schafer)."""
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitude, 1e-8)), size)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    response = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:taps]
    fade = taps // 4
    response[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    return np.asarray(response)


def _limited(samples: Doubles, rate: int) -> Doubles:
    """The same with its peaks under the ceiling, the gain eased down and up around each."""
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    over = np.abs(samples)
    if float(over.max(initial=0.0)) <= _CEILING:
        return samples
    gain = np.minimum(1.0, _CEILING / np.maximum(over, 1e-9))
    width = 2 * int(_LOOK_S * rate) + 1
    held = minimum_filter1d(gain, 2 * width - 1)
    return np.asarray(samples * uniform_filter1d(held, width))
