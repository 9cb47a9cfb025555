"""What is said in footage of a person: its own sound and words, kept for every later use.

    with listening(path, cache):              # in a thread of its own
        track = track_faces(path, cache=cache)
    sound, words = own_speech(path, track.sha256, cache)

The words come from recognising and aligning the sound, which takes long; footage in which none
are heard is remembered as well. What is kept bears the aligner's name: another one finds other
times, and the same one once `_VERSION` says that it has learnt something.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from media.errors import (
    AlignError,
    MediaError,
    NoSoundError,
    NoSpeechError,
    TextError,
    WildlineError,
)
from media.far import let_go

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.engines import Progress
    from media.audio import Sound

__all__ = ["listening", "own_speech"]

_VERSION = 3
_RATE = 16_000  # Hz; all that words and lip motion are heard at


def own_speech(path: Path, sha256: str, cache: Path) -> tuple[Sound | None, Timing | None]:
    """(the footage's sound, its words), None where there is none of it; words kept in `cache`.

    `sha256` is the footage's, or empty, which keeps nothing. Raises `MediaError` for sound that
    cannot be read and `OutputError` when `cache` cannot be written.
    """
    try:
        sound = _sound_of(path)
    except NoSoundError:
        return None, None
    return sound, _words(sound, sha256, cache, None)


def _sound_of(path: Path) -> Sound:
    """The footage's sound; that of a long film is left in a file, to be read where it is wanted."""
    from media.audio import read_sound

    return read_sound(path, _RATE, away=True)


@contextmanager
def listening(path: Path, cache: Path, progress: Progress | None = None) -> Iterator[None]:
    """Find the footage's own words while the block does something else with it.

    Waits for them at the end, which `progress` is told. Footage that cannot be heard is for
    `own_speech` to tell. When the block fails, listening stops at the next pause in the speech.
    """
    stop = Event()
    with ThreadPoolExecutor(1, "listening") as pool:
        heard = pool.submit(_listen, path, cache, stop)
        try:
            yield
            if progress is not None and not heard.done():
                progress("listening to the footage", 0, None)
            heard.result()
        finally:
            stop.set()


class _StoppedError(Exception):
    """Nobody wants the words any more."""


def _listen(path: Path, cache: Path, stop: Event) -> None:
    from align.engines import get_aligner
    from media.files import sha256_of

    with suppress(WildlineError):
        sha256 = sha256_of(path)
        if not _file(cache, sha256, get_aligner().name).is_file():
            _words(_sound_of(path), sha256, cache, stop)


def _words(sound: Sound, sha256: str, cache: Path, stop: Event | None) -> Timing | None:
    from align.engines import get_aligner
    from align.formats import read_timing, write_timing
    from align.timing import Timing
    from align.transcription import align_sound

    def watch(share: float) -> None:
        del share
        let_go(sound.samples)
        if stop is not None and stop.is_set():
            raise _StoppedError

    aligner = get_aligner()
    kept = _file(cache, sha256, aligner.name)
    if sha256 and kept.is_file():
        try:
            timing = read_timing(kept)
            return timing if timing.words else None
        except (AlignError, MediaError):
            kept.unlink(missing_ok=True)
    try:
        timing = align_sound(sound, None, engine=aligner, progress=watch)
    except (NoSpeechError, AlignError, TextError):
        timing = Timing((), (), float(sound.duration_s))
    if sha256:
        _make(cache)
        write_timing(timing, kept)
    return timing if timing.words else None


def _make(cache: Path) -> None:
    from media.files import output_error

    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(cache, error) from error


def _file(cache: Path, sha256: str, aligner: str) -> Path:
    return cache / f"timing-{aligner}-{_VERSION}-{sha256[:24]}.json"
