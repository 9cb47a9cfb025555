"""What a step's name is made of: the sha256 of everything that goes into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media.errors import OutputError
from media.files import sha256_of
from studio._sources import files_in
from studio.batch.states import write_json

__all__ = ["HashBook", "digest", "weights_mark"]

_KEY_LENGTH = 24  # hex digits: 96 bits, far beyond any number of steps


def digest(document: object) -> str:
    """The sha256 (24 hex digits) of JSON values, independent of the order of keys."""
    content = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()[:_KEY_LENGTH]


def weights_mark(names: Sequence[str]) -> dict[str, str]:
    """Name and sha256 of registered weights."""
    from weights.registry import describe

    return {name: describe(name).sha256 for name in names}


@dataclass(slots=True)
class HashBook:
    """sha256 of files, computed once as long as their size and time stay (`work/hashes.json`)."""

    file: Path
    _known: dict[str, list[Any]] = field(default_factory=dict)
    _changed: bool = False

    def __post_init__(self) -> None:
        try:
            self._known = dict(json.loads(self.file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            self._known = {}

    def of(self, path: Path) -> str:
        """The file's sha256. Raises `MediaError` when it cannot be read."""
        try:
            stat = path.stat()
            stamp = [stat.st_size, stat.st_mtime_ns]
        except OSError:
            return sha256_of(path)  # says what is wrong with it
        known = self._known.get(str(path))
        if known is None or known[:2] != stamp:
            known = [*stamp, sha256_of(path)]
            self._known[str(path)] = known
            self._changed = True
        return str(known[2])

    def of_places(self, places: Path | Sequence[Path]) -> Mapping[str, str]:
        """Name and sha256 of every file in files and folders. Raises `ArchiveError`."""
        return {path.name: self.of(path) for path in files_in(places)}

    def save(self) -> None:
        """Keep what was found for the next run; where that fails it is found anew."""
        if self._changed:
            with suppress(OutputError):
                write_json(self.file, self._known)
            self._changed = False
