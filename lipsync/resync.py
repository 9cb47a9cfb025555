"""Footage and a new sound in, footage with new lips out: one streaming pass.

    report = resync(Path("scene.mp4"), sound, timing, Path("out.mp4"))

The new sound replaces the whole sound track from frame 0, and the picture's length rules:

- sound shorter than the picture: the mouth rests shut after the last word, the track is filled with
  silence;
- sound longer than the picture: it is cut at the last frame; `ResyncReport.cut_s` says how much
  was lost.

Frames whose mouth cannot be replaced (no face, turned away, too small, behind a hand, out of
focus, leaving the picture) pass through unchanged and are reported with timecodes; the effect
fades in and out around them. So do, unreported, frames outside the wanted stretch. There are
exactly as many frames out as in.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lipsync.clock import sound_on_frames, timing_on_frames
from lipsync.engines import BankSource, MouthRenderer, Progress, RenderJob, get_renderer
from lipsync.track import FaceTrack
from lipsync.writing import Deliver, Written, footage_seen, write
from media.errors import (
    ArchiveError,
    MediaError,
    NoFaceError,
    OutputError,
)
from media.far import give_back

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.crop import CropSpec
    from lipsync.people import FaceChoice
    from media.audio import Sound
    from media.video import FootageInfo

__all__ = [
    "Deliver",
    "PassedStretch",
    "ResyncReport",
    "archive_source",
    "crop_spec_for",
    "followed",
    "resync",
]


# Models are forgotten before so many frames are written: it takes minutes, to load them again 1 s.
# The clips of a batch are shorter, and each wants what the one before it left.
_LONG_FRAMES = 4000


@dataclass(frozen=True, slots=True)
class PassedStretch:
    """Frames `first` up to and including `last` that kept their own mouth, and why."""

    first: int
    last: int
    timecode: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResyncReport:
    """What was done to a piece of footage.

    `frames` in all; `replaced` with a new mouth (fades included); `faceless` without any
    face; `passed` every stretch that kept its mouth although it was wanted. `cut_s`
    seconds of sound lost at the end, `filled_s` seconds of silence added. `skipped` names
    archive files that held no usable face. `timing` is the one that drove the mouth. `faces`
    were in the picture at once, as far as it was looked for them; `deliver` is "picture" or
    "patch".
    """

    out: Path
    engine: str
    frames: int
    replaced: int
    faceless: int
    passed: tuple[PassedStretch, ...]
    cut_s: float
    filled_s: float
    skipped: tuple[str, ...]
    timing: Timing
    faces: int = 1
    deliver: Deliver = "picture"


def resync(
    footage: Path,
    sound: Sound,
    timing: Timing | None,
    out: Path,
    *,
    text: str | None = None,
    archive: Sequence[Path] = (),
    archive_only: bool = False,
    engine: str | MouthRenderer = "mouthbank",
    at: tuple[float, float] | None = None,
    face: FaceChoice | None = None,
    stretch: tuple[int, int] | None = None,
    cache: Path | None = None,
    codec: Literal["h264", "prores"] = "h264",
    deliver: Deliver = "picture",
    quality: int = 14,
    seed: int = 0,
    progress: Progress | None = None,
    held: ExitStack | None = None,
) -> ResyncReport:
    """Make the face in `footage` say `sound`, and write it to `out`.

    `timing`: words and phones of `sound`; None aligns it here (to `text`, or to what is
    heard). `archive`: more footage of the same person to take mouths from; with
    `archive_only` none is taken from `footage` itself. `at` or `face`: whose (`track_faces`).
    `stretch`: first frame and the one after the last whose mouth may change; None is all.
    `cache`: folder for tracks and timings, None for the user's cache. `deliver` "patch" writes the
    changes alone with their matte: ProRes 4444 (.mov), or PNG stills (.png; `media.patch`).

    Raises `NoFaceError`, `NoSpeechError`, `ArchiveError` (no usable mouth), `MediaError`
    (unreadable or interlaced footage) and `OutputError` (cannot write, or `out` is an input). A
    run that was killed goes on where it broke off when it is started again (`lipsync.writing`);
    what that needs is removed when `held` is closed, or without one when `out` is written.
    """
    from align.models import forget_models
    from lipsync.fitness import Unfit
    from media.fields import refuse_interlaced
    from media.files import user_cache_dir
    from media.video import probe

    _refuse_overwriting(out, (footage, *archive))
    if archive_only and not archive:
        raise ArchiveError("archive-only needs footage to take mouths from; name it with --archive")
    cache = cache or user_cache_dir() / "lipsync"
    info = probe(footage)
    seen = footage_seen(footage)
    refuse_interlaced(info)
    timing = timing or _timing_of(sound, text)
    follow = partial(followed, listen=not archive_only, cache=cache, progress=progress)
    target = follow(footage, at=at, face=face)
    sources, skipped = _sources(footage, target, archive, archive_only, cache, progress)
    long = len(target) > _LONG_FRAMES
    if long:  # all words are known; only the recogniser's ear is wanted once more
        forget_models(recogniser=False)
        give_back()
    wanted, unfit = _wanted(target, stretch)
    usable = wanted & (unfit == Unfit.FIT)
    renderer = get_renderer(engine) if isinstance(engine, str) else engine
    job = _job(target, usable, timing, sound, sources, seed)
    renderer.prepare(job, progress)
    if long:
        forget_models()
    give_back()
    written = Written(info, job, renderer, out, codec, quality, deliver, seen, sound)
    write(written, cache, progress, held)
    report = _report(written, _passed(info, target, wanted, unfit))
    return replace(report, skipped=skipped, timing=timing)


def _report(written: Written, passed: tuple[PassedStretch, ...]) -> ResyncReport:
    """What was done, once all is written."""
    job, track, sound = written.job, written.job.target, written.heard
    length = track.times[-1] + float(track.rate.time_of(1))
    return ResyncReport(
        out=written.out,
        engine=written.renderer.name,
        frames=len(track),
        replaced=int(job.usable.sum()),
        faceless=int((~track.present).sum()),
        passed=passed,
        cut_s=max(0.0, float(sound.duration_s) - length),
        filled_s=max(0.0, length - float(sound.duration_s)),
        skipped=(),
        timing=job.timing,
        faces=track.faces,
        deliver=written.deliver,
    )


def _job(
    target: FaceTrack,
    usable: NDArray[np.bool_],
    timing: Timing,
    sound: Sound,
    sources: Sequence[BankSource],
    seed: int,
) -> RenderJob:
    """What the engine is asked for: the line on the clock that counts the target's frames."""
    said, heard = timing_on_frames(target, timing), sound_on_frames(target, sound)
    return RenderJob(target, usable, said, heard, sources, crop_spec_for(target), seed)


