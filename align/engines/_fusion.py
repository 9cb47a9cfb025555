"""Boundaries of one aligner moved towards those of another.

Two engines that learnt from different speech err in different places, so a boundary between
theirs is nearer to the truth than either. How far to go was found on speech of four voices of
Flite and on Kokoro's, both with known times: half of it, which within words also halves what
either gets quite wrong. Between words it is half of 30 ms at most and only to the earlier side,
for an engine that is late there has mostly heard a word ring on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from align.engines.nnet import Placed
    from align.text import Script
    from align.timing import Span, Timing

__all__ = ["halfway", "pairs"]


@dataclass(frozen=True, slots=True)
class _Pull:
    """A share of the way to the other's boundary, counted as so much earlier or later at most."""

    share: float
    earlier_s: float
    later_s: float


_WITHIN = _Pull(0.5, inf, inf)
_BETWEEN = _Pull(0.5, 0.03, 0.0)
_AT_PAUSE = _Pull(0.5, 0.03, 0.03)
# Nearer than this two phones share their boundary.
_TOUCH_S = 1e-6


def halfway(phones: Sequence[Placed], script: Script, other: Timing) -> list[Placed]:
    """`phones` of `script` with every boundary that `other` has too moved towards its place."""
    partner = pairs(phones, script, other)
    begins = [p.start_s for p in phones]
    ends = [p.end_s for p in phones]
    starts = [None if a is None else a - b for (a, _), b in zip(partner, begins, strict=True)]
    stops = [None if a is None else a - b for (_, a), b in zip(partner, ends, strict=True)]
    if phones:
        begins[0] += _move(_AT_PAUSE, starts[0])
        ends[-1] += _move(_AT_PAUSE, stops[-1])
    for i, (left, right) in enumerate(pairwise(phones)):
        if right.start_s - left.end_s > _TOUCH_S:
            ends[i] += _move(_AT_PAUSE, stops[i])
            begins[i + 1] += _move(_AT_PAUSE, starts[i + 1])
        else:
            pull = _WITHIN if left.word == right.word else _BETWEEN
            ends[i] += _move(pull, stops[i], starts[i + 1])
            begins[i + 1] = ends[i]
    return [
        replace(p, start_s=a, end_s=b) if b > a else p
        for p, a, b in zip(phones, begins, ends, strict=True)
    ]


def _move(pull: _Pull, *away: float | None) -> float:
    """How far to go when the other's boundary is `away` seconds later (None, has none)."""
    known = [a for a in away if a is not None]
    if not known:
        return 0.0
    return pull.share * float(np.clip(np.mean(known), -pull.earlier_s, pull.later_s))


def pairs(
    phones: Sequence[Placed], script: Script, other: Timing
) -> list[tuple[float | None, float | None]]:
    """Start and end that `other` gives each phone, None where it has no such boundary.

    Words that it pronounces in another way have only their first start and last end in common.
    """
    found: list[tuple[float | None, float | None]] = [(None, None)] * len(phones)
    runs = script.written_words()
    if len(runs) != len(other.words):
        return found
    for (first, last), word in zip(runs, other.words, strict=True):
        own = [i for i, p in enumerate(phones) if first <= p.word < last]
        if not own:
            continue
        theirs = _inside(other, word)
        if [phones[i].phone for i in own] == [p.label for p in theirs]:
            for i, span in zip(own, theirs, strict=True):
                found[i] = (span.start_s, span.end_s)
        else:
            found[own[0]] = (word.start_s, found[own[0]][1])
            found[own[-1]] = (found[own[-1]][0], word.end_s)
    return found


def _inside(timing: Timing, word: Span) -> list[Span]:
    return [p for p in timing.phones if word.start_s <= p.middle_s < word.end_s]
