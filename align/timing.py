"""Words and phones in time: the one timing that voice, align and lipsync share."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from media.errors import AlignError

__all__ = ["Span", "Timing"]


@dataclass(frozen=True, slots=True)
class Span:
    """One labelled stretch of time.

    `start_s` and `end_s` are seconds from the start of the sound (a measured quantity,
    hence float; whoever turns them into frame or sample indices goes through
    `media.time.FrameRate`). `confidence` lies in 0..1; 1 means known, not estimated.
    """

    label: str
    start_s: float
    end_s: float
    confidence: float = 1.0

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    @property
    def middle_s(self) -> float:
        """Centre in seconds."""
        return 0.5 * (self.start_s + self.end_s)


@dataclass(frozen=True, slots=True)
class Timing:
    """The words and phones of one sound, in order, not overlapping.

    `words` carry the words as written; `phones` are ARPAbet without stress digits for
    English and IPA otherwise. Silence is not stored: it is every gap between phones,
    so that a pause can never disagree with its neighbours. `duration_s` is the length
    of the whole sound; `engine` names what made the timing ("exact", "sphinx", ...).
    `notes` are remarks for the editor on stretches of the sound ("not heard: the"); they
    may overlap and change nothing.

    Raises `AlignError` when spans are out of order, overlap or have no length, and for times
    that are not finite or a length below nought.
    """

    words: tuple[Span, ...]
    phones: tuple[Span, ...]
    duration_s: float
    engine: str = ""
    language: str = "en"
    notes: tuple[Span, ...] = ()
    _starts: tuple[float, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        for tier, spans in (("word", self.words), ("phone", self.phones)):
            end = 0.0
            for span in spans:
                if not span.end_s > span.start_s or span.start_s < end - 1e-6:
                    raise AlignError(
                        f"{tier} '{span.label}' at {span.start_s:.3f}-{span.end_s:.3f} s "
                        "overlaps its neighbour or has no length; mend the timing there"
                    )
                end = span.end_s
            if not math.isfinite(end):  # the last is the latest: the others are finite, too
                raise AlignError(f"the last {tier} never ends; mend the timing there")
        if not (math.isfinite(self.duration_s) and self.duration_s >= 0):
            raise AlignError(f"a sound cannot last {self.duration_s} s; mend the timing's length")
        object.__setattr__(self, "_starts", tuple(p.start_s for p in self.phones))

    def phone_at(self, time_s: float) -> Span | None:
        """The phone that sounds at `time_s` (seconds), or None in silence."""
        i = bisect.bisect_right(self._starts, time_s) - 1
        if i >= 0 and time_s < self.phones[i].end_s:
            return self.phones[i]
        return None

    def silences(self, at_least_s: float = 0.0) -> Iterator[Span]:
        """Gaps between phones (and at both ends) of at least `at_least_s` seconds."""
        at = 0.0
        for phone in self.phones:
            if phone.start_s - at > max(at_least_s, 1e-9):
                yield Span("", at, phone.start_s)
            at = phone.end_s
        if self.duration_s - at > max(at_least_s, 1e-9):
            yield Span("", at, self.duration_s)

    def phones_of(self, word: Span) -> tuple[Span, ...]:
        """The phones whose centres lie inside `word`."""
        return tuple(p for p in self.phones if word.start_s <= p.middle_s < word.end_s)

    def shifted(self, by_s: float, duration_s: float | None = None) -> Timing:
        """The same timing moved by `by_s` seconds, for a sound laid into a longer one."""

        def move(spans: tuple[Span, ...]) -> tuple[Span, ...]:
            return tuple(replace(s, start_s=s.start_s + by_s, end_s=s.end_s + by_s) for s in spans)

        return replace(
            self,
            words=move(self.words),
            phones=move(self.phones),
            notes=move(self.notes),
            duration_s=self.duration_s + by_s if duration_s is None else duration_s,
        )

    @property
    def text(self) -> str:
        """The words joined by spaces."""
        return " ".join(w.label for w in self.words)
