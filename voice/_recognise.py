"""What the speech recogniser makes of one clip: its words, and how sure it is of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from media.audio import Sound, resample
from media.errors import ArchiveError
from weights.registry import locate

__all__ = ["Heard", "hear"]

_LANGUAGE = "en"  # the bundled recogniser knows English alone
_NOBODY = 0.6


@dataclass(frozen=True, slots=True)
class Heard:
    """Recognised words of one clip; `confidence` is the mean token probability, 0..1."""

    text: str
    confidence: float


@functools.cache
def _model() -> Any:
    from faster_whisper import WhisperModel

    path = str(locate("whisper-tiny"))
    return WhisperModel(path, device="cpu", compute_type="int8", local_files_only=True)


def hear(sound: Sound, language: str = _LANGUAGE) -> Heard:
    """The words of one clip of at most 30 s; none, at confidence 0, when none are heard.

    The recogniser's own time stamps stay on: without them it invents farewells ("Thanks
    for watching!") in the silence after a clip. Raises `ArchiveError` for a language
    other than English.
    """
    if language != _LANGUAGE:
        raise ArchiveError(
            f"recordings in '{language}' cannot be transcribed here; put a transcript "
            "(name.txt) beside each recording"
        )
    segments, _ = _model().transcribe(
        resample(sound, 16_000).samples,
        language=language,
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
    )
    kept = [s for s in segments if s.text.strip() and s.no_speech_prob < _NOBODY]
    if not kept:
        return Heard("", 0.0)
    lengths = [max(s.end - s.start, 0.1) for s in kept]
    sure = float(np.average([s.avg_logprob for s in kept], weights=lengths))
    return Heard(" ".join(s.text.strip() for s in kept), math.exp(min(0.0, sure)))
