"""The commented `production.toml` that `wildline init` writes, and the folders around it."""

from __future__ import annotations

import json
from pathlib import Path

from media.errors import OutputError
from media.files import atomic_path, output_error
from media.time import FrameRate
from studio.production import FILE_NAME, Production, load_production

__all__ = ["FOLDERS", "make_production"]

FOLDERS = ("cues", "footage", "recordings", "consent", "voices", "work", "out")

_SHEET = """\
Cue #,Reel,Scene,Character,TC In,TC Out,Dialogue,Alternate,Reason,On/Off,Priority,Notes
"""

_TEMPLATE = """\
# {title}: a Wildline production. Paths are relative to this file.
#   wildline batch production.toml --dry-run    what would be made, and how long it takes
#   wildline batch production.toml              make it; again: only what changed
#   wildline check production.toml              every cue against its objectives

title = {title_text}
rate = {rate_text}            # 23.976, 24, 25, 29.97, ... of picture and cue sheets
drop_frame = false       # true: timecodes are written 01:00:00;00 (29.97 and 59.94 only)
# project = "..."        # as consent records call it, where that is not the title
# territories = ["worldwide"]    # where it will be shown; consent must cover it
# media = ["film"]               # and in what

[delivery]
takes = 3                # spoken per line; the best one goes on
squeeze = 1.15           # a line longer than its cue is spoken up to so much faster
match = false            # true: brought to room, spectrum and level of the production sound
handles = 12             # frames before and after the cue in a rendered shot
picture = "h264"         # or "prores"
seed = 0                 # same seed, same bytes
retries = 2              # of a step that failed for a reason that may pass

# What every line and shot is tested against; leave out what you do not ask for. A scene may
# set its own below.
[objectives]
wer = 0.1                # word error rate of a speech recogniser, at most
naturalness = 3.0        # DNSMOS, 1 to 5, at least
# similarity = 0.8       # to the person's recordings, at least
closure_rate = 0.9       # lips shut on p, b and m, at least
silence_shut = 0.9       # lips shut in silence, at least
length = 0.1             # seconds by which a line may outlast its cue
# loudness = -27.0       # LUFS
# loudness_tolerance = 2.0
# audience = 3.5         # mean rating of test audiences, 1 to 5, at least

# Whose voices and faces. Everybody needs a consent record: wildline consent new
# [people.mara]
# name = "Mara Voss"                 # as in the consent record
# characters = ["MARA", "NARRATOR"]  # as in the cue sheets
# recordings = ["recordings/mara"]   # a voice is fitted to these
# voice = "voices/mara"              # or one that was fitted before, or stock:NAME
# faces = ["footage/mara-archive"]   # mouths are taken from these (a still: who it is)
# consent = "consent/mara.toml"

# [scenes.12]
# footage = "footage/scene12.mov"
# start = "01:00:00:00"              # timecode of its first frame, where the file is silent
# objective = "She convinces him without raising her voice."
# thresholds = {{ naturalness = 3.2 }}

# Cue sheets: CSV, XLSX, SRT, VTT, EDL (CMX3600), OTIO, Fountain.
[[cues]]
file = "cues/adr.csv"
# [cues.columns]                     # where headings are not the usual ones
# number = "Loop"
# dialogue = "New line"
# "variant.fr" = "French"            # a further version of each cue: 12A.fr

# Further versions of cues. A version in another language takes its words from the sheet.
# [variants.slow]
# speed = 0.9
# cues = ["12A"]
# [variants.fr]
# language = "fr"
"""


def make_production(folder: Path, *, title: str, rate: FrameRate) -> Production:
    """Write `production.toml`, an empty cue sheet and the folders; see that files can be signed.

    The local signing certificate is made on first use and kept in the user's data folder.
    Raises `OutputError` where there is a production already or the place cannot be written,
    `ProvenanceError` when no certificate can be had.
    """
    from studio.certificate import load_identity

    file = folder / FILE_NAME
    if file.exists():
        raise OutputError(f"'{file}' exists already; edit it, or name another folder")
    load_identity()
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        sheet = folder / "cues" / "adr.csv"
        if not sheet.exists():
            with atomic_path(sheet) as temporary:
                temporary.write_text(_SHEET, "utf-8")
    except OSError as error:
        raise output_error(file, error) from error
    with atomic_path(file) as temporary:
        temporary.write_text(_text(title, rate), "utf-8")
    return load_production(file)


def _text(title: str, rate: FrameRate) -> str:
    value = rate.value
    whole = value.denominator == 1
    rate_text = str(value.numerator) if whole else f'"{value.numerator}/{value.denominator}"'
    plain = " ".join(title.split())
    return _TEMPLATE.format(
        title=plain, title_text=json.dumps(plain, ensure_ascii=False), rate_text=rate_text
    )
