"""What test audiences said: one line a viewer and cue, counted with honest intervals.

`work/audience.jsonl` holds one JSON object for each answer sheet. A viewer sees two versions
of a cue without knowing which is which, answers the same questions for both, and says which
one they prefer. `rating` is how believable the made version was (1..5): the number that
`wildline check` holds against the objective `audience`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from media.errors import OutputError
from studio.batch.records import append_line, read_lines
from studio.batch.states import now
from studio.production import Production

__all__ = ["Estimate", "Tally", "VersionTally", "record_vote", "tallies", "voted", "wilson"]

_FILE = "audience.jsonl"
_LARGEST = 32 << 20  # bytes; a link that leaked must not fill the disk
_Z = 1.959964  # of a 95 % interval
_LOWEST, _HIGHEST = 1, 5  # the rating scale


def wilson(share: float, n: int, z: float = _Z) -> tuple[float, float]:
    """The Wilson score interval of a proportion `share` (0..1) seen in `n` answers.

    Never leaves 0..1 and holds for few answers (E. B. Wilson, 1927). For the mean of any
    answers in 0..1 it is at least as wide as it need be, because nothing in 0..1 varies
    more than yes and no do. With `n` 0 nothing is known: (0, 1).
    """
    if n <= 0:
        return 0.0, 1.0
    middle = share + z * z / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    below = 1 + z * z / n
    # Rounding must not put the share itself outside.
    return min(max(0.0, (middle - half) / below), share), max(
        min(1.0, (middle + half) / below), share
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or a mean rating, its 95 % interval, and of how many answers."""

    value: float | None
    low: float
    high: float
    n: int

    @classmethod
    def of_shares(cls, answers: Sequence[bool]) -> Estimate:
        """The share of yes."""
        n = len(answers)
        share = sum(answers) / n if n else None
        return cls(share, *wilson(share or 0.0, n), n)

    @classmethod
    def of_ratings(cls, ratings: Sequence[float]) -> Estimate:
        """The mean of ratings 1..5."""
        n, span = len(ratings), _HIGHEST - _LOWEST
        mean = sum(ratings) / n if n else None
        low, high = wilson(0.0 if mean is None else (mean - _LOWEST) / span, n)
        return cls(mean, _LOWEST + span * low, _LOWEST + span * high, n)

    def against(self, least: float | None) -> str:
        """ "met" or "missed" when the whole interval says so, "open" while it straddles."""
        if least is None or not self.n:
            return ""
        return "met" if self.low >= least else "missed" if self.high < least else "open"


@dataclass(frozen=True, slots=True)
class VersionTally:
    """Answers about one version. `noticed` is the share who noticed anything odd."""

    name: str
    believable: Estimate
    moved: Estimate
    noticed: Estimate
    own: Mapping[str, Estimate] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """All answers about one cue.

    `prefer` is the share that liked the second of `versions` better, of those who liked one
    better; `undecided` how many did not. `objective` is the threshold, `standing` where the
    believability of the made version is against it.
    """

    cue: str
    viewers: int
    versions: tuple[VersionTally, ...]
    prefer: Estimate
    undecided: int
    objective: float | None
    standing: str


def record_vote(production: Production, vote: Mapping[str, Any]) -> None:
    """Put one answer sheet on file. Raises `OutputError`, also when there are too many."""
    path = production.work / _FILE
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise OutputError(f"cannot write '{path}': it is full; move it away to begin anew")
    append_line(path, {**vote, "time": now()})


def voted(production: Production, viewer: str) -> set[str]:
    """The cues that this viewer has answered."""
    lines = read_lines(production.work / _FILE)
    return {str(v["cue"]) for v in lines if v.get("viewer") == viewer and "cue" in v}


def tallies(production: Production, scenes: Mapping[str, str]) -> dict[str, Tally]:
    """The answers counted, by cue id. `scenes` maps cue ids to their scenes, for objectives."""
    sheets: dict[str, list[dict[str, Any]]] = {}
    for record in read_lines(production.work / _FILE):
        if isinstance(record.get("versions"), dict) and record.get("cue") in scenes:
            sheets.setdefault(str(record["cue"]), []).append(record)
    return {
        cue: _tally(cue, kept, production.thresholds_of(scenes[cue]).audience)
        for cue, kept in sheets.items()
    }


def _tally(cue: str, sheets: Sequence[Mapping[str, Any]], objective: float | None) -> Tally:
    names = sorted({n for s in sheets for n in s["versions"]}, key=lambda n: (n != "original", n))
    versions = tuple(_version(name, _answers(sheets, name)) for name in names)
    prefers = [s.get("prefer") for s in sheets]
    decided = [p == names[-1] for p in prefers if p in names]
    made = versions[-1].believable
    return Tally(
        cue,
        len(sheets),
        versions,
        Estimate.of_shares(decided),
        len(prefers) - len(decided),
        objective,
        made.against(objective),
    )


def _answers(sheets: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    answers = (s["versions"].get(name) for s in sheets)
    return [a for a in answers if isinstance(a, dict)]


def _version(name: str, answers: Sequence[Mapping[str, Any]]) -> VersionTally:
    own_keys = sorted({k for a in answers for k in a.get("own", {})})
    return VersionTally(
        name,
        Estimate.of_ratings([a["believable"] for a in answers if "believable" in a]),
        Estimate.of_ratings([a["moved"] for a in answers if "moved" in a]),
        Estimate.of_shares([bool(a["noticed"]) for a in answers if "noticed" in a]),
        {
            key: _own([a["own"][key] for a in answers if key in a.get("own", {})])
            for key in own_keys
        },
        tuple(str(a["remark"]) for a in answers if a.get("remark")),
    )


def _own(values: Sequence[Any]) -> Estimate:
    if all(isinstance(v, bool) for v in values):
        return Estimate.of_shares([bool(v) for v in values])
    return Estimate.of_ratings([float(v) for v in values if isinstance(v, (int, float))])
