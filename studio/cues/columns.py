"""From a table of cells to cues: which column is what, and what is wrong with a row.

The usual headings of ADR sheets are known, in any case and punctuation ("Cue #", "TC In",
"On/Off Screen"); others are mapped in production.toml. Row numbers are those that a
spreadsheet shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from media.errors import MediaError
from media.time import Timecode
from studio.cues.cue import Cue, CueProblem, CueSheet, Variant
from studio.production import CueSource, Production

__all__ = ["FIELDS", "Row", "Table", "cues_of_table", "read_timecode", "spoken_by"]

FIELDS: Mapping[str, tuple[str, ...]] = {
    "number": ("cue", "cue #", "cue no", "cue number", "cue id", "number", "#", "no", "id"),
    "reel": ("reel", "reel/episode", "reel #", "episode", "ep"),
    "scene": ("scene", "scene #", "scene number", "sc"),
    "character": ("character", "character name", "char", "role", "speaker"),
    "start": ("tc in", "timecode in", "in", "start", "start tc", "in time", "record in", "in tc"),
    "end": ("tc out", "timecode out", "out", "end", "end tc", "out time", "record out", "out tc"),
    "dialogue": ("dialogue", "dialog", "line", "lines", "text", "dialogue line"),
    "alternate": ("alternate", "alt", "alternate text", "translated text", "alternate line"),
    "reason": ("reason", "reason code", "adr reason"),
    "on_screen": ("on/off", "on/off screen", "on screen", "onscreen", "on-screen", "screen"),
    "priority": ("priority", "prio"),
    "notes": ("notes", "note", "comments", "comment", "remarks"),
    "take": ("take", "take #", "take choice", "chosen take"),
    # Not plain "delivery": in sheets from elsewhere that is direction, not a manner of the voice.
    "delivery": ("voice delivery",),
}
_NEEDED = ("character", "dialogue")
_VARIANT = "variant."
_LAST_HEADER_ROW = 30  # headings are looked for no further down
_ON = {"on", "y", "yes", "true", "1", "x", "onscreen", "ons", "os on"}
_OFF = {"off", "n", "no", "false", "0", "offscreen", "os", "vo", "wild", "mos"}
_SPEAKER = re.compile(r"^\s*([^\s:][^:\n]{0,60}?)\s*:\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number as the file counts (from 1) and its cells as text."""

    number: int
    cells: tuple[str, ...]

    def cell(self, index: int | None) -> str:
        """The cell's text without outer blanks; empty where there is none."""
        return self.cells[index].strip() if index is not None and index < len(self.cells) else ""


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet's cells. `file` is the name that problems give."""

    file: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where each field is, and what its column is headed."""

    header_row: int
    places: Mapping[str, int]
    headings: Mapping[str, str]

    def heading(self, field: str) -> str:
        return self.headings.get(field, field)


def cues_of_table(table: Table, source: CueSource, production: Production) -> CueSheet:
    """Every usable row as a cue, every other as a problem with its row and column."""
    layout = _layout(table, source)
    if isinstance(layout, CueProblem):
        return CueSheet((), (layout,))
    reader = _RowReader(table.file, layout, source, production)
    sheets = [reader.read(r) for r in table.rows if r.number > layout.header_row]
    return CueSheet.joined([*_without_timecode(table, layout, sheets), *sheets])


def _without_timecode(
    table: Table, layout: _Layout, sheets: Sequence[CueSheet]
) -> Iterator[CueSheet]:
    """Cues of a sheet without timecodes are wild lines; that may be a heading not understood."""
    if "start" not in layout.places and any(sheet.cues for sheet in sheets):
        sentence = "there is no column of timecodes, so every cue is a wild line; map it if it is"
        problem = CueProblem(table.file, layout.header_row, "start", f"{sentence} there", False)
        yield CueSheet((), (problem,))


# --- headings --------------------------------------------------------------------------------


def _plain(heading: str) -> str:
    return "".join(c for c in heading.casefold() if c.isalnum() or c == "#")


_KNOWN = {_plain(alias): field for field, aliases in FIELDS.items() for alias in aliases}


def _layout(table: Table, source: CueSource) -> _Layout | CueProblem:
    """The heading row: the one named, else the first that has what is needed."""
    wrong = [f for f in source.columns if f not in FIELDS and not f.startswith(_VARIANT)]
    if wrong:
        known = ", ".join(FIELDS)
        return CueProblem(
            table.file, 0, "", f"'{wrong[0]}' cannot be mapped; what a cue has is: {known}"
        )
    candidates = [r for r in table.rows if r.number <= _LAST_HEADER_ROW]
    if source.header is not None:
        # Of a heading in two rows the lower one is used, whichever was named.
        below = [r for r in table.rows if r.number >= source.header and any(r.cells)]
        candidates = below[:1]
    best: CueProblem | None = None
    for row in candidates:
        found = _headings(row, source)
        if isinstance(found, _Layout):
            return found
        best = best if best is not None and not found[1] else found[0]
        if found[1]:
            break
    return best or CueProblem(table.file, 0, "", "the sheet is empty; export it again")


def _headings(row: Row, source: CueSource) -> _Layout | tuple[CueProblem, bool]:
    """The layout that a row of headings gives; or what it lacks, and whether it comes close."""
    places: dict[str, int] = {}
    mapped = {_plain(heading): field for field, heading in source.columns.items()}
    names = mapped | {k: f for k, f in _KNOWN.items() if f not in source.columns}
    for index, cell in enumerate(row.cells):
        field = names.get(_plain(cell))
        if field is not None and _plain(cell):
            places.setdefault(field, index)
    given = {"character": source.character}
    missing = [f for f in _NEEDED if f not in places and not given.get(f)]
    missing += [f for f in source.columns if f not in places]
    if not missing:
        titles = {f: row.cells[i].strip() for f, i in places.items()}
        return _Layout(row.number, places, titles)
    has = ", ".join(f"'{c.strip()}'" for c in row.cells if c.strip()) or "nothing"
    wanted = source.columns.get(missing[0], missing[0])
    problem = CueProblem(
        source.file.name,
        row.number,
        wanted,
        f"there is no such column; the row has {has[:200]}: map it in production.toml under "
        f'[cues.columns], for example {missing[0]} = "..."',
    )
    return problem, len(places) >= 2


# --- rows ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _RowReader:
    file: str
    layout: _Layout
    source: CueSource
    production: Production

    def read(self, row: Row) -> CueSheet:
        """The row's cue, or what is wrong with it; an empty row is neither."""
        if not any(cell.strip() for cell in row.cells) or self._is_heading_again(row):
            return CueSheet()
        problems: list[CueProblem] = []
        start = self._timecode(row, "start", problems)
        end = self._timecode(row, "end", problems)
        if start is not None and end is not None and end.frames <= start.frames:
            problems.append(self._problem(row, "end", f"the cue ends at {end}, not after {start}"))
        if (start is None) != (end is None) and not problems:
            lacking = "end" if end is None else "start"
            problems.append(
                self._problem(row, lacking, "a cue with picture needs both its timecodes")
            )
        text, character = self._text(row, "dialogue"), self._text(row, "character")
        character = character or self.source.character or ""
        for field, value in (("dialogue", text), ("character", character)):
            if not value:
                problems.append(self._problem(row, field, "the cell is empty; fill it in"))
        on_screen = self._on_screen(row, problems)
        if any(p.fatal for p in problems):
            return CueSheet((), tuple(problems))
        cue = Cue(
            number=_number(self._text(row, "number")),
            character=character,
            dialogue=text,
            start=start,
            end=end,
            reel=self._text(row, "reel") or self.source.reel or "",
            scene=self._text(row, "scene") or self.source.scene or "",
            alternate=self._text(row, "alternate"),
            reason=self._text(row, "reason"),
            on_screen=on_screen,
            priority=self._text(row, "priority"),
            notes=self._text(row, "notes"),
            take=self._text(row, "take"),
            delivery=self._text(row, "delivery"),
            variants=tuple(self._variants(row)),
            where=f"{self.file}:{row.number}",
        )
        return CueSheet((cue,), tuple(problems))

    def _is_heading_again(self, row: Row) -> bool:
        """Long sheets repeat their headings on every page."""
        where = self.layout.places
        return all(_plain(row.cell(i)) == _plain(self.layout.headings[f]) for f, i in where.items())

    def _text(self, row: Row, field: str) -> str:
        return " ".join(row.cell(self.layout.places.get(field)).split())

    def _problem(self, row: Row, field: str, sentence: str, fatal: bool = True) -> CueProblem:
        return CueProblem(self.file, row.number, self.layout.heading(field), sentence, fatal)

    def _timecode(self, row: Row, field: str, problems: list[CueProblem]) -> Timecode | None:
        label = self._text(row, field)
        if not label:
            return None
        try:
            return read_timecode(label, self.production)
        except MediaError as error:
            problems.append(self._problem(row, field, str(error)))
            return None

    def _on_screen(self, row: Row, problems: list[CueProblem]) -> bool | None:
        said = _plain(self._text(row, "on_screen"))
        if not said:
            return None
        if said in _ON or said in _OFF:
            return said in _ON
        sentence = f"'{self._text(row, 'on_screen')}' is neither on nor off; taken as not said"
        problems.append(self._problem(row, "on_screen", sentence, fatal=False))
        return None

    def _variants(self, row: Row) -> Iterator[Variant]:
        for field in self.layout.places:
            if field.startswith(_VARIANT) and (text := self._text(row, field)):
                yield Variant(field.removeprefix(_VARIANT), text)


def _number(text: str) -> str:
    """A spreadsheet makes 12.0 of cue 12."""
    return text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text


def read_timecode(label: str, production: Production) -> Timecode:
    """A sheet's timecode at the production's rate. Raises `MediaError` with what to do."""
    rate = production.rate
    if ";" in label and rate.nominal not in (30, 60):
        raise MediaError(
            f"timecode {label} is drop-frame, which counts 29.97 or 59.94 frames a second, and "
            f"the production runs at {rate}; convert the sheet, or mend rate in production.toml"
        )
    return production.timecode(label)


def spoken_by(text: str, names: Sequence[str]) -> tuple[str, str]:
    """("MARA", "We chose to go.") of "MARA: We chose to go."; ("", text) where nobody is named.

    Only `names` count, so that "One thing: hurry." stays whole.
    """
    match = _SPEAKER.match(text)
    known = {" ".join(n.casefold().split()) for n in names}
    if match and " ".join(match[1].casefold().split()) in known:
        return match[1].strip(), text[match.end() :].strip()
    return "", text.strip()
