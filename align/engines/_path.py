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
    frames, states, words = len(scores), len(graph), len(graph.ends)
    if whole and frames < graph.shortest:
        return None
    moved = np.zeros((frames, -(-states // 8)), np.uint8)
    from_pause = np.zeros((frames, -(-words // 8)), np.uint8)
    chosen = np.zeros((frames, words), np.int8)
    cost = np.zeros(states, np.float32)
    cost[graph.pauses] = pause_cost
    table = np.full(states + 2 * words + 1, _NEVER, np.float32)
    reach = np.full(states + 1, _NEVER, np.float32)  # one more for the padding of `ends`
    starts = graph.before == states + words
    reach[:-1][starts] = scores[0][graph.phone[starts]]
    reach[graph.pauses[0]] = scores[0][SILENCE]
    rows = np.arange(words)
    for t in range(1, frames):
        at_ends = reach[graph.ends]
        best = at_ends.argmax(axis=1)
        ended = at_ends[rows, best]
        paused = reach[graph.pauses[:-1]]
        entry = paused.copy()
        np.maximum(entry[1:], ended[:-1], out=entry[1:])
        table[:states], table[states:-1] = reach[:-1], np.concatenate([ended, entry])
        came = table[graph.before]
        came += boundary[t] * graph.opens
        came -= cost
        stay = reach[:-1]
        moves = came > stay
        moved[t] = np.packbits(moves)
        from_pause[t] = np.packbits(paused >= entry)
        chosen[t] = best
        reach[:-1] = np.where(moves, came, stay) + scores[t][graph.phone]
        if leash is not None:
            reach[:-1] -= leash[t][graph.word]
    goals = [*graph.ends[-1], graph.pauses[-1]] if whole else [*graph.ends.flat, *graph.pauses[1:]]
    last = max(goals, key=lambda s: float(reach[s]))
    if reach[last] <= 0.5 * _NEVER:
        return None
    return _traced(graph, last, moved, from_pause, chosen), float(reach[last]) / frames


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
