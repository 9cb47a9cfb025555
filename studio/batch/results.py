"""What there is of each cue, for the screening room, reports and `wildline check`.

    for result in cue_results(production):
        print(result.cue.id, result.status, [c.name for c in result.checks if not c.passed])
    request_take(production, "MAR101", text="We chose to go.", note="warmer")
    decide(production, "MAR101", "1.2", by="Ines", circled=True, approved=True)

Takes are called GENERATION.RANK: 1.1 is the best of the first takes, 2.1 the best of those
that the first request asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media.errors import MediaError
from studio.batch.checks import Check, checks_of
from studio.batch.records import (
    Decision,
    Request,
    add_decision,
    add_request,
    read_decisions,
    read_lines,
    read_requests,
)
from studio.batch.states import CueState, Status
from studio.cues.cue import Cue
from studio.production import Production, ProductionError

__all__ = [
    "CueResult",
    "Original",
    "TakeResult",
    "cue_results",
    "decide",
    "request_take",
]


@dataclass(frozen=True, slots=True)
class TakeResult:
    """One take: its sound, its words and phones (JSON), what was measured, and how it was made."""

    id: str
    wav: Path
    timing_json: Path
    scores: Mapping[str, Any]
    seed: int
    note: str = ""
    text: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Original:
    """The production's own picture of a cue: frames `first` up to (not including) `stop`."""

    footage: Path
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class CueResult:
    """All there is of a cue. Paths are absolute; `shot` is None for a cue without picture.

    `timing` is the words and phones that drive the lips (of the chosen take, or as asked
    for). `shot_first` is the footage's frame with which the shot begins (handles included).
    """

    cue: Cue
    status: Status
    reason: str = ""
    takes: tuple[TakeResult, ...] = ()
    chosen: str | None = None
    shot: Path | None = None
    original: Original | None = None
    checks: tuple[Check, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    decisions: tuple[Decision, ...] = ()
    requests: tuple[Request, ...] = ()
    delivered: tuple[Path, ...] = ()
    timing: Path | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """Whether every check is passed; None while something is not measured yet."""
        if self.status in ("failed", "refused"):
            return False
        if self.status != "done":
            return None
        return all(c.passed is not False for c in self.checks)

    def take(self, take_id: str) -> TakeResult | None:
        """The take of that name."""
        return next((t for t in self.takes if t.id == take_id), None)


def cue_results(production: Production, cues: Sequence[Cue] | None = None) -> tuple[CueResult, ...]:
    """Every cue of the production with what there is of it, in the order of the sheets.

    `cues` saves reading the sheets again. Raises `ProductionError` when a sheet cannot be
    read at all; rows with problems are left out (`studio.cues.read_cues` tells them).
    """
    if cues is None:
        from studio.cues.reading import read_cues

        cues = read_cues(production).cues
    decisions, requests = read_decisions(production), read_requests(production)
    audience = audience_ratings(production)
    return tuple(
        _result(production, cue, decisions.get(cue.id, ()), requests.get(cue.id, ()), audience)
        for cue in cues
    )


def audience_ratings(production: Production) -> dict[str, float]:
    """Mean rating (1..5) of each cue by test audiences: `work/audience.jsonl`, {cue, rating}."""
    found: dict[str, list[float]] = {}
    for record in read_lines(production.work / "audience.jsonl"):
        cue, rating = record.get("cue"), record.get("rating")
        if isinstance(cue, str) and isinstance(rating, (int, float)):
            found.setdefault(cue, []).append(float(rating))
    return {cue: sum(ratings) / len(ratings) for cue, ratings in found.items()}


def _result(
    production: Production,
    cue: Cue,
    decisions: tuple[Decision, ...],
    requests: tuple[Request, ...],
    audience: Mapping[str, float],
) -> CueResult:
    state = CueState.read(production, cue.id)
    folder = production.folder
    values = dict(state.values)
    if cue.id in audience:
        values["audience"] = audience[cue.id]
    timing = state.timing
    return CueResult(
        cue=cue,
        status=state.status,
        reason=state.reason,
        takes=tuple(_take(folder, t) for t in state.takes),
        chosen=state.chosen,
        shot=None if state.shot is None else folder / state.shot,
        original=_original(folder, state),
        checks=checks_of(values, production.thresholds_of(cue.scene)),
        history=state.history,
        decisions=decisions,
        requests=requests,
        delivered=tuple(folder / name for name in state.delivered),
        timing=None if timing is None else folder / timing,
        values=values,
    )


def _take(folder: Path, data: Mapping[str, Any]) -> TakeResult:
    return TakeResult(
        id=str(data["id"]),
        wav=folder / data["wav"],
        timing_json=folder / data["timing"],
        scores=data.get("scores", {}),
        seed=int(data.get("seed", 0)),
        note=str(data.get("note", "")),
        text=str(data.get("text", "")),
        step=str(data.get("step", "")),
    )


def _original(folder: Path, state: CueState) -> Original | None:
    if state.original is None:
        return None
    data = state.original
    return Original(folder / data["footage"], int(data["first"]), int(data["stop"]))


def request_take(
    production: Production,
    cue_id: str,
    *,
    text: str | None = None,
    timing: Path | None = None,
    seed: int | None = None,
    note: str = "",
) -> Request:
    """Ask for another take; the next batch makes it.

    `text` is a new wording, `seed` other dice. `timing` (TextGrid or JSON, inside the
    production's folder) are moved words and phones for the take chosen now. With neither,
    the line is spoken again. Raises `ProductionError` for a cue that is not known, a timing
    that is not one, or nothing to speak.
    """
    state = _known(production, cue_id)
    if text is not None and not text.strip():
        raise ProductionError(f"cue {cue_id}: an empty line cannot be spoken; write some words")
    if timing is not None and (text is not None or seed is not None):
        raise ProductionError(
            f"cue {cue_id}: moved words and phones belong to a take that exists; ask for the new "
            "wording first"
        )
    place = None if timing is None else _own_timing(production, Path(timing), cue_id)
    if place is not None and state.chosen is None:
        raise ProductionError(f"cue {cue_id} has no take yet whose timing could be moved")
    earlier = read_requests(production).get(cue_id, ())
    speaks = place is None
    generation = 1 + sum(r.speaks for r in earlier) + speaks
    return add_request(
        production,
        Request(cue_id, generation, text, place, seed, note, take=None if speaks else state.chosen),
    )


def _own_timing(production: Production, timing: Path, cue_id: str) -> str:
    """The timing's place inside the production, once it proves readable."""
    from align.formats import read_timing
    from media.errors import AlignError

    try:
        inside = (production.folder / timing).resolve().relative_to(production.folder.resolve())
        read_timing(production.folder / inside)
    except ValueError as error:
        raise ProductionError(
            f"cue {cue_id}: the timing '{timing}' lies outside the production; copy it into work/"
        ) from error
    except (AlignError, MediaError) as error:
        raise ProductionError(f"cue {cue_id}: {error}") from error
    return str(inside)


def decide(
    production: Production,
    cue_id: str,
    take: str,
    *,
    by: str,
    circled: bool | None = None,
    rating: float | None = None,
    comment: str | None = None,
    approved: bool | None = None,
) -> Decision:
    """Put on file what somebody decided about a take. An approval also goes to the ledger.

    A circled take is the one that the next batch delivers. Raises `ProductionError` for an
    unknown cue or take, a rating outside 1..5 or nobody's name; `ProvenanceError` when the
    ledger cannot be written (nothing is decided then).
    """
    from studio.ledger import Ledger

    state = _known(production, cue_id)
    chosen = next((t for t in state.takes if t["id"] == take), None)
    if chosen is None:
        names = ", ".join(str(t["id"]) for t in state.takes) or "none yet"
        raise ProductionError(f"cue {cue_id} has no take '{take}'; it has {names}")
    if not by.strip():
        raise ProductionError("a decision needs the name of who decided")
    if rating is not None and not 1 <= rating <= 5:
        raise ProductionError(f"a rating of {rating:g} is not one of 1 to 5")
    step = str(chosen.get("step", ""))
    if approved is not None:
        Ledger(production.ledger).append(
            "cue.approved" if approved else "cue.disapproved",
            cue=cue_id,
            take=take,
            step=step,
            by=by,
            text=chosen.get("text", ""),
            comment=comment or "",
        )
    return add_decision(
        production, Decision(cue_id, take, by, circled, rating, comment, approved, step)
    )


def _known(production: Production, cue_id: str) -> CueState:
    """The state of a cue that is on file or in a sheet."""
    path = production.work / "cues" / f"{cue_id}.json"
    if "/" not in cue_id and path.is_file():
        return CueState.read(production, cue_id)
    from studio.cues.reading import read_cues

    if cue_id not in {c.id for c in read_cues(production).cues}:
        raise ProductionError(f"there is no cue '{cue_id}' in this production; check its number")
    return CueState.read(production, cue_id)
