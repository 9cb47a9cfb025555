"""Cues as the pages show them: plain values for templates and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media.errors import WildlineError
from media.time import FrameRate, Timecode
from studio.batch.records import Decision
from studio.batch.results import CueResult, TakeResult
from studio.screening.desk import Desk, stamp_of
from studio.screening.excerpts import Excerpt, Excerpts
from studio.screening.waves import read_take_timing, rows_of

__all__ = ["Overview", "Row", "TakeView", "cue_page", "overview", "player", "span_of"]

_SCORES = (
    ("wer", "words wrong", "{:.0%}"),
    ("similarity", "likeness", "{:.2f}"),
    ("dnsmos", "naturalness", "{:.2f}"),
    ("duration_error_s", "length off", "{:+.2f} s"),
    ("clipped", "clipped", "{:.1%}"),
)
_UNITS = {"loudness": "LUFS", "length": "s", "audience": "of 5", "naturalness": "of 5"}
CHECK_NAMES = {
    "wer": "words wrong",
    "similarity": "likeness of the voice",
    "naturalness": "naturalness",
    "closure_rate": "lips shut on p, b, m",
    "silence_shut": "lips shut in silence",
    "loudness": "loudness",
    "length": "longer than the cue by",
    "audience": "believed by audiences",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A cue in the list. `light` is "green", "red", "amber" (asked for again) or "" (unknown)."""

    id: str
    number: str
    variant: str
    character: str
    scene: str
    line: str
    start: str
    status: str
    light: str
    reason: str
    takes: int
    circled: bool
    approved: bool
    asked: int
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """All rows, and how many there are of each kind."""

    rows: tuple[Row, ...]
    counts: Mapping[str, int]
    scenes: tuple[tuple[str, str, int, int], ...]  # name, objective, cues, cues that pass
    problems: tuple[str, ...]  # of the cue sheets


@dataclass(frozen=True, slots=True)
class TakeView:
    """A take with what people said of it. `rating` is the mean of each person's last one."""

    id: str
    text: str
    note: str
    seed: int
    scores: tuple[tuple[str, str], ...]
    heard: str
    chosen: bool
    circled: bool
    approved_by: str
    rating: float | None
    ratings: tuple[tuple[str, float], ...]
    comments: tuple[tuple[str, str, str], ...]  # by, when, words


def overview(desk: Desk) -> Overview:
    """The whole production on one page; made once until something changes."""
    return desk.kept("overview", lambda: _overview(desk))


def _overview(desk: Desk) -> Overview:
    rows = tuple(map(row_of, desk.results()))
    counts = Counter(r.status for r in rows)
    counts.update(light for r in rows if (light := r.light))
    counts["approved"] = sum(r.approved for r in rows)
    return Overview(rows, counts, tuple(_scenes(desk, rows)), desk.problems())


def _scenes(desk: Desk, rows: Sequence[Row]) -> Iterator[tuple[str, str, int, int]]:
    of_scene: dict[str, list[Row]] = {}
    for row in rows:
        of_scene.setdefault(row.scene, []).append(row)
    told = desk.production.scenes
    for name, own in of_scene.items():
        objective = told[name].objective if name in told else ""
        yield name, objective, len(own), sum(row.light == "green" for row in own)


def row_of(result: CueResult) -> Row:
    """One line of the list."""
    cue = result.cue
    asked = open_requests(result)
    light = {True: "green", False: "red", None: ""}[result.passed]
    if asked and light == "green":
        light = "amber"
    return Row(
        id=cue.id,
        number=cue.number,
        variant=cue.variant,
        character=cue.character,
        scene=cue.scene,
        line=cue.dialogue,
        start="" if cue.start is None else str(cue.start),
        status=result.status,
        light=light,
        reason=result.reason if result.status in ("failed", "refused") else "",
        takes=len(result.takes),
        circled=any(_last(result, t.id, "circled") for t in result.takes),
        approved=any(approval(result, t.id) for t in result.takes),
        asked=asked,
        failing=tuple(CHECK_NAMES.get(c.name, c.name) for c in result.checks if c.passed is False),
    )


