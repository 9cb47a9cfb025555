"""Timings on disk: one writer and one reader per extension.

    write_timing(timing, Path("line.TextGrid"))
    timing = read_timing(Path("line.TextGrid"))    # an editor's corrections come back in

The ending chooses the format; where one ending has several, `form` names it:
`write_timing(timing, path, "textgrid-short")`, all of them in `FORMATS`. Praat's TextGrid
(tiers "words" and "phones") and our JSON (everything, confidences too) keep all. CTM (NIST),
CSV (as the Montreal Forced Aligner writes it), SubRip and WebVTT subtitles (a cue a line,
or a cue a word) and Rhubarb's mouth cues keep what those formats can hold. Reading also
understands the JSON of MFA and of a spoken line, and SubStation subtitles.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from align import _praat, _subtitles, _tables
from align.timing import Span, Timing
from media.errors import AlignError, MediaError
from media.files import atomic_path

__all__ = ["EXTENSIONS", "FORMATS", "extension_of", "read_timing", "write_timing"]


def _to_json(timing: Timing) -> str:
    def rows(spans: tuple[Span, ...]) -> list[dict[str, Any]]:
        return [
            {"label": s.label, "start": s.start_s, "end": s.end_s, "confidence": s.confidence}
            for s in spans
        ]

    document = {
        "format": "wildline-timing",
        "version": 1,
        "duration": timing.duration_s,
        "engine": timing.engine,
        "language": timing.language,
        "words": rows(timing.words),
        "phones": rows(timing.phones),
    }
    if timing.notes:
        document["notes"] = rows(timing.notes)
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _from_json(text: str) -> Timing:
    """Our own JSON, that of a spoken line, MFA's, or Rhubarb's."""
    document = json.loads(text)
    if "mouthCues" in document:
        return _tables.from_rhubarb_json(document)
    if "tiers" in document:
        return _tables.from_mfa_json(document)
    line = "duration_s" in document  # what is written beside a spoken line

    def spans(rows: list[dict[str, Any]]) -> tuple[Span, ...]:
        first, last = ("start_s", "end_s") if line else ("start", "end")
        return tuple(
            Span(str(r["label"]), float(r[first]), float(r[last]), float(r.get("confidence", 1.0)))
            for r in rows
        )

    return Timing(
        spans(document["words"]),
        spans(document["phones"]),
        float(document["duration_s" if line else "duration"]),
        str(document.get("engine", "")),
        str(document.get("language", "en")),
        spans(document.get("notes", [])),
    )


FORMATS: dict[str, str] = {
    "textgrid": ".TextGrid",
    "textgrid-short": ".TextGrid",
    "json": ".json",
    "ctm": ".ctm",
    "mfa": ".csv",
    "srt": ".srt",
    "srt-words": ".srt",
    "vtt": ".vtt",
    "vtt-words": ".vtt",
    "rhubarb-tsv": ".tsv",
    "rhubarb-xml": ".xml",
    "rhubarb-json": ".json",
}
"""Every format that can be written, with its usual ending; the first of an ending is its own."""

_WRITERS: dict[str, Callable[[Timing], str]] = {
    "textgrid": _praat.to_textgrid,
    "textgrid-short": _praat.to_short_textgrid,
    "json": _to_json,
    "ctm": _tables.to_ctm,
    "mfa": _tables.to_mfa,
    "srt": _subtitles.to_srt,
    "srt-words": _subtitles.to_srt_words,
    "vtt": _subtitles.to_vtt,
    "vtt-words": _subtitles.to_vtt_words,
    "rhubarb-tsv": _tables.to_rhubarb_tsv,
    "rhubarb-xml": _tables.to_rhubarb_xml,
    "rhubarb-json": _tables.to_rhubarb_json,
}
# Damaged files break parsers in every way that there is.
_DAMAGE = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, SyntaxError),
    *(csv.Error, ArithmeticError, RecursionError),
)
_READERS: dict[str, Callable[[str], Timing]] = {
    ".textgrid": _praat.from_textgrid,
    ".json": _from_json,
    ".ctm": _tables.from_ctm,
    ".csv": _tables.from_mfa,
    ".tsv": _tables.from_rhubarb_tsv,
    ".xml": _tables.from_rhubarb_xml,
    ".srt": _subtitles.from_srt,
    ".vtt": _subtitles.from_vtt,
    ".ass": _subtitles.from_ass,
    ".ssa": _subtitles.from_ass,
}
EXTENSIONS: tuple[str, ...] = tuple(dict.fromkeys(FORMATS.values()))
"""The endings that can be written."""


def extension_of(form: str) -> str:
    """The usual ending of the format called `form`. Raises `AlignError` for an unknown one."""
    if form not in FORMATS:
        known = ", ".join(FORMATS)
        raise AlignError(f"there is no format called '{form}'; choose one of {known}")
    return FORMATS[form]


def _unknown(path: Path, known: Iterable[str]) -> AlignError:
    return AlignError(
        f"'{path.name}' has no ending that a timing is written in; use one of " + ", ".join(known)
    )


def _writer(path: Path, form: str | None) -> Callable[[Timing], str]:
    if form is not None:
        extension_of(form)
        return _WRITERS[form]
    for name, ending in FORMATS.items():
        if ending.lower() == path.suffix.lower():
            return _WRITERS[name]
    raise _unknown(path, EXTENSIONS)


def write_timing(timing: Timing, path: Path | str, form: str | None = None) -> None:
    """Write `timing` in the format `form`, or that of the ending; whole or not at all.

    Raises `AlignError` for an unknown ending or format, `OutputError` when it cannot be
    written.
    """
    target = Path(path)
    text = _writer(target, form)(timing)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_timing(path: Path | str) -> Timing:
    """Read a timing; what a person corrected counts as certain (confidence 1).

    Raises `AlignError` for an unknown ending or a file that does not hold a timing,
    `MediaError` when there is no such file.
    """
    source = Path(path)
    read = _READERS.get(source.suffix.lower())
    if read is None:
        raise _unknown(source, (*EXTENSIONS, ".ass", ".ssa"))
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot read '{source}': {error.strerror or error}") from error
    try:
        return read(_decode(raw))
    except AlignError as error:
        raise AlignError(f"'{source}': {' '.join(str(error).split())}") from error
    except _DAMAGE as error:
        raise AlignError(
            f"'{source}' is damaged or is not a {source.suffix} timing; write it again"
        ) from error


def _decode(raw: bytes) -> str:
    """UTF-8, or UTF-16 as Praat writes it."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16")
    return raw.decode("utf-8-sig")
