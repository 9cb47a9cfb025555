"""Matching against truth: a filter, a room, a noise and a level that we put there ourselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import butter, fftconvolve, firwin2, lfilter, sosfilt

from align.text import speakable
from media.audio import Sound
from media.errors import MediaError, NoSpeechError
from media.loudness import integrated_lufs, rms_dbfs
from voice.acoustics import Acoustics, band_levels, measure_acoustics, smoothed, spectrum_distance
from voice.match import compare, match_parts, match_sound, plan_match
from voice.reverberation import Room, measure_room, room_tail

RATE = 24_000
EQ_HZ = (0, 150, 300, 1000, 2500, 4000, 6000, 12_000)
EQ_DB = (-40, -20, 0, 3, 8, -5, -25, -60)
NOISE_DB = -45.0


def spoken(engine, voice, text: str) -> Sound:
    said = engine.speak(speakable(text), voice).sound
    return Sound(np.pad(said.samples, (RATE // 2, RATE // 2)), said.rate)


@pytest.fixture(scope="module")
def other_line(engine, stock_voice) -> Sound:
    """What the reference says: other words than the take."""
    return spoken(
        engine,
        stock_voice,
        "The harbour was empty when we came back. Nobody had waited for us, and the boats were "
        "gone.",
    )


@pytest.fixture(scope="module")
def take(engine, stock_voice) -> Sound:
    return spoken(
        engine, stock_voice, "My grandmother worked in that factory for thirty years, you know."
    )


def equalised(sound: Sound) -> Sound:
    taps = firwin2(1023, EQ_HZ, 10 ** (np.array(EQ_DB) / 20), fs=RATE)
    return replace(sound, samples=lfilter(taps, 1, sound.samples).astype(np.float32))


def noisy(sound: Sound, dbfs: float = NOISE_DB) -> Sound:
    """With low-passed noise of a known level, over the whole."""
    drawn = np.random.default_rng(3).standard_normal(len(sound))
    noise = sosfilt(butter(2, (100, 3000), "band", fs=RATE, output="sos"), drawn)
    noise *= 10 ** (dbfs / 20) / np.sqrt(np.mean(noise**2))
    return replace(sound, samples=(sound.samples + noise).astype(np.float32))


def roomy(sound: Sound, seconds: float, direct_db: float) -> Sound:
    """In a room of white noise that decays: made here, not by the code under test."""
    time = np.arange(int(1.2 * seconds * RATE)) / RATE
    tail = np.random.default_rng(9).standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: RATE // 500] = 0
    tail *= np.sqrt(10 ** (-direct_db / 10) / np.sum(tail**2))
    tail[0] = 1
    wet = fftconvolve(sound.samples, tail)[: len(sound)]
    return replace(sound, samples=(0.5 * wet).astype(np.float32))


@pytest.fixture(scope="module")
def scene(other_line) -> Sound:
    """The reference: equalised, in a room, in noise."""
    return noisy(roomy(equalised(other_line), 0.6, 3.0))


def test_everything_at_once_reaches_the_figures(take, scene) -> None:
    before, after = compare(take, scene), compare(match_sound(take, scene, seed=4), scene)
    assert after.spectrum_db < 0.4 * before.spectrum_db
    assert abs(after.level_db) < 1.0
    assert abs(after.noise_db) < 2.0
    assert len(match_sound(take, scene)) == len(take)


def test_a_known_filter_is_found(take, other_line) -> None:
    matched = match_sound(take, equalised(other_line), room=False, noise=False, level=False)
    wanted = band_levels(measure_acoustics(equalised(take)))
    got = band_levels(measure_acoustics(matched))
    heard = wanted > -45
    assert np.abs((wanted - got)[heard]).mean() < 3.0  # other words, so not exact
    assert rms_dbfs(matched) == pytest.approx(rms_dbfs(take), abs=1.5)  # colour, not level


def applied_db(take: Sound, reference: Sound) -> np.ndarray:
    """What the filter of a match does between 200 Hz and 5 kHz, in dB less its mean."""
    plan = plan_match(take, reference, room=False, noise=False, level=False)
    size = 1 << 12
    gain = 20 * np.log10(np.abs(np.fft.rfft(plan.filter, size)))
    hz = np.fft.rfftfreq(size, 1 / RATE)
    inside = gain[(hz > 200) & (hz < 5000)]
    return inside - inside.mean()


def test_other_words_are_not_taken_for_another_colour(take, other_line) -> None:
    """The same voice in the same place: what differs is what is said, and is nearly left alone.

    Each line's own spectrum laid upon the other made a person less like himself.
    """
    same = applied_db(take, other_line)
    assert np.sqrt(np.mean(same**2)) < 2.5
    other = applied_db(take, equalised(other_line))
    assert np.sqrt(np.mean(other**2)) > 3.0


def test_what_is_doubted_grows_less_with_more_speech(take, other_line) -> None:
    both = replace(take, samples=np.concatenate((take.samples, other_line.samples)))
    one, two = (measure_acoustics(s, room=False) for s in (take, both))
    heard = (one.frequencies > 200) & (one.frequencies < 5000)
    assert two.doubt[heard].mean() < one.doubt[heard].mean()


def hissing(sound: Sound, snr_db: float) -> Sound:
    """With white noise, which hides the upper end of speech first."""
    drawn = np.random.default_rng(5).standard_normal(len(sound))
    drawn *= 10 ** ((rms_dbfs(sound) - snr_db) / 20)
    return replace(sound, samples=(sound.samples + drawn).astype(np.float32))


def above_noise(facts: Acoustics) -> np.ndarray:
    return smoothed(facts.speech, facts.frequencies) / smoothed(facts.noise, facts.frequencies)


@pytest.mark.parametrize("snr_db", [15.0, 5.0])
def test_what_noise_hides_is_doubted_most(other_line, snr_db: float) -> None:
    clean = measure_acoustics(other_line, room=False)
    found = measure_acoustics(hissing(other_line, snr_db), room=False)
    over = above_noise(found)
    hidden, plain = over < 0.5, (over > 100) & (clean.frequencies > 100)
    assert hidden.sum() > 50
    assert found.doubt[hidden].min() >= 9.0
    assert np.median(found.doubt[plain] / clean.doubt[plain]) == pytest.approx(1.0, abs=0.25)
    partly = (over > 1) & (over < 3)  # what little is known of it is of heard less noise
    assert np.median(found.doubt[partly] / clean.doubt[partly]) > 0.8


@pytest.mark.parametrize("snr_db", [15.0, 5.0])
def test_nothing_is_lifted_to_where_noise_hides_the_reference(
    take, other_line, snr_db: float
) -> None:
    """The same voice in the same place: white noise alone made 14 to 20 dB more of its top."""
    reference = measure_acoustics(hissing(other_line, snr_db), room=False)
    plan = plan_match(take, reference, room=False, noise=False, level=False)
    gain = 20 * np.log10(np.abs(np.fft.rfft(plan.filter, 1 << 13)))
    hz = np.fft.rfftfreq(1 << 13, 1 / RATE)
    hidden = np.interp(hz, reference.frequencies, above_noise(reference)) < 0.25
    assert hidden.sum() > 200
    assert gain[hidden].max() < 2.0


@pytest.mark.parametrize(("seconds", "direct_db"), [(0.4, 3.0), (1.0, 0.0)])
def test_a_known_room_is_measured(take, other_line, seconds: float, direct_db: float) -> None:
    both = replace(take, samples=np.concatenate((take.samples, other_line.samples)))
    found = measure_room(noisy(roomy(both, seconds, direct_db), -60))
    assert found.rt60_s == pytest.approx(seconds, rel=0.35)
    assert found.direct_db == pytest.approx(direct_db, abs=4.0)
    assert not found.is_dry


def test_dry_speech_has_no_room(take) -> None:
    assert measure_room(noisy(take, -65)).is_dry


def test_the_synthetic_tail_is_the_room_that_was_asked_for() -> None:
    tail = room_tail(Room(0.5, 4.0), RATE, seed=1)
    assert 10 * np.log10(1 / np.sum(tail**2)) == pytest.approx(4.0, abs=0.01)
    low = sosfilt(butter(4, (200, 800), "band", fs=RATE, output="sos"), tail)
    left = 10 * np.log10(np.cumsum(low[::-1] ** 2)[::-1] / np.sum(low**2) + 1e-12)
    at = np.arange(len(tail)) / RATE
    fit = (left < -5) & (left > -25)
    assert -60 / np.polyfit(at[fit], left[fit], 1)[0] == pytest.approx(0.5, rel=0.15)


def test_a_known_noise_is_measured_and_laid_under_the_edges(take, other_line) -> None:
    reference = noisy(other_line)
    assert measure_acoustics(reference, room=False).noise_dbfs == pytest.approx(NOISE_DB, abs=1)
    matched = match_sound(take, reference, spectrum=False, room=False, level=False)
    for edge in (matched.cut(0, 0.3), matched.cut(float(take.duration_s) - 0.3, 99)):
        assert rms_dbfs(edge) == pytest.approx(NOISE_DB, abs=1.5)
    quiet = match_sound(take, other_line, spectrum=False, room=False, level=False)
    np.testing.assert_array_equal(quiet.samples, take.samples)  # digital silence between words


def test_a_known_level_is_reached(take, other_line) -> None:
    softer = replace(other_line, samples=other_line.samples * np.float32(0.2))
    matched = match_sound(take, softer, spectrum=False, room=False, noise=False)
    assert compare(matched, softer).level_db == pytest.approx(0, abs=0.3)
    assert integrated_lufs(matched) == pytest.approx(integrated_lufs(softer), abs=1.5)
    same_shape = matched.samples / np.abs(matched.samples).max()
    np.testing.assert_allclose(same_shape, take.samples / np.abs(take.samples).max(), atol=1e-4)


def test_a_loud_reference_does_not_clip_the_take(take, other_line) -> None:
    pressed = replace(other_line, samples=np.clip(other_line.samples * 4, -0.9, 0.9))
    matched = match_sound(take, pressed, spectrum=False, room=False, noise=False)
    assert np.abs(matched.samples).max() < 0.9
    assert compare(matched, pressed).level_db == pytest.approx(0, abs=1.0)


def test_parts_can_each_be_left_out(take, scene) -> None:
    none = match_sound(take, scene, spectrum=False, room=False, noise=False, level=False)
    np.testing.assert_array_equal(none.samples, take.samples)
    plan = plan_match(take, scene, room=False, noise=False)
    assert plan.room is None
    assert plan.noise is None
    assert plan.filter is not None
    assert match_parts("spectrum, level") == {
        "spectrum": True,
        "room": False,
        "noise": False,
        "level": True,
    }
    with pytest.raises(MediaError, match="cannot be matched"):
        match_parts("spectrum,colour")


def test_same_seed_same_bytes(take, scene) -> None:
    first, second = (match_sound(take, scene, seed=8).samples for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, match_sound(take, scene, seed=9).samples)


def test_another_rate_and_band_are_followed(take, other_line) -> None:
    from media.audio import resample

    narrow = resample(other_line, 8000)
    matched = match_sound(resample(take, 48_000), narrow, room=False)
    assert matched.rate == 48_000
    above = sosfilt(butter(8, 5000, "high", fs=48_000, output="sos"), matched.samples)
    assert rms_dbfs(replace(matched, samples=above.astype(np.float32))) < rms_dbfs(matched) - 45
    assert spectrum_distance(measure_acoustics(matched), measure_acoustics(narrow)) < 5


def test_a_reference_in_which_nobody_speaks_is_refused(take) -> None:
    hiss = Sound((0.01 * np.random.default_rng(0).standard_normal(48_000)).astype(np.float32), RATE)
    with pytest.raises(NoSpeechError, match="nobody speaks"):
        match_sound(take, hiss)
