"""The guide of narrow recordings without their band, and clean recordings left alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from align.text import Script, speakable
from media.audio import Sound
from voice import _fit_start
from voice._band import band_limited
from voice._fit_person import Person
from voice._fit_progress import Unfinished
from voice._fit_start import Known
from voice._fit_targets import Target
from voice._fit_unworn import unworn
from voice.archive import CLIP_RATE, Clip
from voice.engines import Utterance, get_synthesizer
from voice.fit import Effort, _Fit
from voice.similarity import centroid, cosine, ge2e
from voice.voice import Voice, load_voice, stock_voices

LINES = (
    "The committee will meet again on Thursday afternoon.",
    "She sells sea shells by the sea shore.",
)
NOBODY: Any = None  # who is asked nothing


class Once:
    """The engine, which says no line twice."""

    name = "once"

    def __init__(self) -> None:
        self._said: dict[tuple[bytes, str], Utterance] = {}

    def speak(self, script: Script, voice: Voice) -> Utterance:
        key = (voice.style.tobytes(), script.text)
        if key not in self._said:
            self._said[key] = get_synthesizer().speak(script, voice)
        return self._said[key]


@pytest.fixture(scope="module")
def once() -> Any:
    return Once()


@pytest.fixture(scope="module")
def known() -> list[Known]:
    every = [load_voice(f"stock:{name}") for name in stock_voices()]
    return sorted(_fit_start.known_voices(get_synthesizer(), every), key=lambda k: k.f0)


@pytest.fixture(scope="module")
def whose(known: list[Known]) -> Known:
    return known[2 * len(known) // 3]


@pytest.fixture(scope="module")
def clean(once: Once, whose: Known) -> tuple[Clip, ...]:
    sounds = ((line, once.speak(speakable(line), whose.voice).sound) for line in LINES)
    return tuple(
        Clip(Path("a.wav"), Fraction(0), s.duration_s, line, s, 1.0, 60.0, 0.0)
        for line, s in sounds
    )


def person_of(clips: tuple[Clip, ...], f0: float, band_hz: float = 12e3, low: float = 0) -> Person:
    heard = centroid(ge2e().embed(clip.sound) for clip in clips)
    return Person(clips, (), heard, heard, f0, (0.8 * f0, 1.2 * f0), band_hz, low)


def test_clean_recordings_keep_their_guide(clean: tuple[Clip, ...]) -> None:
    person = person_of(clean, 200)
    assert unworn(person, NOBODY, NOBODY, NOBODY) is person
    assert person.guide is person.ge2e
    assert person.guided(clean[0].sound) is clean[0].sound
    noisy = tuple(replace(clip, noise=clip.sound.samples) for clip in clean)
    assert unworn(replace(person, trained=noisy), NOBODY, NOBODY, NOBODY).unworn is None


def test_the_guide_comes_back_from_the_telephone(
    clean: tuple[Clip, ...], whose: Known, known: list[Known], once: Any
) -> None:
    worn = tuple(replace(c, sound=band_limited(c.sound, 3400, 300)) for c in clean)
    person = person_of(worn, whose.f0, 3400, 300)
    others = [k for k in known if k is not whose]
    found = unworn(person, others[0].voice, others, once)
    truth = person_of(clean, whose.f0).ge2e
    assert cosine(found.guide, truth) > cosine(person.guide, truth) + 0.05
    assert float(np.linalg.norm(found.guide)) == pytest.approx(1)
    assert found.ge2e is person.ge2e
    assert found.guided(clean[0].sound) is clean[0].sound
    again = unworn(person, others[0].voice, others, once, workers=2)
    np.testing.assert_allclose(again.guide, found.guide, atol=1e-6)  # other roundings


def test_a_guide_of_the_whole_band_is_compared_with_all_of_it(clean: tuple[Clip, ...]) -> None:
    person = person_of(clean, 200, 3400, 300)
    none, no_curve = np.zeros(0, np.int64), np.zeros(0, np.float32)
    samples = clean[0].sound.samples
    target = Target("", (), none, no_curve, no_curve, samples, speech=(0, 40), cost=0.0)
    away = np.roll(person.ge2e, 1)

    def made(whom: Person) -> tuple[np.ndarray, bool]:
        fit = _Fit(whom, 0, Effort(), (), lambda *_: None, Unfinished(None, ""))
        loss = fit._loss([target])
        taps = loss.get_buffer("band")[0, 0].numpy()
        turns = np.exp(-2j * np.pi * 6000 / CLIP_RATE * np.arange(len(taps)))
        return loss.get_buffer("centroid").numpy(), bool(abs(turns @ taps) > 0.5)

    centre, whole = made(person)
    np.testing.assert_array_equal(centre, person.ge2e)
    assert not whole
    centre, whole = made(replace(person, unworn=away))
    np.testing.assert_array_equal(centre, away)
    assert whole


def test_a_voice_without_sound_moves_nobody(clean: tuple[Clip, ...]) -> None:
    class Mute:
        def speak(self, *_: object) -> Any:
            silence = Sound(np.zeros(CLIP_RATE, np.float32), CLIP_RATE)
            return Utterance(silence, NOBODY, NOBODY, NOBODY, NOBODY)

    person = person_of(clean, 200, 3400, 300)
    mute: Any = Mute()
    assert unworn(person, Voice("mute", np.zeros(256, np.float32)), [], mute) is person
