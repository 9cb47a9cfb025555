"""The ADR sheet out: every cue with what became of it, as CSV or XLSX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from media.errors import OutputError
from studio.cues.cue import Cue

__all__ = ["COLUMNS", "write_sheet"]

COLUMNS: Mapping[str, str] = {
    "number": "Cue #",
    "variant": "Version",
    "reel": "Reel",
    "scene": "Scene",
    "character": "Character",
    "start": "TC In",
    "end": "TC Out",
    "dialogue": "Dialogue",
    "alternate": "Alternate",
    "reason": "Reason",
    "on_screen": "On/Off",
    "priority": "Priority",
    "take": "Take",
    "notes": "Notes",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_sheet(
    rows: Sequence[tuple[Cue, Mapping[str, str]]], path: Path, *, extra: Sequence[str] = ()
) -> None:
    """Write cues with further columns (`extra` names them) to .csv or .xlsx.

    The usual columns come first and are read back by `read_source`. Text that a spreadsheet
    would run as a formula is written as text. Raises `OutputError`.
    """
    from media.files import atomic_path

    heading = [*COLUMNS.values(), *extra]
    body = [[*_cells(cue), *(facts.get(name, "") for name in extra)] for cue, facts in rows]
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise OutputError(f"cannot write '{path}': an ADR sheet is a .csv or .xlsx file")
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".csv":
            temporary.write_bytes(_csv([heading, *body]))
        else:
            _write_xlsx(temporary, [heading, *body])


def _cells(cue: Cue) -> list[str]:
    values = {name: getattr(cue, name) for name in COLUMNS}
    values["on_screen"] = {True: "on", False: "off", None: ""}[cue.on_screen]
    return ["" if value is None else str(value) for value in values.values()]


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    """UTF-8 with its mark, which Excel needs to read it as such."""
    buffer = io.StringIO(newline="")
    safe = [[f"'{c}" if c.startswith(_FORMULA) else c for c in row] for row in rows]
    csv.writer(buffer).writerows(safe)
    return buffer.getvalue().encode("utf-8-sig")


def _write_xlsx(path: Path, rows: Sequence[Sequence[str]]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Alignment, Font

    book = Workbook()
    page = book.active
    page.title = "ADR"
    for number, row in enumerate(rows, 1):
        for column, text in enumerate(row, 1):
            cell = page.cell(number, column)
            cell.value = ILLEGAL_CHARACTERS_RE.sub("", text)
            cell.data_type = "s"  # never a formula
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            if number == 1:
                cell.font = Font(bold=True)
    page.freeze_panes = "A2"
    for column, title in enumerate(rows[0], 1):
        wide = {"Dialogue": 48, "Alternate": 32, "Notes": 32, "Reason": 20}.get(title, 13)
        page.column_dimensions[page.cell(1, column).column_letter].width = wide
    book.save(path)
