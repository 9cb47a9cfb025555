"""Kernel ridge regression on a few centres, with its strength chosen by cross-validation.

The kernel looks at the visemes and at the sound, each in a narrow and in a wide window,
and is half the mean of the four (a sum: what any one of them explains) and half the
product of wide visemes and narrow sound (what only both together explain). What a recogniser
hears adds two streams, and its narrow one times the wide visemes a second product. Centres are a
subset of the examples (C. Williams and M. Seeger, "Using the Nystroem method to speed up
kernel machines", NIPS 2000), so time and memory stay bounded however long the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync._unwanted import if_wanted
from media.far import Rows, empty_far, let_go

__all__ = ["KernelFit", "fit_kernel"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]

_CENTRES = (1500, 3000)
_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_BLOCK = 512  # rows of the kernel that are worked on at once
# Widths of the radial functions, as multiples of the median squared distance.
_WIDTH_SUM, _WIDTH_PRODUCT = 2.0, 4.0


@dataclass(frozen=True, slots=True, eq=False)
class KernelFit:
    """A fitted regression from feature streams to k numbers.

    `centres` one [m, d] per stream, `spans` the median squared distance of each,
    `weights` float64[m, k], `mean` float64[k]. `held_out` float64[n, k] are predictions
    of the examples by models that had not seen them. The first stream counts together with each
    of the last `together`.
    """

    centres: tuple[Numbers, ...]
    spans: tuple[float, ...]
    weights: Doubles
    mean: Doubles
    strength: float
    held_out: Doubles
    together: int = 1

    def __call__(self, streams: Sequence[Rows]) -> Doubles:
        """Predictions float64[n, k] for `streams`, in the order they were fitted in."""
        parts = range(0, len(streams[0]), _BLOCK)
        return (
            np.concatenate(
                [self._rows([s[i : i + _BLOCK] for s in streams]) @ self.weights for i in parts]
                or [np.zeros((0, len(self.mean)))]
            )
            + self.mean
        )

    def _rows(self, streams: Sequence[Numbers]) -> Doubles:
        return _kernel(streams, self.centres, self.spans, self.together)


def _distances(a: Numbers, b: Numbers) -> Numbers:
    """Squared distances float64[len(a), len(b)]."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(squared, 0))


def _kernel(
    streams: Sequence[Numbers],
    centres: Sequence[Numbers],
    spans: Sequence[float],
    together: int,
) -> Doubles:
    """Kernel values float64[n, m]; the first stream times the last ones is the product part."""
    far = [_distances(s, c) / w for s, c, w in zip(streams, centres, spans, strict=True)]
    if len(far) == 1:
        total = np.exp(-far[0])
    else:
        total = np.exp(-(far[0] + far[-1]) / _WIDTH_PRODUCT) / together
        for each in far[-together:-1]:
            total += np.exp(-(far[0] + each) / _WIDTH_PRODUCT) / together
    for each in far:
        total += np.exp(-each / _WIDTH_SUM) / len(far)
    return np.asarray(0.5 * total)


