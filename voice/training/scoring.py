"""What a trained voice is worth, measured on sentences it never heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from media.audio import read_sound
from media.errors import NoSpeechError, TextError
from voice.archive import CLIP_RATE, Clip
from voice.engines import Synthesizer
from voice.training.dataset import Clips, Example
from voice.voice import Voice, VoiceScores

__all__ = ["Heard", "heard", "scored"]

Floats = NDArray[np.float32]

_LISTENED = 20  # clips from which the person is known


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The person in the recordings: centroids by encoder, median and range of F0 in Hz."""

    embeddings: Mapping[str, Floats]
    f0_median: float
    f0_range: tuple[float, float]
    band_hz: float


def heard(clips: Clips) -> Heard:
    """Measure the person on up to 20 of the clips that are trained on."""
    from voice.pitch import bandwidth_hz, median_f0, track_f0
    from voice.similarity import centroid, ge2e, judge

    step = max(1, len(clips.trained) // _LISTENED)
    sounds = [read_sound(e.path) for e in clips.trained[::step][:_LISTENED]]
    embeddings: dict[str, Floats] = {}
    for encoder in (ge2e(), judge()):
        found = []
        for sound in sounds:
            try:
                found.append(encoder.embed(sound))
            except NoSpeechError:
                continue
        if found:
            embeddings[encoder.name] = centroid(found)
    f0 = np.concatenate([track_f0(sound) for sound in sounds])
    voiced = f0[f0 > 0]
    low, high = np.percentile(voiced, (5, 95)) if voiced.size else (0.0, 0.0)
    median = median_f0(f0) if voiced.size else 0.0
    band = float(np.median([bandwidth_hz(sound) for sound in sounds]))
    return Heard(MappingProxyType(embeddings), float(median), (float(low), float(high)), band)


def scored(
    voice: Voice, clips: Clips, person: Heard, synthesizer: Synthesizer, sentences: int
) -> VoiceScores:
    """Marks of `voice` on at most `sentences` held-out ones; the person's own as the ceiling.

    A line that the voice cannot speak at all counts as nobody saying nothing.
    """
    from voice._fit_person import Person, ceiling, measure

    chosen = [_clip(e) for e in clips.held_out[:sentences]]
    if not chosen or len(person.embeddings) < 2:
        return VoiceScores()
    known = Person(
        (),
        tuple(chosen),
        person.embeddings["ge2e"],
        person.embeddings["embedder"],
        person.f0_median,
        person.f0_range,
        person.band_hz,
    )
    try:
        marks = measure(voice, [c.text for c in chosen], known, synthesizer)
    except TextError:
        return VoiceScores(similarity=0.0, wer=1.0)
    try:
        top = ceiling(known)
    except NoSpeechError:
        top = None
    return VoiceScores(
        similarity=marks.similarity,
        similarity_ceiling=top,
        wer=marks.wer,
        dnsmos=marks.dnsmos,
    )


def _clip(example: Example) -> Clip:
    sound = read_sound(example.path, CLIP_RATE)
    return Clip(
        example.path,
        Fraction(0),
        sound.duration_s,
        example.text,
        sound,
        confidence=1.0,
        snr_db=0.0,
        clipped=0.0,
        transcript="given",
    )
