"""Loudness against the numbers that BS.1770 and EBU Tech 3341 prescribe."""

from __future__ import annotations

import math

import numpy as np
import pytest

from media.audio import Sound
from media.loudness import at_loudness, integrated_lufs, peak_dbfs, rms_dbfs


def sine(seconds: float, dbfs: float, rate: int = 48_000, hertz: float = 997.0) -> np.ndarray:
    at = np.arange(round(seconds * rate)) / rate
    return (10 ** (dbfs / 20) * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
@pytest.mark.parametrize("dbfs", [0.0, -20.0, -33.0])
def test_a_sine_of_known_level(rate: int, dbfs: float) -> None:
    sound = Sound(sine(5, dbfs, rate), rate)
    assert integrated_lufs(sound) == pytest.approx(dbfs - 3.01, abs=0.1)
    assert rms_dbfs(sound) == pytest.approx(dbfs - 3.01, abs=0.01)
    assert peak_dbfs(sound) == pytest.approx(dbfs, abs=0.02)


def test_quiet_parts_are_gated_out() -> None:
    # EBU Tech 3341 case 3: 10 s at -36, 60 s at -23, 10 s at -36 is -23 in all.
    parts = [sine(10, -36), sine(60, -23), sine(10, -36)]
    sound = Sound(np.concatenate(parts), 48_000)
    assert integrated_lufs(sound) == pytest.approx(-23 - 3.01, abs=0.1)


def test_short_and_silent_sounds() -> None:
    assert integrated_lufs(Sound(sine(0.1, -20), 48_000)) == pytest.approx(-23, abs=0.5)
    for silent in (np.zeros(0, np.float32), np.zeros(48_000, np.float32)):
        sound = Sound(silent, 48_000)
        assert integrated_lufs(sound) == rms_dbfs(sound) == peak_dbfs(sound) == -math.inf
        assert at_loudness(sound, -20) is sound


def test_a_gain_to_a_loudness() -> None:
    sound = Sound(sine(3, -40), 48_000)
    assert integrated_lufs(at_loudness(sound, -23)) == pytest.approx(-23, abs=0.01)
    assert peak_dbfs(at_loudness(sound, 0)) == pytest.approx(-1, abs=0.01)
