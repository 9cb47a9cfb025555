"""The learned aligner, led by a second one.

PocketSphinx places the words first; the network then searches near them (leaving them costs
log score, so that a guide that is wrong is overruled) and sets every boundary; in clean sound
each then meets the guide's (`align.engines._fusion`). Where the two still disagree about a word
that the network doubts, its confidence falls below `DOUBTFUL`, so that whoever reads the timing
can flag the word; agreement raises it. Where one engine loses the words, the other's times stand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from align.engines.nnet import NnetAligner
from align.engines.sphinx import SphinxAligner

if TYPE_CHECKING:
    from align.engines import Aligner
    from align.text import Script
    from align.timing import Span, Timing
    from media.audio import Sound

__all__ = ["DOUBTFUL", "CombinedAligner", "compared"]

DOUBTFUL = 0.5
"""A word whose confidence is below this deserves a look."""
_AGREE_S = 0.05
_AGREED, _DISAGREED = 0.6, 0.3
_LOST = "spread"


class CombinedAligner:
    """`guide` leads, `first` decides. Any aligner may be the guide."""

    name = "combined"

    def __init__(self, first: NnetAligner | None = None, guide: Aligner | None = None) -> None:
        self.first = NnetAligner() if first is None else first
        self.guide: Aligner = SphinxAligner() if guide is None else guide

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time `script` in `sound`; raises `AlignError` when the words cannot fit."""
        led = self.guide.align(sound, script)
        lost = led.engine == _LOST
        windows = None if lost else _windows(led, script)
        timing = self.first.align_near(sound, script, windows, None if lost else led)
        if timing.engine == _LOST:
            return led
        return timing if lost else compared(timing, led)


def _windows(timing: Timing, script: Script) -> list[tuple[float, float]] | None:
    """Where each spoken word lies; those of one written word share its place."""
    runs = script.written_words()
    if len(runs) != len(timing.words):
        return None
    return [
        (word.start_s, word.end_s)
        for (first, last), word in zip(runs, timing.words, strict=True)
        for _ in range(first, last)
    ]


def compared(timing: Timing, other: Timing) -> Timing:
    """`timing` with the confidence of its doubtful words judged by `other`."""
    words = [_judged(index, word, other) for index, word in enumerate(timing.words)]
    phones = list(timing.phones)
    for old, new in zip(timing.words, words, strict=True):
        if new.confidence < old.confidence:
            for index, phone in enumerate(phones):
                if old.start_s <= phone.middle_s < old.end_s:
                    sure = min(phone.confidence, new.confidence)
                    phones[index] = replace(phone, confidence=sure)
    name = f"{timing.engine}+{other.engine}"
    return replace(timing, words=tuple(words), phones=tuple(phones), engine=name)


def _judged(index: int, word: Span, other: Timing) -> Span:
    """A doubtful word, more sure if the other engine puts it there, less if not."""
    if word.confidence >= DOUBTFUL:
        return word
    there = other.words[index] if index < len(other.words) else None
    agreed = there is not None and (
        abs(there.start_s - word.start_s) <= _AGREE_S and abs(there.end_s - word.end_s) <= _AGREE_S
    )
    confidence = 0.5 * (word.confidence + _AGREED) if agreed else min(word.confidence, _DISAGREED)
    return replace(word, confidence=confidence)
