"""The disclosure sheet: one row for every use of generated sound or picture.

A CSV that opens in any spreadsheet and answers what archives, broadcasters and audiences
ask: where in the picture, what was generated, with which tools and weights on what licence,
from which sources, under whose consent, and who approved it (left blank for a person to fill).
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from media.errors import ProvenanceError

__all__ = ["DEFAULT_NAME", "Row", "append_row", "read_rows"]

DEFAULT_NAME = "wildline-disclosure.csv"
_FORMULA = ("=", "+", "@", "\t")  # a spreadsheet would run a cell that starts so


@dataclass(frozen=True, slots=True)
class Row:
    """One use. Timecodes are HH:MM:SS:FF in the output; lists are joined by "; "."""

    date: str
    project: str
    output: str
    sha256: str
    timecode_in: str
    timecode_out: str
    generated: str
    text: str
    tools: str
    weights: str
    sources: str
    consent: str
    ledger_line: str
    approver: str = ""


_HEADER = tuple(f.name for f in fields(Row))


def append_row(sheet: Path, row: Row) -> None:
    """Add one row, whole and on the disk, making the sheet with its header if absent.

    Raises `ProvenanceError` when the sheet cannot be written or has other columns.
    """
    try:
        handle = os.open(sheet, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            if size:
                _check_header(sheet)
            head = [] if size else [_HEADER]
            _append(handle, size, _csv([*head, tuple(map(_cell, asdict(row).values()))]))
        finally:
            os.close(handle)
    except OSError as error:
        raise ProvenanceError(
            f"the disclosure sheet {sheet} cannot be written ({error.strerror or error}) and "
            "nothing is made without a record; free the place or name another with --disclosure"
        ) from error


def read_rows(sheet: Path) -> list[Row]:
    """All rows. Raises `ProvenanceError` when the sheet is missing or not one of ours."""
    _check_header(sheet)
    with sheet.open(newline="", encoding="utf-8") as file:
        return [Row(**record) for record in csv.DictReader(file)]


def _check_header(sheet: Path) -> None:
    try:
        with sheet.open(newline="", encoding="utf-8-sig") as file:
            header = tuple(next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProvenanceError(
            f"the disclosure sheet {sheet} cannot be read; check the path"
        ) from error
    if header != _HEADER:
        raise ProvenanceError(
            f"{sheet} has other columns than a disclosure sheet; name another with --disclosure"
        )


def _append(handle: int, size: int, content: bytes) -> None:
    """All of `content` or nothing."""
    try:
        written = 0
        while written < len(content):
            written += os.write(handle, content[written:])
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