def open_requests(result: CueResult) -> int:
    """How many retakes were asked for that no batch has made yet."""
    made = {t.id.partition(".")[0] for t in result.takes}
    done = last_done(result)
    return sum(
        str(r.generation) not in made if r.speaks else r.time > done for r in result.requests
    )


def last_done(result: CueResult) -> str:
    """When a batch last made the cue (UTC, ISO 8601); empty if never."""
    return max((h["time"] for h in result.history if h.get("status") == "done"), default="")


def approval(result: CueResult, take: str) -> Decision | None:
    """The approval of a take that still stands: what was made after it has to be seen again."""
    said = (d for d in reversed(result.decisions) if d.take == take and d.approved is not None)
    last = next(said, None)
    return last if last is not None and last.approved and last.time >= last_done(result) else None


def _last(result: CueResult, take: str, name: str) -> Any:
    """The last opinion of anybody on one point; None where nobody had one."""
    said = (getattr(d, name) for d in reversed(result.decisions) if d.take == take)
    return next((value for value in said if value is not None), None)


def take_view(result: CueResult, take: TakeResult) -> TakeView:
    """One take as its card shows it."""
    own = [d for d in result.decisions if d.take == take.id]
    ratings = {d.by: d.rating for d in own if d.rating is not None}
    approver = approval(result, take.id)
    return TakeView(
        id=take.id,
        text=take.text or result.cue.dialogue,
        note=take.note,
        seed=take.seed,
        scores=tuple(_scores(take.scores)),
        heard=str(take.scores.get("heard", "")),
        chosen=take.id == result.chosen,
        circled=bool(_last(result, take.id, "circled")),
        approved_by=approver.by if approver is not None else "",
        rating=sum(ratings.values()) / len(ratings) if ratings else None,
        ratings=tuple(ratings.items()),
        comments=tuple((d.by, d.time[:16].replace("T", " "), d.comment) for d in own if d.comment),
    )


