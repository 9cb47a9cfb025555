"""Delivery measured on sounds whose pitch, pace, pauses and level are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from media.audio import Sound, resample
from media.errors import NoSpeechError
from voice.delivery import (
    compare_delivery,
    describe_delivery,
    mean_delivery,
    measure_delivery,
)

RATE = 24_000


def babble(hz: float = 150.0, swing_st: float = 0.0, per_s: float = 4.0, pause_s: float = 0.0):
    """Buzzes in syllables: 8, then a pause, then 8 more; pitch swings slowly by `swing_st`."""

    def phrase() -> np.ndarray:
        t = np.arange(int(8 / per_s * RATE)) / RATE
        f0 = hz * 2 ** (swing_st / 12 * np.sin(np.pi * per_s * t / 2))
        phase = np.cumsum(f0) / RATE
        buzz = sum(np.cos(2 * np.pi * k * phase) / k for k in range(1, 12))
        return 0.1 * buzz * (0.08 + np.sin(np.pi * per_s * t) ** 2)

    pause = np.zeros(int(pause_s * RATE))
    silence = np.zeros(RATE // 4)
    parts = (silence, phrase(), pause, phrase(), silence)
    return Sound(np.concatenate(parts).astype(np.float32), RATE)


def test_pitch_range_pace_and_pauses_are_what_was_made() -> None:
    found = measure_delivery(babble(150, swing_st=3, per_s=4, pause_s=0.8))
    assert found.f0_hz == pytest.approx(150, rel=0.03)
    assert found.range_st == pytest.approx(5.9, abs=0.6)
    assert found.syllables_s == pytest.approx(4.0, rel=0.1)
    assert found.pause_s == pytest.approx(0.8, abs=0.15)
    assert found.pause_share == pytest.approx(0.8 / 4.8, abs=0.04)


def test_differences_are_said_in_words_and_numbers() -> None:
    calm = measure_delivery(babble(120, 1, 3, 1.2))
    loud = babble(160, 4, 5, 0.2)
    urgent = measure_delivery(replace(loud, samples=loud.samples * np.float32(2)))
    rows = {d.measure: d for d in compare_delivery(urgent, calm)}
    assert rows["pitch"].amount == pytest.approx(12 * np.log2(160 / 120), abs=0.4)
    assert rows["pitch"].word == "higher"
    assert rows["range"].word == "livelier"
    assert rows["pace"].word == "faster"
    assert rows["pauses"].word == "fewer pauses"
    assert rows["level"].word == "louder"
    assert "Hz, higher by" in rows["pitch"].sentence
    assert describe_delivery(rows.values()).startswith("higher, livelier")
    assert describe_delivery(compare_delivery(calm, calm)) == "alike"


def test_rate_and_noise_do_not_matter() -> None:
    clean = babble(180, 2, 4, 0.5)
    noise = 0.003 * np.random.default_rng(1).standard_normal(len(clean))
    noisy = replace(clean, samples=(clean.samples + noise).astype(np.float32))
    one, two = measure_delivery(clean), measure_delivery(resample(noisy, 16_000))
    assert two.f0_hz == pytest.approx(one.f0_hz, rel=0.02)
    assert two.syllables_s == pytest.approx(one.syllables_s, rel=0.12)
    assert two.pause_share == pytest.approx(one.pause_share, abs=0.04)


def test_many_recordings_make_one_delivery() -> None:
    one, two = measure_delivery(babble(100)), measure_delivery(babble(200))
    both = mean_delivery([one, two])
    assert both.f0_hz == pytest.approx(150, rel=0.05)
    assert both.speech_s == pytest.approx(one.speech_s + two.speech_s)
    with pytest.raises(NoSpeechError):
        mean_delivery([])


@pytest.mark.parametrize("kind", ["silence", "hiss", "nothing"])
def test_no_voice_is_refused(kind: str) -> None:
    hiss = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    samples = {"silence": np.zeros(RATE), "hiss": hiss, "nothing": np.zeros(0)}[kind]
    with pytest.raises(NoSpeechError):
        measure_delivery(Sound(samples.astype(np.float32), RATE))