def crop_spec_for(track: FaceTrack) -> CropSpec:
    """A crop large enough for the faces of `track`: 256 pixels, more for close-ups in HD and 4K."""
    from lipsync.crop import CROP_MM, CropSpec
    from lipsync.pose import FACE_HEIGHT_MM

    tall = float(np.nanpercentile(track.scale, 75)) if track.present.any() else 0.0
    needed = tall * CROP_MM / FACE_HEIGHT_MM
    return CropSpec(256 if needed <= 320 else 384 if needed <= 480 else 512)


def _refuse_overwriting(out: Path, inputs: Sequence[Path]) -> None:
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise OutputError(f"'{out}' is also an input; give the result another name")


def _timing_of(sound: Sound, text: str | None) -> Timing:
    from align.transcription import align_sound

    return align_sound(sound, text)


def _sources(
    footage: Path,
    target: FaceTrack,
    archive: Sequence[Path],
    archive_only: bool,
    cache: Path,
    progress: Progress | None,
) -> tuple[list[BankSource], tuple[str, ...]]:
    """The footage to take mouths from, and what was no use."""
    sources = [] if archive_only else [_source(footage, target, cache, progress)]
    skipped = []
    for path in archive:
        try:
            track = _same_person(path, target, cache, progress)
        except NoFaceError:
            skipped.append(path.name)
            continue
        sources.append(_source(path, track, cache, progress))
    if not sources:
        raise ArchiveError(
            f"none of the {len(archive)} archive files shows a face; give footage of the person"
        )
    return sources, tuple(skipped)


