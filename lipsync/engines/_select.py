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
    """Numbers of the mouths to show, intp[t]."""
    costs = _costs(bank, wanted)
    follower = _followers(bank)
    candidates = [_best(costs[0], _CANDIDATES)]
    for row in costs[1:]:
        near = follower[candidates[-1][:_FOLLOWERS]]
        candidates.append(np.union1d(_best(row, _CANDIDATES), near[near >= 0]))
    total = costs[0][candidates[0]]
    back: list[Ints] = []
    for t in range(1, len(costs)):
        before, now = candidates[t - 1], candidates[t]
        ways = total[:, None] + _join(bank, before, now)
        best = ways.argmin(0)
        back.append(best)
        total = ways[best, np.arange(len(now))] + costs[t][now]
    at = int(total.argmin())
    path = [int(candidates[-1][at])]
    for t in range(len(back) - 1, -1, -1):
        at = int(back[t][at])
        path.append(int(candidates[t][at]))
    return np.array(path[::-1], np.intp)


def _costs(bank: Bank, wanted: Wanted) -> Floats:
    """float32[t, n]."""
    cost = (
        (wanted.target**2).sum(1)[:, None]
        + (bank.target**2).sum(1)[None]
        - 2 * wanted.target @ bank.target.T
    )
    cost += bank.penalty[None]
    cost[wanted.shut[:, None] & ~bank.shut[None]] += _OPEN_PENALTY
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
