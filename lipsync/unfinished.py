"""What a run that was killed had finished of a film, kept until the same run is done.

The coded pieces of a film lie in the cache, in a folder named by everything that decides what its
pictures look like: footage, tracks, archive, sound, timing, engine and its plan, settings, code.
The same run started again finds them and goes on behind the last; a run that ends well removes
them. So does one whose footage is not what it was, and one that finds the cache full.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache as remembered
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError, OutputError
from media.far import pieces
from media.files import output_error
from media.pieces import PieceError

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.engines import BankSource, RenderJob
    from lipsync.track import FaceTrack
    from media.audio import Sound

__all__ = ["FOLDER", "job_key", "unfinished"]

#: Inside the cache.
FOLDER = "unfinished"

_VERSION = 1
_LOCK = "lock"
# What nobody came back for in this time is removed.
_KEPT_S = 7 * 24 * 3600.0
# Where the code lies that decides what pictures look like, and what it calls.
_ROOT = Path(__file__).resolve().parent.parent
_ROOMS = ("align", "lipsync", "media")
_PACKAGES = ("wildline", "numpy", "scipy", "torch", "mediapipe")


@contextmanager
def unfinished(cache: Path, key: str) -> Iterator[Path]:
    """The folder for the pieces of the run `key`; removed when the block ends well.

    Pieces stay when the block is stopped or its result cannot be written. They do not after any
    other `MediaError` (the footage is to blame), nor after a `PieceError`, which becomes an
    `OutputError` that names the cache. A second run of the same at the same time gets an empty
    folder of its own. What other runs left a week ago is removed. Raises `OutputError` when
    `cache` cannot be written.
    """
    place = cache / FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place, key)
        folder, handle = _held(place, key)
    except OSError as error:
        raise _cache_error(cache, output_error(place / key, error)) from error
    kept = False
    try:
        yield folder
    except PieceError as error:
        raise _cache_error(cache, error) from error
    except BaseException as error:
        blamed = isinstance(error, MediaError) and not isinstance(error, OutputError)
        kept = folder.name == key and not blamed and any(p.name != _LOCK for p in _within(folder))
        raise
    finally:
        if not kept:
            _remove(folder, handle)
        os.close(handle)


def _cache_error(cache: Path, error: OutputError) -> OutputError:
    return OutputError(
        f"the cache '{cache}' cannot keep the unfinished film: {error}; WILDLINE_CACHE names "
        "another folder for it"
    )


def _held(place: Path, key: str) -> tuple[Path, int]:
    """The folder of `key`, or another while it is held by somebody; and what holds it."""
    folder = place / key
    with suppress(FileExistsError):  # `exist_ok` asks again, when it may be gone
        folder.mkdir()
    with suppress(PermissionError):  # somebody else's, who does not share
        handle = _locked(folder / _LOCK)
        if handle is not None:
            return folder, handle
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=place))
        handle = _locked(folder / _LOCK)
        if handle is not None:  # else it was taken for a stray, and swept
            return folder, handle


def _locked(lock: Path) -> int | None:
    """A handle that holds `lock`; None when somebody else does, or removed it meanwhile.

    Raises `PermissionError`. Who may write into the folder may take the lock as well.
    """
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        pass  # a disk that knows no locks
    if not _is_ours(lock, handle):
        os.close(handle)
        return None
    return handle


def _is_ours(lock: Path, handle: int) -> bool:
    """Whether `handle` still is the file that others find there."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _remove(folder: Path, handle: int) -> None:
    """Remove a folder whose lock is held, the lock last: nobody else comes in before."""
    lock = folder / _LOCK
    with suppress(OSError):
        if not _is_ours(lock, handle):
            return
        for path in _within(folder):
            if path != lock:
                path.unlink(missing_ok=True)
        lock.unlink()
        folder.rmdir()


def _within(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _sweep(place: Path, key: str) -> None:
    """Remove what nobody works on, and nobody came back for; other people's is left to them."""
    for folder in place.iterdir():
        with suppress(OSError):
            old = time.time() - folder.stat().st_mtime > _KEPT_S
            stray = "-" in folder.name  # of a second run that was killed
            if folder.name == key or not (old or stray) or not folder.is_dir():
                continue
            handle = _locked(folder / _LOCK)
            if handle is not None:
                _remove(folder, handle)
                os.close(handle)


def job_key(job: RenderJob, engine: str, settings: Sequence[object]) -> str:
    """The name of a run: hexadecimal, the same for the same pictures.

    `engine` is the renderer's fingerprint, `settings` what else decides (JSON can hold it).
    """
    parts = [
        _VERSION,
        engine,
        list(settings),
        [job.crop.size, job.seed, os.cpu_count(), _code(), *_versions()],
        _digest(job.usable, *_of_track(job.target)),
        _of_sound(job.sound),
        _of_timing(job.timing),
        [_of_source(source) for source in job.sources],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _versions() -> list[str]:
    """Of what paints and codes: others may give other pictures."""
    import av
    import cv2

    return [cv2.__version__, av.__version__, *(_version(name) for name in _PACKAGES)]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@remembered
def _code() -> str:
    """Of all that paints and codes, as it was when this process first asked."""
    total = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((_ROOT / room).rglob("*.py")):
            total.update(f"{path.relative_to(_ROOT)} {path.stat().st_size}\n".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def _digest(*parts: bytes | NDArray[Any]) -> str:
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            total.update(part)
            continue
        rows = np.ascontiguousarray(part)
        for piece in pieces(rows):
            total.update(rows[piece].data)
    return total.hexdigest()


def _of_track(track: FaceTrack) -> tuple[bytes | NDArray[Any], ...]:
    facts = (track.sha256, track.width, track.height, track.aspect, track.rate.value)
    numbers = (track.landmarks, track.shot, track.reason, track.doubt)
    return (repr(facts).encode(), *numbers, track.pose, track.scale, track.times)


def _of_sound(sound: Sound | None) -> str:
    return "" if sound is None else _digest(str(sound.rate).encode(), sound.samples)


def _of_timing(timing: Timing | None) -> str:
    if timing is None:
        return ""
    return _digest(repr((timing.words, timing.phones, timing.duration_s)).encode())


def _of_source(source: BankSource) -> list[str]:
    return [_digest(*_of_track(source.track)), _of_sound(source.sound), _of_timing(source.timing)]