def _scores(scores: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, name, form in _SCORES:
        value = scores.get(key)
        if isinstance(value, (int, float)):
            yield name, form.format(value)


def check_rows(result: CueResult) -> list[dict[str, Any]]:
    """Each objective: what was measured, what was asked, and whether it holds."""
    return [
        {
            "name": CHECK_NAMES.get(c.name, c.name),
            "value": "not measured"
            if c.value is None
            else f"{c.value:.3g} {_unit(c.name)}".strip(),
            "asked": "" if c.threshold is None else f"{c.bound} {c.threshold:g}",
            "passed": c.passed,
        }
        for c in result.checks
    ]


def _unit(name: str) -> str:
    return _UNITS.get(name, "")


def cue_page(desk: Desk, result: CueResult) -> dict[str, Any]:
    """What the cue's page says in words."""
    scene = desk.production.scenes.get(result.cue.scene)
    return {
        "row": row_of(result),
        "cue": result.cue,
        "result": result,
        "objective": scene.objective if scene else "",
        "takes": [take_view(result, t) for t in result.takes],
        "checks": check_rows(result),
        "history": list(reversed(result.history))[:12],
        "requests": list(reversed(result.requests))[:6],
        "wording": _wording(result),
    }


def _wording(result: CueResult) -> str:
    """The line as it was last asked for, else as the chosen take says it."""
    asked = next((r.text for r in reversed(result.requests) if r.text), "")
    chosen = None if result.chosen is None else result.take(result.chosen)
    return asked or (chosen.text if chosen else "") or result.cue.dialogue


# --- the player --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CueSpan:
    """Frames of `footage`: what is shown, and where in it (counted from `first`) the cue lies."""

    footage: Path
    first: int
    stop: int
    cue_in: int
    cue_out: int


def span_of(desk: Desk, result: CueResult) -> CueSpan | None:
    """The frames of a rendered shot, else the cue with its handles; None without a picture."""
    cue, place = result.cue, desk.place(result.cue.scene)
    if place is None or cue.start is None or cue.end is None:
        return None
    begin, end = (t.frames - place.start.frames for t in (cue.start, cue.end))
    if result.original is not None:
        first, stop = result.original.first, result.original.stop
    else:
        handles = desk.production.delivery.handles
        first, stop = max(0, begin - handles), min(place.frames, end + handles)
    if not first <= begin < stop:
        return None
    return CueSpan(place.footage, first, stop, begin - first, min(end, stop) - first)


def original_excerpt(desk: Desk, result: CueResult) -> Excerpt | None:
    """The production's own picture and sound of a cue. Raises `NotShownError`."""
    span = span_of(desk, result)
    return None if span is None else Excerpt(desk.footage(span.footage), span.first, span.stop)


def take_excerpt(desk: Desk, result: CueResult, take: TakeResult) -> Excerpt | None:
    """A take with its picture: the rendered shot, or the original with the voice laid in."""
    if result.shot is not None and take.id == result.chosen:
        return Excerpt(desk.shown(result.shot))
    own, span = original_excerpt(desk, result), span_of(desk, result)
    if own is None or span is None:
        return None
    return Excerpt(own.source, own.first, own.stop, desk.shown(take.wav), span.cue_in)


def player(desk: Desk, excerpts: Excerpts, result: CueResult) -> dict[str, Any]:
    """What the cue's page needs to play: addresses, frames, takes with words and phones."""
    cue_id, span = result.cue.id, span_of(desk, result)
    rate = desk.production.rate
    return {
        "id": cue_id,
        "signature": desk.signature(),
        "rate": [rate.value.numerator, rate.value.denominator],
        "nominal": rate.nominal,
        "drop": desk.production.drop_frame,
        "startFrame": _start_frame(result, span),
        "cueIn": span.cue_in if span else 0,
        "cueOut": span.cue_out if span else None,
        "original": _video(
            desk, excerpts, cue_id, "original", lambda: original_excerpt(desk, result)
        ),
        "shot": _video(desk, excerpts, cue_id, "shot", lambda: shot_excerpt(desk, result)),
        "chosen": result.chosen,
        "line": result.cue.dialogue,
        "takes": [_take(desk, result, t) for t in result.takes],
    }


def _start_frame(result: CueResult, span: CueSpan | None) -> int:
    """The timecode, as a count of frames, of the first frame that is shown."""
    start: Timecode | None = result.cue.start
    if start is None:
        return 0
    return max(0, start.frames - (span.cue_in if span else 0))


def shot_excerpt(desk: Desk, result: CueResult) -> Excerpt | None:
    """The rendered shot. Raises `NotShownError`."""
    return None if result.shot is None else Excerpt(desk.shown(result.shot))


def _video(desk: Desk, excerpts: Excerpts, cue_id: str, name: str, find: Any) -> dict[str, str]:
    """A picture's address, or how far it is."""
    del desk
    try:
        excerpt = find()
        if excerpt is None:
            return {"state": "none"}
        state, why = excerpts.state(excerpt)
        if state == "ready":
            return {"state": state, "url": f"/media/{cue_id}/{name}?v={excerpt.key[:8]}"}
        return {"state": state, "why": why}
    except WildlineError as error:
        return {"state": "failed", "why": str(error)}


def _take(desk: Desk, result: CueResult, take: TakeResult) -> dict[str, Any]:
    own: dict[str, Any] = {"id": take.id, "text": take.text or result.cue.dialogue}
    try:
        own["audio"] = f"/media/{result.cue.id}/take/{take.id}?v={stamp_of(desk.shown(take.wav))}"
        own |= rows_of(read_take_timing(desk.shown(timing_of(result, take))))
    except WildlineError as error:
        own["why"] = str(error)
    return own


def timing_of(result: CueResult, take: TakeResult) -> Path:
    """The words and phones that count for a take: as moved by hand, where they were."""
    if take.id == result.chosen and result.timing is not None:
        return result.timing
    return take.timing_json


def timecode(frames: int, rate: FrameRate, drop: bool) -> str:
    """A frame count as a label."""
    return str(Timecode(frames, rate, drop))
