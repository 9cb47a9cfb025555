"""A guide whose truth is known: another stock voice, slower and livelier, with exact timing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from align.text import speakable
from media.audio import Sound
from media.errors import AlignError, NoSpeechError, TextError
from voice.delivery import measure_delivery
from voice.guide import _SURE, _timing, read_guide
from voice.pitch import track_f0
from voice.prosody import Prosody
from voice.takes import say
from voice.voice import load_voice, stock_voices

LINE = "I never said he stole the money, I only said that it was missing."


@pytest.fixture(scope="module")
def actor(engine):
    """An "actor": a voice far in pitch from the one that follows, slow, lively, with a pause."""
    names = [n for n in stock_voices() if not n.startswith("j")]
    said = engine.speak(
        speakable(LINE), load_voice(f"stock:{names[-1]}"), Prosody(speed=0.8, expression=1.4)
    )
    before = np.zeros(int(0.7 * said.sound.rate), np.float32)
    sound = Sound(np.concatenate((before, said.sound.samples, before)), said.sound.rate)
    return sound, said.timing.shifted(0.7, float(sound.duration_s))


@pytest.fixture(scope="module")
def follower(actor, stock_voice):
    return say(LINE, stock_voice, guide=actor[0], score=False)[0]


def test_every_phone_lies_where_the_actor_has_it(actor, follower) -> None:
    sound, timing = actor
    assert len(follower.sound) == len(sound)
    assert [p.label for p in follower.timing.phones] == [p.label for p in timing.phones]
    ours, theirs = (np.array([p.start_s for p in t.phones]) for t in (follower.timing, timing))
    error = np.abs(ours - theirs)
    assert error.mean() < 0.035
    assert abs(ours[0] - theirs[0]) < 0.03
    ends = (follower.timing.phones[-1].end_s, timing.phones[-1].end_s)
    assert abs(ends[0] - ends[1]) < 0.15  # the aligner's own error at a soft end


def in_semitones(f0: np.ndarray) -> np.ndarray:
    """About the median, NaN where unvoiced."""
    return np.where(f0 > 0, 12 * np.log2(np.maximum(f0, 1) / np.median(f0[f0 > 0])), np.nan)


def test_the_melody_is_the_actors_and_the_voice_is_not(actor, follower, stock_voice) -> None:
    sound, _ = actor
    plain = say(LINE, stock_voice, score=False)[0]
    theirs, ours = (in_semitones(track_f0(s)) for s in (sound, follower.sound))
    n = min(len(theirs), len(ours))
    both = np.isfinite(theirs[:n]) & np.isfinite(ours[:n])
    both &= (np.abs(theirs[:n]) < 9) & (np.abs(ours[:n]) < 9)  # the tracker's octave errors
    assert both.sum() > 80
    assert np.corrcoef(theirs[:n][both], ours[:n][both])[0, 1] > 0.7
    own, led, actors = (measure_delivery(s).f0_hz for s in (plain.sound, follower.sound, sound))
    assert abs(12 * np.log2(led / own)) < 2.5
    assert abs(np.log2(led / own)) < abs(np.log2(led / actors))


OTHER = "Put the box back where it was, and close the door."


def test_what_is_said_is_surer_than_the_limit_also_in_noise_and_another_line_is_not(actor) -> None:
    sound, _ = actor
    level = float(np.sqrt(np.mean(sound.samples**2) / 10))
    noise = np.random.default_rng(4).normal(0, level, len(sound)).astype(np.float32)
    for heard in (sound, Sound(sound.samples + noise, sound.rate)):
        right, wrong = (
            np.mean([p.confidence for p in _timing(heard, speakable(text)).phones])
            for text in (LINE, OTHER)
        )
        assert wrong < _SURE - 0.05
        assert right > _SURE + 0.05


def test_another_sentence_is_refused_in_one_line(actor) -> None:
    with pytest.raises(AlignError, match="the guide says") as refused:
        read_guide(actor[0], speakable(OTHER))
    assert "\n" not in str(refused.value)


def test_silence_and_wishes_against_the_guide_are_refused(actor, stock_voice) -> None:
    silence = Sound(np.zeros(48_000, np.float32), 24_000)
    with pytest.raises((NoSpeechError, AlignError)):
        read_guide(silence, speakable(LINE))
    with pytest.raises(TextError, match="leave the length"):
        say(LINE, stock_voice, guide=actor[0], prosody=Prosody(duration_s=3.0))


def test_a_guide_can_be_cut_for_pieces(actor) -> None:
    script = speakable(LINE)
    guide = read_guide(actor[0], script)
    assert len(guide.starts_s) == len(script.phone_chars())
    assert (guide.ends_s > guide.starts_s).all()
    part = guide.select(5, 9)
    np.testing.assert_array_equal(part.starts_s, guide.starts_s[5:9])
    later = replace(guide, starts_s=guide.starts_s + 0.2 * (np.arange(len(guide.starts_s)) > 20))
    assert len(later.paused_words(script)) >= len(guide.paused_words(script))
