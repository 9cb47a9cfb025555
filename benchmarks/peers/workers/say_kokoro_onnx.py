"""The package kokoro-onnx on the same ONNX file: `say_kokoro_onnx.py MODEL VOICES.npz`."""

from __future__ import annotations

import sys
from typing import Any

from kokoro_onnx import Kokoro
from serving import serve

ENGINE = Kokoro(sys.argv[1], sys.argv[2])


def say(asked: dict[str, Any]) -> dict[str, Any]:
    """One line, as its documentation says it is done."""
    samples, rate = ENGINE.create(asked["phonemes"], voice="same", is_phonemes=True)
    return {"samples": samples, "rate": rate}


serve(say, versions=("kokoro-onnx", "onnxruntime", "numpy"))
