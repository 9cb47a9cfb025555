"""Where somebody speaks: our own running of the detector's network against ONNX Runtime's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from align_line import Line

from align._silero import CONTEXT, FRAME, State, read_detector
from align._weights import silero_path
from align.recording import at_speech_rate
from align.vad import speech_probability
from media.audio import Sound


def by_onnxruntime(samples: np.ndarray) -> np.ndarray:
    path = silero_path()  # first: the registry tells ONNX Runtime to send nothing to its maker
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    before, found = np.zeros(CONTEXT, np.float32), []
    for at in range(0, len(samples), FRAME):
        frame = np.concatenate([before, samples[at : at + FRAME]])[None]
        given = {"input": frame, "state": state, "sr": np.array(16_000, np.int64)}
        output, state = session.run(None, given)
        before = frame[0, -CONTEXT:]
        found.append(output[0, 0])
    return np.array(found, np.float32)


def test_probabilities_are_those_of_onnxruntime(line: Line) -> None:
    samples = at_speech_rate(line.sound).samples
    noise = np.random.default_rng(0).normal(0, 0.05, 16_000).astype(np.float32)
    samples = np.concatenate([noise, samples, 8 * samples[:16_000], np.zeros(16_000, np.float32)])
    whole = np.pad(samples, (0, -len(samples) % FRAME))
    expected = by_onnxruntime(whole)
    assert expected.min() < 0.05
    assert expected.max() > 0.95
    np.testing.assert_allclose(speech_probability(Sound(samples, 16_000)), expected, atol=1e-4)


def test_what_came_before_is_remembered() -> None:
    detector = read_detector(silero_path())
    samples = np.random.default_rng(1).normal(0, 0.1, 20 * FRAME).astype(np.float32)
    whole, after = detector(samples, State.silent())
    first, state = detector(samples[: 7 * FRAME], State.silent())
    second, last = detector(samples[7 * FRAME :], state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-5)
    np.testing.assert_allclose(last.cell, after.cell, atol=1e-4)
    np.testing.assert_array_equal(last.before, samples[-CONTEXT:])


def test_speech_is_where_it_is_with_any_number_of_threads(line: Line, tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.tile(at_speech_rate(line.sound).samples, 4))
    code = (
        "import sys; import numpy as np; from media.audio import Sound\n"
        "from align.vad import speech_probability, speech_spans\n"
        "sound = Sound(np.load(sys.argv[1]), 16_000)\n"
        "print(speech_spans(speech_probability(sound), float(sound.duration_s)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "line.npy")]
    found = set()
    for threads in ("1", "2"):
        number = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        settings = {**os.environ, **number}
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_nothing_has_no_probability() -> None:
    assert len(speech_probability(Sound(np.zeros(0, np.float32), 16_000))) == 0


def test_another_file_is_no_detector(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"\x3a\x02\x0a\x00")
    with pytest.raises(KeyError):
        read_detector(other)
