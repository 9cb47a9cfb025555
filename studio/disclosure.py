"""The disclosure sheet: one row for every use of generated sound or picture.

A CSV that opens in any spreadsheet and answers what archives, broadcasters and audiences
ask: where in the picture, what was generated, with which tools and weights on what licence,
from which sources, under whose consent, and who approved it and when (blank until then; see
`approve_rows`).
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from media.errors import ProvenanceError
from media.files import atomic_path

__all__ = ["DEFAULT_NAME", "Row", "append_row", "approve_rows", "pending_row", "read_rows"]

DEFAULT_NAME = "wildline-disclosure.csv"
_FORMULA = ("=", "+", "@", "\t")  # a spreadsheet would run a cell that starts so


@dataclass(frozen=True, slots=True)
class Row:
    """One use. Timecodes are HH:MM:SS:FF in the output; lists are joined by "; ".

    `ledger_line` is the line written before the output was signed, `source_type` IPTC's word
    for what it is, `approved` the day on which `approver` said yes.
    """

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
    cue: str = ""
    source_type: str = ""
    approver: str = ""
    approved: str = ""


_HEADER = tuple(f.name for f in fields(Row))


def append_row(sheet: Path, row: Row) -> None:
    """Add one row, whole and on the disk, making the sheet with its header if absent.

    Raises `ProvenanceError` when the sheet cannot be written or has other columns.
    """
    with pending_row(sheet, row):
        pass


@contextmanager
def pending_row(sheet: Path, row: Row) -> Iterator[None]:
    """Add one row that stays only if the block ends well; other writers wait meanwhile.

    Raises `ProvenanceError` as `append_row` does.
    """
    with _locked(sheet) as handle:
        size = os.fstat(handle).st_size
        try:
            if size:
                _check_header(sheet)
            head = [] if size else [_HEADER]
            _append(handle, size, _csv([*head, _cells(row)]))
        except OSError as error:
            raise _unwritable(sheet, error) from error
        try:
            yield
        except BaseException:
            os.ftruncate(handle, size)
            if not size:
                sheet.unlink(missing_ok=True)
            raise


def approve_rows(sheet: Path, sha256: str, approver: str, approved: str) -> int:
    """Name the approver and the day (YYYY-MM-DD) in every row of one output; how many.

    Raises `ProvenanceError` when the sheet is missing, not one of ours, or cannot be written.
    """
    rows = read_rows(sheet)  # raises for a sheet that is not there, before one is made
    with _locked(sheet):
        rows = read_rows(sheet)
        named = [
            replace(r, approver=approver, approved=approved) if r.sha256 == sha256 else r
            for r in rows
        ]
        if named != rows:
            with atomic_path(sheet) as temporary:
                temporary.write_bytes(_csv([_HEADER, *map(_cells, named)]))
    return sum(row.sha256 == sha256 for row in rows)


def read_rows(sheet: Path) -> list[Row]:
    """All rows. Raises `ProvenanceError` when the sheet is missing or not one of ours."""
    _check_header(sheet)
    with sheet.open(newline="", encoding="utf-8") as file:
        return [_uncelled(record) for record in csv.DictReader(file)]


@contextmanager
def _locked(sheet: Path) -> Iterator[int]:
    """An exclusively locked descriptor of the sheet that bears the name now."""
    try:
        while True:
            handle = os.open(sheet, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if sheet.exists() and os.path.samestat(os.fstat(handle), sheet.stat()):
                break
            os.close(handle)  # replaced by `approve_rows` while this waited
    except OSError as error:
        raise _unwritable(sheet, error) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _unwritable(sheet: Path, error: OSError) -> ProvenanceError:
    return ProvenanceError(
        f"the disclosure sheet {sheet} cannot be written ({error.strerror or error}) and "
        "nothing is made without a record; free the place or name another with --disclosure"
    )


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


def _cells(row: Row) -> tuple[str, ...]:
    return tuple(
        f"'{value}" if value.startswith(_FORMULA) else value for value in asdict(row).values()
    )


def _uncelled(record: dict[str, str]) -> Row:
    """A row as it was before the quotes that keep a spreadsheet from running it."""
    plain = {
        key: value[1:] if value[:1] == "'" and value[1:].startswith(_FORMULA) else value
        for key, value in record.items()
    }
    return Row(**plain)
