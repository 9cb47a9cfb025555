"""Records that appear exactly once, however often the work is killed and taken up again.

A step writes through a `JobLedger`. What is only asked or announced (consent, "made") goes to
the production's ledger at once; what is delivered waits in the step's folder and is written
when the step is finished, under the step's own name, and only if that name is not there yet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from media.errors import ProvenanceError
from studio import disclosure
from studio.batch.records import append_line, read_lines
from studio.ledger import Entry, Ledger

__all__ = [
    "PENDING",
    "SHEET",
    "JobLedger",
    "append_once",
    "disclose_once",
    "record_pending",
    "records_locked",
]

PENDING = "pending.jsonl"
SHEET = "disclosure.csv"
_AT_ONCE = ("consent.",)
_AT_ONCE_ENDINGS = (".refused", ".withdrawn")
_LOCK = ".records.lock"


@contextmanager
def records_locked(work: Path) -> Iterator[None]:
    """Only one process of the production at a time looks for a record and adds it."""
    try:
        handle = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ProvenanceError(
            f"the work folder {work} cannot be written ({error.strerror or error}) and nothing "
            "is made without a record; make it writable"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # releases the lock


def append_once(ledger: Ledger, work: Path, event: str, job: str, facts: dict[str, Any]) -> Entry:
    """Append a line unless this event of this job is there already; returns the line either way.

    Raises `ProvenanceError` when the ledger cannot be read or written.
    """
    with records_locked(work):
        return _find(ledger.path, event, job) or ledger.append(event, **facts, job=job)


def _find(path: Path, event: str, job: str) -> Entry | None:
    """The line of this event and job. The file is searched as bytes: it may be long."""
    needle = f'"job":{json.dumps(job)}'.encode()
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                at = content.rfind(needle)
                while at >= 0:
                    start = content.rfind(b"\n", 0, at) + 1
                    end = content.find(b"\n", at)
                    entry = _entry(content[start : end if end >= 0 else len(content)])
                    if entry is not None and (entry.event, entry.facts.get("job")) == (event, job):
                        return entry
                    at = content.rfind(needle, 0, start)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProvenanceError(
            f"the ledger {path} cannot be read ({error.strerror or error}) and nothing is made "
            "without a record; make it readable"
        ) from error
    return None


def _entry(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line), line_sha256=hashlib.sha256(line).hexdigest())
    except (ValueError, TypeError):
        return None  # torn by a crash; the ledger cuts it off when it next writes


@dataclass(frozen=True, slots=True)
class JobLedger(Ledger):
    """The production's ledger as one step sees it. `pending` is where deliveries wait.

    `out` is the folder that the step's files will appear in, which is what lines name.
    """

    work: Path
    job: str
    pending: Path
    cue: str = ""
    out: Path | None = None

    def append(self, event: str, **facts: Any) -> Entry:
        """Write now, once, or when the step is finished, as the event asks for."""
        facts = self._placed(facts)
        plain = Ledger(self.path)
        if event.startswith(_AT_ONCE) or event.endswith(_AT_ONCE_ENDINGS):
            return plain.append(event, **facts)
        if event.endswith(".made"):
            return append_once(plain, self.work, event, self.job, facts)
        append_line(self.pending, {"event": event, "job": self.job, "facts": facts}, flush=False)
        return Entry(0, "", event, facts, "", "", "")

    def _placed(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Facts that name the cue, and the output's final place instead of the step's folder."""
        placed = dict(facts)
        if self.cue:
            placed.setdefault("cue", self.cue)
        if self.out is not None and "output" in placed:
            placed["output"] = str(self.out / Path(str(placed["output"])).name)
        return placed


def record_pending(ledger: Ledger, work: Path, folder: Path) -> None:
    """Write what waits in a step's folder to the ledger, each line once."""
    for record in read_lines(folder / PENDING):
        append_once(ledger, work, str(record["event"]), str(record["job"]), dict(record["facts"]))


def disclose_once(sheet: Path, work: Path, folder: Path) -> None:
    """Add the rows in a step's folder to the disclosure sheet, each once."""
    rows = folder / SHEET
    if not rows.is_file():
        return
    with records_locked(work):
        try:
            there = sheet.read_bytes() if sheet.exists() else b""
        except OSError as error:
            raise ProvenanceError(
                f"the disclosure sheet {sheet} cannot be read ({error.strerror or error}) and "
                "nothing is made without a record; make it readable"
            ) from error
        for row in disclosure.read_rows(rows):
            if row.sha256.encode() not in there:
                disclosure.append_row(sheet, disclosure.Row(**asdict(row)))
