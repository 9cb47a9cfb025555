"""Speech and words become words, phones and mouth shapes in time.

    from align import align_sound, speakable, transcribe, write_timing
    timing = align_sound(read_sound("speech.wav"), "We chose to go.")   # or without the text
    for word in timing.words: ...                 # Span(label, start_s, end_s, confidence)
    write_timing(timing, "speech.TextGrid")       # read_timing brings an editor's copy back

`align_file` times files of any length in little memory; `settle` makes whole what an editor
changed in one tier only; `draw_timing` makes a picture of it.
`speakable` turns written text into spoken words and phones, for the voice as well as here;
`timing_from_durations` is for synthesisers that know their timing; `visemes` has mouth
shapes and curves at any frame rate. Phones are ARPAbet without stress, silences are gaps.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align.corrections import settle
    from align.engines import Aligner, get_aligner
    from align.engines.exact import timing_from_durations
    from align.formats import read_timing, write_timing
    from align.lexicon import read_lexicon
    from align.plot import draw_timing
    from align.text import Script, SpokenWord, kokoro_to_arpabet, speakable
    from align.timing import Span, Timing
    from align.transcription import Segment, Transcript, align_file, align_sound, transcribe
    from align.visemes import LipTarget, closures, curves, lip_target, silent_frames, viseme_of

__all__ = [
    "Aligner",
    "LipTarget",
    "Script",
    "Segment",
    "Span",
    "SpokenWord",
    "Timing",
    "Transcript",
    "align_file",
    "align_sound",
    "closures",
    "curves",
    "draw_timing",
    "get_aligner",
    "kokoro_to_arpabet",
    "lip_target",
    "read_lexicon",
    "read_timing",
    "settle",
    "silent_frames",
    "speakable",
    "timing_from_durations",
    "transcribe",
    "viseme_of",
    "write_timing",
]

_HOMES = {
    "align.engines": ("Aligner", "get_aligner"),
    "align.engines.exact": ("timing_from_durations",),
    "align.corrections": ("settle",),
    "align.formats": ("read_timing", "write_timing"),
    "align.lexicon": ("read_lexicon",),
    "align.plot": ("draw_timing",),
    "align.text": ("Script", "SpokenWord", "kokoro_to_arpabet", "speakable"),
    "align.timing": ("Span", "Timing"),
    "align.transcription": (
        "Segment",
        "Transcript",
        "align_file",
        "align_sound",
        "transcribe",
    ),
    "align.visemes": (
        "LipTarget",
        "closures",
        "curves",
        "lip_target",
        "silent_frames",
        "viseme_of",
    ),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'align' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
