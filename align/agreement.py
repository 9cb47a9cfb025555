"""What a text and a recogniser agree on, and what only one of them says.

Transcripts leave words out and add some, and recognisers mishear. `compare` lays the words
of a text over those that were heard with the fewest changes (Needleman & Wunsch 1970,
over whole words first, then phone by phone where they differ, so that "into" and "in to" are
the same and "fan" is a mishearing of "fine"). What is left over on either side is told
apart by the phones: words of the text that have none of the heard ones, and heard words that
have none of the text's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from align.normalise import normalise
from align.phones import without_stress
from media.errors import TextError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.text import Script
    from align.timing import Span

__all__ = [
    "Added",
    "Agreement",
    "HeardWord",
    "compare",
    "compare_spoken",
    "heard_words",
    "key_of",
    "pair_up",
]

_CHANGE, _GAP = 1.2, 0.7
# A row of decisions may look this far to either side of the straight line at least.
_BAND = 1500
_MOST_CELLS = 40_000_000
# Below this share of its phones a word has no counterpart.
_COUNTERPART = 0.34
# From this share on two words are one, misheard.
_ALIKE = 0.65
# Words of so many phones tell one text from another, if there are a few of them.
_LONG, _ENOUGH = 4, 3
# Heard words that the recogniser is less sure of are not held against the text.
_SURE = 0.6
# A word that takes no time was made up, and a single phone is soon misheard.
_LEAST_WORD_S, _LEAST_PHONES = 0.05, 2


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One spoken word that was heard: its rough time, and how sure the recogniser is."""

    key: str
    span: Span


