"""Timings on disk: one writer and one reader per extension.

    write_timing(timing, Path("line.TextGrid"))
    timing = read_timing(Path("line.TextGrid"))    # an editor's corrections come back in

`.TextGrid` (Praat; tiers "words" and "phones") and `.json` (everything, confidences too)
keep words and phones. `.ctm` (NIST), `.csv` (as the Montreal Forced Aligner writes it),
`.srt` and `.vtt` (subtitles, one cue per line of words) and Rhubarb's `.tsv` and `.xml`
mouth cues keep what those formats can hold; each says so in its own module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from align import _praat, _subtitles, _tables
from align.timing import Span, Timing
from media.errors import AlignError, MediaError
from media.files import atomic_path

__all__ = ["EXTENSIONS", "read_timing", "write_timing"]


class _Format(NamedTuple):
    write: Callable[[Timing], str]
    read: Callable[[str], Timing]


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
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _from_json(text: str) -> Timing:
    document = json.loads(text)

    def spans(rows: list[dict[str, Any]]) -> tuple[Span, ...]:
        return tuple(
            Span(
                str(r["label"]),
                float(r["start"]),
                float(r["end"]),
                float(r.get("confidence", 1.0)),
            )
            for r in rows
        )

    return Timing(
        spans(document["words"]),
        spans(document["phones"]),
        float(document["duration"]),
        str(document.get("engine", "")),
        str(document.get("language", "en")),
    )


_FORMATS = {
    ".textgrid": _Format(_praat.to_textgrid, _praat.from_textgrid),
    ".json": _Format(_to_json, _from_json),
    ".ctm": _Format(_tables.to_ctm, _tables.from_ctm),
    ".csv": _Format(_tables.to_mfa, _tables.from_mfa),
    ".tsv": _Format(_tables.to_rhubarb_tsv, _tables.from_rhubarb_tsv),
    ".xml": _Format(_tables.to_rhubarb_xml, _tables.from_rhubarb_xml),
    ".srt": _Format(_subtitles.to_srt, _subtitles.from_srt),
    ".vtt": _Format(_subtitles.to_vtt, _subtitles.from_vtt),
}
EXTENSIONS: tuple[str, ...] = (
    ".TextGrid",
    ".json",
    ".ctm",
    ".csv",
    ".tsv",
    ".xml",
    ".srt",
    ".vtt",
)


def _format_of(path: Path) -> _Format:
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise AlignError(
            f"'{path.name}' has no ending that a timing is written in; use one of "
            + ", ".join(EXTENSIONS)
        )
    return found


def write_timing(timing: Timing, path: Path | str) -> None:
    """Write `timing` in the format of the ending of `path`; whole or not at all.

    Raises `AlignError` for an unknown ending, `OutputError` when it cannot be written.
    """
    target = Path(path)
    text = _format_of(target).write(timing)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_timing(path: Path | str) -> Timing:
    """Read a timing; what a person corrected counts as certain (confidence 1).

    Raises `AlignError` for an unknown ending or a file that does not hold a timing,
    `MediaError` when there is no such file.
    """
    source = Path(path)
    form = _format_of(source)
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot read '{source}': {error.strerror or error}") from error
    try:
        return form.read(_decode(raw))
    except AlignError as error:
        raise AlignError(f"'{source}': {error}") from error
    # Damaged files break parsers in every way that there is.
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, SyntaxError) as error:
        raise AlignError(
            f"'{source}' is damaged or is not a {source.suffix} timing; write it again"
        ) from error


def _decode(raw: bytes) -> str:
    """UTF-8, or UTF-16 as Praat writes it."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16")
    return raw.decode("utf-8-sig")
