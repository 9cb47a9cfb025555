"""Putting the page together, and keeping it below its size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from media.errors import ConsentError, MediaError, ProvenanceError, WildlineError
from media.files import atomic_path
from studio.batch.results import CueResult, TakeResult, cue_results
from studio.batch.states import write_json
from studio.report import drawings
from studio.screening.desk import Desk
from studio.screening.views import CueSpan, check_rows, row_of, span_of, take_view, timing_of
from studio.screening.votes import Tally, tallies
from studio.screening.waves import read_take_timing

if TYPE_CHECKING:
    from media.audio import Sound
    from studio.cues.cue import Cue
    from studio.disclosure import Row
    from studio.production import Production

__all__ = ["MOST_BYTES", "ReportFacts", "write_report"]

MOST_BYTES = 8_000_000
"""What most mail servers let through, with room for the letter."""

_FRAMES = 6  # in a row of a contact sheet
_WIDTHS = ((40, 200), (150, 150))  # up to so many cues: pixels a frame
_NARROWEST = 110
_VERSION = 2  # of the drawings kept in work/report
_DRAWINGS = ("sheet", "original", "take", "spectra", "sheet_missing", "sounds_missing")
_TABLE_ROW = 700  # bytes that a cue takes in the tables


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What was written: where, how large, how many cues, how many of them with drawings."""

    path: Path
    size: int
    cues: int
    drawn: int