@dataclass(frozen=True, slots=True)
class Added:
    """Words that are heard before word `at` of the text but are not in it."""

    at: int
    words: tuple[HeardWord, ...]

    @property
    def text(self) -> str:
        """The words as the recogniser writes them."""
        labels = dict.fromkeys((w.span.start_s, w.span.label) for w in self.words)
        return " ".join(label for _, label in labels)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a text and what was heard fit together.

    `counterpart` has for each spoken word of the text the index of the heard word that is
    the same, -1 where none is. `share` (0..1) says how many of the longer words of the shorter
    side have a counterpart on the other (the short ones are in every text), and `compared`
    how many these are. `unheard` are words of the text without any counterpart.
    """

    counterpart: tuple[int, ...]
    heard: tuple[HeardWord, ...]
    unheard: frozenset[int]
    added: tuple[Added, ...]
    share: float
    compared: int


def pair_up(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """The global alignment of two sequences: (i, j) of all steps, -1 for "nothing there".

    Time and memory are those of a band around the diagonal: an hour of words takes a second.
    """
    n, m = len(one), len(other)
    if not n or not m:
        return [(i, -1) for i in range(n)] + [(-1, j) for j in range(m)]
    names = {key: number for number, key in enumerate(dict.fromkeys((*one, *other)))}
    a = np.array([names[k] for k in one], dtype=np.int32)
    b = np.array([names[k] for k in other], dtype=np.int32)
    half = m if n * m <= _MOST_CELLS else max(_BAND, _MOST_CELLS // (2 * n))
    return _backwards(*_decisions(a, b, half))


def _decisions(
    a: NDArray[np.int32], b: NDArray[np.int32], half: int
) -> tuple[list[NDArray[np.int8]], list[int], int, int]:
    """For every row its cheapest last steps (0 both, 1 only a, 2 only b), and where it begins."""
    n, m = len(a), len(b)
    rows: list[NDArray[np.int8]] = []
    begins: list[int] = []
    before = np.arange(min(m, half) + 1) * _GAP
    begin = 0
    for i in range(1, n + 1):
        middle = i * m // n
        low, high = max(0, middle - half), min(m, middle + half)
        width = high - low + 1
        padded = np.full(width + 1, np.inf)  # cost of (i - 1, low - 1 ... high)
        offset = low - 1 - begin
        first, last = max(0, -offset), min(width + 1, len(before) - offset)
        if last > first:
            padded[first:last] = before[offset + first : offset + last]
        both = np.full(width, np.inf)
        start = 1 if low == 0 else 0
        same = b[low - 1 + start : high] == a[i - 1]
        both[start:] = padded[start:width] + np.where(same, 0.0, _CHANGE)
        only_a = padded[1:] + _GAP
        best = np.minimum(both, only_a)
        ramp = np.arange(width) * _GAP
        cost = np.minimum.accumulate(best - ramp) + ramp
        step = np.where(cost < best - 1e-9, 2, np.where(both <= only_a, 0, 1))
        rows.append(step.astype(np.int8))
        begins.append(low)
        before, begin = cost, low
    return rows, begins, n, m


def _backwards(
    rows: list[NDArray[np.int8]], begins: list[int], n: int, m: int
) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []
    i, j = n, m
    while i > 0 or j > 0:
        step = 2 if i == 0 else int(rows[i - 1][j - begins[i - 1]])
        if step == 0:
            i, j = i - 1, j - 1
            steps.append((i, j))
        elif step == 1:
            i -= 1
            steps.append((i, -1))
        else:
            j -= 1
            steps.append((-1, j))
    return steps[::-1]


def key_of(word: str) -> str:
    """A spoken word as words are compared: its letters a-z, if it has any."""
    return re.sub(r"[^a-z]", "", word.lower()) or word


@lru_cache(maxsize=4096)
def _phones(word: str) -> tuple[str, ...]:
    from align.text import speakable

    try:
        return tuple(without_stress(p) for p in speakable(word).phones)
    except TextError:
        return ()


def heard_words(words: Sequence[Span]) -> tuple[HeardWord, ...]:
    """Spoken words that were heard: "1963" is three of them, all with its time."""
    found: list[HeardWord] = []
    for span in words:
        for piece in normalise(span.label).pieces:
            if piece.kind != "punct":
                found.append(HeardWord(key_of(piece.text), span))
    return tuple(found)


def compare(script: Script, words: Sequence[Span]) -> Agreement:
    """Lay the words of `script` over recognised `words` with rough times."""
    return compare_spoken(script, heard_words(words))


def compare_spoken(script: Script, heard: tuple[HeardWord, ...]) -> Agreement:
    """Lay the words of `script` over spoken words that were heard."""
    own = [key_of(w.spoken) for w in script.words]
    counterpart = [-1] * len(own)
    unheard: set[int] = set()
    added: list[Added] = []
    alike: set[int] = set()
    run: list[tuple[int, int]] = []
    position = 0
    for i, j in [*pair_up(own, [h.key for h in heard]), (len(own), -2)]:
        same = j == -2 or (i >= 0 and j >= 0 and own[i] == heard[j].key)
        if not same:
            run.append((i, j))
            continue
        if run:
            alike |= _settle_run(script, heard, run, position, unheard, added)
            run = []
        if j >= 0:
            counterpart[i] = j
            alike.add(i)
        position = i + 1
    share, compared = _share(script, heard, alike)
    return Agreement(tuple(counterpart), heard, frozenset(unheard), tuple(added), share, compared)


def _share(script: Script, heard: Sequence[HeardWord], alike: set[int]) -> tuple[float, int]:
    for least in (_LONG, 1):
        own = [i for i, w in enumerate(script.words) if len(w.phones) >= least]
        their = sum(len(_phones(h.key)) >= least for h in heard)
        total = min(len(own), their)
        if total >= _ENOUGH or (total and least == 1):
            return min(1.0, sum(i in alike for i in own) / total), total
    return 0.0, 0


def _settle_run(
    script: Script,
    heard: Sequence[HeardWord],
    run: Sequence[tuple[int, int]],
    position: int,
    unheard: set[int],
    added: list[Added],
) -> set[int]:
    """Words that differ, phone by phone; returns those of ours that sound alike anyway."""
    ours = [i for i, _ in run if i >= 0]
    theirs = [j for _, j in run if j >= 0]
    own = [(i, without_stress(p)) for i in ours for p in script.words[i].phones]
    their = [(j, p) for j in theirs for p in _phones(heard[j].key)]
    hits_own = dict.fromkeys(ours, 0)
    hits_their = dict.fromkeys(theirs, 0)
    reached = dict.fromkeys(theirs, position)  # the word of the text that follows
    at = position
    for a, b in pair_up([p for _, p in own], [p for _, p in their]):
        if a >= 0:
            at = own[a][0] + 1
        if b >= 0:
            reached[their[b][0]] = at
        if a >= 0 and b >= 0 and own[a][1] == their[b][1]:
            hits_own[own[a][0]] += 1
            hits_their[their[b][0]] += 1
    for i in ours:
        if hits_own[i] < _COUNTERPART * len(script.words[i].phones):
            unheard.add(i)
    extra = [
        j
        for j in theirs
        if hits_their[j] < _COUNTERPART * max(1, len(_phones(heard[j].key)))
        and heard[j].span.confidence >= _SURE
        and heard[j].span.duration_s >= _LEAST_WORD_S
    ]
    # As many left over on both sides in one place: one thing, heard as another.
    strange = [i for i in ours if i in unheard]
    if len(extra) <= len(strange):
        extra = []
    if sum(len(_phones(heard[j].key)) for j in extra) < _LEAST_PHONES:
        extra = []
    for j in extra:
        if added and added[-1].at == reached[j] and heard[j - 1] in added[-1].words[-1:]:
            added[-1] = Added(reached[j], (*added[-1].words, heard[j]))
        else:
            added.append(Added(reached[j], (heard[j],)))
    return {i for i in ours if hits_own[i] >= _ALIKE * len(script.words[i].phones)}
