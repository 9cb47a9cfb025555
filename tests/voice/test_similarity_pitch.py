"""Pitch, energy and bandwidth on sounds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from media.audio import Sound
from voice.pitch import (
    FRAME_S,
    bandwidth_hz,
    frame_energy,
    median_f0,
    semitones,
    track_f0,
)

RATE = 24_000


def voiced(f0: np.ndarray, rate: int = RATE, tilt: float = 1.0) -> np.ndarray:
    """Harmonics of a pitch given per sample, falling by `tilt` (1: 6 dB an octave)."""
    phase = 2 * np.pi * np.cumsum(f0) / rate
    parts = (np.sin(k * phase) / k**tilt * (k * f0 < 0.45 * rate) for k in range(1, 41))
    return 0.1 * np.sum(list(parts), axis=0)


@pytest.mark.parametrize(
    ("start", "octaves"), [(80.0, 1.0), (150.0, 1.2), (240.0, 0.7), (300.0, -1)]
)
def test_a_glide_is_followed(start: float, octaves: float) -> None:
    time = np.arange(2 * RATE) / RATE
    truth = start * 2 ** (octaves * time / 2)
    f0 = track_f0(Sound(voiced(truth).astype(np.float32), RATE))
    at = np.arange(len(f0)) * FRAME_S
    inside = (at > 0.1) & (at < 1.9)
    assert (f0[inside] > 0).all()
    cents = 1200 * np.log2(f0[inside] / (start * 2 ** (octaves * at[inside] / 2)))
    assert np.abs(cents).max() < 12
    assert abs(cents.mean()) < 2  # no delay: a glide would turn one into a bias


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_any_rate_gives_the_same_pitch(rate: int) -> None:
    f0 = track_f0(Sound(voiced(np.full(rate, 123.0), rate).astype(np.float32), rate))
    assert median_f0(f0) == pytest.approx(123, rel=2e-3)


def test_no_octave_error_without_the_fundamental() -> None:
    """A telephone cuts the fundamental off; the pitch is still its."""
    n = RATE
    phase = 2 * np.pi * 110 * np.arange(n) / RATE
    samples = np.sum([np.sin(k * phase) for k in range(4, 20)], axis=0) * 0.02
    assert median_f0(track_f0(Sound(samples.astype(np.float32), RATE))) == pytest.approx(
        110, rel=0.01
    )


def test_noise_and_silence_are_unvoiced() -> None:
    rng = np.random.default_rng(1)
    tone = voiced(np.full(RATE // 2, 200.0))
    samples = np.concatenate([tone, 0.03 * rng.standard_normal(RATE // 2), np.zeros(RATE // 2)])
    f0 = track_f0(Sound(samples.astype(np.float32), RATE))
    at = np.arange(len(f0)) * FRAME_S
    assert (f0[(at > 0.05) & (at < 0.45)] > 0).all()
    assert (f0[(at > 0.56) & (at < 0.94)] > 0).mean() < 0.15
    assert (f0[at > 1.06] == 0).all()


def test_nothing_to_track() -> None:
    assert track_f0(Sound(np.zeros(0, np.float32), RATE)).size == 0
    assert not track_f0(Sound(np.zeros(RATE, np.float32), RATE)).any()
    assert np.isnan(median_f0(np.zeros(4, np.float32)))


def test_long_sounds_are_worked_in_stretches() -> None:
    samples = voiced(np.full(60 * 8_000, 180.0), 8_000).astype(np.float32)
    f0 = track_f0(Sound(samples, 8_000))
    assert len(f0) == 60 / FRAME_S + 1
    assert median_f0(f0) == pytest.approx(180, rel=2e-3)


def test_semitones() -> None:
    assert semitones(100, 200) == pytest.approx(12)
    assert semitones(200, 100) == pytest.approx(-12)


def test_energy_follows_level_by_its_definition() -> None:
    """Twice the amplitude is four times the power: log 4 more."""
    samples = voiced(np.full(RATE, 150.0)).astype(np.float32)
    low, high = frame_energy(samples), frame_energy(2 * samples)
    assert len(low) == RATE // 300 + 1
    np.testing.assert_allclose(high - low, np.log(4), atol=0.01)


@pytest.mark.parametrize(("top", "low", "high"), [(3_400, 3_000, 4_000), (7_000, 6_500, 7_800)])
def test_bandwidth_is_found(top: float, low: float, high: float) -> None:
    from scipy.signal import firwin, lfilter

    rng = np.random.default_rng(2)
    time = np.arange(6 * RATE) / RATE
    bursts = (np.sin(2 * np.pi * 1.5 * time) > 0).astype(float)
    samples = lfilter(
        firwin(801, top, fs=RATE, window=("kaiser", 9.0)),
        1,
        0.1 * bursts * rng.standard_normal(len(time)),
    )
    samples += 1e-5 * rng.standard_normal(len(time))
    assert low <= bandwidth_hz(Sound(samples.astype(np.float32), RATE)) <= high


def test_bandwidth_ends_where_noise_drowns_the_speech() -> None:
    from scipy.signal import firwin, lfilter

    rng = np.random.default_rng(3)
    time = np.arange(6 * RATE) / RATE
    bursts = (np.sin(2 * np.pi * 1.5 * time) > 0).astype(float)
    speech = lfilter(firwin(401, 4_000, fs=RATE), 1, bursts * rng.standard_normal(len(time)))
    noisy = 0.1 * speech + 0.02 * rng.standard_normal(len(time))
    assert 3_500 <= bandwidth_hz(Sound(noisy.astype(np.float32), RATE)) <= 5_000


def test_pitch_and_energy_agree_with_the_engine(japanese_style: np.ndarray) -> None:
    """What the engine was told to speak is what is measured in its sound, without a delay."""
    from align.text import speakable
    from voice.engines import get_synthesizer
    from voice.voice import Voice

    said = get_synthesizer().speak(
        speakable("My grandmother worked in that factory."), Voice("bundled", japanese_style[0])
    )
    f0 = track_f0(said.sound)[: len(said.f0)]
    both = (f0 > 0) & (said.f0 > 0)
    away = 12 * np.log2(f0[both] / said.f0[both])
    assert abs(np.median(away)) < 0.1
    assert np.abs(away).mean() < 0.5
    energy = frame_energy(said.sound.samples)[: len(said.energy)]
    assert np.corrcoef(energy, said.energy[: len(energy)])[0, 1] > 0.95
