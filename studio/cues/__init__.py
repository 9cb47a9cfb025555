"""Cue sheets: what is to be said, by whom, and where in the film.

    from studio.cues import read_cues, write_sheet

    sheet = read_cues(production)              # every sheet that production.toml names
    for problem in sheet.problems: print(problem)      # "adr.csv, row 7, column 'TC In': ..."
    for cue in sheet.cues: print(cue.id, cue.start, cue.dialogue)

CSV, XLSX, SRT, VTT, CMX3600 EDL, OTIO and Fountain are read, each by a library that knows
it; timecode stays a count of frames at an exact rate from the sheet to the delivered file.
A row that cannot be used is a problem with its row and column, never an end to the rest.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Cue": "cue",
    "CueProblem": "cue",
    "CueSheet": "cue",
    "Variant": "cue",
    "read_cues": "reading",
    "read_source": "reading",
    "safe_name": "cue",
    "write_sheet": "sheets",
    "write_subtitles": "subtitles",
    "write_timeline": "timeline",
}

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


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"studio.cues.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
