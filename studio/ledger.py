"""The ledger: an append-only, hash-chained record of every check, output and refusal.

One JSON object a line. Each line carries the sha256 of the line before it (`previous`)
and of its own content (`sha256`), so that an altered, removed or inserted line is found
by `verify`. What a chain without a witness cannot show is a cut tail or a file rewritten
from the first line on: the credentials of every delivered file therefore name the line that
was written before it was signed, with that line's sha256, and `studio.verify` looks it up.

Appending takes an exclusive lock (POSIX `flock`) and is flushed to the disk before it
returns. A ledger that cannot be written stops the work: no output without a record.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from media.errors import ProvenanceError

__all__ = [
    "DEFAULT_NAME",
    "Entry",
    "Inspection",
    "Ledger",
    "inspect",
    "located",
    "read_ledger",
    "told",
    "verify",
]

DEFAULT_NAME = "wildline-ledger.jsonl"
_GENESIS = "0" * 64  # what the first line names as its predecessor
_LONGEST_LINE = 1 << 20  # bytes; how far back the last line is looked for
_NOTED = "this refusal is in the ledger"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: its number from 1, UTC time (ISO 8601), event and facts.

    `sha256` is the hash of the line's own content, `line_sha256` of its bytes as written.
    """

    number: int
    time: str
    event: str
    facts: dict[str, Any]
    previous: str
    sha256: str
    line_sha256: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger file, made on the first `append`; its folder must be there."""

    path: Path

    @classmethod
    def beside(cls, output: Path) -> Ledger:
        """The ledger that belongs to an output when none is named: in the same folder."""
        return cls(output.parent / DEFAULT_NAME)

    def append(self, event: str, **facts: Any) -> Entry:
        """Write one line and return it, on the disk. `facts` must be JSON values.

        Raises `ProvenanceError` when the file cannot be written (read-only, full, a
        folder in the way) or its last line is not a ledger line.
        """
        try:
            with _locked(self.path) as handle:
                number, previous = _tail(handle, self.path)
                entry, line = _entry(number + 1, event, facts, previous)
                _write_line(handle, line)
            return entry
        except OSError as error:
            raise ProvenanceError(
                f"the ledger {self.path} cannot be written ({error.strerror or error}) and "
                "nothing is made without a record; free the place or name another with --ledger"
            ) from error

    def append_refusal(self, event: str, error: Exception, **facts: Any) -> None:
        """Write why something was refused, unless this very refusal is written already.

        Raises `ProvenanceError` when the ledger cannot be written.
        """
        if _NOTED not in getattr(error, "__notes__", ()):
            self.append(event, **facts, reason=str(error))
            error.add_note(_NOTED)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """An exclusively locked file descriptor open for reading and appending."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)  # releases the lock


def _tail(handle: int, path: Path) -> tuple[int, str]:
    """Number of the last line and its sha256; a line torn by a crash is cut off first."""
    size = os.fstat(handle).st_size
    start = max(0, size - _LONGEST_LINE)
    block = os.pread(handle, size - start, start)
    if block and not block.endswith(b"\n"):
        # Killed in mid-write: an incomplete line was never a record of anything.
        block = block[: block.rfind(b"\n") + 1]
        os.ftruncate(handle, start + len(block))
    if not block:
        return 0, _GENESIS
    last = block[:-1].rpartition(b"\n")[2]
    try:
        return _parse(last).number, hashlib.sha256(last).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        raise ProvenanceError(
            f"the last line of {path} is not a ledger line or was altered; keep that file as it "
            "is and name a new one with --ledger"
        ) from error


def _write_line(handle: int, line: bytes) -> None:
    """Write all of `line` or nothing, and flush it to the disk."""
    size = os.fstat(handle).st_size
    try:
        written = 0
        while written < len(line):
            written += os.write(handle, line[written:])
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _canonical(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _entry(number: int, event: str, facts: dict[str, Any], previous: str) -> tuple[Entry, bytes]:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"number": number, "time": time, "event": event, "facts": facts, "previous": previous}
    sha256 = hashlib.sha256(_canonical(record)).hexdigest()
    line = _canonical({**record, "sha256": sha256})
    line_sha256 = hashlib.sha256(line).hexdigest()
    return Entry(number, time, event, facts, previous, sha256, line_sha256), line + b"\n"


def _parse(line: bytes) -> Entry:
    """Read one line and hold it to its own hash; raises ValueError, KeyError, TypeError."""
    try:
        record = json.loads(line)
    except RecursionError as error:  # brackets by the thousand
        raise ValueError("the line is not one of a ledger") from error
    if not isinstance(record, dict) or not isinstance(record.get("facts"), dict):
        raise TypeError("the line is not an entry")
    sha256 = record.pop("sha256")
    if hashlib.sha256(_canonical(record)).hexdigest() != sha256:
        raise ValueError("the line does not match its own sha256")
    if not all(isinstance(record[name], str) for name in ("time", "event", "previous")):
        raise TypeError("the line is not an entry")
    return Entry(**record, sha256=sha256, line_sha256=hashlib.sha256(line).hexdigest())


def read_ledger(path: Path) -> Iterator[Entry]:
    """The entries in order, each held to the chain.

    Raises `ProvenanceError` naming the first line that was altered, removed or inserted,
    or when the file cannot be read.
    """
    previous, number = _GENESIS, 0
    try:
        with path.open("rb") as file:
            for raw in file:
                number += 1
                line = raw.rstrip(b"\n")
                try:
                    entry = _parse(line)
                except (ValueError, KeyError, TypeError) as error:
                    raise ProvenanceError(
                        f"line {number} of {path} was altered or is not a ledger line"
                    ) from error
                if entry.previous != previous or entry.number != number:
                    raise ProvenanceError(
                        f"line {number} of {path} does not follow the line before it: "
                        "a line there was altered, removed or inserted"
                    )
                previous = entry.line_sha256
                yield entry
    except OSError as error:
        raise ProvenanceError(
            f"the ledger {path} cannot be read ({error.strerror or error}); check the path"
        ) from error


def verify(path: Path) -> int:
    """Check the whole chain and return the number of lines.

    Raises `ProvenanceError` as `read_ledger` does.
    """
    return sum(1 for _ in read_ledger(path))


@dataclass(frozen=True, slots=True)
class Inspection:
    """A whole ledger: how many `lines`, the `last` one, and the number of the line looked for."""

    lines: int
    last: Entry | None
    held: int | None


def inspect(path: Path, holds: str | None = None) -> Inspection:
    """Check the whole chain, and that it `holds` a line with this sha256.

    Raises `ProvenanceError` as `read_ledger` does, and when the line is not there.
    """
    count, last, held = 0, None, None
    for entry in read_ledger(path):
        count, last = entry.number, entry
        if holds is not None and entry.line_sha256 == holds.strip().lower():
            held = entry.number
    if holds is not None and held is None:
        raise ProvenanceError(
            f"no line of {path} has the sha256 {holds[:16]}…: the ledger was cut or written "
            "anew since that was noted, or it is another ledger"
        )
    return Inspection(count, last, held)


def located(place: Path) -> Path:
    """`place`, or the ledger of the usual name in that folder."""
    return place / DEFAULT_NAME if place.is_dir() else place


def told(entry: Entry) -> str:
    """What an entry is about, on one line for people."""
    facts = entry.facts
    parts = [
        facts.get(key)
        for key in ("output", "cue", "take", "use", "person", "by", "text", "line", "reason")
    ]
    return "; ".join(" ".join(str(p).split()) for p in parts if p)
