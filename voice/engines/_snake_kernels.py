"""The loops of `voice.engines._snake`, compiled by numba when this is imported (and kept by it).

Every function works channels [first, last) of arrays [channels, time]. "Halves" are bfloat16 as
their bits, uint16: the upper half of a float32.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import numpy as np
from numba import float32, int64, njit, uint16, uint32
from numpy.typing import NDArray

__all__ = ["backward", "backward_halves", "forward", "forward_halves"]

Floats = NDArray[np.float32]
Bits = NDArray[np.uint16]
Words = NDArray[np.uint32]
_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_EPS = np.float32(1e-5)
_PER_PI = np.float32(0.31830988618379067)
# Adding and taking away 1.5 * 2^23 rounds to a whole number.
_ROUNDER = np.float32(12582912.0)
# pi in three parts, the first two with so few bits that whole multiples are exact.
_PI_A, _PI_B, _PI_C = (
    np.float32(3.140625),
    np.float32(0.0009670257568359375),
    np.float32(6.2771141e-7),
)
# Sine and cosine within a quarter turn: Taylor series whose next term is below 6e-8 of it.
_S3, _S5 = np.float32(-1.6666667e-1), np.float32(8.3333333e-3)
_S7, _S9, _S11 = np.float32(-1.9841270e-4), np.float32(2.7557319e-6), np.float32(-2.5052108e-8)
_C2, _C4 = np.float32(-0.5), np.float32(4.1666667e-2)
_C6, _C8, _C10 = np.float32(-1.3888889e-3), np.float32(2.4801587e-5), np.float32(-2.7557319e-7)
_C12 = np.float32(2.0876757e-9)
_HALF_UP, _LAST, _SHIFT = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)

# Sums in the order written: the rounding above is one that algebra would take away.
_EXACT = frozenset({"contract", "nsz"})
# In any order, so that several are summed at once. NaN stays NaN: a fit has to notice it.
_LOOSE = _EXACT | {"reassoc", "arcp"}
_FLOATS, _BITS, _WORDS = float32[::1], uint16[::1], uint32[::1]
_ROWS, _BIT_ROWS = float32[:, ::1], uint16[:, ::1]


def _compiled(*given: Any, fast: Collection[str] = _EXACT) -> Callable[[_Loop], _Loop]:
    """Compile for arguments of these types, now."""

    def compiled(loop: _Loop) -> _Loop:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fast)}
        try:
            made: Any = njit(given, cache=True, **options)(loop)
        except Exception:  # no folder to keep it in, no room there, or what lies there is damaged
            made = njit(given, **options)(loop)
        return made

    return compiled


@_compiled(float32)
def _within_half_turn(phase: np.float32) -> np.float32:
    """`phase` less the nearest multiple of pi."""
    turns = (phase * _PER_PI + _ROUNDER) - _ROUNDER
    return ((phase - turns * _PI_A) - turns * _PI_B) - turns * _PI_C


@_compiled(float32)
def _sine(x: np.float32) -> np.float32:
    y = x * x
    return x + x * y * (_S3 + y * (_S5 + y * (_S7 + y * (_S9 + y * _S11))))


@_compiled(float32)
def _cosine(x: np.float32) -> np.float32:
    y = x * x
    return _ONE + y * (_C2 + y * (_C4 + y * (_C6 + y * (_C8 + y * (_C10 + y * _C12)))))


@_compiled(_FLOATS, fast=_LOOSE)
def _mean(x: Floats) -> np.float32:
    total = np.float32(0.0)
    for i in range(len(x)):
        total += x[i]
    return total / np.float32(len(x))


@_compiled(_FLOATS, float32, fast=_LOOSE)
def _spread(x: Floats, mean: np.float32) -> np.float32:
    total = np.float32(0.0)
    for i in range(len(x)):
        total += (x[i] - mean) * (x[i] - mean)
    return total / np.float32(len(x))


@_compiled(_FLOATS, _FLOATS, float32, float32, float32)
def _snake(x: Floats, out: Floats, slope: np.float32, offset: np.float32, per: np.float32) -> None:
    for i in range(len(x)):
        phase = x[i] * slope + offset
        sine = _sine(_within_half_turn(phase))
        out[i] = (phase + sine * sine) * per


@_compiled(_FLOATS, _FLOATS, _FLOATS, float32, float32)
def _slopes(x: Floats, grad: Floats, out: Floats, slope: np.float32, offset: np.float32) -> None:
    for i in range(len(x)):
        turned = _within_half_turn(x[i] * slope + offset)
        out[i] = grad[i] * (_ONE + _TWO * _sine(turned) * _cosine(turned))


@_compiled(_FLOATS, _FLOATS, float32, fast=_LOOSE)
def _sums(x: Floats, grad: Floats, mean: np.float32) -> tuple[np.float32, np.float32]:
    total, along = np.float32(0.0), np.float32(0.0)
    for i in range(len(x)):
        total += grad[i]
        along += grad[i] * (x[i] - mean)
    return total, along


@_compiled(_FLOATS, _FLOATS, *[float32] * 4)
def _ahead(
    x: Floats,
    grad: Floats,
    mean: np.float32,
    level: np.float32,
    tilt: np.float32,
    gain: np.float32,
) -> None:
    """In place."""
    for i in range(len(x)):
        grad[i] = (grad[i] - level - (x[i] - mean) * tilt) * gain


@_compiled(_BITS, _WORDS)
def _widen(bits: Bits, words: Words) -> None:
    for i in range(len(bits)):
        words[i] = np.uint32(bits[i]) << _SHIFT


@_compiled(_WORDS, _BITS)
def _narrow(words: Words, bits: Bits) -> None:
    """To the nearest, ties to even."""
    for i in range(len(bits)):
        word = words[i]
        bits[i] = np.uint16((word + _HALF_UP + ((word >> _SHIFT) & _LAST)) >> _SHIFT)


@_compiled(_FLOATS, _FLOATS, *[float32] * 3)
def _forward_one(
    x: Floats, out: Floats, gain: np.float32, bias: np.float32, alpha: np.float32
) -> tuple[np.float32, np.float32]:
    mean = _mean(x)
    scale = _ONE / np.sqrt(_spread(x, mean) + _EPS)
    slope = alpha * gain * scale
    _snake(x, out, slope, alpha * bias - slope * mean, _ONE / alpha)
    return mean, scale


@_compiled(*[_FLOATS] * 3, *[float32] * 5)
def _backward_one(
    x: Floats,
    grad: Floats,
    out: Floats,
    gain: np.float32,
    bias: np.float32,
    alpha: np.float32,
    mean: np.float32,
    scale: np.float32,
) -> tuple[np.float32, np.float32]:
    slope = alpha * gain * scale
    _slopes(x, grad, out, slope, alpha * bias - slope * mean)
    total, along = _sums(x, out, mean)
    along *= scale
    count = np.float32(len(x))
    _ahead(x, out, mean, total / count, along * scale / count, gain * scale)
    return along, total


@_compiled(int64, int64, _ROWS, *[_FLOATS] * 3, _ROWS, *[_FLOATS] * 2)
def forward(
    first: int,
    last: int,
    x: Floats,
    gain: Floats,
    bias: Floats,
    alpha: Floats,
    out: Floats,
    means: Floats,
    scales: Floats,
) -> None:
    """Writes `out` [C, T], and each channel's mean and one over its deviation."""
    for c in range(first, last):
        means[c], scales[c] = _forward_one(x[c], out[c], gain[c], bias[c], alpha[c])


