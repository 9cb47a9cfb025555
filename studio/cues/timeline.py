"""Timelines in and out: CMX3600 edit lists and OpenTimelineIO.

Both go through OpenTimelineIO (the EDL through its CMX3600 adapter). An EDL is handed to
the adapter event by event, so that one broken event does not lose the rest and every
problem has its row; record timecodes are read as labels, exact and drop-frame aware.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media.errors import MediaError
from media.time import FrameRate, Timecode
from studio.cues.columns import read_timecode, spoken_by
from studio.cues.cue import Cue, CueProblem, CueSheet, safe_name
from studio.cues.tables import read_text
from studio.production import CueSource, Production, ProductionError

__all__ = ["Placed", "read_edl", "read_otio", "write_timeline"]

_EVENT = re.compile(r"^\d+\s")
_META = "wildline"
_LATEST = 100_000_000  # frames: over a thousand hours
_FIELDS = ("number", "character", "dialogue", "alternate", "reason", "priority", "notes", "take")


# --- CMX3600 in ------------------------------------------------------------------------------


def read_edl(source: CueSource, production: Production) -> CueSheet:
    """One cue an event: its record timecodes, its clip's name as the number, its line from the
    comments ("* COMMENT: MARA: We chose to go."), markers or the clip's name."""
    lines = read_text(source.file).splitlines()
    problem = _drop_frame_problem(lines, source, production)
    if problem is not None:
        return CueSheet((), (problem,))
    drop = _counts_drop(lines)
    sheets = [_event(row, text, source, production, drop) for row, text in _events(lines)]
    if not sheets:
        sentence = "there is no event in it; check that it is a CMX3600 edit list"
        return CueSheet((), (CueProblem(source.file.name, 0, "", sentence),))
    return CueSheet.joined(sheets)


