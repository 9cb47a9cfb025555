"""An actor's performance of a line, as something a voice can follow.

    guide = read_guide(read_sound(Path("actor.wav")), speakable("We chose to go."))
    say("We chose to go.", voice, prosody=Prosody(guide=guide))

Taken from it: where each phone begins and ends, the melody in semitones about its own
median, and the energy. Who speaks is not taken: melody and energy are mapped into the person's
own range (`voice.shaping`). The guide's words must be the line's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align.text import Script
from media.audio import Sound, resample
from media.errors import AlignError, NoSpeechError

if TYPE_CHECKING:
    from align.timing import Timing

    Doubles = NDArray[np.float64]

__all__ = ["PAUSE_S", "STEP_S", "Guide", "read_guide"]

STEP_S = 0.0125
PAUSE_S = 0.12
"""A gap between words from here on is a pause that the voice makes too."""
_RATE = 24_000
_DIFFERENT_WER = 0.5
# Mean confidence of phones that do belong to the sound. Of 90 sentences that were not said, clean
# and in noise at 10 dB, none comes above .25; of 90 that were, none below .36 (clean, .73). A line
# of which one half is said lies between (.31 to .62), and of it the recogniser decides.
_SURE = 0.3
_LONGEST_S = 25.0  # beyond, the aligner works piece by piece
_FAR_ST = 14.0  # from the median: an octave error of the pitch tracker
_SMOOTH = 5  # steps


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """A performance of one script.

    `starts_s`, `ends_s` float64 [phones], for each phone of the script in order. `melody_st`
    float64 [steps of 12.5 ms] semitones about the median of `f0_hz`, unvoiced stretches bridged;
    `spread_st` its standard deviation. `energy` float64 [steps], natural log, about the median of
    the speech. `duration_s` is the recording's length.
    """

    starts_s: Doubles
    ends_s: Doubles
    melody_st: Doubles
    energy: Doubles
    f0_hz: float
    spread_st: float
    duration_s: float

    def select(self, first: int, last: int) -> Guide:
        """The same performance for the phones [first, last) alone."""
        return replace(self, starts_s=self.starts_s[first:last], ends_s=self.ends_s[first:last])

    def paused_words(self, script: Script) -> list[int]:
        """The words before which the performer pauses, the first one apart."""
        owner = [c.word for c in script.phone_chars()]
        return [
            owner[i]
            for i in range(1, len(owner))
            if owner[i] != owner[i - 1] and self.starts_s[i] - self.ends_s[i - 1] >= PAUSE_S
        ]


def read_guide(sound: Sound, script: Script) -> Guide:
    """Follow `script` through a recording of it.

    Raises `AlignError` when the recording says something else, `NoSpeechError` when nobody
    speaks in it.
    """
    from voice.pitch import frame_energy, track_f0

    timing = _timing(sound, script)
    _check_words(sound, script, timing)
    starts, ends = _phones(script, timing)
    samples = resample(sound, _RATE).samples
    f0 = track_f0(Sound(samples, _RATE)).astype(np.float64)
    melody, hz = _melody(f0, starts[0], ends[-1])
    energy = frame_energy(samples).astype(np.float64)
    at = np.arange(len(energy)) * STEP_S
    inside = np.zeros(len(energy), bool)
    for start, end in zip(starts, ends, strict=True):
        inside |= (at >= start) & (at < end)
    centre = float(np.median(energy[inside])) if inside.any() else float(energy.max())
    spoken = melody[(at[: len(melody)] >= starts[0]) & (at[: len(melody)] <= ends[-1])]
    return Guide(
        starts,
        ends,
        melody,
        energy - centre,
        hz,
        float(np.std(spoken)) if len(spoken) else 0.0,
        float(sound.duration_s),
    )


def _timing(sound: Sound, script: Script) -> Timing:
    from align.engines import get_aligner
    from align.transcription import align_sound

    if float(sound.duration_s) <= _LONGEST_S:
        return get_aligner().align(sound, script)
    return align_sound(sound, script.text)


def _check_words(sound: Sound, script: Script, timing: Timing) -> None:
    """Refuse another sentence: by the recogniser, and by how well the phones fit."""
    from voice.scores import intelligibility

    sure = float(np.mean([p.confidence for p in timing.phones])) if timing.phones else 0.0
    found = intelligibility(sound, script.text)
    if found.wer > _DIFFERENT_WER and (sure < _SURE or found.wer >= 1.0):
        heard = " ".join(found.heard.split())
        if not heard:
            raise NoSpeechError("no words can be heard in the guide; give a recording of the line")
        raise AlignError(
            f'the guide says "{_short(heard)}" and the line is "{_short(script.text)}"; '
            "record the guide with the words of the line"
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _phones(script: Script, timing: Timing) -> tuple[Doubles, Doubles]:
    """Start and end of each phone of the script.

    Word by word: where the performer's variant has other phones, the script's share its time.
    """
    owner = [c.word for c in script.phone_chars()]
    runs = script.written_words()
    if len(runs) != len(timing.words):
        raise AlignError(
            f"{len(timing.words)} words of the guide fit the line's {len(runs)}; record the guide "
            "with the words of the line"
        )
    starts, ends = np.zeros(len(owner)), np.zeros(len(owner))
    for (first, last), word in zip(runs, timing.words, strict=True):
        wanted = [i for i, w in enumerate(owner) if first <= w < last]
        spans = timing.phones_of(word)
        if not wanted:
            continue
        if not spans:
            edges = np.linspace(word.start_s, word.end_s, len(wanted) + 1)
            starts[wanted], ends[wanted] = edges[:-1], edges[1:]
            continue
        scale = np.linspace(0, len(spans), len(wanted) + 1)
        starts[wanted] = np.interp(scale[:-1], range(len(spans)), [s.start_s for s in spans])
        at_end = np.arange(1, len(spans) + 1)
        ends[wanted] = np.interp(scale[1:], at_end, [s.end_s for s in spans])
        if len(wanted) > len(spans):  # several phones inside one of the performer's
            inner = np.interp(
                scale, range(len(spans) + 1), [*(s.start_s for s in spans), spans[-1].end_s]
            )
            starts[wanted], ends[wanted] = inner[:-1], inner[1:]
    return starts, ends


def _melody(f0: Doubles, start_s: float, end_s: float) -> tuple[Doubles, float]:
    """Semitones about the median with the gaps bridged, and the median in Hz."""
    at = np.arange(len(f0)) * STEP_S
    voiced = (f0 > 0) & (at >= start_s - STEP_S) & (at <= end_s + STEP_S)
    if voiced.sum() < 5:
        raise NoSpeechError("no pitch can be heard in the guide; give one that is spoken aloud")
    median = float(np.median(f0[voiced]))
    steps = 12 * np.log2(np.where(voiced, f0, median) / median)
    voiced &= np.abs(steps) < _FAR_ST
    bridged = np.interp(at, at[voiced], steps[voiced])
    kernel = np.hanning(_SMOOTH + 2)[1:-1]
    padded = np.pad(bridged, _SMOOTH // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid"), median
