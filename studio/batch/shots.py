"""The steps of a cue's picture: following the face, and the shot with its new mouth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import NoFaceError
from media.files import user_cache_dir
from studio._sources import footage_in
from studio.batch.bench import Bench
from studio.batch.speech import LINE, TIMING, production_sound
from studio.batch.states import write_json

if TYPE_CHECKING:
    from media.audio import Sound
    from studio.scene import ResyncResult

__all__ = ["make_faces", "make_shot", "shot_name"]

_LOSSLESS = 0  # x264's constant quality 0


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
            at_s=float(rate.time_of(int(bench.setting("cue_first")) - first)),
            seed=int(bench.setting("seed")),
            papers=bench.papers(folder, bench.production.out / bench.cue.id),
        )
    finally:
        cut.unlink(missing_ok=True)
    facts = {"shot": out.name, "footage": str(footage), "first": first, "stop": stop}
    return {**facts, "cue_first": int(bench.setting("cue_first")), **_findings(made)}


def _findings(made: ResyncResult) -> Mapping[str, Any]:
    """What the renderer's report says that checks and people want to know."""
    report = json.loads(made.report_path.read_text("utf-8"))
    write_json(made.report_path, {**report, "out": made.path.name})  # not this step's folder
    return {
        "report": made.report_path.name,
        "replaced": made.report.replaced,
        "faceless": made.report.faceless,
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
    """Those frames as a film of their own, coded without loss, with their production sound."""
    from media.reader import probe, read_frames
    from media.writer import FootageWriter

    info = probe(footage)
    start = None if info.start_timecode is None else info.start_timecode + first
    like = replace(info, frames=stop - first, start_timecode=start)
    sound = _sound(footage, info.rate.time_of(first), info.rate.time_of(stop), info.has_sound)
    with FootageWriter(out, like, sound=sound, quality=_LOSSLESS, preset="ultrafast") as writer:
        for frame in read_frames(footage, first, stop):
            writer.write(frame)


def _sound(footage: Path, start_s: Fraction, end_s: Fraction, has_sound: bool) -> Sound | None:
    if not has_sound:
        return None
    return production_sound(footage).cut(start_s, end_s)


def _archive(bench: Bench) -> Sequence[Path]:
    """Films to take mouths from."""
    return footage_in([Path(p) for p in bench.setting("archive")])
