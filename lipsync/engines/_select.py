"""The cheapest path through a bank of mouths: dynamic programming over candidates.

One frame's cost is a squared distance between what is wanted and what a mouth is, both
weighted vectors, so all frames against the whole bank are one matrix product. Going from
one mouth to the next is free where the footage itself goes on, cheap where it goes on a
little faster or slower, and otherwise costs what the eye would see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bank", "Wanted", "cheapest_path"]

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]

_CANDIDATES = 70
_FOLLOWERS = 30
_JOIN = 2.5
_UNEVEN = 0.8
# Added where a mouth that is not shut would stand where it must be.
_OPEN_PENALTY = 1e3
# Frames whose costs against the whole bank are held at once.
_BLOCK = 128


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """What the search knows of n mouths.

    `target` float32[n, d] weighted features compared with what is wanted; `penalty`
    float32[n] is added always; `look` float32[n, e] weighted appearance and shape,
    compared between neighbours; `shut` bool[n]; `source` and `frame` where it comes from;
    `step` float32[n] source frames per target frame.
    """

    target: Floats
    penalty: Floats
    look: Floats
    shut: NDArray[np.bool_]
    source: Ints
    frame: Ints
    step: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is wanted of t frames in a row: `target` float32[t, d]; `shut` bool[t]."""

    target: Floats
    shut: NDArray[np.bool_]


def cheapest_path(bank: Bank, wanted: Wanted) -> Ints:
    """Numbers of the mouths to show, intp[t]. Memory does not grow with t times n."""
    candidates, costs = _candidates(bank, wanted)
    total = costs[0]
    back: list[Ints] = []
    for t in range(1, len(candidates)):
        ways = total[:, None] + _join(bank, candidates[t - 1], candidates[t])
        best = ways.argmin(0)
        back.append(best)
        total = ways[best, np.arange(len(best))] + costs[t]
    at = int(total.argmin())
    path = [int(candidates[-1][at])]
    for t in range(len(back) - 1, -1, -1):
        at = int(back[t][at])
        path.append(int(candidates[t][at]))
    return np.array(path[::-1], np.intp)


def _candidates(bank: Bank, wanted: Wanted) -> tuple[list[Ints], list[Floats]]:
    """For every frame the mouths worth considering, and what each costs there.

    The cheapest ones, and those with which the cheapest of the frame before would go on.
    """
    follower = _followers(bank)
    candidates: list[Ints] = []
    costs: list[Floats] = []
    before = np.zeros(0, np.intp)
    for start in range(0, len(wanted.target), _BLOCK):
        block = slice(start, start + _BLOCK)
        for row in _costs(bank, wanted.target[block], wanted.shut[block]):
            best = _best(row, _CANDIDATES)
            near = follower[before[:_FOLLOWERS]]
            now = np.union1d(best, near[near >= 0])
            candidates.append(now)
            costs.append(row[now])
            before = best
    return candidates, costs


def _costs(bank: Bank, target: Floats, shut: NDArray[np.bool_]) -> Floats:
    """float32[t, n]."""
    cost = (target**2).sum(1)[:, None] + (bank.target**2).sum(1)[None] - 2 * target @ bank.target.T
    cost += bank.penalty[None]
    cost[shut[:, None] & ~bank.shut[None]] += _OPEN_PENALTY
    return np.asarray(cost, np.float32)


def _best(row: Floats, count: int) -> Ints:
    """The cheapest `count`, cheapest first."""
    if len(row) > count:
        some = np.argpartition(row, count)[:count]
        return np.asarray(some[np.argsort(row[some], kind="stable")])
    return np.argsort(row, kind="stable")


def _followers(bank: Bank) -> Ints:
    """For every mouth the one a target frame later in its own footage, or -1."""
    order = {
        (int(s), int(f)): i for i, (s, f) in enumerate(zip(bank.source, bank.frame, strict=True))
    }
    found = [
        order.get((int(s), int(f) + max(1, round(float(k)))), -1)
        for s, f, k in zip(bank.source, bank.frame, bank.step, strict=True)
    ]
    return np.array(found, np.intp)


def _join(bank: Bank, before: Ints, now: Ints) -> Floats:
    """Cost of showing `now` [b] after `before` [a], float32[a, b]."""
    a, b = bank.look[before], bank.look[now]
    cost = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    cost = np.maximum(cost, 0) + _JOIN
    ahead = (bank.frame[now][None] - bank.frame[before][:, None]) / bank.step[before][:, None]
    same = bank.source[now][None] == bank.source[before][:, None]
    cost[same & (np.abs(ahead - 1) <= 0.5)] = 0
    uneven = same & (ahead >= -0.01) & (ahead <= 2.5) & (np.abs(ahead - 1) > 0.5)
    cost[uneven] = np.minimum(cost[uneven], _UNEVEN)
    return np.asarray(cost, np.float32)
