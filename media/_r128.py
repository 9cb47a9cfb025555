"""Loudness of sound that comes in pieces: what `bext` version 2 has fields for.

ITU-R BS.1770-4 (K-weighting, both gates, true peak by four times oversampling) and EBU Tech
3341/3342 (momentary 400 ms, short-term 3 s, loudness range).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Loudness", "LoudnessMeter"]

Doubles = NDArray[np.float64]

_STEP_S = 0.1
_MOMENTARY, _SHORT_TERM = 4, 30  # steps
_ABSOLUTE_LUFS = -70.0
_RELATIVE_LU, _RANGE_RELATIVE_LU = -10.0, -20.0
_OVERSAMPLING = 4
_CONTEXT = 64  # samples beside a piece, so that the oversampling filter sees past its ends


@dataclass(frozen=True, slots=True)
class Loudness:
    """Loudness of a whole programme; None where it could not be measured.

    LUFS, LU and dB true peak; `momentary_lufs` and `short_term_lufs` are the highest.
    """

    integrated_lufs: float | None = None
    range_lu: float | None = None
    true_peak_dbtp: float | None = None
    momentary_lufs: float | None = None
    short_term_lufs: float | None = None


class LoudnessMeter:
    """Give it the sound piece by piece, then ask for the `result`.

    Keeps one number per 100 ms, so an hour costs 300 kB.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._step = max(1, round(rate * _STEP_S))
        self._sos = _k_weighting(rate)
        self._state = np.zeros((len(self._sos), 2))
        self._rest = np.zeros(0)
        self._powers: list[float] = []
        self._peak = 0.0
        self._before = np.zeros(2 * _CONTEXT)

    def add(self, samples: NDArray[np.float32]) -> None:
        """Measure float32 [n] more samples."""
        from scipy.signal import sosfilt

        if not len(samples):
            return
        piece = samples.astype(np.float64)
        weighted, self._state = sosfilt(self._sos, piece, zi=self._state)
        waiting = np.concatenate((self._rest, weighted))
        whole = len(waiting) // self._step * self._step
        blocks = waiting[:whole].reshape(-1, self._step)
        self._powers += (blocks**2).mean(axis=1).tolist()
        self._rest = waiting[whole:]
        self._measure_peak(piece)

    def _measure_peak(self, piece: Doubles) -> None:
        from scipy.signal import resample_poly

        joined = np.concatenate((self._before, piece))
        finer = np.abs(resample_poly(joined, _OVERSAMPLING, 1))
        # The newest context may still be shaped by what comes next: `result` looks at it again.
        inside = finer[_CONTEXT * _OVERSAMPLING : len(finer) - _CONTEXT * _OVERSAMPLING]
        self._peak = max(self._peak, float(inside.max(initial=0.0)))
        self._before = joined[-2 * _CONTEXT :]

    def result(self) -> Loudness | None:
        """The loudness of everything so far; None where nothing sounded."""
        self._measure_peak(np.zeros(2 * _CONTEXT))
        powers = np.array(self._powers or [float(np.mean(self._rest**2)) if len(self._rest) else 0])
        if self._peak <= 0.0:
            return None
        momentary = _windows(powers, _MOMENTARY)
        short = _windows(powers, _SHORT_TERM)
        return Loudness(
            _gated(momentary),
            _range(powers) if len(powers) >= _SHORT_TERM else None,
            20 * math.log10(self._peak),
            _lufs(float(momentary.max())),
            _lufs(float(short.max())) if len(powers) >= _SHORT_TERM else None,
        )


def _windows(powers: Doubles, length: int) -> Doubles:
    """Mean power of every `length` steps in a row; of all where there are fewer."""
    length = min(length, len(powers))
    return np.convolve(powers, np.full(length, 1 / length), "valid")


def _lufs(power: float) -> float | None:
    return -0.691 + 10 * math.log10(power) if power > 0 else None


def _above(powers: Doubles, lufs: float) -> Doubles:
    kept: Doubles = powers[powers > 10 ** ((lufs + 0.691) / 10)]
    return kept


def _gated(powers: Doubles) -> float | None:
    loud = _above(powers, _ABSOLUTE_LUFS)
    level = _lufs(float(loud.mean())) if len(loud) else None
    return None if level is None else _lufs(float(_above(loud, level + _RELATIVE_LU).mean()))


def _range(powers: Doubles) -> float | None:
    """Loudness range; as Tech 3342 wants, with half a window of silence after the end."""
    short = _windows(np.pad(powers, (0, _SHORT_TERM // 2)), _SHORT_TERM)
    loud = _above(short, _ABSOLUTE_LUFS)
    level = _lufs(float(loud.mean())) if len(loud) else None
    if level is None:
        return None
    low, high = np.percentile(10 * np.log10(_above(loud, level + _RANGE_RELATIVE_LU)), (10, 95))
    return float(high - low)


def _k_weighting(rate: int) -> Doubles:
    """The two filters of BS.1770 as second-order sections [2, 6], for any sample rate.

    The analogue prototypes behind the standard's 48 kHz coefficients (De Man 2014, "Evaluation
    of implementations of the EBU R128 loudness measurement").
    """
    k = math.tan(math.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = [
        (high + middle * k / q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - middle * k / q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    ]
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    cut = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([shelf, cut])
