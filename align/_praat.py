"""Praat TextGrid, in its long and its short format.

Remarks on doubtful stretches go into a third tier, "notes", where there are any.
"""

from __future__ import annotations

import re

from align.phones import ARPABET, without_stress
from align.timing import Span, Timing
from media.errors import AlignError

__all__ = ["from_textgrid", "to_short_textgrid", "to_textgrid"]

_WORDS = ("words", "word", "ort-mau", "ort", "wrd")
_PHONES = ("phones", "phone", "mau", "phn", "phonemes", "segments")
_SILENT = frozenset({"", "sil", "sp", "spn", "pau", "<eps>", "<sil>", "<p:>", "#", "_", "silence"})
# A TextGrid is a list of numbers and of texts in double quotes; all else is decoration.
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<![\w\[.-])(-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)(?![\w\]])'
)


def _intervals(spans: tuple[Span, ...], end_s: float) -> list[tuple[float, float, str]]:
    """Spans with the silences between them, without gaps, from 0 to `end_s`."""
    rows: list[tuple[float, float, str]] = []
    at = 0.0
    for span in spans:
        start = max(span.start_s, at)
        if start > at:
            rows.append((at, start, ""))
        rows.append((start, span.end_s, span.label))
        at = span.end_s
    if end_s > at or not rows:
        rows.append((at, max(end_s, at), ""))
    return rows


def _tiers_of(timing: Timing) -> tuple[list[tuple[str, list[tuple[float, float, str]]]], float]:
    """(name, intervals) of every tier to write, and the end of all of them."""
    spans = (*timing.words, *timing.phones, *timing.notes)
    last = max([timing.duration_s, *(s.end_s for s in spans)])
    tiers = [
        ("words", _intervals(timing.words, last)),
        ("phones", _intervals(timing.phones, last)),
    ]
    if timing.notes:
        tiers.append(("notes", _intervals(_side_by_side(timing.notes), last)))
    return tiers, last


def _side_by_side(notes: tuple[Span, ...]) -> tuple[Span, ...]:
    """Notes may overlap, intervals may not: later ones begin where the earlier ones end."""
    placed: list[Span] = []
    for note in sorted(notes, key=lambda n: n.start_s):
        if placed and note.start_s < placed[-1].end_s - 1e-9:
            before = placed.pop()
            label = f"{before.label}; {note.label}"
            note = Span(label, before.start_s, max(before.end_s, note.end_s))
        placed.append(note)
    return tuple(placed)


def _quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"'


def to_textgrid(timing: Timing) -> str:
    """The long format: tiers "words" and "phones"; silences are empty intervals."""
    tiers, last = _tiers_of(timing)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {last!r}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, rows) in enumerate(tiers):
        lines += [
            f"    item [{number + 1}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {last!r}",
            f"        intervals: size = {len(rows)}",
        ]
        for index, (start, end, label) in enumerate(rows):
            lines += [
                f"        intervals [{index + 1}]:",
                f"            xmin = {start!r}",
                f"            xmax = {end!r}",
                f"            text = {_quoted(label)}",
            ]
    return "\n".join(lines) + "\n"


def to_short_textgrid(timing: Timing) -> str:
    """The short format: the same values, one a line, without their names."""
    tiers, last = _tiers_of(timing)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", repr(last)]
    lines += ["<exists>", str(len(tiers))]
    for name, rows in tiers:
        lines += ['"IntervalTier"', f'"{name}"', "0", repr(last), str(len(rows))]
        for start, end, label in rows:
            lines += [repr(start), repr(end), _quoted(label)]
    return "\n".join(lines) + "\n"


class _Tokens:
    """The numbers and texts of a TextGrid in order."""

    def __init__(self, text: str) -> None:
        self._found = [
            m[1].replace('""', '"') if m[2] is None else float(m[2]) for m in _TOKEN.finditer(text)
        ]
        self._at = 0

    def _next(self) -> str | float:
        if self._at >= len(self._found):
            raise AlignError("the TextGrid ends too early; export it again")
        self._at += 1
        return self._found[self._at - 1]

    def text(self) -> str:
        found = self._next()
        if not isinstance(found, str):
            raise AlignError(f"the TextGrid has {found} where a label belongs; export it again")
        return found

    def number(self) -> float:
        found = self._next()
        if isinstance(found, str):
            raise AlignError(
                f"the TextGrid has '{found[:20]}' where a time belongs; export it again"
            )
        return found


def _tiers(text: str) -> tuple[dict[str, list[Span]], float]:
    """Interval tiers by lower-case name, and the end of the sound."""
    tokens = _Tokens(text)
    if tokens.text() != "ooTextFile" or tokens.text() != "TextGrid":
        raise AlignError("this is no TextGrid; export one from Praat as text")
    tokens.number()
    duration = tokens.number()
    tiers: dict[str, list[Span]] = {}
    for _ in range(int(tokens.number())):
        kind, name = tokens.text(), tokens.text()
        tokens.number()
        tokens.number()
        spans: list[Span] = []
        for _ in range(int(tokens.number())):
            if kind == "IntervalTier":
                start, end = tokens.number(), tokens.number()
                label = tokens.text().strip()
                if label.lower() not in _SILENT:
                    spans.append(Span(label, start, end))
            else:
                tokens.number()
                tokens.text()
        if kind == "IntervalTier":
            tiers.setdefault(name.strip().lower(), spans)
    return tiers, duration


def _named(tiers: dict[str, list[Span]], names: tuple[str, ...]) -> list[Span] | None:
    for name in names:
        if name in tiers:
            return tiers[name]
    # "Anna - words", as the Montreal Forced Aligner names tiers of several speakers.
    return next((t for key, t in tiers.items() if key.split(" - ")[-1] in names), None)


def from_textgrid(text: str) -> Timing:
    """Words and phones from the tiers that are named like it; stress digits are taken off.

    Raises `AlignError` when neither tier is there or the file is damaged.
    """
    tiers, duration = _tiers(text)
    words, phones = _named(tiers, _WORDS), _named(tiers, _PHONES)
    if words is None and phones is None:
        there = ", ".join(f"'{t}'" for t in tiers) or "none"
        raise AlignError(f"no tier is called 'words' or 'phones' (there are: {there}); rename one")
    plain = tuple(
        Span(without_stress(s.label), s.start_s, s.end_s)
        if without_stress(s.label) in ARPABET
        else s
        for s in phones or ()
    )
    notes = tuple(tiers.get("notes", ()))
    return Timing(tuple(words or ()), plain, duration, engine="textgrid", notes=notes)
