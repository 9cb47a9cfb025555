"""Every file-system boundary of a command, made to fail in turn.

In the child, the functions by which Python reaches the disk are replaced by ones that count
their calls for files under one folder and raise at the n-th: opening, reading, writing,
flushing, renaming, linking, removing, making folders, locking. What libraries in C write goes
past this and is met by the full disk and the read-only folder instead.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ERRORS", "Shim"]

ERRORS = {name: getattr(errno, name) for name in ("EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE")}
_BY_PATH = ("open", "replace", "rename", "unlink", "rmdir", "mkdir", "scandir", "listdir")
_BY_HANDLE = ("write", "read", "pread", "fsync", "ftruncate")


@dataclass
class Shim:
    """Fails the `fail_at`-th (from 1; 0: none) boundary call under `folder` with `number`.

    With `lasting` all later writes fail as well, as on a disk that stays full.
    `report` gets the count, and what failed, when the command ends.
    """

    folder: Path
    fail_at: int
    number: int
    report: Path
    lasting: bool = False
    calls: int = 0
    failed: str = ""

    def install(self) -> None:
        """Replace the functions in this process for good."""
        for name in _BY_PATH:
            setattr(os, name, self._by_path(name, getattr(os, name)))
        for name in _BY_HANDLE:
            setattr(os, name, self._by_handle(name, getattr(os, name)))
        fcntl.flock = self._by_handle("flock", fcntl.flock)
        opened = self._open(io.open)
        io.open = opened
        builtins.open = opened
        finish = os._exit

        def leave(code: int) -> None:
            self.report.write_text(f"{self.calls} {self.failed}")
            finish(code)

        os._exit = leave  # type: ignore[assignment]

    def _mine(self, path: Any) -> bool:
        try:
            text = os.fsdecode(path)
        except TypeError:
            return False
        place = str(Path.cwd() / text)
        return place.startswith(str(self.folder)) and place != str(self.report)

    def _of_handle(self, handle: Any) -> bool:
        if not isinstance(handle, int):
            handle = handle.fileno()
        try:
            return self._mine(Path(f"/proc/self/fd/{handle}").readlink())
        except OSError:
            return False

    def _met(self, name: str, path: Any) -> None:
        self.calls += 1
        after = self.lasting and self.fail_at and self.calls > self.fail_at
        if self.calls == self.fail_at or (after and name in ("write", "fsync")):
            self.failed = self.failed or name
            where = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None
            raise OSError(self.number, os.strerror(self.number), where)

    def _by_path(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *arguments: Any, **named: Any) -> Any:
            if self._mine(path):
                folder = name == "open" and Path(path).is_dir()  # to look into it, or tidy up
                self._met("scandir" if folder else name, path)
            return real(path, *arguments, **named)

        return call

    def _by_handle(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(handle: Any, *arguments: Any) -> Any:
            if self._of_handle(handle):
                self._met(name, None)
            return real(handle, *arguments)

        return call

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`open`, whose files fail when they are read and written, too."""
        shim = self

        class Watched(io.FileIO):
            def write(self, data: Any) -> int:
                shim._met("write", None)
                return super().write(data)

            def readinto(self, buffer: Any) -> int:
                shim._met("read", None)
                return super().readinto(buffer) or 0

            def readall(self) -> bytes:
                shim._met("read", None)
                return super().readall()

        def call(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            mine = not isinstance(file, int) and shim._mine(file)
            if not mine or opener is not None or buffering == 0:
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            shim._met("open", file)
            raw = Watched(file, mode.replace("b", "").replace("t", ""))
            both = io.BufferedRandom if "+" in mode else io.BufferedWriter
            buffer = io.BufferedReader(raw) if mode.strip("bt") == "r" else both(raw)
            if "b" in mode:
                return buffer
            text = io.TextIOWrapper(buffer, encoding, errors, newline)
            text.mode = mode  # type: ignore[misc]
            return text

        return call