@_compiled(int64, int64, _BIT_ROWS, *[_FLOATS] * 3, _BIT_ROWS, *[_FLOATS] * 2)
def forward_halves(
    first: int,
    last: int,
    x: Bits,
    gain: Floats,
    bias: Floats,
    alpha: Floats,
    out: Bits,
    means: Floats,
    scales: Floats,
) -> None:
    """`forward` on bfloat16."""
    wide, made = np.empty(x.shape[1], np.uint32), np.empty(x.shape[1], np.uint32)
    for c in range(first, last):
        _widen(x[c], wide)
        means[c], scales[c] = _forward_one(
            wide.view(np.float32), made.view(np.float32), gain[c], bias[c], alpha[c]
        )
        _narrow(made, out[c])


@_compiled(int64, int64, *[_ROWS] * 2, *[_FLOATS] * 5, _ROWS, *[_FLOATS] * 2)
def backward(
    first: int,
    last: int,
    x: Floats,
    grad: Floats,
    gain: Floats,
    bias: Floats,
    alpha: Floats,
    means: Floats,
    scales: Floats,
    ahead: Floats,
    along: Floats,
    total: Floats,
) -> None:
    """Writes the gradients of x [C, T], of the gains and of the biases."""
    for c in range(first, last):
        along[c], total[c] = _backward_one(
            x[c], grad[c], ahead[c], gain[c], bias[c], alpha[c], means[c], scales[c]
        )


@_compiled(int64, int64, *[_BIT_ROWS] * 2, *[_FLOATS] * 5, _BIT_ROWS, *[_FLOATS] * 2)
def backward_halves(
    first: int,
    last: int,
    x: Bits,
    grad: Bits,
    gain: Floats,
    bias: Floats,
    alpha: Floats,
    means: Floats,
    scales: Floats,
    ahead: Bits,
    along: Floats,
    total: Floats,
) -> None:
    """`backward` on bfloat16."""
    n = x.shape[1]
    wide, slope, made = np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32)
    for c in range(first, last):
        _widen(x[c], wide)
        _widen(grad[c], slope)
        along[c], total[c] = _backward_one(
            wide.view(np.float32),
            slope.view(np.float32),
            made.view(np.float32),
            gain[c],
            bias[c],
            alpha[c],
            means[c],
            scales[c],
        )
        _narrow(made, ahead[c])
