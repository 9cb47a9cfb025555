from .corrections import settle
from .engines import Aligner, get_aligner
from .engines.exact import timing_from_durations
from .formats import read_timing, write_timing
from .lexicon import read_lexicon
from .plot import draw_timing
from .text import Script, SpokenWord, kokoro_to_arpabet, speakable
from .timing import Span, Timing
from .transcription import Segment, Transcript, align_file, align_sound, transcribe
from .visemes import LipTarget, closures, curves, lip_target, silent_frames, viseme_of

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
