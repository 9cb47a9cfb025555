from .cue import Cue, CueProblem, CueSheet, Variant, safe_name
from .reading import read_cues, read_source
from .sheets import write_sheet
from .subtitles import write_subtitles
from .timeline import write_timeline

__all__ = [
    "Cue",
    "CueProblem",
    "CueSheet",
    "Variant",
    "read_cues",
    "read_source",
    "safe_name",
    "write_sheet",
    "write_subtitles",
    "write_timeline",
]
