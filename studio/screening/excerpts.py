"""Excerpts that any browser plays: H.264, 8 bits, at most 540 lines, of a cue's frames.

Originals, shots and blind versions go through the same writer at the same quality, so that
nothing but what was made tells them apart. They are made once, in the background, in
`work/screening/`, named by the sha256 of what they are made of.
"""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from media.errors import MediaError, NoSoundError, WildlineError
from media.files import atomic_path
from studio.screening.desk import stamp_of

if TYPE_CHECKING:
    from media.audio import Sound
    from media.video import FootageInfo, Frame

__all__ = ["Excerpt", "Excerpts", "State"]

State = Literal["ready", "making", "failed"]
_LINES = 540
_QUALITY = 20
_VERSION = 1  # of what is written here; another makes excerpts anew


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Frames `first` up to (not including) `stop` of `source` (None: to its end).

    With `voice` that sound replaces the footage's own, from frame `voice_at` of the excerpt.
    """

    source: Path
    first: int = 0
    stop: int | None = None
    voice: Path | None = None
    voice_at: int = 0

    @property
    def key(self) -> str:
        """Names the excerpt: changes when the sources or the wish do."""
        facts = {**asdict(self), "version": _VERSION, "source": str(self.source)}
        facts["stamp"] = stamp_of(self.source)
        if self.voice is not None:
            facts |= {"voice": str(self.voice), "voice_stamp": stamp_of(self.voice)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


class Excerpts:
    """The excerpts in one folder; missing ones are made one after the other in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._jobs: dict[str, Future[None]] = {}
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="excerpts")
        self._sounds = _LastSound()

    def close(self) -> None:
        """Make no more; what is at work is finished."""
        self._maker.shutdown(wait=True, cancel_futures=True)

    def path(self, excerpt: Excerpt) -> Path:
        """Where the excerpt is, or will be."""
        return self._folder / f"{excerpt.key}.mp4"

    def state(self, excerpt: Excerpt) -> tuple[State, str]:
        """Whether it is there, and why not; asking begins the making, also after a failure."""
        path = self.path(excerpt)
        if path.is_file():
            return "ready", ""
        with self._lock:
            job = self._jobs.get(path.name)
            if job is None:
                job = self._jobs[path.name] = self._maker.submit(self._make, excerpt, path)
        if not job.done():
            return "making", ""
        error = job.exception()
        if error is None:
            return "ready", ""
        with self._lock:
            self._jobs.pop(path.name, None)  # who asks again tries again
        return "failed", str(error)

    def made(self, excerpt: Excerpt) -> Path:
        """The excerpt, made here and now if need be. Raises `MediaError`, `OutputError`."""
        path = self.path(excerpt)
        if not path.is_file():
            self.state(excerpt)
            with self._lock:
                job = self._jobs[path.name]
            job.result()
        return path

    def _make(self, excerpt: Excerpt, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_excerpt(excerpt, path, self._sounds)
        except WildlineError:
            raise
        except OSError as error:
            raise MediaError(f"the excerpt cannot be made: {error.strerror or error}") from error


class _LastSound:
    """Reads sound, keeping the last one: the cues of a scene come one after the other."""

    def __init__(self) -> None:
        self._key, self._sound = "", None  # type: tuple[str, Sound | None]

    def read(self, path: Path) -> Sound | None:
        """The sound of a file at 48 kHz; None where it has none."""
        from media.audio import read_sound

        key = f"{path}:{stamp_of(path)}"
        if key != self._key:
            try:
                self._sound = read_sound(path, 48_000)
            except NoSoundError:
                self._sound = None
            self._key = key
        return self._sound


def write_excerpt(excerpt: Excerpt, path: Path, sounds: _LastSound | None = None) -> None:
    """Write one excerpt. Raises `MediaError` (no picture, not media), `OutputError`."""
    from media.video import FootageWriter, prefetch, probe, read_frames

    info = probe(excerpt.source)
    like = _playable(info, path)
    sound = _sound(excerpt, info, sounds or _LastSound())
    with (
        atomic_path(path) as temporary,
        FootageWriter(temporary, like, sound=sound, quality=_QUALITY) as writer,
    ):
        for frame in prefetch(read_frames(excerpt.source, excerpt.first, excerpt.stop)):
            writer.write(_sized(frame, like, info))
        if not writer.frames_written:
            raise MediaError(f"'{excerpt.source.name}' has no frame {excerpt.first}")


def _playable(info: FootageInfo, path: Path) -> FootageInfo:
    """What is written: square pixels, even sizes, at most `_LINES` lines, 8 bits 4:2:0."""
    width = info.width * info.sample_aspect
    scale = min(Fraction(1), Fraction(_LINES, info.height))
    even = [max(2, 2 * round(side * scale / 2)) for side in (width, Fraction(info.height))]
    return replace(
        info,
        path=path,
        width=even[0],
        height=even[1],
        frames=None,
        pix_fmt="yuv420p",
        rotation=0,
        sample_aspect=Fraction(1),
    )


def _sized(frame: Frame, like: FootageInfo, info: FootageInfo) -> Frame:
    import cv2

    if (like.width, like.height) == (info.width, info.height):
        return frame
    smaller = like.height < info.height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return replace(frame, rgb=cv2.resize(frame.rgb, (like.width, like.height), interpolation=how))


def _sound(excerpt: Excerpt, info: FootageInfo, sounds: _LastSound) -> Sound | None:
    """The footage's own sound of these frames, or the voice laid over silence."""
    import numpy as np

    from media.audio import read_sound

    if excerpt.voice is not None:
        voice = read_sound(excerpt.voice, 48_000)
        before = info.rate.sample_of(excerpt.voice_at, 48_000)
        return replace(voice, samples=np.pad(voice.samples, (before, 0)))
    own = sounds.read(excerpt.source)
    if own is None:
        return None
    first, stop = excerpt.first, excerpt.stop
    end = own.duration_s if stop is None else info.rate.time_of(stop)
    return own.cut(info.rate.time_of(first), end)
