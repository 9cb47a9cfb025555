"""Text to speech in a person's voice.

    from voice import fit_voice, load_voice, say, save_take

    voice = fit_voice(["recordings/"], out, person=..., consent_id=...)   # minutes, on a CPU
    voice = load_voice("voices/anna")            # or load_voice("stock:" + stock_voices()[0])
    takes = say("We chose to go, and we went.", voice, takes=3, seed=7)   # best first
    save_take(takes[0], Path("line.wav"))        # 48 kHz WAV, line.json with words and phones
    laid = match_sound(takes[0].sound, scene)           # into a scene's room, band and noise

A take knows exactly when each phone sounds, because the engine that made it does; the lips
are driven by that. Marks direct a line ("We *chose* [pause 0.4] to go."), `guide=` follows an
actor, `Prosody(duration_s=3.2)` fits a length; `measure_delivery` says how it came out.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "Prosody",
    "Synthesizer",
    "Take",
    "TakeScores",
    "Utterance",
    "Voice",
    "VoiceScores",
    "compare_delivery",
    "fit_voice",
    "get_synthesizer",
    "load_voice",
    "match_sound",
    "measure_acoustics",
    "measure_delivery",
    "save_take",
    "say",
    "say_pieces",
    "stock_voices",
]

_HOME = {
    "Prosody": "voice.prosody",
    "Synthesizer": "voice.engines",
    "Take": "voice.takes",
    "TakeScores": "voice.takes",
    "Utterance": "voice.engines",
    "Voice": "voice.voice",
    "VoiceScores": "voice.voice",
    "compare_delivery": "voice.delivery",
    "fit_voice": "voice.fit",
    "get_synthesizer": "voice.engines",
    "load_voice": "voice.voice",
    "match_sound": "voice.match",
    "measure_acoustics": "voice.acoustics",
    "measure_delivery": "voice.delivery",
    "save_take": "voice.takes",
    "say": "voice.takes",
    "say_pieces": "voice.takes",
    "stock_voices": "voice.voice",
}


def __getattr__(name: str) -> Any:
    """Re-export lazily: importing `voice` loads no engine."""
    if name not in _HOME:
        raise AttributeError(f"module 'voice' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