def _same_person(
    path: Path, target: FaceTrack, cache: Path, progress: Progress | None
) -> FaceTrack:
    """The track of the target's person in other footage, which may show others as well."""
    from lipsync.faces import track_faces
    from lipsync.people import FaceChoice

    track = track_faces(path, progress=progress, cache=cache)
    if track.faces < 2 or target.likeness is None:
        return track
    who = FaceChoice("likeness", likeness=target.likeness)
    return track_faces(path, face=who, progress=progress, cache=cache)


def archive_source(path: Path, track: FaceTrack, cache: Path) -> BankSource:
    """Footage of the person followed by `track`, its own sound aligned; that is kept in `cache`.

    Raises `MediaError`.
    """
    return _source(path, track, cache)


def _source(
    path: Path, track: FaceTrack, cache: Path, progress: Progress | None = None
) -> BankSource:
    """Footage with its own sound aligned; silent or wordless footage gives its lips alone."""
    from lipsync.listening import own_speech

    if progress is not None:
        progress("listening to the footage", 0, None)
    sound, words = own_speech(path, track.sha256, cache)
    words = None if words is None else timing_on_frames(track, words)
    return BankSource(path, track, words, None if sound is None else sound_on_frames(track, sound))


def followed(
    footage: Path,
    *,
    at: tuple[float, float] | None = None,
    face: FaceChoice | None = None,
    listen: bool = True,
    cache: Path,
    progress: Progress | None = None,
) -> FaceTrack:
    """As `track_faces`; the footage's own words are aligned meanwhile and kept in `cache`, too.

    `listen` is for footage that lends its mouths. Raises what `track_faces` raises.
    """
    from lipsync.faces import track_faces
    from lipsync.listening import listening

    with listening(footage, cache, progress) if listen else nullcontext():
        track = track_faces(footage, at=at, face=face, progress=progress, cache=cache)
    give_back()  # what was held of every frame apart
    return track


def _wanted(
    track: FaceTrack, stretch: tuple[int, int] | None
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Frames asked for, and why (`Unfit`) some of all frames cannot be done."""
    from lipsync.fitness import MIN_SCALE, YAW_LIMIT, Unfit, settled, unfitness

    wanted = np.ones(len(track), bool)
    if stretch is not None:
        first, stop = stretch
        if not 0 <= first < stop <= len(track):
            raise MediaError(
                f"frames {first} to {stop} do not lie inside the footage's {len(track)}; "
                "check the in and out points"
            )
        wanted[:first] = wanted[stop:] = False
    unfit = settled(track, unfitness(track))
    if not (wanted & (unfit == Unfit.FIT)).any():
        raise NoFaceError(
            "no frame of that stretch shows the face well enough to change its mouth (turned at "
            f"most {YAW_LIMIT:.0f} degrees, at least {MIN_SCALE:.0f} pixels high, in focus, with "
            "nothing before the mouth); choose another"
        )
    return wanted, unfit


def _passed(
    info: FootageInfo,
    track: FaceTrack,
    wanted: NDArray[np.bool_],
    unfit: NDArray[np.uint8],
) -> tuple[PassedStretch, ...]:
    """Stretches of wanted frames that kept their mouth, with one reason each."""
    from lipsync.fitness import Unfit, reason_words

    stretches: list[PassedStretch] = []
    for i in np.flatnonzero(wanted & (unfit != Unfit.FIT)).tolist():
        why, last = reason_words(track, i, int(unfit[i])), stretches[-1] if stretches else None
        if last is not None and last.last == i - 1 and last.reason == why:
            stretches[-1] = replace(last, last=i)
        else:
            stretches.append(PassedStretch(i, i, _timecode(info, i), why))
    return tuple(stretches)


def _timecode(info: FootageInfo, index: int) -> str:
    from media.time import Timecode

    start = info.start_timecode or Timecode(0, info.rate)
    return str(start + index)
