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

__all__ = ["Bank", "PathFinder", "Wanted", "cheapest_path"]

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
    return PathFinder(bank).cheapest(wanted)


class PathFinder:
    """Finds cheapest paths through one bank.

    `where` gives the mouth of (source, frame).
    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        pairs = zip(bank.source.tolist(), bank.frame.tolist(), strict=True)
        self.where: dict[tuple[int, int], int] = {pair: i for i, pair in enumerate(pairs)}
        self._follower = _followers(bank, self.where)
        self._fixed = (bank.target**2).sum(1) + bank.penalty

    def cheapest(self, wanted: Wanted, after: int | None = None) -> Ints:
        """The mouths to show, intp[t]; `after` is the one shown just before."""
        candidates, costs = self._candidates(wanted, after)
        total = costs[0]
        if after is not None:
            total = total + _join(self.bank, np.array([after]), candidates[0])[0]
        back: list[Ints] = []
        for t in range(1, len(candidates)):
            ways = total[:, None] + _join(self.bank, candidates[t - 1], candidates[t])
            best = ways.argmin(0)
            back.append(best)
            total = ways[best, np.arange(len(best))] + costs[t]
        at = int(total.argmin())
        path = [int(candidates[-1][at])]
        for t in range(len(back) - 1, -1, -1):
            at = int(back[t][at])
            path.append(int(candidates[t][at]))
        return np.array(path[::-1], np.intp)

    def _candidates(self, wanted: Wanted, after: int | None) -> tuple[list[Ints], list[Floats]]:
        """For every frame the mouths worth considering, and what each costs there.

        The cheapest ones, and those with which the cheapest of the frame before would go on.
        """
        candidates: list[Ints] = []
        costs: list[Floats] = []
        before = np.zeros(0, np.intp) if after is None else np.array([after], np.intp)
        for start in range(0, len(wanted.target), _BLOCK):
            block = slice(start, start + _BLOCK)
            for row in self._costs(wanted.target[block], wanted.shut[block]):
                best = _best(row, _CANDIDATES)
                near = self._follower[before[:_FOLLOWERS]]
                now = np.union1d(best, near[near >= 0])
                candidates.append(now)
                costs.append(row[now])
                before = best
        return candidates, costs

    def _costs(self, target: Floats, shut: NDArray[np.bool_]) -> Floats:
        """float32[t, n]."""
        cost = (target**2).sum(1)[:, None] + self._fixed - 2 * target @ self.bank.target.T
        cost[shut[:, None] & ~self.bank.shut[None]] += _OPEN_PENALTY
        return np.asarray(cost, np.float32)


def _best(row: Floats, count: int) -> Ints:
    """The cheapest `count`, cheapest first."""
    if len(row) > count:
        some = np.argpartition(row, count)[:count]
        return np.asarray(some[np.argsort(row[some], kind="stable")])
    return np.argsort(row, kind="stable")


def _followers(bank: Bank, where: dict[tuple[int, int], int]) -> Ints:
    """For every mouth the one a target frame later in its own footage, or -1."""
    later = bank.frame + np.maximum(1, np.rint(bank.step)).astype(np.intp)
    pairs = zip(bank.source.tolist(), later.tolist(), strict=True)
    return np.array([where.get(pair, -1) for pair in pairs], np.intp)


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