def _events(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Row (from 1) and lines of each event: the numbered line and what follows it."""
    row = 0
    event: list[str] = []
    for number, line in enumerate(lines, 1):
        if _EVENT.match(line.strip()):
            if event:
                yield row, event
            row, event = number, [line.strip()]
        elif event and line.strip() and not line.strip().startswith("FCM"):
            event.append(line.strip())
    if event:
        yield row, event


def _fcm(lines: Sequence[str]) -> tuple[int, str]:
    """Row and text of the frame code mode; (0, "") where the list does not say."""
    for number, line in enumerate(lines, 1):
        if line.strip().upper().startswith("FCM"):
            return number, line.strip().upper()
    return 0, ""


def _counts_drop(lines: Sequence[str]) -> bool:
    mode = _fcm(lines)[1]
    return "DROP" in mode and "NON" not in mode


def _drop_frame_problem(
    lines: Sequence[str], source: CueSource, production: Production
) -> CueProblem | None:
    row, mode = _fcm(lines)
    if not mode or _counts_drop(lines) == production.drop_frame:
        return None
    says = "drop-frame" if _counts_drop(lines) else "non-drop"
    ours = "drop-frame" if production.drop_frame else f"non-drop at {production.rate}"
    sentence = f"the list counts {says} and the production {ours}; export it at the right count"
    return CueProblem(source.file.name, row, "FCM", sentence)


def _event(
    row: int, text: list[str], source: CueSource, production: Production, drop: bool
) -> CueSheet:
    file = source.file.name
    labels = text[0].split()[-2:]
    if drop:  # edit lists write ':' although they count drop-frame
        labels = [f"{label[:8]};{label[9:]}" if len(label) == 11 else label for label in labels]
    times: list[Timecode] = []
    for label, column in zip(labels, ("record in", "record out"), strict=False):
        try:
            times.append(read_timecode(label, production))
        except MediaError as error:
            return CueSheet((), (CueProblem(file, row, column, str(error)),))
    if len(times) < 2 or times[1].frames <= times[0].frames:
        sentence = "the event has no length on the record side; mend it"
        return CueSheet((), (CueProblem(file, row, "record out", sentence),))
    clip = _clip(text, production.rate)
    if isinstance(clip, str):
        return CueSheet((), (CueProblem(file, row, "", clip),))
    names = [n for k, p in production.people.items() for n in (k, p.name, *p.characters)]
    said_by, line, number = _line_of(clip, names)
    character = said_by or source.character or ""
    missing = "dialogue" if not line else "character" if not character else ""
    if missing:
        sentence = f"the event names no {missing}; write it as '* COMMENT: NAME: the line'"
        return CueSheet((), (CueProblem(file, row, missing, sentence),))
    reel = source.reel or str(clip.metadata.get("cmx_3600", {}).get("reel", ""))
    cue = Cue(
        number=number,
        character=character,
        dialogue=line,
        start=times[0],
        end=times[1],
        reel=reel,
        scene=source.scene or "",
        where=f"{file}:{row}",
    )
    return CueSheet((cue,))


def _clip(text: list[str], rate: FrameRate) -> Any:
    """The event as OpenTimelineIO sees it, or why it does not."""
    from opentimelineio.exceptions import OTIOError
    from otio_cmx3600_adapter import cmx_3600  # type: ignore[import-untyped, unused-ignore]

    # The adapter knows drop-frame from ';' and then wants the fractional rate.
    exact = float(rate) if ";" in text[0] else float(rate.nominal)
    try:
        timeline = cmx_3600.read_from_string(
            "\n".join(text), rate=exact, ignore_timecode_mismatch=True
        )
        return next(iter(timeline.find_clips()))
    except (OTIOError, ValueError, IndexError, AttributeError, StopIteration) as error:
        return f"not a CMX3600 event ({' '.join(str(error).split())[:120]}); mend or remove it"


def _line_of(clip: Any, names: Sequence[str]) -> tuple[str, str, str]:
    """Speaker, line and number of an event or timeline clip."""
    noted = _mapping(clip.metadata.get("cmx_3600")).get("comments") or ()
    comments = [str(c).lstrip("* ") for c in noted] if not isinstance(noted, (int, float)) else []
    comments = [re.sub(r"^COMMENTS?:\s*", "", c, flags=re.IGNORECASE) for c in comments]
    comments += [str(m.comment or m.name) for m in clip.markers if m.comment or m.name]
    texts = [c for c in comments if c.strip()]
    for text in texts:
        character, line = spoken_by(text, names)
        if character:
            return character, line, clip.name
    character, line = spoken_by(clip.name, names)
    if character:
        return character, line, ""
    return "", texts[0].strip() if texts else "", clip.name


# --- OTIO in ---------------------------------------------------------------------------------


def read_otio(source: CueSource, production: Production) -> CueSheet:
    """One cue a clip with a line: what `write_timeline` wrote comes back whole; from other
    programs the line is in the clip's markers, its metadata "dialogue" or its name."""
    import opentimelineio as otio

    text = read_text(source.file)
    try:
        json.loads(text)  # one that is nested too deeply would end the whole process in OTIO
        timeline = otio.adapters.read_from_string(text, "otio_json")
        clips = list(timeline.find_clips())
    except Exception as error:  # OTIO lets through whatever a damaged file makes it meet
        why = " ".join(str(error).split())[:160]
        raise ProductionError(
            f"{source.file} cannot be read as an OTIO timeline ({why}); export it again"
        ) from error
    sheets = [
        _timeline_clip(number, clip, timeline, source, production)
        for number, clip in enumerate(clips, 1)
    ]
    joined = CueSheet.joined(sheets)
    if not joined.cues and not joined.problems:
        sentence = "no clip in it has a line; put lines into markers or clip names"
        return CueSheet((), (CueProblem(source.file.name, 0, "", sentence),))
    return joined


def _timeline_clip(
    row: int, clip: Any, timeline: Any, source: CueSource, production: Production
) -> CueSheet:
    file, meta = source.file.name, _mapping(clip.metadata.get(_META))
    names = [n for k, p in production.people.items() for n in (k, p.name, *p.characters)]
    said_by, line, number = _line_of(clip, names)
    line = str(meta.get("dialogue") or clip.metadata.get("dialogue") or line)
    character = str(meta.get("character") or clip.metadata.get("character") or said_by)
    character = character or source.character or ""
    if not line:
        return CueSheet()  # picture without a line is nobody's cue
    if not character:
        sentence = f"clip '{clip.name}' names no character; give it in production.toml"
        return CueSheet((), (CueProblem(file, row, "character", sentence),))
    try:
        start, end = _span_of(clip, timeline, production)
    except MediaError as error:
        return CueSheet((), (CueProblem(file, row, "start", str(error)),))
    texts = {name: str(meta[name]) for name in _FIELDS if meta.get(name)}
    cue = Cue(
        number=texts.get("number", number),
        character=character,
        dialogue=line,
        alternate=texts.get("alternate", ""),
        reason=texts.get("reason", ""),
        priority=texts.get("priority", ""),
        notes=texts.get("notes", ""),
        take=texts.get("take", ""),
        start=start,
        end=end,
        scene=str(meta.get("scene") or source.scene or ""),
        reel=str(meta.get("reel") or source.reel or ""),
        variant=str(meta.get("variant") or ""),
        on_screen=on_screen if isinstance(on_screen := meta.get("on_screen"), bool) else None,
        where=f"{file}:{row}",
    )
    return CueSheet((cue,))


def _span_of(clip: Any, timeline: Any, production: Production) -> tuple[Timecode, Timecode]:
    """First frame and the one after the last, on the timeline's own clock."""
    from opentimelineio.exceptions import OTIOError

    try:
        span = clip.transformed_time_range(clip.trimmed_range(), timeline.tracks)
    except OTIOError as error:
        raise MediaError(
            f"clip '{clip.name}' has no place on the timeline; export it with its media linked"
        ) from error
    zero = timeline.global_start_time
    rate = span.start_time.rate
    times = (span.start_time.value, span.duration.value, zero.value if zero else 0)
    if not all(abs(time) < _LATEST for time in times):  # nor are they NaN
        raise MediaError(f"clip '{clip.name}' lies beyond any film; export the timeline again")
    if FrameRate.parse(rate).value not in (production.rate.value, production.rate.nominal):
        raise MediaError(
            f"the timeline runs at {rate:g} and the production at {production.rate}; export it "
            "at the production's rate"
        )
    first = round(span.start_time.value) + (
        0 if zero is None else round(zero.rescaled_to(rate).value)
    )
    begin = Timecode(first, production.rate, production.drop_frame)
    return begin, begin + round(span.duration.value)


def _mapping(value: Any) -> dict[str, Any]:
    """A clip's notes under one name; other programs may keep anything there."""
    return dict(value) if isinstance(value, Mapping) else {}


# --- out -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placed:
    """A cue with its delivered file. `lead` frames of it lie before the cue (handles).

    `frames` is the length of the whole file.
    """

    cue: Cue
    file: Path
    frames: int
    lead: int = 0
    picture: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_timeline(
    placed: Sequence[Placed],
    path: Path,
    *,
    title: str,
    rate: FrameRate,
    folder: Path | None = None,
) -> None:
    """A timeline with every delivered line and shot at its timecode: .otio or .edl.

    Sound goes to one track a character, pictures to a track of their own; files that would
    overlap go to a further track. Handles stay outside the cut, ready to be pulled out.
    Links are relative to `folder` (default: the timeline's own). An EDL holds one track: the
    shots, or the sound where there are none. Raises `OutputError`.
    """
    from media.files import atomic_path

    timed = [p for p in placed if p.cue.start is not None and p.cue.frames]
    text = _otio_text(timed, folder or path.parent, title, rate)
    if path.suffix.lower() == ".edl":
        text = _edl_text(timed, title)
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")


def _otio_text(placed: Sequence[Placed], folder: Path, title: str, rate: FrameRate) -> str:
    import opentimelineio as otio

    first = min((p.cue.start.frames for p in placed if p.cue.start), default=0)
    exact = float(rate)
    timeline = otio.schema.Timeline(name=title)
    timeline.global_start_time = otio.opentime.RationalTime(first, exact)
    for name, kind, lane in _lanes(placed):
        track = otio.schema.Track(name=name, kind=kind)
        at = first
        for item in lane:
            begin = item.cue.start.frames if item.cue.start else 0
            if begin > at:
                span = otio.opentime.TimeRange(
                    otio.opentime.RationalTime(0, exact),
                    otio.opentime.RationalTime(begin - at, exact),
                )
                track.append(otio.schema.Gap(source_range=span))
            track.append(_otio_clip(item, folder, exact))
            at = begin + _cut_frames(item)
        timeline.tracks.append(track)
    return str(otio.adapters.write_to_string(timeline, "otio_json", indent=2))


def _lanes(placed: Sequence[Placed]) -> Iterator[tuple[str, str, list[Placed]]]:
    """Name, kind and files of each track; no two files of a track overlap."""
    groups: dict[tuple[str, str], list[Placed]] = {}
    for item in sorted(
        placed, key=lambda p: (not p.picture, p.cue.start.frames if p.cue.start else 0)
    ):
        group = ("Shots", "Video") if item.picture else (item.cue.character, "Audio")
        groups.setdefault(group, []).append(item)
    for (name, kind), items in groups.items():
        lanes: list[list[Placed]] = []
        for item in items:
            begin = item.cue.start.frames if item.cue.start else 0
            for lane in lanes:
                last = lane[-1]
                if last.cue.start and last.cue.start.frames + _cut_frames(last) <= begin:
                    lane.append(item)
                    break
            else:
                lanes.append([item])
        for number, lane in enumerate(lanes, 1):
            yield (name if number == 1 else f"{name} {number}"), kind, lane


def _cut_frames(item: Placed) -> int:
    """How long the file is on the timeline: the cue, as far as the file reaches."""
    return max(1, min(item.cue.frames or 1, item.frames - item.lead))


def _otio_clip(item: Placed, folder: Path, rate: float) -> Any:
    import opentimelineio as otio

    start = item.cue.start.frames if item.cue.start else 0
    time, spans = otio.opentime.RationalTime, otio.opentime.TimeRange
    there = spans(time(start - item.lead, rate), time(item.frames, rate))
    used = spans(time(start, rate), time(_cut_frames(item), rate))
    try:
        url = item.file.relative_to(folder).as_posix()
    except ValueError:
        url = str(item.file)
    facts = {name: getattr(item.cue, name) for name in (*_FIELDS, "scene", "reel", "variant")}
    facts = {k: v for k, v in facts.items() if v} | {"on_screen": item.cue.on_screen}
    return otio.schema.Clip(
        name=item.cue.id,
        media_reference=otio.schema.ExternalReference(target_url=url, available_range=there),
        source_range=used,
        metadata={_META: {**facts, **item.facts}},
    )


def _edl_text(placed: Sequence[Placed], title: str) -> str:
    """CMX3600, one event a file: source and record timecode are the same clock."""
    shots = [p for p in placed if p.picture]
    chosen = sorted(shots or placed, key=lambda p: p.cue.start.frames if p.cue.start else 0)
    drop = any(p.cue.start.drop for p in chosen if p.cue.start)
    lines = [f"TITLE: {title[:70]}", f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}", ""]
    for number, item in enumerate(chosen, 1):
        if item.cue.start is None:
            continue
        begin, end = item.cue.start, item.cue.start + _cut_frames(item)
        channel = "V" if item.picture else "A"
        reel = (safe_name(item.cue.reel or "AX").replace("_", "")[:8] or "AX").ljust(8)
        labels = " ".join(map(str, (begin, end, begin, end)))
        lines.append(f"{number:03}  {reel} {channel:<5} C        {labels}")
        lines.append(f"* FROM CLIP NAME: {item.cue.id}")
        lines.append(f"* SOURCE FILE: {item.file.name}")
        line = " ".join(item.cue.dialogue.split())
        lines.append(f"* COMMENT: {item.cue.character}: {line}")
    return "\n".join(lines) + "\n"
