"""The default: the learned aligner, and a second opinion where it is unsure.

Words that the network is sure of are taken as they are. Where any word of a sound is
doubtful, the other engines align the sound too: agreement raises the confidence of a word,
disagreement lowers it below `DOUBTFUL`, so that whoever reads the timing can flag the word.
The times are the learned aligner's, except where it lost the words and another did not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from align.engines.nnet import NnetAligner
from align.engines.sphinx import SphinxAligner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from align.engines import Aligner
    from align.text import Script
    from align.timing import Span, Timing
    from media.audio import Sound

__all__ = ["DOUBTFUL", "CombinedAligner"]

DOUBTFUL = 0.5
"""A word whose confidence is below this deserves a look."""
_AGREE_S = 0.05
_AGREED, _DISAGREED = 0.6, 0.3
_LOST = "spread"


class CombinedAligner:
    """`first` decides; `others` are asked about sounds with a doubtful word."""

    name = "default"

    def __init__(
        self, first: Aligner | None = None, others: Sequence[Aligner] | None = None
    ) -> None:
        self.first: Aligner = NnetAligner() if first is None else first
        self.others: tuple[Aligner, ...] = (SphinxAligner(),) if others is None else tuple(others)

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time `script` in `sound`; raises `AlignError` when the words cannot fit."""
        timing = self.first.align(sound, script)
        if timing.engine != _LOST and all(w.confidence >= DOUBTFUL for w in timing.words):
            return timing
        second = [t for t in (a.align(sound, script) for a in self.others) if t.engine != _LOST]
        if timing.engine == _LOST:
            return second[0] if second else timing
        return compared(timing, second) if second else timing


def compared(timing: Timing, second: Sequence[Timing]) -> Timing:
    """`timing` with the confidence of its doubtful words judged by `second`."""
    words = [_judged(index, word, second) for index, word in enumerate(timing.words)]
    phones = list(timing.phones)
    for old, new in zip(timing.words, words, strict=True):
        if new.confidence < old.confidence:
            for index, phone in enumerate(phones):
                if old.start_s <= phone.middle_s < old.end_s:
                    sure = min(phone.confidence, new.confidence)
                    phones[index] = replace(phone, confidence=sure)
    names = "+".join([timing.engine, *(t.engine for t in second)])
    return replace(timing, words=tuple(words), phones=tuple(phones), engine=names)


def _judged(index: int, word: Span, second: Sequence[Timing]) -> Span:
    """A doubtful word, more sure if any other engine puts it there, less if none does."""
    if word.confidence >= DOUBTFUL:
        return word
    there = [t.words[index] for t in second if index < len(t.words)]
    agreed = any(
        abs(o.start_s - word.start_s) <= _AGREE_S and abs(o.end_s - word.end_s) <= _AGREE_S
        for o in there
    )
    confidence = 0.5 * (word.confidence + _AGREED) if agreed else min(word.confidence, _DISAGREED)
    return replace(word, confidence=confidence)
