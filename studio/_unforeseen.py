"""What a user is told of trouble that no room foresaw: one line, never a trace.

The trace of a fault of Wildline's own is kept in the user's cache, for whoever mends it.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["FAULT", "about_os_error", "quiet_output", "sentence_and_code"]

FAULT = 70
"""Exit code of a fault of Wildline's own (EX_SOFTWARE of sysexits.h)."""
_USER = 2
_FOLDER = "faults"


def about_os_error(error: OSError) -> str:
    """One line for a disk that filled up, a right that was lost, a pipe that was closed."""
    where = f"'{os.fsdecode(error.filename)}': " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{where}there is no room left on the disk; free some and run this again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}this place is not allowed to be read or written; check its permissions"
    return f"{where}{error.strerror or error}; check the path and run this again"


def sentence_and_code(error: Exception) -> tuple[str, int]:
    """What to say of an error that is no refusal, and the exit code; keeps the trace if need be."""
    if isinstance(error, OSError):
        return about_os_error(error), _USER
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; close what else is open, or cut it up", _USER
    if isinstance(error, UnicodeEncodeError) and error.reason.startswith("surrogates"):
        name = str(error.object)[max(0, error.start - 60) : error.end + 20]
        return f"a name is not UTF-8 (in {name!a}); rename that file or folder", _USER
    if isinstance(error, RuntimeError) and "Symlink loop" in str(error):
        return f"{error}: these links lead to one another; name the file itself", _USER
    kept = _kept(error)
    where = f"; the details are in '{kept}'" if kept else ""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"Wildline met what it did not foresee ({what}){where}; please report it", FAULT


def _kept(error: Exception) -> Path | None:
    """The file that holds the trace; None where it could not be written."""
    from media.errors import WildlineError
    from media.files import atomic_path, user_cache_dir

    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    with suppress(OSError, WildlineError):
        folder = user_cache_dir() / _FOLDER
        folder.mkdir(exist_ok=True)
        with atomic_path(folder / name) as temporary:
            lines = "".join(traceback.format_exception(error))
            temporary.write_text(lines, "utf-8", errors="backslashreplace")
        return folder / name
    return None


def quiet_output() -> None:
    """Let nothing more be written to an output that is gone, not even when Python ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
