"""What goes to the cutting room: timelines, subtitles and the ADR sheet of all that is done."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from media.errors import MediaError
from media.files import output_error
from studio.batch.keys import digest
from studio.batch.results import CueResult, cue_results
from studio.batch.states import CueState, write_json
from studio.batch.store import StepStore
from studio.cues.cue import Cue, safe_name
from studio.cues.sheets import write_sheet
from studio.cues.subtitles import write_subtitles
from studio.cues.timeline import Placed, write_timeline
from studio.ledger import Ledger
from studio.production import Production
from studio.provenance import record_export

__all__ = ["write_exports"]

_MARK = "exports.json"
_EXTRA = ("Status", "Rating", "Comment", "Approved by", "WER", "Naturalness", "Reason not made")


def write_exports(production: Production, cues: Sequence[Cue]) -> list[Path]:
    """Write NAME.otio, .edl, .srt, .adr.csv and .adr.xlsx to `out/` where they would change.

    Each is in the ledger before it appears. Returns what was written. Raises `OutputError`,
    `ProvenanceError`.
    """
    results = cue_results(production, cues)
    mark = digest([_VERSION, production.title, [_mark(r) for r in results]])
    stem = safe_name(production.title)
    targets = [production.out / f"{stem}{ending}" for ending in _ENDINGS]
    if not any(r.status == "done" for r in results):
        return []
    if _known(production) == mark and all(t.is_file() for t in targets):
        return []
    placed = [p for r in results if r.status == "done" for p in _placed(production, r)]
    writers: Mapping[str, Callable[[Path], None]] = {
        ".otio": lambda p: write_timeline(
            placed, p, title=production.title, rate=production.rate, folder=production.out
        ),
        ".edl": lambda p: write_timeline(
            [x for x in placed if not x.cue.variant],
            p,
            title=production.title,
            rate=production.rate,
        ),
        ".srt": lambda p: write_subtitles(
            [r.cue for r in results if r.status == "done" and not r.cue.variant], p
        ),
        ".adr.csv": lambda p: write_sheet([_row(r) for r in results], p, extra=_EXTRA),
        ".adr.xlsx": lambda p: write_sheet([_row(r) for r in results], p, extra=_EXTRA),
    }
    for target, write in zip(targets, writers.values(), strict=True):
        _export(production, target, write)
    write_json(production.work / _MARK, {"mark": mark})
    return targets


_VERSION = 1
_ENDINGS = (".otio", ".edl", ".srt", ".adr.csv", ".adr.xlsx")


def _export(production: Production, target: Path, write: Callable[[Path], None]) -> None:
    """Write beside the target, record, then rename."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".wildline-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            write(made)
            if target.is_file() and target.read_bytes() == made.read_bytes():
                return
            record_export(Ledger(production.ledger), made, target, project=production.project_name)
            made.replace(target)
    except OSError as error:
        raise output_error(target, error) from error


def _known(production: Production) -> str | None:
    try:
        return str(json.loads((production.work / _MARK).read_text("utf-8"))["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mark(result: CueResult) -> list[object]:
    """All of a result that an export shows."""
    cue = result.cue
    decisions = [[d.take, d.rating, d.comment, d.approved, d.by] for d in result.decisions]
    facts = [getattr(cue, n) for n in ("id", "character", "dialogue", "scene", "reel", "notes")]
    return [
        *facts,
        str(cue.start),
        str(cue.end),
        result.status,
        result.reason,
        result.chosen,
        [p.name for p in result.delivered],
        dict(result.values),
        decisions,
    ]


def _placed(production: Production, result: CueResult) -> list[Placed]:
    """The delivered line and, where there is one, the shot on the timeline."""
    cue = result.cue
    if cue.start is None or cue.end is None:
        return []
    placed = []
    for path in result.delivered:
        if path.suffix == ".wav":
            placed.append(Placed(cue, path, _frames_of(path, production) or cue.frames or 1))
        elif path.suffix in (".mp4", ".mov") and result.original is not None:
            original = result.original
            lead = _first_of(production, result) - original.first
            length = original.stop - original.first
            placed.append(Placed(cue, path, length, lead=lead, picture=True))
    return placed


def _first_of(production: Production, result: CueResult) -> int:
    """The footage's frame on which the cue starts."""
    shot = CueState.read(production, result.cue.id).steps["shot"]
    return int(StepStore(production).facts(shot)["cue_first"])


def _frames_of(path: Path, production: Production) -> int | None:
    """Length of a WAV in frames, from its header."""
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, MediaError):
        return None
    return production.rate.frames_in(info.frames / info.samplerate)


def _row(result: CueResult) -> tuple[Cue, Mapping[str, str]]:
    """A cue with what became of it: its take, what was measured, what people said."""
    said = [d for d in result.decisions if d.take == result.chosen]
    ratings = [d.rating for d in said if d.rating is not None]
    comments = "; ".join(f"{d.by}: {d.comment}" for d in said if d.comment)
    approvals = [d for d in said if d.approved is not None]
    approved = approvals[-1].by if approvals and approvals[-1].approved else ""
    values = {k: "" if v is None else f"{v:.3g}" for k, v in result.values.items()}
    facts = {
        "Status": result.status,
        "Rating": f"{sum(ratings) / len(ratings):.1f}" if ratings else "",
        "Comment": comments,
        "Approved by": approved,
        "WER": values.get("wer", ""),
        "Naturalness": values.get("naturalness", ""),
        "Reason not made": result.reason,
    }
    return replace(result.cue, take=result.chosen or result.cue.take), facts
