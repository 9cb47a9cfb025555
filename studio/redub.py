"""Redub: a new line in a person's voice, and the face in the footage that says it.

    made = redub(Path("scene.mp4"), "We chose to go.", Path("out.mp4"),
                 archive=[Path("recordings")], consent=Path("consent.toml"))

Every job asks the consent record first, does the work in a hidden folder, marks the sound,
signs the file, writes the disclosure row and the ledger line, and only then lets the output
appear. `progress` is called with (what is being done, done, total or None). `fit`, `say` and
`resync`, which `redub` joins, can be had from here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from media.errors import ArchiveError, TextError
from media.files import user_cache_dir
from studio._jobs import Progress, quiet
from studio._sources import files_in, fingerprint, footage_in, keep_inputs
from studio.provenance import Papers, delivery
from studio.scene import (
    Codec,
    ResyncResult,
    delivered_name,
    find_face,
    kept_mouths,
    resync,
    summary,
)
from studio.speaking import SayResult, fit, say

if TYPE_CHECKING:
    from lipsync.people import FaceChoice
    from lipsync.resync import Deliver
    from media.footage import FootageInfo
    from studio.consent import Consent
    from voice.voice import Voice

__all__ = [
    "Codec",
    "Progress",
    "RedubResult",
    "ResyncResult",
    "SayResult",
    "fit",
    "kept_mouths",
    "redub",
    "resync",
    "say",
    "summary",
]

_SQUEEZE = 1.15  # a line this much too long is spoken faster; beyond, it wants rewriting


@dataclass(frozen=True, slots=True)
class RedubResult:
    """A redubbed clip, the line that was spoken for it, and the voice that spoke."""

    clip: ResyncResult
    line: SayResult
    voice: Voice


def redub(
    footage: Path,
    text: str,
    out: Path,
    *,
    consent: Path | None,
    archive: Sequence[Path] = (),
    voice: str | Path | None = None,
    project: str | None = None,
    archive_only: bool = False,
    takes: int = 3,
    seed: int = 0,
    duration_s: float | None = None,
    at_s: float = 0.0,
    codec: Codec = "h264",
    face: str | None = None,
    deliver: Deliver = "picture",
    papers: Papers | None = None,
    progress: Progress = quiet,
) -> RedubResult:
    """Speak a new line in a person's voice and make the face in `footage` say it.

    The voice is `voice`, or is fitted to the recordings in `archive`; films in `archive`
    also lend their mouths. The line is delivered beside the clip as `NAME.line.wav`. One
    longer than the footage is spoken up to 15 % faster; beyond that it is refused. `face` and
    `deliver` as in `resync`.
    Raises what `fit`, `say` and `resync` raise.
    """
    from media.reader import probe

    papers = papers or Papers.beside(out)
    target, spoken = delivered_name(out, deliver), out.with_suffix(".line.wav")
    for written in (target, spoken, spoken.with_suffix(".json")):
        keep_inputs(written, (footage, *files_in(archive)))
    with delivery(target, papers):  # nothing is spoken for a clip that could not be written
        record = papers.check(consent, use="face-alter", project=project)
        scene = probe(footage)
        choice = _face_before_the_line(face)
        find_face(footage, progress, choice, listen=not archive_only)
    which = voice or _fit_for_redub(archive, record, consent, project, papers, seed, progress)

    def speak(duration_s: float | None) -> SayResult:
        return say(
            text,
            which,
            spoken,
            consent=consent,
            project=project or record.project,
            takes=takes,
            seed=seed,
            duration_s=duration_s,
            papers=papers,
            progress=progress,
        )

    line = _that_fits(speak, duration_s, scene, at_s)
    clip = resync(
        footage,
        line.path,
        out,
        consent=consent,
        person=record.person,
        project=project,
        archive=footage_in(archive),
        archive_only=archive_only,
        codec=codec,
        at_s=at_s,
        face=face,
        deliver=deliver,
        seed=seed,
        papers=papers,
        progress=progress,
    )
    return RedubResult(clip, line, _voice(which))


def _face_before_the_line(face: str | None) -> FaceChoice | None:
    """The choice, as far as it can be made before it is known how long the line is."""
    from lipsync.people import FaceChoice

    choice = None if face is None else FaceChoice.parse(face)
    return None if choice is None or choice.kind == "talking" else choice


def _voice(which: str | Path) -> Voice:
    from voice.voice import load_voice

    return load_voice(which)


def _fit_for_redub(
    archive: Sequence[Path],
    record: Consent,
    consent: Path | None,
    project: str | None,
    papers: Papers,
    seed: int,
    progress: Progress,
) -> Path:
    """The folder of a voice fitted to the archive's recordings, kept in the user's cache."""
    if not archive:
        raise ArchiveError(
            "a redub needs a voice: give the person's recordings with --archive, or a fitted "
            "voice with --voice"
        )
    key = fingerprint(archive, {"seed": seed, "person": record.person, "id": record.id})
    folder = user_cache_dir() / "redub" / key
    fit(
        list(archive),
        folder,
        consent=consent,
        person=record.person,
        project=project,
        papers=papers,
        seed=seed,
        progress=progress,
    )
    return folder


def _that_fits(
    speak: Callable[[float | None], SayResult],
    duration_s: float | None,
    scene: FootageInfo,
    at_s: float,
) -> SayResult:
    """The line at its natural length, or a little faster when it outlasts the footage."""
    line = speak(duration_s)
    room, length = float(scene.duration_s) - at_s, float(line.take.sound.duration_s)
    if length <= room:
        return line
    if duration_s is not None or room <= 0 or length > room * _SQUEEZE:
        raise TextError(
            f"the line lasts {length:.1f} s and the footage has room for {max(room, 0):.1f} s; "
            "shorten the line, start it earlier, or give longer footage"
        )
    return speak(room)
