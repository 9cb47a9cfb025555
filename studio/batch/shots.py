"""The steps of a cue's picture: following the face, and the shot with its new mouth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import NoFaceError
from media.files import user_cache_dir
from studio._jobs import chosen_face
from studio._sources import files_in, footage_in
from studio.batch.bench import Bench
from studio.batch.speech import LINE, TIMING, production_sound
from studio.batch.states import write_json

if TYPE_CHECKING:
    from lipsync.people import FaceChoice
    from media.audio import Sound
    from studio.scene import ResyncResult

__all__ = ["make_faces", "make_shot", "shot_name"]

_LOSSLESS = 0  # as `FootageWriter` takes it


def make_faces(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """Follow the face in all footage that mouths are taken from, once for all its cues.

    The tracks go to the user's cache, where the renderer looks for them.
    """
    from lipsync.faces import track_faces

    papers = bench.papers(folder)
    bench.permit(papers, "face-alter", None, needed=True)
    faceless = []
    for path in footage_in([Path(p) for p in bench.setting("archive")]):
        try:
            track_faces(path, cache=user_cache_dir() / "lipsync")
        except NoFaceError:
            faceless.append(path.name)
    return {"faceless": faceless}


def shot_name(cue_id: str, codec: str) -> str:
    """The name of a cue's rendered shot."""
    return f"{cue_id}.{'mov' if codec == 'prores' else 'mp4'}"


def make_shot(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """Render the cue with its handles; signed, with its report, as `studio.scene.resync` does."""
    from studio.scene import resync

    sound, timing = bench.other("sound") / LINE, bench.other("timing") / TIMING
    speech_s = float(bench.store.facts(bench.other("timing").name)["speech_s"])
    first, stop = _frames(bench, speech_s)
    rate = bench.production.rate
    footage = Path(bench.setting("footage"))
    # The cut's name goes into the credentials: it says which frames of which film these are.
    cut = folder / f"{footage.stem}.{first}-{stop}.mp4"
    _cut(footage, first, stop, cut)
    begin = float(rate.time_of(int(bench.setting("cue_first")) - first))
    out = folder / shot_name(bench.cue.id, str(bench.setting("codec")))
    try:
        made = resync(
            cut,
            sound,
            out,
            consent=bench.person.consent,
            person=bench.person.name,
            project=bench.production.project_name,
            timing=timing,
            archive=_archive(bench),
            archive_only=bool(bench.setting("archive_only")),
            codec="prores" if bench.setting("codec") == "prores" else "h264",
            at_s=begin,
            face=_whose(bench, cut, (begin, begin + speech_s)),
            seed=int(bench.setting("seed")),
            papers=bench.papers(folder, bench.production.out / bench.cue.id),
        )
    finally:
        cut.unlink(missing_ok=True)
    facts = {"shot": out.name, "footage": str(footage), "first": first, "stop": stop}
    return {**facts, "cue_first": int(bench.setting("cue_first")), **_findings(made)}


def _whose(bench: Bench, cut: Path, span: tuple[float, float]) -> FaceChoice | None:
    """Which of several faces in the cut is the cue's person; None where there is one only.

    A picture among the person's `faces` says it, or the face in the first film there, or else who
    talks in the production sound where the line goes. Where that cannot be told it is the largest,
    and the report says so.
    """
    from lipsync.faces import track_faces
    from lipsync.people import PICTURES, FaceChoice

    cache = user_cache_dir() / "lipsync"
    if track_faces(cut, cache=cache).faces < 2:
        return None
    places = [Path(p) for p in bench.setting("archive")]
    for still in files_in(places):
        if still.suffix.lower() in PICTURES:
            return FaceChoice("picture", picture=still)
    films = [] if bench.setting("archive_only") else footage_in(places)
    for film in films:
        with suppress(NoFaceError):
            likeness = track_faces(film, cache=cache).likeness
            return FaceChoice("likeness", likeness=likeness)
    choice = chosen_face("talking", span)
    try:
        track_faces(cut, face=choice, cache=cache)
    except NoFaceError:
        return None
    return choice


def _findings(made: ResyncResult) -> Mapping[str, Any]:
    """What the renderer's report says that checks and people want to know."""
    report = json.loads(made.report_path.read_text("utf-8"))
    write_json(made.report_path, {**report, "out": made.path.name})  # not this step's folder
    return {
        "report": made.report_path.name,
        "replaced": made.report.replaced,
        "faceless": made.report.faceless,
        "faces": made.report.faces,
        "face": made.face,
        "lips": report.get("lips") or {},
    }


def _frames(bench: Bench, speech_s: float) -> tuple[int, int]:
    """First frame of the shot and the one after its last, inside the footage.

    The cue with its handles; longer at the end where the line outlasts the cue.
    """
    handles, frames = int(bench.setting("handles")), int(bench.setting("frames"))
    begin, end = int(bench.setting("cue_first")), int(bench.setting("cue_stop"))
    line = ceil(Fraction(speech_s) * bench.production.rate.value)
    return max(0, begin - handles), min(frames, max(end, begin + line) + handles)


def _cut(footage: Path, first: int, stop: int, out: Path) -> None:
    """Those frames as a film of their own, sample for sample, with their production sound."""
    from media.reader import probe, read_pictures
    from media.writer import FootageWriter

    info = probe(footage)
    start = None if info.start_timecode is None else info.start_timecode + first
    like = replace(info, frames=stop - first, start_timecode=start)
    sound = _sound(footage, info.rate.time_of(first), info.rate.time_of(stop), info.has_sound)
    with FootageWriter(out, like, sound=sound, quality=_LOSSLESS, preset="ultrafast") as writer:
        for picture in read_pictures(footage, first, stop):
            writer.write_changed(picture)


def _sound(footage: Path, start_s: Fraction, end_s: Fraction, has_sound: bool) -> Sound | None:
    if not has_sound:
        return None
    return production_sound(footage).cut(start_s, end_s)


def _archive(bench: Bench) -> Sequence[Path]:
    """Films to take mouths from."""
    return footage_in([Path(p) for p in bench.setting("archive")])
