"""Speak as `wildline say` does, without listening to itself: `say_ours.py STOCK_VOICE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from serving import serve

sys.path[0] = str(Path(__file__).resolve().parents[3])

from align.text import speakable  # noqa: E402
from voice.engines import get_synthesizer  # noqa: E402
from voice.voice import load_voice  # noqa: E402

VOICE, ENGINE = load_voice(f"stock:{sys.argv[1]}"), get_synthesizer()


def script(asked: dict[str, Any]) -> dict[str, Any]:
    """The others are given phonemes; so is this."""
    return {**asked, "script": speakable(asked["text"])}


def say(asked: dict[str, Any]) -> dict[str, Any]:
    """One line."""
    made = ENGINE.speak(asked["script"], VOICE)
    return {"samples": made.sound.samples, "rate": made.sound.rate}


serve(say, prepare=script, versions=("onnxruntime", "numpy"))
