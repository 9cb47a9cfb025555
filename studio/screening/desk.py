"""What the screening room may show: cues by id, and the few files that belong to them.

A request names ids; only ids that are in the production lead to paths, and a path is served
only when, links followed, it lies inside the production's folder. Footage may lie elsewhere
when `production.toml` itself names that place: it is never served, only excerpts made of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from media.errors import MediaError, WildlineError
from studio.batch.results import CueResult, cue_results
from studio.cues.cue import Cue
from studio.production import Production

if TYPE_CHECKING:
    from studio.cues.places import Place

__all__ = ["Desk", "NotShownError"]

T = TypeVar("T")


class NotShownError(WildlineError):
    """There is no such thing in this production, or it may not be shown."""


class Desk:
    """A production as the screening room sees it; results are read again when they change.

    `cues` stand in for the production's sheets. Files are looked at again after `patience_s`
    seconds, or when `touched` says that something was written. May be used from several
    threads.
    """

    def __init__(
        self,
        production: Production,
        cues: Sequence[Cue] | None = None,
        *,
        patience_s: float = 0.0,
    ) -> None:
        self.production = production
        self._patience_s, self._looked_at = patience_s, -1e9
        self._given = None if cues is None else tuple(cues)
        self._root = production.folder.resolve()
        self._lock = threading.RLock()
        self._kept: dict[str, object] = {}
        self._signature: object = None
        self._sheets: object = None
        self._cues: tuple[Cue, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._results: dict[str, CueResult] = {}

    @property
    def work(self) -> Path:
        """The room's own folder: excerpts, moved timings, keys."""
        return self.production.work / "screening"

    def results(self) -> tuple[CueResult, ...]:
        """Every cue with what there is of it. Raises `ProductionError` as `cue_results`."""
        return tuple(self._current()[0].values())

    def signature(self) -> str:
        """Changes whenever `results` may."""
        return str(abs(hash(self._current()[1])))

    def cue(self, cue_id: str) -> CueResult:
        """One cue. Raises `NotShownError`."""
        found = self._current()[0].get(cue_id)
        if found is None:
            raise NotShownError("there is no such cue in this production")
        return found

    def place(self, scene: str) -> Place | None:
        """Where a scene's footage lies in the film; None where there is none to show."""
        from studio.cues.places import FootageBook

        with self._lock:
            try:
                return self.kept("footage", lambda: FootageBook(self.production)).place_of(scene)
            except WildlineError:
                return None

    def touched(self) -> None:
        """Look at the files again at once: something was written."""
        with self._lock:
            self._looked_at = -1e9

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once until a result changes."""
        with self._lock:
            self._current()
            if name not in self._kept:
                self._kept[name] = make()
            return cast("T", self._kept[name])

    def _current(self) -> tuple[dict[str, CueResult], object]:
        with self._lock:
            if time.monotonic() - self._looked_at <= self._patience_s:
                return self._results, self._signature
            now = self._state()
            if now != self._signature:
                cues = self._read_cues()
                results = cue_results(self.production, cues)
                self._results = {r.cue.id: r for r in results}
                self._signature = now
                self._kept.clear()
            self._looked_at = time.monotonic()
            return self._results, now

    def _state(self) -> object:
        work = self.production.work
        files = ("requests.jsonl", "decisions.jsonl", "audience.jsonl")
        stamps = tuple(_stamp(work / name) for name in files)
        return _stamps_in(work / "cues"), stamps, self._sheet_state()

    def _sheet_state(self) -> object:
        return tuple(_stamp(source.file) for source in self.production.cues)

    def _read_cues(self) -> Sequence[Cue]:
        if self._given is not None:
            return self._given
        sheets = self._sheet_state()
        if self._sheets is None or sheets != self._sheets:
            from studio.cues.reading import read_cues

            read = read_cues(self.production)
            self._cues, self._sheets = read.cues, sheets
            self._problems = tuple(map(str, read.problems))
        return self._cues

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the cue sheets, each with its row."""
        with self._lock:
            self._current()
            return self._problems

    def shown(self, path: Path) -> Path:
        """The real place of a file that may be served.

        Raises `NotShownError` for a file that is missing or, links followed, outside.
        """
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise NotShownError("this file is not there any more; run the batch again") from error
        if not real.is_relative_to(self._root) or not real.is_file():
            raise NotShownError("this file lies outside the production and is not shown")
        return real

    def footage(self, path: Path) -> Path:
        """The real place of footage that excerpts may be made of.

        Inside the production, or the very place outside that a scene names in
        `production.toml`. Raises `NotShownError` for anything else, such as a link that
        leads out.
        """
        named = Path(os.path.normpath(path))
        scenes = (s.footage for s in self.production.scenes.values() if s.footage is not None)
        outside = not named.is_relative_to(Path(os.path.normpath(self.production.folder)))
        if outside and named in (Path(os.path.normpath(f)) for f in scenes):
            if not named.is_file():
                raise NotShownError("the scene's footage is not there; mount its disk")
            return named.resolve()
        return self.shown(path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _stamps_in(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every file in a folder (a thousand take two milliseconds)."""
    try:
        with os.scandir(folder) as entries:
            found = [(e.name, e.stat()) for e in entries]
    except OSError:
        return ()
    return tuple(sorted((name, s.st_mtime_ns, s.st_size) for name, s in found))


def stamp_of(path: Path) -> str:
    """Changes when the file does. Raises `MediaError` when it is not there."""
    stamp = _stamp(path)
    if stamp is None:
        raise MediaError(f"'{path}' is not there any more; run the batch again")
    return "-".join(format(part, "x") for part in stamp)
