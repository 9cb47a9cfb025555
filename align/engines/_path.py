"""The best way through the words: an exact Viterbi search over their pronunciations.

Every word is a choice of phone chains, with an optional pause before each word and after
the last. A phone lasts a frame of 10 ms at least, or as many as it is asked to. The search is
complete; a step is a handful of array operations, and what it remembers is one bit per frame and
state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from align.engines._network import PHONES, SILENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["Graph", "Step", "best_path", "build_graph"]

_NEVER = np.float32(-1e30)
# Frames gone through before bits are packed.
_BLOCK = 64
_NUMBER = {phone: number for number, phone in enumerate(PHONES)}


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """States of a line, left to right.

    `phone` and `word` int64 [states] (word -1 is a pause); `opens` float32 [states] is 1 where a
    phone or pause begins and 0 inside a phone. `before` int64 [states] points
    into [states | ends of words | entries of words | nowhere]: what a state follows. `ends`
    int64 [words, variants]: last states of each pronunciation, padded with the number of
    states. `pauses` int64 [words + 1]. `shortest` is the least number of frames.
    """

    phone: Ints
    word: Ints
    opens: Floats
    before: Ints
    ends: Ints
    pauses: Ints
    shortest: int

    def __len__(self) -> int:
        return len(self.phone)


@dataclass(frozen=True, slots=True)
class Step:
    """A stay in one state: the word (-1 in a pause), the class, frames [start, stop)."""

    word: int
    phone: int
    start: int
    stop: int


def build_graph(words: Sequence[Sequence[str]], least: int = 1) -> Graph:
    """`words` are the pronunciations of each word, phones joined by spaces.

    A phone lasts `least` frames or more.
    """
    phone: list[int] = []
    word: list[int] = []
    opens: list[float] = []
    before: list[int] = []
    pauses: list[int] = []
    ends: list[list[int]] = []
    first_marks: list[tuple[int, int]] = []
    for number, variants in enumerate(words):
        pauses.append(len(phone))
        phone, word, before = [*phone, SILENCE], [*word, -1], [*before, -1]
        opens.append(1.0)
        ends.append([])
        for variant in variants:
            chain = [_NUMBER[p] for p in variant.split() for _ in range(least)]
            first_marks.append((len(phone), number))
            before += [-1, *range(len(phone), len(phone) + len(chain) - 1)]
            phone += chain
            word += [number] * len(chain)
            opens += ([1.0] + [0.0] * (least - 1)) * (len(chain) // least)
            ends[-1].append(len(phone) - 1)
    pauses.append(len(phone))
    phone, word, before, opens = [*phone, SILENCE], [*word, -1], [*before, -1], [*opens, 1.0]
    states, count = len(phone), len(words)
    for at, number in first_marks:
        before[at] = states + count + number
    for number, at in enumerate(pauses):
        # Nothing comes before the first pause: the last place of the table is never reached.
        before[at] = states + number - 1 if number else states + 2 * count
    widest = max(len(e) for e in ends)
    padded = [e + [states] * (widest - len(e)) for e in ends]
    shortest = least * sum(min(len(v.split()) for v in variants) for variants in words)
    marks = np.array(opens, np.float32)

    def ints(numbers: object) -> Ints:
        return np.array(numbers, np.int64)

    return Graph(ints(phone), ints(word), marks, ints(before), ints(padded), ints(pauses), shortest)


def best_path(
    graph: Graph,
    scores: Floats,
    boundary: Floats,
    pause_cost: float,
    leash: Floats | None = None,
    *,
    whole: bool = True,
) -> tuple[list[Step], float] | None:
    """The best way and its mean score per frame, or None when the sound is too short.

    Unless `whole`, the sound may end after any of the words: the best number of them is taken.

    `scores` float32 [n, 40] are log scores of the classes, `boundary` float32 [n] the log
    odds that a boundary lies where frame t begins; changing state at t earns them. `leash`
    float32 [n, words + 1] is what each word costs in each frame (the last column, pauses).
    """
    frames = len(scores)
    if whole and frames < graph.shortest:
        return None
    search = _Search(graph, scores[0])
    for at in range(1, frames, _BLOCK):
        block = slice(at, at + _BLOCK)
        sounds = scores[block].take(graph.phone, axis=1)
        if leash is not None:
            sounds -= leash[block].take(graph.word, axis=1)
        gains = boundary[block, None] * graph.opens
        gains[:, graph.pauses] -= np.float32(pause_cost)
        search.go(sounds, gains)
    goals = [*graph.ends[-1], graph.pauses[-1]] if whole else [*graph.ends.flat, *graph.pauses[1:]]
    last = max(goals, key=lambda s: float(search.table[s]))
    if search.table[last] <= 0.5 * _NEVER:
        return None
    return _traced(graph, last, *search.choices()), float(search.table[last]) / frames


class _Search:
    """The best scores so far, and what there was to choose in every frame.

    `table` float32 holds the states, nowhere, the ends of words, the entries of words: one
    `take` finds what every state follows.
    """

    def __init__(self, graph: Graph, scores: Floats) -> None:
        states, words = len(graph), len(graph.ends)
        self._states, self._words = states, words
        self.table = np.full(states + 1 + 2 * words, _NEVER, np.float32)
        starts = graph.before == states + words
        self.table[:states][starts] = scores[graph.phone[starts]]
        self.table[graph.pauses[0]] = scores[SILENCE]
        # `Graph.before` has nowhere last; a padded end of `Graph.ends` is nowhere already.
        after = np.where(graph.before == states + 2 * words, -1, graph.before - states)
        self._before = np.where(graph.before < states, graph.before, states + 1 + after)
        self._ends = np.ascontiguousarray(graph.ends.T)
        self._pauses = graph.pauses[:-1].copy()
        self._moved = [np.zeros((1, -(-states // 8)), np.uint8)]
        self._from_pause = [np.zeros((1, -(-words // 8)), np.uint8)]
        self._variant = [np.zeros((1, words), np.int8)]

    def go(self, sounds: Floats, gains: Floats) -> None:
        """On by as many frames as `sounds` and `gains` float32 [n, states] have: what a frame
        sounds like in each state, and what entering the state earns.
        """
        count, states, words = len(sounds), self._states, self._words
        table, reach = self.table, self.table[:states]
        left = table[states : states + words]  # what lies before each word: nowhere, or a word
        ended = table[states + 1 : states + 1 + words]
        entry = table[states + 1 + words :]
        ends = np.empty((count, *self._ends.shape), np.float32)
        paused, entries = (np.empty((count, words), np.float32) for _ in range(2))
        came, moved = np.empty(states, np.float32), np.empty((count, states), np.bool_)
        for k in range(count):
            table.take(self._ends, out=ends[k], mode="clip")
            np.maximum.reduce(ends[k], axis=0, out=ended)
            reach.take(self._pauses, out=paused[k], mode="clip")
            np.maximum(paused[k], left, out=entry)
            entries[k] = entry
            table.take(self._before, out=came, mode="clip")
            came += gains[k]
            np.greater(came, reach, out=moved[k])
            np.maximum(came, reach, out=reach)
            reach += sounds[k]
        self._moved.append(np.packbits(moved, axis=1))
        self._from_pause.append(np.packbits(paused >= entries, axis=1))
        self._variant.append(ends.argmax(axis=1).astype(np.int8))

    def choices(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int8]]:
        """Of every frame: bits of the states that were entered, bits of the words whose pause
        is the better of their neighbours on the left, and the best way to have said each word.
        """
        moved, from_pause = (np.concatenate(x) for x in (self._moved, self._from_pause))
        return moved, from_pause, np.concatenate(self._variant)


def _bit(row: NDArray[np.uint8], index: int) -> bool:
    return bool(row[index >> 3] >> (7 - (index & 7)) & 1)


def _traced(
    graph: Graph,
    last: int,
    moved: NDArray[np.uint8],
    from_pause: NDArray[np.uint8],
    chosen: NDArray[np.int8],
) -> list[Step]:
    """Back from state `last` at the end to the beginning."""
    states, words = len(graph), len(graph.ends)
    steps: list[Step] = []
    state, stop = last, len(moved)
    for t in range(len(moved) - 1, 0, -1):
        if not _bit(moved[t], state):
            continue
        source = int(graph.before[state])
        if not graph.opens[state]:
            state = source
            continue
        steps.append(Step(int(graph.word[state]), int(graph.phone[state]), t, stop))
        stop = t
        if source >= states + words:
            number = source - states - words
            if _bit(from_pause[t], number):
                source = int(graph.pauses[number])
            else:
                source = states + number - 1
        if source >= states:
            number = source - states
            source = int(graph.ends[number, chosen[t, number]])
        state = source
    steps.append(Step(int(graph.word[state]), int(graph.phone[state]), 0, stop))
    return steps[::-1]
