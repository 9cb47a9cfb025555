"""What a run that was killed had finished of a film, kept until the same run is done.

The coded pieces of a film lie in the cache, in a folder named by everything that decides what its
pictures look like: footage, tracks, archive, sound, timing, engine and settings. The same run
started again finds them and goes on behind the last; a run that ends well removes them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.files import output_error

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


@contextmanager
def unfinished(cache: Path, key: str) -> Iterator[Path]:
    """The folder for the pieces of the run `key`; removed when the block ends well.

    A second run of the same at the same time gets an empty folder of its own. What other runs
    left a week ago is removed. Raises `OutputError` when `cache` cannot be written.
    """
    place = cache / FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place, key)
        folder, handle = _held(place, key)
    except OSError as error:
        raise output_error(place / key, error) from error
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if folder.name != key or not any(p.name != _LOCK for p in _within(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _held(place: Path, key: str) -> tuple[Path, int]:
    """The folder of `key`, or another while it is held by somebody; and what holds it."""
    while True:
        folder = place / key
        folder.mkdir(exist_ok=True)
        handle = _locked(folder / _LOCK)
        if handle is None:
            folder = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=place))
            handle = _locked(folder / _LOCK)
        if handle is not None:
            if (folder / _LOCK).exists():
                return folder, handle
            os.close(handle)  # removed by the run before this one while it was taken


def _locked(lock: Path) -> int | None:
    """A handle that holds `lock`; None when somebody else does."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        return handle  # a disk that knows no locks
    return handle


def _within(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _sweep(place: Path, key: str) -> None:
    """Remove what nobody works on, and nobody came back for."""
    for folder in place.iterdir():
        try:
            old = time.time() - folder.stat().st_mtime > _KEPT_S
        except OSError:
            continue
        stray = "-" in folder.name  # of a second run that was killed
        if folder.name == key or not (old or stray) or not folder.is_dir():
            continue
        handle = _locked(folder / _LOCK)
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def job_key(job: RenderJob, engine: str, settings: Sequence[object]) -> str:
    """The name of a run: hexadecimal, the same for the same pictures.

    `engine` is the renderer's fingerprint, `settings` what else decides (JSON can hold it).
    """
    parts = [
        _VERSION,
        engine,
        list(settings),
        [job.crop.size, job.seed, os.cpu_count(), *_versions()],
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

    own = ""
    with suppress(PackageNotFoundError):
        own = version("wildline")
    return [own, np.__version__, cv2.__version__, av.__version__]


def _digest(*parts: bytes | NDArray[Any]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return total.hexdigest()


def _of_track(track: FaceTrack) -> tuple[bytes | NDArray[Any], ...]:
    facts = (track.sha256, track.width, track.height, track.aspect, track.rate.value)
    return (repr(facts).encode(), track.landmarks, track.shot, track.reason, track.doubt)


def _of_sound(sound: Sound | None) -> str:
    return "" if sound is None else _digest(str(sound.rate).encode(), sound.samples)


def _of_timing(timing: Timing | None) -> str:
    if timing is None:
        return ""
    return _digest(repr((timing.words, timing.phones, timing.duration_s)).encode())


def _of_source(source: BankSource) -> list[str]:
    return [_digest(*_of_track(source.track)), _of_sound(source.sound), _of_timing(source.timing)]
