"""Reels of one person in different colours are brought to the best one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import butter, firwin2, sosfiltfilt

from media.audio import Sound
from voice._fit_channel import in_one_channel
from voice._fit_gradient import NOTHING_KEPT, MelLoss
from voice._fit_person import divide, listen
from voice.archive import CLIP_RATE, Clip
from voice.engines import get_synthesizer
from voice.voice import Voice, load_voice, stock_voices

LINES = (
    "The committee will meet again on Thursday afternoon to discuss the new budget for schools.",
    "We took the early train and were home again long before it got dark outside that evening.",
    "Nobody knew at the time how important that letter would become for all of us in the end.",
)
EACH = len(LINES)


@pytest.fixture(scope="module")
def reels() -> tuple[Clip, ...]:
    """Three reels: as it was said, dull by a known filter, and through a telephone."""
    from align.text import speakable

    voice = load_voice(f"stock:{stock_voices()[0]}")
    plain = [get_synthesizer().speak(speakable(line), voice).sound for line in LINES]
    dull = firwin2(255, [0, 1000, 4000, 12_000], [1, 1, 0.5, 0.5], fs=CLIP_RATE)
    narrow = butter(6, 3400, fs=CLIP_RATE, output="sos")
    rng = np.random.default_rng(0)
    clips = []
    for reel, snr in (("studio.wav", 50.0), ("dull.wav", 45.0), ("telephone.wav", 45.0)):
        for text, sound in zip(LINES, plain, strict=True):
            samples = sound.samples.astype(np.float64)
            if reel == "dull.wav":
                samples = np.convolve(samples, dull, "same")
            if reel == "telephone.wav":
                samples = sosfiltfilt(narrow, samples)
            samples = samples + 2e-5 * rng.standard_normal(len(samples))
            clips.append(_clip(reel, text, Sound(samples.astype(np.float32), CLIP_RATE), snr))
    return tuple(clips)


def _clip(reel: str, text: str, sound: Sound, snr: float) -> Clip:
    end = sound.duration_s
    return Clip(Path(reel), Fraction(0), end, text, sound, 1.0, snr, 0.0, "A", "given")


def _levels(clip: Clip) -> np.ndarray:
    """dB in bands of 500 Hz."""
    power = np.abs(np.fft.rfft(clip.sound.samples)) ** 2
    hz = np.arange(len(power)) * CLIP_RATE / len(clip.sound)
    return np.array([10 * np.log10(power[(hz >= k) & (hz < k + 500)].mean()) for k in BANDS])


BANDS = range(500, 7500, 500)


def test_a_dull_reel_gets_the_colour_of_the_best_and_the_best_keeps_its_own(
    reels: tuple[Clip, ...],
) -> None:
    found = in_one_channel(reels)
    assert found[:EACH] == reels[:EACH]
    before = _levels(reels[EACH]) - _levels(reels[0])
    after = _levels(found[EACH]) - _levels(found[0])
    assert np.ptp(before) > 5.5
    assert np.ptp(after) < 1.5
    assert found[EACH].band is None


def test_a_telephone_reel_says_where_it_ends_and_is_no_measure_of_the_person(
    reels: tuple[Clip, ...],
) -> None:
    found = in_one_channel(reels)
    band = found[-1].band
    assert band is not None
    assert 3000 < band[1] < 5000
    person = listen(found)
    assert person.band_hz > 9000
    assert not person.narrow
    wide = tuple(clip for clip in found if clip.band is None)
    alone = listen(wide)
    assert float(person.judge @ alone.judge) > 0.97


def test_one_reel_or_short_ones_stay_as_they_are(reels: tuple[Clip, ...]) -> None:
    assert in_one_channel(reels[-EACH:]) == reels[-EACH:]
    short = [replace(clip, end_s=clip.start_s + 3) for clip in reels]
    assert in_one_channel(short) == tuple(short)


def test_all_through_telephones_is_narrow_and_whole(reels: tuple[Clip, ...]) -> None:
    tilt = butter(1, 1500, "highpass", fs=CLIP_RATE, output="sos")
    again = []
    for clip in reels[-EACH:]:
        samples = clip.sound.samples + 0.5 * sosfiltfilt(tilt, clip.sound.samples)
        sound = replace(clip.sound, samples=samples.astype(np.float32))
        again.append(replace(clip, source=Path("other.wav"), sound=sound, snr_db=40.0))
    found = in_one_channel([*reels[-EACH:], *again])
    assert all(clip.band is None for clip in found)
    before = _levels(again[0]) - _levels(reels[-EACH])
    after = _levels(found[-EACH]) - _levels(found[0])
    assert np.ptp(before[:6]) > 2
    assert np.ptp(after[:6]) < 1


def _with(reels: tuple[Clip, ...], noise: np.ndarray, under_db: float) -> list[Clip]:
    """The first reel, and once more under a noise so far below its speech."""
    worn = []
    for clip in reels[:EACH]:
        bed = np.resize(noise, len(clip.sound)) / np.sqrt(np.mean(noise**2))
        level = np.sqrt(np.mean(clip.sound.samples**2)) * 10 ** (-under_db / 20)
        sound = replace(clip.sound, samples=clip.sound.samples + (level * bed).astype(np.float32))
        worn.append(replace(clip, source=Path("worn.wav"), sound=sound, snr_db=20.0))
    return [*reels[:EACH], *worn]


def test_hum_and_rumble_make_no_reel_narrow(reels: tuple[Clip, ...]) -> None:
    rng = np.random.default_rng(5)
    time = np.arange(10 * CLIP_RATE) / CLIP_RATE
    low = butter(4, 120, fs=CLIP_RATE, output="sos")
    for noise in (sosfiltfilt(low, rng.standard_normal(len(time))), np.sin(200 * np.pi * time)):
        found = in_one_channel(_with(reels, noise, 30))
        assert [clip.band for clip in found] == [None] * (2 * EACH)


def test_a_reel_buried_in_noise_keeps_its_colour(reels: tuple[Clip, ...]) -> None:
    bed = np.random.default_rng(6).standard_normal(10 * CLIP_RATE)
    given = _with(reels, bed, -30)
    found = in_one_channel(given)
    np.testing.assert_array_equal(found[-1].sound.samples, given[-1].sound.samples)


def test_short_reels_that_are_narrow_say_so(reels: tuple[Clip, ...]) -> None:
    found = in_one_channel([*reels[:EACH], reels[-1]])
    assert found[-1].band is not None
    assert found[-1].band[1] < 5000
    np.testing.assert_array_equal(found[-1].sound.samples, reels[-1].sound.samples)


def test_the_only_reel_that_shows_the_person_is_never_held_out_whole(
    reels: tuple[Clip, ...],
) -> None:
    for best in range(5):
        clips = [
            replace(clip, source=Path(f"{k}.wav"), band=None if k == best else (0.0, 3400.0))
            for k in range(5)
            for clip in reels[:EACH]
        ]
        trained, held = divide(clips)
        assert held
        assert sum(c.duration_s for c in trained if c.band is None) >= 8


def test_nothing_outside_a_clips_band_is_compared() -> None:
    rng = np.random.default_rng(2)
    low = butter(8, 3000, fs=CLIP_RATE, output="sos")
    noise = rng.standard_normal((2, CLIP_RATE)) * 0.05
    a = sosfiltfilt(low, noise[0])
    b = a + noise[1] - sosfiltfilt(low, noise[1])  # the same below, something else above
    first, second = (torch.from_numpy(x.astype(np.float32)) for x in (a, b))
    loss = MelLoss(11_000, None)
    whole, within = float(loss(first, second)), float(loss(first, second, None, (0, 2400)))
    assert within < 0.1 * whole
    assert float(loss(first, second, None, (0, 12_000))) == pytest.approx(whole)
    assert float(loss(first, second, None, (1000, 1001))) == 0


def test_layers_are_held_back_where_that_sounds_better_by_more_than_it_loses(
    reels: tuple[Clip, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice alone: marks as a descent on worn reels gave them, by the share of the layers."""
    from voice import fit
    from voice._fit_person import Measured

    voice = Voice("fitted", np.zeros(256, "f"), layers={"layer": np.ones(4, np.float32)})
    fitting = fit._Fit(listen(reels[:EACH]), 0, fit.Effort(), None, lambda *_: None, NOTHING_KEPT)

    tried: list[tuple[str, ...]] = []

    def chosen(worn: float) -> float:
        def marks(less: Voice, texts: Sequence[str], names: Sequence[str]) -> Measured:
            tried.append(tuple(texts))
            assert tuple(names) == ("ge2e", "dnsmos")  # no judge
            share = float(less.layers["layer"][0])
            return Measured(np.nan, 0.88 + 0.016 * share, np.nan, 3.3 - worn * share)

        monkeypatch.setattr(fitting.listener, "measure", marks)
        tried.clear()
        return float(fitting._tempered(voice).layers["layer"][0])

    assert chosen(0.05) == pytest.approx(0.8)
    assert len(tried) == 1  # good as it is
    assert chosen(0.15) == pytest.approx(0.8)
    assert len(tried) == 2  # less of them was worse
    lengths = [len(text.split()) for text in tried[0]]
    assert min(lengths) <= 6
    assert max(lengths) >= 20
    assert chosen(0.45) == pytest.approx(0.6)
