"""Finished steps on disk: `work/steps/<step>-<key>/`, each whole or not there.

A step is made in a hidden folder, then renamed to `.ready-...`, then recorded, then renamed to
its name. Killed anywhere, at most the step in flight is made again, and what was ready is
recorded once.
"""

from __future__ import annotations

import errno
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media.errors import MediaError
from media.files import output_error
from studio.batch.once import disclose_once, record_pending
from studio.batch.states import now, write_json
from studio.ledger import Ledger
from studio.production import Production

__all__ = ["StepStore"]

_READY, _MAKING, _NOTE = ".ready-", ".making-", "step.json"
Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepStore:
    """The steps of a production."""

    production: Production

    @property
    def folder(self) -> Path:
        """Where steps are kept."""
        return self.production.work / "steps"

    def names(self) -> set[str]:
        """Names of all finished steps."""
        try:
            return {p.name for p in self.folder.iterdir() if not p.name.startswith(".")}
        except OSError:
            return set()

    def place(self, name: str) -> Path:
        """The folder of a step, finished or not."""
        return self.folder / name

    def done(self, name: str) -> bool:
        """Whether the step is finished."""
        return (self.folder / name / _NOTE).is_file()

    def facts(self, name: str) -> dict[str, Any]:
        """What a finished step noted. Raises `MediaError` when it cannot be read."""
        try:
            return dict(json.loads((self.folder / name / _NOTE).read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise MediaError(
                f"the step '{name}' in {self.folder} is damaged; run the batch with --force"
            ) from error

    def make(
        self,
        name: str,
        work: Callable[[Path], Facts],
        *,
        records: bool = True,
        publish: Callable[[Path], None] | None = None,
    ) -> float:
        """Do the step unless it is done; returns the seconds it took (0 for nothing).

        `work` fills a folder and returns what is worth noting. With `records` its pending
        ledger lines and disclosure rows are written before it counts as done; `publish` is
        called last, with the recorded folder.
        """
        if self.done(name):
            return 0.0
        began = time.monotonic()
        ready = self.folder / f"{_READY}{name}"
        if not (ready / _NOTE).is_file():
            with self._making(name) as folder:
                facts = work(folder)
                seconds = round(time.monotonic() - began, 4)
                note = {"step": name, "made": now(), "seconds": seconds, **facts}
                write_json(folder / _NOTE, note)
                _rename(folder, ready)
        with suppress(FileNotFoundError):  # another worker finished it meanwhile
            self._finish(name, ready, records, publish)
        if not self.done(name):
            raise MediaError(f"the step '{name}' vanished from {self.folder}; run the batch again")
        return time.monotonic() - began

    def _finish(
        self, name: str, ready: Path, records: bool, publish: Callable[[Path], None] | None
    ) -> None:
        if records:
            ledger = Ledger(self.production.ledger)
            record_pending(ledger, self.production.work, ready)
            disclose_once(self.production.disclosure, self.production.work, ready)
        if publish is not None:
            publish(ready)
        _rename(ready, self.folder / name)

    @contextmanager
    def _making(self, name: str) -> Iterator[Path]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = self.folder / f"{_MAKING}{name}-{secrets.token_hex(4)}"
            folder.mkdir()  # readable as its neighbours are: other machines may look in
        except OSError as error:
            raise output_error(self.folder / name, error) from error
        try:
            yield folder
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise output_error(self.folder / name, error) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed workers left unfinished. Only while no worker is at work."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name.startswith(_MAKING):
                    shutil.rmtree(path, ignore_errors=True)

    def forget(self, name: str) -> None:
        """Remove a step, so that it is made again."""
        for path in (self.folder / name, self.folder / f"{_READY}{name}"):
            shutil.rmtree(path, ignore_errors=True)


def _rename(source: Path, target: Path) -> None:
    """Rename a folder; where the target is already there, it is as good, and the source goes."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(source, ignore_errors=True)
