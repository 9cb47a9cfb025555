"""The hidden folder in which an output is made, and what killed runs left of theirs.

Whoever works in a stage holds a lock on a file in it. A stage that nobody holds was left by a
run that was killed; the next delivery to the same folder removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["staging"]

_PREFIX, _LOCK = ".wildline-", ".lock"


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new hidden folder in `folder`, removed in the end. Raises `OSError`."""
    _sweep(folder)
    stage, handle = _begun(folder)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(handle)


def _begun(folder: Path) -> tuple[Path, int]:
    """A stage and the handle that holds it."""
    while True:
        stage = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        try:
            handle = os.open(stage / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        if _held(handle, unlockable=True) and (stage / _LOCK).exists():
            return stage, handle
        os.close(handle)  # swept by another run before it was held


def _held(handle: int, *, unlockable: bool) -> bool:
    """Whether the lock is ours now; `unlockable` is the answer on disks that know no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unlockable
    return True


def _sweep(folder: Path) -> None:
    """Remove stages that nobody holds."""
    for lock in folder.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            handle = os.open(lock, os.O_RDWR)
        except OSError:
            continue
        try:
            if _held(handle, unlockable=False):
                shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(handle)
