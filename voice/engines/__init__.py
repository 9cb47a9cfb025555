"""Engines that speak: phonemes, a voice and a prosody in, sound with its own timing out.

    engine = get_synthesizer("kokoro")
    utterance = engine.speak(speakable("We chose to go."), load_voice("stock:NAME"))
    utterance.sound, utterance.timing

Engines are found by name and imported on use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from media.errors import EngineMissingError
from voice.prosody import NEUTRAL, Prosody

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from align.text import Script
    from align.timing import Timing
    from media.audio import Sound
    from voice.voice import Voice

__all__ = ["Synthesizer", "Utterance", "get_synthesizer"]

_ENGINES = {
    "kokoro": ("voice.engines.kokoro", "KokoroSynthesizer"),
    "vits": ("voice.engines.vits", "VitsSynthesizer"),
    "xtts": ("voice.engines.xtts", "XttsSynthesizer"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Something spoken, and all that the engine knows about it.

    `sound` mono at the engine's rate; `timing` known, not estimated, where its engine is
    "exact"; `durations` int64 [tokens] in frames of `frame_s` seconds, start and end marks
    included, summing to the sound's length; `f0` float32 [2 frames] in Hz, 0 where unvoiced;
    `energy` float32 [2 frames], natural log, both two steps a frame. The last three are empty
    where an engine does not know them.
    """

    sound: Sound
    timing: Timing
    durations: NDArray[np.int64]
    f0: NDArray[np.float32]
    energy: NDArray[np.float32]
    frame_s: float = 0.025


class Synthesizer(Protocol):
    """Anything that can speak a script in a voice."""

    name: str

    def speak(self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL) -> Utterance:
        """The whole script as one utterance; raises `TextError` when it cannot be spoken."""
        ...

    def speak_pieces(
        self, script: Script, voice: Voice, prosody: Prosody = NEUTRAL
    ) -> Iterator[Utterance]:
        """The script piece by piece, so that memory does not grow with its length."""
        ...


@cache
def get_synthesizer(name: str = "kokoro") -> Synthesizer:
    """The engine called `name`, loaded once; raises `EngineMissingError` naming those there are."""
    if name not in _ENGINES:
        known = ", ".join(sorted(_ENGINES))
        raise EngineMissingError(
            f"there is no voice engine called '{name}'; choose one of: {known}"
        )
    module, attribute = _ENGINES[name]
    engine: Synthesizer = getattr(import_module(module), attribute)()
    return engine
