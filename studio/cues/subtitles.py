"""Subtitles in (SRT, VTT, ASS: a line each with its times) and SRT of the new lines out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from media.errors import MediaError
from media.time import Timecode
from studio.cues.columns import read_timecode, spoken_by
from studio.cues.cue import Cue, CueProblem, CueSheet
from studio.cues.tables import read_text
from studio.production import CueSource, Production, ProductionError

__all__ = ["read_subtitles", "write_subtitles"]

_VOICE_TAG = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")


def read_subtitles(source: CueSource, production: Production) -> CueSheet:
    """One cue a subtitle; times become the nearest frames after `source.origin`.

    Who speaks is told by "MARA: ..." (known characters only), a WebVTT voice tag, the name
    column of ASS, or the source's `character`.
    """
    import pysubs2

    text = _VOICE_TAG.sub(r"\1: ", read_text(source.file))
    try:
        subtitles = pysubs2.SSAFile.from_string(text)
    except Exception as error:  # pysubs2 lets through whatever a damaged file makes it meet
        why = " ".join(str(error).split())[:160]
        raise ProductionError(
            f"{source.file} cannot be read as subtitles ({why}); export it again"
        ) from error
    origin = _origin(source, production)
    names = [n for k, p in production.people.items() for n in (k, p.name, *p.characters)]
    sheets = []
    for row, event in enumerate(subtitles.events, 1):
        if event.is_comment or not event.plaintext.strip():
            continue
        sheets.append(_cue(row, event, source, production, origin, names))
    if not sheets:
        empty = CueProblem(source.file.name, 0, "", "there is no subtitle in it; export it again")
        return CueSheet((), (empty,))
    return CueSheet.joined(sheets)


def _origin(source: CueSource, production: Production) -> Timecode:
    """The timecode of the subtitles' zero: as given, else the first frame of their scene."""
    scene = production.scenes.get(source.scene or "")
    label = source.origin or (scene.start if scene is not None else None)
    try:
        return Timecode(0, production.rate, production.drop_frame) + (
            0 if label is None else read_timecode(label, production).frames
        )
    except MediaError as error:
        raise ProductionError(f"the origin of {source.file}: {error}") from error


def _cue(
    row: int,
    event: object,
    source: CueSource,
    production: Production,
    origin: Timecode,
    names: Sequence[str],
) -> CueSheet:
    start_ms, end_ms = int(getattr(event, "start", 0)), int(getattr(event, "end", 0))
    text = " ".join(str(getattr(event, "plaintext", "")).split())
    said_by, line = spoken_by(text, names)
    character = said_by or str(getattr(event, "name", "") or "") or source.character or ""
    file = source.file.name
    if not character:
        sentence = "nobody is named as its speaker; give character in production.toml"
        return CueSheet((), (CueProblem(file, row, "character", sentence),))
    first, stop = (production.rate.frames_in(Fraction(ms, 1000)) for ms in (start_ms, end_ms))
    if stop <= first:
        sentence = f"it lasts {end_ms - start_ms} ms, which is no frame"
        return CueSheet((), (CueProblem(file, row, "end", sentence),))
    cue = Cue(
        number="",
        character=character,
        dialogue=line,
        start=origin + first,
        end=origin + stop,
        scene=source.scene or "",
        reel=source.reel or "",
        where=f"{file}:{row}",
    )
    return CueSheet((cue,))


def write_subtitles(cues: Sequence[Cue], path: Path, *, origin: Timecode | None = None) -> None:
    """The lines of all timed cues as SRT, counted from `origin` (None: midnight).

    Raises `OutputError` when the place cannot be written.
    """
    import pysubs2

    from media.files import atomic_path

    zero = Fraction(0) if origin is None else origin.seconds
    timed = [(c, c.start, c.end) for c in cues if c.start is not None and c.end is not None]
    subtitles = pysubs2.SSAFile()
    for cue, start, end in sorted(timed, key=lambda row: row[1].frames):
        subtitles.events.append(
            pysubs2.SSAEvent(
                start=_ms(start.seconds - zero),
                end=_ms(end.seconds - zero),
                text=cue.dialogue.replace("\n", "\\N"),
            )
        )
    with atomic_path(path) as temporary:
        temporary.write_text(subtitles.to_string("srt"), "utf-8")


def _ms(seconds: Fraction) -> int:
    return max(0, round(seconds * 1000))
