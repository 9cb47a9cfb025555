"""What people ask for and decide: two append-only files that the batch reads.

`work/requests.jsonl`: retakes asked for. `work/decisions.jsonl`: what was circled, rated,
commented, approved, by whom and when. One JSON object a line, appended under a lock.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from media.errors import OutputError
from media.files import output_error
from studio.batch.states import now
from studio.production import Production

__all__ = [
    "Decision",
    "Request",
    "add_decision",
    "add_request",
    "append_line",
    "read_decisions",
    "read_lines",
    "read_requests",
]

_REQUESTS, _DECISIONS = "requests.jsonl", "decisions.jsonl"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A retake asked for. `timing` is a path relative to the production's folder.

    With `text` or `seed` new takes are spoken (generation `generation`, 2 for the first
    request of a cue); with `timing` alone the lips of take `take` are driven anew.
    """

    cue: str
    generation: int
    text: str | None = None
    timing: str | None = None
    seed: int | None = None
    note: str = ""
    take: str | None = None
    time: str = ""

    @property
    def speaks(self) -> bool:
        """Whether new sound is wanted."""
        return self.timing is None or self.text is not None or self.seed is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a take; None is no opinion. `step` is the takes' step key."""

    cue: str
    take: str
    by: str
    circled: bool | None = None
    rating: float | None = None
    comment: str | None = None
    approved: bool | None = None
    step: str = ""
    time: str = ""


def append_line(path: Path, record: Mapping[str, Any], *, flush: bool = True) -> None:
    """Add one line, whole and (with `flush`) on the disk. Raises `OutputError`."""
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":  # torn by a crash
                line = b"\n" + line
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, size)
                raise OutputError(f"cannot write '{path}': there is no room left; free some space")
            if flush:
                os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise output_error(path, error) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; lines that are not JSON objects (torn by a crash) are passed over."""
    try:
        content = path.read_bytes()
    except OSError:
        return
    for raw in content.splitlines():
        try:
            record = json.loads(raw)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def add_request(production: Production, request: Request) -> Request:
    """Put a request on file and return it, with its time."""
    record = asdict(request) | {"time": now()}
    append_line(production.work / _REQUESTS, record)
    return Request(**record)


def add_decision(production: Production, decision: Decision) -> Decision:
    """Put a decision on file and return it, with its time."""
    record = asdict(decision) | {"time": now()}
    append_line(production.work / _DECISIONS, record)
    return Decision(**record)


def read_requests(production: Production) -> dict[str, tuple[Request, ...]]:
    """All requests by cue id, oldest first."""
    found: dict[str, tuple[Request, ...]] = {}
    for request in _read(production.work / _REQUESTS, Request):
        found[request.cue] = (*found.get(request.cue, ()), request)
    return found


def read_decisions(production: Production) -> dict[str, tuple[Decision, ...]]:
    """All decisions by cue id, oldest first."""
    found: dict[str, tuple[Decision, ...]] = {}
    for decision in _read(production.work / _DECISIONS, Decision):
        found[decision.cue] = (*found.get(decision.cue, ()), decision)
    return found


def _read(path: Path, kind: Callable[..., T]) -> Iterator[T]:
    for record in read_lines(path):
        try:
            yield kind(**record)
        except TypeError:
            continue  # of another version
