"""Reading the cells of CSV, TSV and XLSX cue sheets."""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
import zlib
from datetime import date, datetime, time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from studio.cues.columns import Row, Table
from studio.production import ProductionError

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

__all__ = ["read_csv", "read_text", "read_xlsx"]

_LARGEST_TEXT = 64 << 20
_LARGEST_UNPACKED = 256 << 20  # bytes of all parts of a workbook together
_MOST_PARTS = 2_000
_MOST_ELEMENTS = 2_000_000  # of XML: what is unpacked takes far more room in memory
_MOST_CELLS = 2_000_000
_DELIMITERS = ",;\t|"
_NO_PACKAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError),
    *(SyntaxError, ValueError, LookupError),  # not XML, or in an encoding that nobody knows
)


def read_text(path: Path) -> str:
    """A text file as UTF-8, UTF-16 (with its mark) or, failing both, Windows-1252.

    Raises `ProductionError` when it is missing, unreadable or far too large for a sheet.
    """
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise ProductionError(f"{path} is larger than any cue sheet; check what it is")
        raw = path.read_bytes()
    except OSError as error:
        raise ProductionError(
            f"the cue sheet {path} cannot be read ({error.strerror or error}); check the path"
        ) from error
    if b"\0" in raw and not raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ProductionError(f"{path} is not a text file; export the cue sheet again")
    for encoding in ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            pass
    return raw.decode("cp1252", errors="replace")


def read_csv(path: Path) -> Table:
    """A comma, semicolon, tab or bar separated sheet."""
    text = read_text(path)
    delimiter = _delimiter(text)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ProductionError(f"{path} cannot be read as CSV ({error}); export it again") from error
    return Table(path.name, tuple(Row(n, tuple(cells)) for n, cells in enumerate(rows, 1)))


def _delimiter(text: str) -> str:
    """What separates the cells: the one that the first lines have most of, outside quotes."""
    head = "".join(part for i, part in enumerate(text[:20_000].split('"')) if i % 2 == 0)
    lines = [line for line in head.splitlines() if line.strip()][:20]
    return max(_DELIMITERS, key=lambda d: sum(line.count(d) for line in lines))


def read_xlsx(path: Path, sheet: str | None) -> Table:
    """A worksheet (by name, else the first), merged cells filled, formulas by their last value.

    Raises `ProductionError` for what is not a workbook, names files outside itself, or
    would unpack to more than a cue sheet can be.
    """
    _check_package(path)
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, data_only=True, keep_links=False)
    except Exception as error:  # openpyxl lets through whatever a damaged part makes it meet
        raise ProductionError(
            f"{path} cannot be read as an Excel workbook ({_short(error)}); save it again as .xlsx"
        ) from error
    try:
        if sheet is not None and sheet not in book.sheetnames:
            names = ", ".join(f"'{n}'" for n in book.sheetnames)
            raise ProductionError(f"{path} has no worksheet '{sheet}'; it has {names}")
        page = book[sheet] if sheet is not None else book.worksheets[0]
        return Table(path.name, _rows(page, path))
    finally:
        book.close()


def _check_package(path: Path) -> None:
    """Look at the workbook's parts before anything unpacks them: size, number, no entities."""
    from defusedxml import DefusedXmlException  # type: ignore[import-untyped, unused-ignore]

    try:
        with zipfile.ZipFile(path) as package:
            parts = package.infolist()
            unpacked = sum(part.file_size for part in parts)
            if len(parts) > _MOST_PARTS or unpacked > _LARGEST_UNPACKED:
                raise ProductionError(
                    f"{path} would unpack to {unpacked >> 20} MB in {len(parts)} parts, which no "
                    "cue sheet does; check where it comes from"
                )
            elements = 0
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    with package.open(part) as stream:
                        elements += _elements(stream, _MOST_ELEMENTS - elements)
                if elements > _MOST_ELEMENTS:
                    raise ProductionError(
                        f"{path} holds more cells than any cue sheet; delete the empty ones, or "
                        "check where it comes from"
                    )
    except OSError as error:
        raise ProductionError(
            f"the cue sheet {path} cannot be read ({error.strerror or error}); check the path"
        ) from error
    except DefusedXmlException as error:
        raise ProductionError(
            f"{path} declares XML entities, which no spreadsheet program writes; do not trust it"
        ) from error
    except _NO_PACKAGE as error:
        raise ProductionError(
            f"{path} is not an Excel workbook ({_short(error)}); save it again as .xlsx"
        ) from error


def _elements(stream: IO[bytes], most: int) -> int:
    """How many XML elements a part has (more than `most` are not counted), held one at a time."""
    from defusedxml.ElementTree import iterparse  # type: ignore[import-untyped, unused-ignore]

    count = 0
    open_ones: list[Any] = []
    for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            open_ones.append(element)
            count += 1
            if count > most:
                break
        else:
            open_ones.pop()
            if open_ones:
                open_ones[-1].clear()
    return count


def _rows(page: Worksheet, path: Path) -> tuple[Row, ...]:
    if page.max_row * page.max_column > _MOST_CELLS:
        raise ProductionError(
            f"worksheet '{page.title}' of {path} spans {page.max_row} rows and {page.max_column} "
            "columns; delete the empty ones"
        )
    cells = [[_cell(value) for value in row] for row in page.iter_rows(values_only=True)]
    merged = sorted(page.merged_cells.ranges, key=lambda r: (r.min_row, r.min_col))
    for area in merged:
        filled = cells[area.min_row - 1][area.min_col - 1]
        for row in range(area.min_row - 1, min(area.max_row, len(cells))):
            for column in range(area.min_col - 1, min(area.max_col, len(cells[row]))):
                cells[row][column] = filled
    wide = {area.min_row for area in merged if area.max_col > area.min_col}
    rows = [Row(n, tuple(row)) for n, row in enumerate(cells, 1)]
    return tuple(_with_upper_headings(rows, wide))


def _with_upper_headings(rows: list[Row], merged: set[int]) -> list[Row]:
    """Under a heading that spans columns ("Timecode" over "In" and "Out"): "Timecode In".

    A title across the whole sheet stays by itself. The upper row is left empty: the lower
    one now says everything.
    """
    joined = list(rows)
    for upper, lower in itertools.pairwise(rows):
        if upper.number not in merged or len(set(filter(None, upper.cells))) < 2:
            continue
        pairs = zip(upper.cells, lower.cells, strict=False)
        cells = tuple(a if a == b or not b else f"{a} {b}".strip() for a, b in pairs)
        joined[upper.number - 1] = Row(upper.number, ())
        joined[lower.number - 1] = Row(lower.number, cells)
    return joined


def _cell(value: Any) -> str:
    """A cell's value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value)


def _short(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:120]
