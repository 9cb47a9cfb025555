"""Takes of real lines by the real engine, listened to by the real recogniser."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from align.text import speakable
from media.audio import Sound, resample
from media.bwf import read_bwf
from media.errors import OutputError, TextError
from voice.prosody import Prosody
from voice.scores import clipped_fraction, intelligibility, naturalness, spoken_form
from voice.takes import TakeScores, _cut_out, save_take, say


@pytest.fixture(scope="module")
def take(stock_voice):
    return say("We chose to go, and we went.", stock_voice, seed=5)[0]


def test_a_take_is_understood_and_scored(take):
    assert take.scores.wer == 0
    assert take.scores.dnsmos > 2.5
    assert take.scores.similarity is None  # nobody to be like
    assert take.spoken == "We chose to go and we went"


def test_saved_take_is_48k_24_bit_with_its_timing_beside_it(take, tmp_path):
    save_take(take, tmp_path / "line.wav")
    info = soundfile.info(tmp_path / "line.wav")
    assert (info.samplerate, info.subtype) == (48_000, "PCM_24")
    facts = json.loads((tmp_path / "line.json").read_text())
    assert [w["label"] for w in facts["words"]][-1] == "went"
    assert facts["duration_s"] == pytest.approx(info.duration, abs=1e-3)
    assert facts["phones"][-1]["end_s"] <= info.duration
    assert facts["scores"]["wer"] == 0
    assert facts["seed"] == 5
    assert facts["delivery"]["f0_hz"] == pytest.approx(take.delivery.f0_hz, abs=0.1)
    assert facts["made"]["attempts"] == 1
    broadcast = read_bwf(tmp_path / "line.wav")
    assert broadcast.description == "We chose to go, and we went."
    assert broadcast.history[0].endswith("T=kokoro")
    assert broadcast.loudness.integrated_lufs < -10


def test_saving_into_a_missing_folder_is_one_line(take, tmp_path):
    with pytest.raises(OutputError):
        save_take(take, tmp_path / "nowhere" / "line.wav")
    assert list(tmp_path.iterdir()) == []


def test_takes_differ_and_a_seed_brings_them_back(stock_voice):
    one = say("We went.", stock_voice, takes=2, seed=1, score=False)
    two = say("We went.", stock_voice, takes=2, seed=1, score=False)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.sound.samples, b.sound.samples)
    assert not np.array_equal(one[0].sound.samples, one[1].sound.samples)


def test_a_wished_length_is_exact_to_the_sample(stock_voice):
    wish = Prosody(duration_s=2.345)
    take = say("We chose to go, and we went.", stock_voice, prosody=wish, score=False)[0]
    assert len(take.sound) == round(2.345 * 24_000)
    assert take.timing.duration_s == pytest.approx(2.345, abs=1e-4)
    assert take.scores.duration_error_s == pytest.approx(0, abs=1e-4)


def test_nothing_to_speak_is_refused(stock_voice):
    with pytest.raises(TextError):
        say("  ... !", stock_voice)


def test_a_line_cut_out_of_its_carrier_keeps_its_own_words(engine, stock_voice):
    said = engine.speak(speakable("And then I heard them say: Stop!"), stock_voice)
    sound, timing = _cut_out(said, speakable("Stop!"))
    assert [w.label for w in timing.words] == ["Stop"]
    assert [p.label for p in timing.phones] == ["S", "T", "AA", "P"]
    assert timing.duration_s == pytest.approx(float(sound.duration_s))
    assert timing.phones[0].start_s <= 0.0601
    assert np.abs(sound.samples).max() > 0.05


@pytest.mark.slow
def test_a_lone_word_is_understood(stock_voice):
    assert say("Nobody.", stock_voice, seed=2)[0].scores.wer == 0


@pytest.mark.slow
def test_digits_and_abbreviations_are_spoken(stock_voice):
    take = say("Dr. King spoke in 1963.", stock_voice)[0]
    assert "nineteen sixty three" in take.spoken
    assert take.scores.wer <= 0.2


def test_merit_puts_words_before_beauty():
    clear, pretty = TakeScores(wer=0.0, dnsmos=2.5), TakeScores(wer=0.5, dnsmos=3.5)
    assert clear.merit > pretty.merit
    assert pretty.failed
    assert TakeScores(clipped=0.01).failed
    assert TakeScores(wer=0.0, duration_error_s=0.03).failed
    assert not TakeScores(wer=0.0, duration_error_s=-0.02).failed
    both, one = (TakeScores(wer=0.0, similarity=0.8, similarity_ge2e=g) for g in (0.9, 0.5))
    assert both.merit > one.merit


def test_digits_and_words_agree_before_errors_are_counted():
    assert spoken_form("Dr. King, 1963!") == spoken_form("doctor king nineteen sixty-three")
    assert spoken_form("...") == ""


def test_silence_is_understood_as_nothing():
    silence = Sound(np.zeros(24_000, np.float32), 24_000)
    assert intelligibility(silence, "We went.").wer > 0.5
    assert naturalness(silence) == 1.0


def test_naturalness_is_the_number_of_the_package(take):
    from speechmos import dnsmos

    twice = np.concatenate((take.sound.samples,) * 8)[: 24_000 * 10]
    heard = Sound(twice, 24_000)
    samples = resample(heard, 16_000).samples
    wanted = dnsmos.run(np.clip(samples * (0.9 / np.abs(samples).max()), -1, 1), 16_000)
    assert naturalness(heard) == pytest.approx(float(wanted["ovrl_mos"]), abs=2e-3)


def test_clipping_is_counted():
    samples = np.array([0.0, 1.0, -1.0, 0.5], np.float32)
    assert clipped_fraction(Sound(samples, 24_000)) == 0.5
    assert clipped_fraction(Sound(np.zeros(0, np.float32), 24_000)) == 0.0
