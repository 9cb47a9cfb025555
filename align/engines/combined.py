"""The learned aligner, led by a second one.

PocketSphinx places the words first; the network then searches near them (leaving them costs
log score, so that a guide that is wrong is overruled) and sets every boundary; in clean sound
each then meets the guide's (`align.engines._fusion`). Where one engine loses the words, the
other's times stand.

A word is as sure as both engines' own scores of it say: words below `DOUBTFUL` are probably not
what is said. That both put a word in the same place tells next to nothing, for a wrong word
between right neighbours has no other place to go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from align.engines.nnet import Hearing, NnetAligner, hear
from align.engines.sphinx import SphinxAligner

if TYPE_CHECKING:
    from align.engines import Aligner
    from align.text import Script
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["DOUBTFUL", "CombinedAligner", "weighed"]

DOUBTFUL = 0.5
"""A word whose confidence is below this deserves a look."""
# Log odds that a word is said, from the network's log odds and the logarithm of PocketSphinx's
# confidence. Two witnesses who have learnt from different speech: the weights are a logistic
# regression over words of the sample's reels (as they are, and in noise) and lines of Flite's
# voices, right ones and exchanged ones; the constant leaves the reels next to no remark.
_NETWORK, _SPHINX, _SAID = 0.8, 8.0, 5.0
_LEAST, _MOST = 0.02, 0.99
_LOST = "spread"


class CombinedAligner:
    """`guide` leads, `first` decides. Any aligner may be the guide.

    `hearing` is what a `first` that is not given hears with.
    """

    name = "combined"

    def __init__(
        self,
        first: NnetAligner | None = None,
        guide: Aligner | None = None,
        hearing: Hearing = hear,
    ) -> None:
        self.first = NnetAligner(hearing=hearing) if first is None else first
        self.guide: Aligner = SphinxAligner() if guide is None else guide

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time `script` in `sound`; raises `AlignError` when the words cannot fit."""
        led = self.guide.align(sound, script)
        lost = led.engine == _LOST
        windows = None if lost else _windows(led, script)
        timing = self.first.align_near(sound, script, windows, None if lost else led)
        if timing.engine == _LOST:
            return led
        return timing if lost else weighed(timing, led)


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


def weighed(timing: Timing, other: Timing) -> Timing:
    """`timing`, the network's, with each word as sure as both engines find it.

    Only of PocketSphinx is it known what its confidence is worth; any other guide's counts for
    nothing, and then the network's stands.
    """
    words = timing.words
    if other.engine == SphinxAligner.name and len(other.words) == len(words):
        words = tuple(
            replace(own, confidence=_both(own.confidence, their.confidence))
            for own, their in zip(words, other.words, strict=True)
        )
    phones = list(timing.phones)
    for old, new in zip(timing.words, words, strict=True):
        if new.confidence < old.confidence:
            for index, phone in enumerate(phones):
                if old.start_s <= phone.middle_s < old.end_s:
                    sure = min(phone.confidence, new.confidence)
                    phones[index] = replace(phone, confidence=sure)
    name = f"{timing.engine}+{other.engine}"
    return replace(timing, words=words, phones=tuple(phones), engine=name)


def _both(network: float, sphinx: float) -> float:
    """The confidence of a word of which the engines say so much."""
    chance = float(np.clip(network, _LEAST, _MOST))
    odds = _NETWORK * np.log(chance / (1 - chance)) + _SPHINX * np.log(max(sphinx, 1e-3)) + _SAID
    return float(np.clip(1 / (1 + np.exp(-odds)), _LEAST, _MOST))
