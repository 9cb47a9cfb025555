"""Where the learned numbers that align needs lie, checked against the registry."""

from __future__ import annotations

from pathlib import Path

from weights.registry import locate

__all__ = ["aligner_path", "model_folder", "silero_path", "whisper_folder"]


def aligner_path() -> Path:
    """The safetensors file of our own aligner; its card lies beside it."""
    return locate("aligner")


def silero_path() -> Path:
    """The silero-vad ONNX file."""
    return locate("silero-vad")


def whisper_folder() -> Path:
    """The folder of the CTranslate2 Whisper-tiny model."""
    return locate("whisper-tiny")


def model_folder() -> Path:
    """PocketSphinx's folder with the acoustic model `en-us` and the CMU dictionary."""
    return locate("pocketsphinx-en-us")
