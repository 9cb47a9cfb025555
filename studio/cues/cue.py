"""A cue: one line to be made, with where it sits in the film and everything noted about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from media.time import Timecode

__all__ = ["Cue", "CueProblem", "CueSheet", "Variant", "safe_name"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Variant:
    """Another version of a cue; None is as in the cue itself."""

    name: str
    dialogue: str | None = None
    language: str | None = None
    speed: float | None = None
    duration_s: float | None = None
    seed: int | None = None
    delivery: str | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """One line. `start` and `end` (exclusive) are None for a wild line, recorded to no picture.

    `on_screen` is None where the sheet does not say. `take` is what the sheet notes as chosen.
    `variant` names the version that this is, "" for the main one; `delivery` is one of the
    voice's manners, "" for its usual one; `where` is file and row.
    """

    number: str
    character: str
    dialogue: str
    start: Timecode | None = None
    end: Timecode | None = None
    reel: str = ""
    scene: str = ""
    alternate: str = ""
    reason: str = ""
    on_screen: bool | None = None
    priority: str = ""
    notes: str = ""
    take: str = ""
    variants: tuple[Variant, ...] = ()
    variant: str = ""
    language: str = ""
    delivery: str = ""
    speed: float = 1.0
    duration_s: float | None = None
    seed: int | None = None
    where: str = ""

    @property
    def id(self) -> str:
        """The name of everything made for this cue: "12A", or "12A.fr" for a variant."""
        number = safe_name(self.number)
        return f"{number}.{safe_name(self.variant)}" if self.variant else number

    @property
    def frames(self) -> int | None:
        """Length in frames; None for a wild line."""
        if self.start is None or self.end is None:
            return None
        return self.end.frames - self.start.frames

    @property
    def length_s(self) -> float | None:
        """Length in seconds; None for a wild line."""
        if self.start is None or self.end is None:
            return None
        return float(self.end.seconds - self.start.seconds)

    def versions(self) -> tuple[Cue, ...]:
        """The cue itself, then one cue for each of its variants."""
        return (replace(self, variants=()), *map(self._as, self.variants))

    def _as(self, variant: Variant) -> Cue:
        return replace(
            self,
            variants=(),
            variant=variant.name,
            dialogue=self.dialogue if variant.dialogue is None else variant.dialogue,
            language=variant.language or self.language,
            delivery=self.delivery if variant.delivery is None else variant.delivery,
            speed=self.speed if variant.speed is None else variant.speed,
            duration_s=self.duration_s if variant.duration_s is None else variant.duration_s,
            seed=self.seed if variant.seed is None else variant.seed,
        )


@dataclass(frozen=True, slots=True)
class CueProblem:
    """What is wrong with a row: `row` counts from 1 as the file does, `column` is its heading.

    A `fatal` one keeps the row from being made; others are worth a look.
    """

    file: str
    row: int
    column: str
    sentence: str
    fatal: bool = True

    def __str__(self) -> str:
        column = f", column '{self.column}'" if self.column else ""
        return f"{self.file}, row {self.row}{column}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class CueSheet:
    """The cues that were read, in order, and what was wrong with the rest."""

    cues: tuple[Cue, ...] = ()
    problems: tuple[CueProblem, ...] = ()

    @classmethod
    def joined(cls, sheets: Iterable[CueSheet]) -> CueSheet:
        """Several sheets as one."""
        kept = list(sheets)
        return cls(
            tuple(c for s in kept for c in s.cues), tuple(p for s in kept for p in s.problems)
        )


def safe_name(text: str) -> str:
    """`text` as a file name: letters, digits, dot, dash and underscore; never hidden."""
    name = _UNSAFE.sub("_", text.strip()).strip("._-")[:_LONGEST_NAME]
    return name or "cue"
