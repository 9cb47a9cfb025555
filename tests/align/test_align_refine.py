"""What is heard above the rumble."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from align.refine import _above


def by_scipy(samples: np.ndarray, rate: int) -> np.ndarray:
    """There and back in time, with a second of silence on both sides."""
    filtered = sosfiltfilt(butter(2, 250, "high", fs=rate, output="sos"), np.pad(samples, rate))
    return filtered[rate:-rate]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_rumble_goes_as_by_a_filter_there_and_back(rate: int) -> None:
    # The third length leaves the least silence after it.
    for count in (1, 1000, 1024 - rate // 50, 3 * rate):
        samples = np.random.default_rng(count).uniform(-0.5, 0.5, count).astype(np.float32)
        found = _above(samples, rate)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, by_scipy(samples, rate), atol=3e-6)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_a_loud_end_is_not_heard_at_the_start(rate: int) -> None:
    samples = np.zeros(3 * 1024 - rate // 50, np.float32)
    samples[-100:] = 0.5
    found = _above(samples, rate)
    assert np.abs(found[-100:]).max() > 0.1
    assert np.abs(found[:1000]).max() < 1e-6