def write_report(
    production: Production,
    out: Path,
    *,
    cues: Sequence[Cue] | None = None,
    most_bytes: int = MOST_BYTES,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> ReportFacts:
    """Write the report of all that the last batch left, as one HTML file.

    Drawings are kept in `work/report` and made anew only when a cue changes. A cue whose
    files are missing says so and the rest goes on. Raises `OutputError` when `out` cannot be
    written, `ProductionError` when a cue sheet cannot be read.
    """
    problems: tuple[str, ...] = ()
    if cues is None:
        from studio.cues.reading import read_cues

        sheet = read_cues(production)
        cues, problems = sheet.cues, tuple(map(str, sheet.problems))
    results = cue_results(production, cues)
    counted = tallies(production, {r.cue.id: r.cue.scene for r in results})
    rest = _common(production, results, counted) | {"problems": problems}
    room = most_bytes - len(_render([], rest)) - _TABLE_ROW * len(results)
    sections, drawn = _sections(production, results, counted, room, progress)
    text = _render(sections, rest | {"left_out": len(results) - drawn})
    with atomic_path(out) as temporary:
        temporary.write_text(text, "utf-8")
    return ReportFacts(out, len(text.encode()), len(results), drawn)


def _render(sections: Sequence[str], rest: dict[str, Any]) -> str:
    return _pages().get_template("report.html").render(sections=sections, **rest)


@cache
def _pages() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _sections(
    production: Production,
    results: Sequence[CueResult],
    counted: dict[str, Tally],
    room: int,
    progress: Callable[[str, int, int | None], None] | None,
) -> tuple[list[str], int]:
    """The cues with drawings, in the film's order; the failing ones had first call on the room."""
    width = next((w for most, w in _WIDTHS if len(results) <= most), _NARROWEST)
    desk = Desk(production, [r.cue for r in results])
    order = sorted(range(len(results)), key=lambda i: _urgency(results[i]))
    made: dict[int, str] = {}
    for done, i in enumerate(order):
        drawn = _drawn(desk, results[i], width)
        section = _section(production, results[i], counted, drawn)
        if len(section.encode()) > room:
            break
        room -= len(section.encode())
        made[i] = section
        if progress is not None:
            progress("drawing the report", done + 1, len(results))
    return [made[i] for i in sorted(made)], len(made)


def _urgency(result: CueResult) -> int:
    light = row_of(result).light
    return {"red": 0, "amber": 1, "green": 2}.get(light, 3)


# --- one cue -----------------------------------------------------------------------------------


def _section(
    production: Production,
    result: CueResult,
    counted: dict[str, Tally],
    drawn: dict[str, str],
) -> str:
    scene = production.scenes.get(result.cue.scene)
    context = {
        "cue": result.cue,
        "row": row_of(result),
        "result": result,
        "objective": scene.objective if scene else "",
        "takes": [take_view(result, t) for t in result.takes],
        "checks": check_rows(result),
        "tally": counted.get(result.cue.id),
        "drawn": dict.fromkeys(_DRAWINGS, "") | drawn,
    }
    return _pages().get_template("_cue.html").render(context)


def _drawn(desk: Desk, result: CueResult, width: int) -> dict[str, str]:
    """The drawings of a cue, from `work/report` where nothing changed. Keys: what there is."""
    key = _key(desk, result, width)
    kept = desk.production.work / "report" / f"{result.cue.id}.json"
    try:
        known = json.loads(kept.read_text("utf-8"))
        if known.get("key") == key:
            return dict(known["drawn"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        pass  # none yet, or of another version
    drawn = _draw(desk, result, width)
    if drawn:
        write_json(kept, {"key": key, "drawn": drawn})
    return drawn


def _key(desk: Desk, result: CueResult, width: int) -> str:
    chosen, span = _chosen(result), span_of(desk, result)
    paths = [result.shot, *result.delivered]
    if chosen is not None:
        paths += [chosen.wav, timing_of(result, chosen)]
    if span is not None:
        paths.append(span.footage)
    facts = [_VERSION, width, str(span), list(map(_stamp, paths))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _stamp(path: Path | None) -> list[Any] | None:
    try:
        status = None if path is None else path.stat()
    except OSError:
        return None
    return None if status is None else [str(path), status.st_mtime_ns, status.st_size]


def _draw(desk: Desk, result: CueResult, width: int) -> dict[str, str]:
    drawn: dict[str, str] = {}
    for name, work in (("sheet", _sheet), ("sounds", _sounds)):
        try:
            drawn |= work(desk, result, width)
        except WildlineError as error:
            drawn[f"{name}_missing"] = str(error)
    return drawn


def _chosen(result: CueResult) -> TakeResult | None:
    return None if result.chosen is None else result.take(result.chosen)


def _sheet(desk: Desk, result: CueResult, width: int) -> dict[str, str]:
    """The original's frames above the shot's."""
    span = span_of(desk, result)
    if span is None or (result.shot is None and not result.takes):
        return {}
    begin, end = span.first + span.cue_in, span.first + span.cue_out
    step = max(end - begin - 1, 1) / (_FRAMES - 1)
    at = sorted({begin + round(i * step) for i in range(_FRAMES)})
    rows: list[tuple[Path, list[int]]] = [(desk.footage(span.footage), at)]
    if result.shot is not None:
        rows.append((result.shot, [i - span.first for i in at]))
    return {"sheet": drawings.contact_sheet(rows, width)}


def _sounds(desk: Desk, result: CueResult, width: int) -> dict[str, str]:
    """Waveforms of original and take on one clock, and their spectra before and after."""
    from media.audio import read_sound

    del width
    take, span = _chosen(result), span_of(desk, result)
    if take is None:
        return {}
    said = read_sound(take.wav, 48_000)
    timing = read_take_timing(timing_of(result, take))
    original = None if span is None else _original_sound(desk, span)
    start = 0.0 if span is None else float(desk.production.rate.time_of(span.cue_in))
    length = start + float(said.duration_s)
    if original is not None:
        length = max(length, float(original.duration_s))
    seconds = (0.0, length)
    drawn = {"take": drawings.waveform(said, timing, span=seconds, start=start)}
    curves = {"take": drawings.bands(said)}
    if original is not None:
        drawn["original"] = drawings.waveform(original, None, span=seconds, start=0.0)
        curves = {"production sound": drawings.bands(original), **curves}
    delivered = next((p for p in result.delivered if p.suffix.lower() == ".wav"), None)
    if delivered is not None and delivered.is_file():
        curves["delivered"] = drawings.bands(read_sound(delivered, 48_000))
    return drawn | {"spectra": drawings.spectra(curves)}


def _original_sound(desk: Desk, span: CueSpan) -> Sound | None:
    """The production sound of a cue; None where the footage has none."""
    rate, footage = desk.production.rate, desk.footage(span.footage)
    whole = _whole_sound(footage, str(_stamp(footage)))
    return None if whole is None else whole.cut(rate.time_of(span.first), rate.time_of(span.stop))


@lru_cache(maxsize=1)
def _whole_sound(path: Path, stamp: str) -> Sound | None:
    """A film's sound; the last is kept, because a scene's cues come one after the other."""
    from media.audio import read_sound
    from media.errors import NoSoundError

    del stamp  # part of the key alone
    try:
        return read_sound(path, 48_000)
    except NoSoundError:
        return None


# --- what concerns all cues ----------------------------------------------------------------------


def _common(
    production: Production, results: Sequence[CueResult], counted: dict[str, Tally]
) -> dict[str, Any]:
    rows = [row_of(r) for r in results]
    lights = [r.light or r.status for r in rows]
    return {
        "production": production,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "rows": rows,
        "counts": {name: lights.count(name) for name in dict.fromkeys(lights)},
        "thresholds": {
            k: v for k, v in production.objectives.model_dump().items() if v is not None
        },
        "people": list(_people(production)),
        "disclosure": _disclosure(production),
        "ledger": _ledger(production),
        "audiences": [(r.cue, counted[r.cue.id]) for r in results if r.cue.id in counted],
        "left_out": 0,
    }


def _people(production: Production) -> Iterable[dict[str, str]]:
    """Each person's consent as it stands today, without contact and pay."""
    from studio.consent import load_consent

    for key, person in production.people.items():
        row = {"key": key, "name": person.name, "record": "", "uses": "", "until": "", "state": ""}
        if person.consent is None:
            yield row | {"state": "no record (a stock voice is nobody's)"}
            continue
        try:
            record = load_consent(person.consent)
        except ConsentError as error:
            yield row | {"state": str(error)}
            continue
        why = record.refusal(use=record.uses[0], today=date.today(), person=person.name)
        yield row | {
            "record": record.id,
            "uses": ", ".join(record.uses),
            "until": f"{record.start} to {record.expiry}",
            "reach": f"{', '.join(record.territories)}; {', '.join(record.media)}",
            "state": why or "valid today",
        }


def _disclosure(production: Production) -> list[Row]:
    from studio.disclosure import read_rows

    try:
        return read_rows(production.disclosure) if production.disclosure.is_file() else []
    except ProvenanceError:
        return []


def _ledger(production: Production) -> dict[str, Any]:
    from studio.ledger import inspect

    if not production.ledger.is_file():
        return {"state": "there is no ledger yet", "whole": None, "last": None}
    try:
        found = inspect(production.ledger)
    except (ProvenanceError, MediaError) as error:
        return {"state": str(error), "whole": False, "last": None}
    return {"state": f"{found.lines} lines, the chain is whole", "whole": True, "last": found.last}
