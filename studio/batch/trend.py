"""How cues stand against their objectives, check after check: `work/trend.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.batch.records import append_line, read_lines
from studio.batch.results import CueResult
from studio.batch.states import now
from studio.production import Production

__all__ = ["Standing", "note_standing", "trend_of"]

_FILE = "trend.jsonl"
Mark = bool | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A cue at one check: whether it passed (None: not made yet) and which checks it failed."""

    time: str
    passed: Mark
    take: str | None
    failing: tuple[str, ...]


def note_standing(production: Production, results: Sequence[CueResult]) -> None:
    """Put on file how every cue stands now, unless nothing changed. Raises `OutputError`."""
    now_standing = {r.cue.id: _facts(r) for r in results}
    last: Mapping[str, object] = {}
    for record in read_lines(production.work / _FILE):
        last = record.get("cues", {})
    if now_standing and dict(last) != now_standing:
        append_line(production.work / _FILE, {"time": now(), "cues": now_standing})


def _facts(result: CueResult) -> dict[str, object]:
    failing = [c.name for c in result.checks if c.passed is False]
    if result.status in ("failed", "refused"):
        failing.append(result.status)
    return {"passed": result.passed, "take": result.chosen, "failing": failing}


def trend_of(production: Production) -> dict[str, tuple[Standing, ...]]:
    """Each cue's standings, oldest first; a standing that did not change is told once."""
    found: dict[str, list[Standing]] = {}
    for record in read_lines(production.work / _FILE):
        for cue, facts in dict(record.get("cues", {})).items():
            standing = _standing(str(record.get("time", "")), facts)
            row = found.setdefault(cue, [])
            if not row or _without_time(row[-1]) != _without_time(standing):
                row.append(standing)
    return {cue: tuple(row) for cue, row in found.items()}


def _standing(time: str, facts: Mapping[str, object]) -> Standing:
    failing = facts.get("failing")
    passed, take = facts.get("passed"), facts.get("take")
    names = tuple(map(str, failing)) if isinstance(failing, list) else ()
    return Standing(
        time,
        passed if isinstance(passed, bool) else None,
        None if take is None else str(take),
        names,
    )


def _without_time(standing: Standing) -> tuple[object, ...]:
    return standing.passed, standing.take, standing.failing
