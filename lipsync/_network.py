"""A few small networks that learn beside the kernel regression, in numpy alone.

Each has two hidden layers and has not seen one part of the examples, so that together they tell
how well they do on speech that was not learnt; of a long archive two begin differently for every
part. A new line is given to all of them, and their mean counts. An input that did not move in what
a network saw says nothing to it. Rectified units with dropout (N. Srivastava and others, 2014),
weights moved by Adam with decay apart from the gradient (I. Loshchilov and F. Hutter, 2019), its
steps growing first.

Hundreds of steps make a difference in the last bit a visible one, so whoever wants the same bits
whatever the number of threads limits the linear algebra to one (`lipsync.motion` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipsync._unwanted import if_wanted
from media.far import Rows, let_go

__all__ = ["NetworkFit", "fit_networks"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_UNITS = 192
# So many networks have not seen the same part, of so many examples at least; else one.
_EACH, _MANY = 2, 4500
_KEPT_INPUTS, _KEPT_UNITS = np.float32(0.8), np.float32(0.7)
_BATCH, _EPOCHS = 128, 20
_STEP, _DECAY, _WARMING = 3e-3, 3e-2, 0.3
_FIRST, _SECOND = np.float32(0.9), np.float32(0.999)
_BLOCK = 2048
# An input that moves less than this (its standard deviation) has not been seen to move; none
# counts more than so many spreads.
_STILL, _FARTHEST = 0.02, np.float32(4)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFit:
    """Fitted networks from d features to k numbers.

    `middle` and `spread` float32[d] of the features, `mean` and `scale` float64[k] of the numbers;
    `members` hold weights and offsets of three layers each. `held_out` float64[n, k] are
    the mean predictions of the examples by the members that had not seen them. `calm` float64[k]:
    how much the mean of all members moves on the examples, in terms of how much the means of those
    that have seen the same do (at most 1; on new speech they agree a little less than on what most
    of them have seen).
    """

    middle: Floats
    spread: Floats
    mean: Doubles
    scale: Doubles
    members: tuple[tuple[Floats, ...], ...]
    held_out: Doubles
    calm: Doubles

    def __call__(self, features: Rows) -> Doubles:
        """Predictions float64[n, k]."""
        total = np.zeros((len(features), len(self.mean)))
        for i in range(0, len(features), _BLOCK):
            part = self._known(features[i : i + _BLOCK])
            for member in self.members:
                total[i : i + _BLOCK] += _forward(member, part)
        return np.asarray(total / len(self.members) * self.scale + self.mean)

    def _known(self, features: NDArray[np.floating]) -> Floats:
        return _known(features, self.middle, self.spread)


def fit_networks(
    features: NDArray[np.floating],
    wanted: Doubles,
    folds: NDArray[np.intp],
    *,
    importance: Sequence[float],
    seed: int = 0,
) -> NetworkFit | None:
    """Fit `wanted` float64[n, k] from `features` [n, d]; None where there is one fold only.

    `folds` [n] numbers the group of every example; each network has not seen one of them.
    `importance` [k] of each number's error.
    """
    groups = np.unique(folds)
    if len(groups) < 2:
        return None
    middle = features.mean(0, dtype=np.float64).astype(np.float32)
    # What hardly ever moves is not blown up.
    spread = (features.std(0) + 0.05).astype(np.float32)
    away = features - middle
    let_go(features)
    still = list(_still(away, folds, groups))
    known = np.clip(np.divide(away, spread, out=away), -_FARTHEST, _FARTHEST, out=away)
    known = known.astype(np.float32, copy=False)
    mean, scale = wanted.mean(0), np.maximum(wanted.std(0), 1e-6)
    aims = ((wanted - mean) / scale).astype(np.float32)
    held_out, total = np.zeros_like(wanted), np.zeros_like(wanted)
    moved, counts = np.zeros(wanted.shape[1]), np.array(importance, np.float32)
    members, each = [], _EACH if len(known) >= _MANY else 1
    for group, flat in zip(groups, still, strict=True):
        seen, every = np.flatnonzero(folds != group), np.zeros_like(aims)
        for number in range(each):
            if_wanted()
            rng = np.random.default_rng((seed, number, int(group)))
            members.append(_trained(known, aims, seen, counts, flat, rng))
            every += _forward(members[-1], known) / each
        held_out[folds == group] = every[folds == group] * scale + mean
        total += every
        moved += every.var(0, dtype=np.float64)
    calm = total.std(0) / np.maximum(np.sqrt(moved * len(groups)), 1e-9)
    return NetworkFit(middle, spread, mean, scale, tuple(members), held_out, np.minimum(calm, 1))


def _known(features: NDArray[np.floating], middle: Floats, spread: Floats) -> Floats:
    known = ((features - middle) / spread).astype(np.float32, copy=False)
    return np.clip(known, -_FARTHEST, _FARTHEST, out=known)


def _still(
    away: NDArray[np.floating], folds: NDArray[np.intp], groups: NDArray[np.intp]
) -> Iterator[NDArray[np.bool_]]:
    """For every group, which columns [d] hardly move outside of it."""
    totals = []
    for group in groups:
        part = away[folds == group]
        count = len(part)
        total = part.sum(0, dtype=np.float64)
        totals.append((count, total, np.square(part, out=part).sum(0, dtype=np.float64)))
    counts, sums, squares = (np.array(column) for column in zip(*totals, strict=True))
    for i in range(len(groups)):
        n = counts.sum() - counts[i]
        mean = (sums.sum(0) - sums[i]) / n
        yield (squares.sum(0) - squares[i]) / n - mean**2 < _STILL**2


def _forward(member: tuple[Floats, ...], known: Floats) -> Floats:
    first, a, second, b, last, c = member
    hidden = np.maximum(known @ first + a, 0)
    return np.asarray(np.maximum(hidden @ second + b, 0) @ last + c)


def _trained(
    known: Floats,
    aims: Floats,
    seen: NDArray[np.intp],
    importance: Floats,
    still: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[Floats, ...]:
    """Weights that predict `aims` from `known` on the rows `seen`, 0 for `still` inputs."""
    sizes = (known.shape[1], _UNITS, _UNITS, aims.shape[1])
    weights: list[Floats] = []
    for into, out in pairwise(sizes):
        weights.append((rng.standard_normal((into, out)) / np.sqrt(into)).astype(np.float32))
        weights.append(np.zeros(out, np.float32))
    weights[0][still] = 0
    drift = [np.zeros_like(w) for w in weights]
    square = [np.zeros_like(w) for w in weights]
    steps = max(1, _EPOCHS * len(seen) // _BATCH)
    for number, rate in enumerate(_rates(steps)):
        rows = seen[rng.integers(0, len(seen), _BATCH)]
        slopes = _slopes(weights, known[rows], aims[rows], importance, rng)
        slopes[0][still] = 0
        bias = float(np.sqrt(1 - _SECOND ** (number + 1)) / (1 - _FIRST ** (number + 1)))
        for w, slope, d, s in zip(weights, slopes, drift, square, strict=True):
            d += (1 - _FIRST) * (slope - d)
            s += (1 - _SECOND) * (slope**2 - s)
            w *= np.float32(1 - rate * _DECAY)
            w -= np.float32(rate * bias) * d / (np.sqrt(s) + np.float32(1e-8))
    return tuple(weights)


def _rates(steps: int) -> Iterator[float]:
    """How far each step goes: up along a cosine, then down to nothing."""
    rising = max(1, round(_WARMING * steps))
    for i in range(steps):
        if i < rising:
            yield _STEP * (0.04 + 0.96 * 0.5 * (1 - np.cos(np.pi * i / rising)))
        else:
            yield _STEP * 0.5 * (1 + np.cos(np.pi * (i - rising) / max(1, steps - rising)))


def _slopes(
    weights: Sequence[Floats],
    known: Floats,
    aims: Floats,
    importance: Floats,
    rng: np.random.Generator,
) -> list[Floats]:
    """The gradient of the weighted mean square error of one batch, dropout included."""
    first, a, second, b, last, c = weights
    x = known * _dropped(rng, known.shape, _KEPT_INPUTS)
    drop1 = _dropped(rng, (len(x), len(a)), _KEPT_UNITS)
    drop2 = _dropped(rng, (len(x), len(b)), _KEPT_UNITS)
    h1 = np.maximum(x @ first + a, 0) * drop1
    h2 = np.maximum(h1 @ second + b, 0) * drop2
    error = (h2 @ last + c - aims) * (importance * np.float32(2 / aims.size))
    back2 = (error @ last.T) * drop2 * (h2 > 0)
    back1 = (back2 @ second.T) * drop1 * (h1 > 0)
    return [x.T @ back1, back1.sum(0), h1.T @ back2, back2.sum(0), h2.T @ error, error.sum(0)]


def _dropped(rng: np.random.Generator, shape: tuple[int, ...], kept: np.float32) -> Floats:
    """1 / kept where a number stays, 0 where it is left out."""
    return (rng.random(shape, np.float32) < kept).astype(np.float32) / kept
