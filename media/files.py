"""Files that are whole or absent, their fingerprints, and the user's cache folder."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from media.errors import MediaError, OutputError

__all__ = ["atomic_path", "output_error", "sha256_of", "user_cache_dir"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def output_error(target: Path, error: OSError) -> OutputError:
    """The one-line `OutputError` that says why `target` could not be written."""
    folder = target.parent
    if error.errno in _FULL:
        why = "there is no room left; free some space or choose another disk"
    elif error.errno in _FORBIDDEN:
        why = f"'{folder}' is not writable; choose another folder or change its permissions"
    elif error.errno in {errno.ENOENT, errno.ENOTDIR}:
        why = f"the folder '{folder}' does not exist; create it first"
    elif error.errno == errno.ENAMETOOLONG:
        why = "the name is too long; choose a shorter one"
    else:
        why = f"{(error.strerror or str(error)).lower()}; choose another place"
    return OutputError(f"cannot write '{target}': {why}")


def _check_place(target: Path) -> None:
    if target.is_dir():
        raise OutputError(f"cannot write '{target}': it is a folder; name a file inside it")
    if not target.parent.is_dir():
        raise output_error(target, OSError(errno.ENOENT, ""))
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise output_error(target, OSError(errno.EACCES, ""))


def _flush_to_disk(path: Path) -> None:
    """Have the kernel store `path` now, so that a full disk is reported before the rename."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_path(target: Path, *, suffix: str | None = None) -> Iterator[Path]:
    """A temporary name beside `target` that becomes `target` when the block succeeds.

    The temporary file keeps the ending of `target` (or takes `suffix`), because writers
    choose their format by it. When the block raises, the temporary file is removed and an
    older `target` stays as it was. A block that writes nothing leaves `target` alone.

    Raises `OutputError` when the folder is missing or read-only, and turns every `OSError`
    of the block (full disk, lost rights, too long a name) into one. A `FileNotFoundError`
    about some other file is the block's own trouble and passes through.
    """
    target = Path(target)
    try:
        _check_place(target)
    except OSError as error:
        raise output_error(target, error) from error
    ending = target.suffix if suffix is None else suffix
    # The stem is cut so that a long but legal target cannot make an illegal temporary name.
    temporary = target.with_name(f".{target.stem[:48]}.{secrets.token_hex(6)}{ending}")
    try:
        yield temporary
        if temporary.exists():
            _flush_to_disk(temporary)
            temporary.replace(target)
    except OSError as error:
        named = error.filename
        elsewhere = named is not None and Path(os.fsdecode(named)) not in (temporary, target)
        if isinstance(error, FileNotFoundError) and elsewhere:
            raise
        raise output_error(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces.

    Raises `MediaError` when the file cannot be read.
    """
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
        raise MediaError(f"cannot read '{path}': it is not a file; check the path")
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(
            f"cannot read '{path}': {(error.strerror or str(error)).lower()}; check the path"
        ) from error


def user_cache_dir() -> Path:
    """The folder for things that can be made again: `WILDLINE_CACHE`, or the system's own.

    Made on first use. Raises `OutputError` when it cannot be.
    """
    import platformdirs

    chosen = os.environ.get("WILDLINE_CACHE")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("wildline"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the cache folder '{folder}'; set WILDLINE_CACHE to a writable folder"
        ) from error
    return folder