def fit_kernel(
    streams: Sequence[Rows],
    wanted: Doubles,
    folds: NDArray[np.intp],
    *,
    judged: Sequence[int],
    most_centres: int | None = None,
    strengths: Sequence[float] = _STRENGTHS,
    together: int = 1,
    seed: int = 0,
) -> KernelFit:
    """Fit `wanted` float64[n, k] from `streams` (each [n, d]).

    `folds` [n] numbers the group of every example: a group is predicted by what was fitted
    on the others, and the strength of regularisation that correlates best there, averaged
    over the columns `judged`, is used. `together`: see `KernelFit`.
    """
    n = len(wanted)
    most = int(np.clip(n // 3, *_CENTRES)) if most_centres is None else most_centres
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:most])
    centres = tuple(s[chosen] for s in streams)
    spans = tuple(_span(c) for c in centres)
    # 144 MB of a long archive; the products of its groups are larger together (`_Problem.grams`).
    kernel = empty_far((n, len(chosen)), np.float32)
    for i in range(0, n, _BLOCK):
        rows = [s[i : i + _BLOCK] for s in streams]
        kernel[i : i + _BLOCK] = _kernel(rows, centres, spans, together)
        let_go(kernel)
    mean = wanted.mean(0)
    problem = _Problem.of(kernel, kernel[chosen], wanted - mean, folds)
    if len(problem.groups) < 2:
        # Nothing can be held out: a strength that served well, and no honest prediction.
        strength = strengths[len(strengths) // 2]
        guess = _product(kernel, np.arange(n), problem.weights(strength))
    else:
        tried = [(problem.held_out(s), s) for s in strengths]
        guess, strength = max(tried, key=lambda t: problem.score(t[0], judged))
    weights = problem.weights(strength)
    return KernelFit(centres, spans, weights, mean, strength, guess + mean, together)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Normal equations, whole and per group, so that leaving a group out is a subtraction."""

    kernel: Floats
    among: Doubles
    target: Doubles
    groups: list[NDArray[np.intp]]
    grams: list[Doubles]
    rights: list[Doubles]

    @classmethod
    def of(
        cls, kernel: Floats, among: Floats, target: Doubles, folds: NDArray[np.intp]
    ) -> _Problem:
        groups = [np.flatnonzero(folds == f) for f in np.unique(folds)]
        width = kernel.shape[1]
        grams = [empty_far((width, width), np.float64) for _ in groups]
        rights = [np.zeros((width, target.shape[1])) for _ in groups]
        for far, right, group in zip(grams, rights, groups, strict=True):
            gram = np.zeros((width, width))
            for i in range(0, len(group), _BLOCK):
                rows = group[i : i + _BLOCK]
                block = kernel[rows].astype(np.float64)
                let_go(kernel)
                gram += block.T @ block
                right += block.T @ target[rows]
            far[:] = gram
            let_go(far)
        return cls(kernel, among.astype(np.float64), target, groups, grams, rights)

    def weights(self, strength: float, without: int | None = None) -> Doubles:
        """Weights of the centres, fitted on all groups but one."""
        gram, right = np.zeros(self.among.shape), np.zeros_like(self.rights[0])
        for i in range(len(self.groups)):
            if i != without:
                gram += self.grams[i]
                right += self.rights[i]
                let_go(self.grams[i])
        ridge = strength * self.among
        ridge.flat[:: len(ridge) + 1] += 1e-6
        gram += ridge
        del ridge
        return _solved(gram, right)

    def held_out(self, strength: float) -> Doubles:
        """Every group predicted by the others."""
        guess = np.zeros_like(self.target)
        for i, group in enumerate(self.groups):
            if_wanted()
            guess[group] = _product(self.kernel, group, self.weights(strength, without=i))
        return guess

    def score(self, guess: Doubles, judged: Sequence[int]) -> float:
        """Mean correlation over the columns that count."""
        return float(np.mean([_correlation(guess[:, j], self.target[:, j]) for j in judged]))


def _solved(system: Doubles, right: Doubles) -> Doubles:
    """x of system @ x = right; the system is symmetric, and all but surely positive. It is
    overwritten.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    diagonal = system.diagonal().copy()
    try:
        # Transposed it lies as LAPACK wants it, which copies it otherwise: 72 MB.
        factor = cho_factor(system.T, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        left = np.tril(system, -1)  # the half that was not written to
        return np.asarray(np.linalg.solve(left + left.T + np.diag(diagonal), right))
    return np.asarray(cho_solve(factor, right, check_finite=False))


def _product(kernel: Floats, rows: NDArray[np.intp], weights: Doubles) -> Doubles:
    """kernel[rows] @ weights in double precision, some rows at a time."""
    parts = []
    for i in range(0, len(rows), _BLOCK):
        parts.append(kernel[rows[i : i + _BLOCK]].astype(np.float64) @ weights)
        let_go(kernel)
    return np.concatenate(parts)


def _span(points: Numbers) -> float:
    """Median squared distance among (at most 300 of) `points`."""
    some = points[:: max(1, len(points) // 300)]
    return max(float(np.median(_distances(some, some))), 1e-6)


def _correlation(a: Doubles, b: Doubles) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else 0.0
