"""Cue sheets: what is to be said, by whom, and where in the film.

    from studio.cues import read_cues, write_sheet

    sheet = read_cues(production)              # every sheet that production.toml names
    for problem in sheet.problems: print(problem)      # "adr.csv, row 7, column 'TC In': ..."
    for cue in sheet.cues: print(cue.id, cue.start, cue.dialogue)

CSV, XLSX, SRT, VTT, CMX3600 EDL, OTIO and Fountain are read, each by a library that knows
it; timecode stays a count of frames at an exact rate from the sheet to the delivered file.
A row that cannot be used is a problem with its row and column, never an end to the rest.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
