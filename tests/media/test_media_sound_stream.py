"""Stretches of a long recording: the right samples, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.errors import MediaError
from media.sound_stream import SoundStream

RATE = 8000


@pytest.fixture
def recording(tmp_path: Path) -> tuple[Path, np.ndarray]:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, RATE * 1200).astype(np.float32)
    path = tmp_path / "tape.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path, samples


@pytest.mark.parametrize("gap", [0.0, 0.013, 7.5])
def test_stretches_are_what_lies_there(recording: tuple[Path, np.ndarray], gap: float) -> None:
    path, samples = recording
    starts = np.arange(0.25, 560, 9.0 + gap)
    spans = [(float(a), float(a + 9.0)) for a in starts]
    cut = list(SoundStream(path).cuts(spans))
    assert [c.start for c in cut] == [round(a * RATE) for a, _ in spans]
    for piece, (a, b) in zip(cut, spans, strict=True):
        np.testing.assert_array_equal(piece.samples, samples[round(a * RATE) : round(b * RATE)])


def test_stretches_that_touch_take_no_more_memory_than_one(
    recording: tuple[Path, np.ndarray],
) -> None:
    path, samples = recording
    spans = [(10.0 * i, 10.0 * (i + 1)) for i in range(120)]
    tracemalloc.start()
    total = sum(len(piece.samples) for piece in SoundStream(path).cuts(spans))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == len(samples)
    assert peak < samples.nbytes / 4


def test_a_recording_that_stops_being_one_is_told_in_one_line(
    recording: tuple[Path, np.ndarray],
) -> None:
    path, _ = recording
    stream = SoundStream(path)
    path.write_bytes(b"no longer a recording")
    with pytest.raises(MediaError, match="cannot be read to its end"):
        list(stream.blocks(5))
