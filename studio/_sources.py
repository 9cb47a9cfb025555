"""What users point at: folders of recordings and films, and the timing that comes with a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import AlignError, ArchiveError, MediaError, OutputError
from media.files import output_error, sha256_of

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound

__all__ = [
    "files_in",
    "fingerprint",
    "footage_in",
    "keep_inputs",
    "line_timing",
    "made_folder",
    "read_text",
    "writable",
]

_FOOTAGE = frozenset(
    [".mp4", ".mov", ".m4v", ".mkv", ".mxf", ".avi", ".mpg", ".mpeg", ".webm", ".mts", ".ts"]
)
_SAME_LENGTH_S = 0.002
_LENGTH_S = 0.05  # what a timing may go beyond its sound


def files_in(places: Path | Sequence[Path]) -> list[Path]:
    """Every visible file in the given files and folders, sorted.

    Raises `ArchiveError` for a place that does not exist.
    """
    found: list[Path] = []
    for place in [places] if isinstance(places, Path) else places:
        if place.is_dir():
            inside = (p for p in place.rglob("*") if p.is_file())
            found += (p for p in inside if not p.name.startswith("."))
        elif place.is_file():
            found.append(place)
        else:
            raise ArchiveError(f"there is nothing at '{place}'; check the path")
    return sorted(set(found))


def footage_in(places: Sequence[Path]) -> list[Path]:
    """The films among the given files and folders, sorted."""
    return [p for p in files_in(places) if p.suffix.lower() in _FOOTAGE]


def fingerprint(
    places: Path | Sequence[Path], settings: Mapping[str, Any], endings: Sequence[str] = ()
) -> str:
    """One hash for the files in `places` (all, or with these `endings`) and `settings`.

    A cache key: names inside folders and content count, where the folders lie does not.
    """
    wanted = [p for p in files_in(places) if not endings or p.suffix in endings]
    hashes = sorted((p.name, sha256_of(p)) for p in wanted)
    content = json.dumps([hashes, dict(settings)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def keep_inputs(out: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that would replace one of its own inputs. Raises `OutputError`."""
    for path in inputs:
        if path is not None and path.exists() and out.exists() and out.samefile(path):
            raise OutputError(f"'{out}' is also an input; give the result another name")


def line_timing(path: Path, sound: Sound, text: str | None, timing: Path | None) -> Timing:
    """Words and phones of a line: from `timing`, from `text`, from its own JSON, or by ear.

    A corrected `timing` wins; phones follow words that were moved, and words without phones
    get them from the sound.

    Raises `AlignError` when a given timing is not this sound's, and what `align_sound` raises.
    """
    from align.corrections import settle
    from align.formats import read_timing
    from align.transcription import align_sound

    if timing is not None:
        times = read_timing(timing)
        end = max((s.end_s for s in (*times.words[-1:], *times.phones[-1:])), default=0.0)
        if end > float(sound.duration_s) + _LENGTH_S:
            raise AlignError(
                f"the timing '{timing}' ends at {end:.2f} s and the sound "
                f"'{path}' at {float(sound.duration_s):.2f} s; give the timing of this sound"
            )
        return _of_length(settle(times, sound), float(sound.duration_s))
    if text is None and (own := _own_timing(path, sound)) is not None:
        return own
    return align_sound(sound, text)


def _of_length(times: Timing, length_s: float) -> Timing:
    """`times` as long as its sound: some formats do not know, some files say what is not so."""
    end = max((s.end_s for s in (*times.words[-1:], *times.phones[-1:])), default=0.0)
    wrong = abs(times.duration_s - length_s) > _LENGTH_S
    return replace(times, duration_s=max(length_s, end)) if wrong else times


def _own_timing(path: Path, sound: Sound) -> Timing | None:
    """The timing beside a line that `say` wrote, if it is still this sound's."""
    from align.timing import Span, Timing

    try:
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        words, phones = (
            tuple(Span(str(r["label"]), float(r["start_s"]), float(r["end_s"])) for r in rows)
            for rows in (facts["words"], facts["phones"])
        )
        times = Timing(words, phones, float(facts["duration_s"]), "exact")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AlignError):
        return None  # some other JSON, or none: the sound is listened to instead
    same = abs(times.duration_s - float(sound.duration_s)) < _SAME_LENGTH_S
    return times if same and times.phones else None


def read_text(path: Path) -> str:
    """A text file's words. Raises `MediaError` when it cannot be read as text."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"'{path}' cannot be read as text; check the path") from error


def writable(target: Path) -> None:
    """Prove that `target` can be written, before any work. Raises `OutputError`."""
    from studio.provenance import delivery

    with delivery(target):
        pass


@contextmanager
def made_folder(out: Path, card: str) -> Iterator[None]:
    """The folder that a voice or a face goes to, proved writable before any work; gone again if it
    stays empty. `card` is the file in it that an error names. Raises `OutputError`."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".wildline-probe"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"cannot write '{out}': it is a file; name a folder") from error
    except OSError as error:
        raise output_error(out / card, error) from error
    try:
        yield
    finally:
        if made and not any(out.iterdir()):
            out.rmdir()
