"""Mains hum: found as lines that stand still, and taken out by notches.

    meter = HumMeter(); meter.add(sound); hum = meter.result()
    if hum.present: sound = remove_hum(sound, hum)

A voice's harmonics move and hum's do not: of spectra a quarter hertz fine, each over four
seconds, the median over the quietest parts of a recording keeps only what stands still. Tape speed
shifts hum by some per cent: the fundamental is looked for from 48.5 to 51.5 and 58.2 to 61.8 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound

if TYPE_CHECKING:
    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]

__all__ = ["Hum", "HumMeter", "remove_hum"]

_RATE = 2_000
_WINDOW_S, _HOP_S = 4, 2
_STEP_HZ = 1 / _WINDOW_S
_MOST_SPECTRA = 512
_QUIET_SHARE = 0.3
_SEARCHED_HZ = ((48.5, 51.5), (58.2, 61.8))
_HARMONICS = 16
_STANDS_OUT_DB, _CHANCE_DB = 10.0, 12.0  # the second over the root of the number of spectra
_LEAST_LINES, _LOW = 2, 6
_LEAST_DBFS = -84.0
_NOTCH_HZ = 2.0  # width between the -3 dB points, before the second pass


@dataclass(frozen=True, slots=True)
class Hum:
    """`fundamental_hz` (0: none), the harmonics that stand out, and their level in dBFS."""

    fundamental_hz: float = 0.0
    harmonics: tuple[int, ...] = ()
    level_dbfs: float = -120.0

    @property
    def present(self) -> bool:
        """Whether there is hum worth taking out: low lines, as mains have them."""
        low = [k for k in self.harmonics if k <= _LOW]
        lines = len(low) >= _LEAST_LINES and low[0] <= 2
        return lines and self.level_dbfs > _LEAST_DBFS

    def __str__(self) -> str:
        if not self.present:
            return "none"
        return f"{self.fundamental_hz:.1f} Hz and harmonics at {self.level_dbfs:.0f} dBFS"


class HumMeter:
    """Gathers spectra of consecutive sounds; memory does not grow with their length."""

    def __init__(self) -> None:
        self._spectra: list[Floats] = []
        self._every, self._seen = 1, 0

    def add(self, sound: Sound) -> None:
        """Some seconds of sound at 16 kHz (shorter than four are filled with silence)."""
        from scipy.signal import resample_poly

        low = resample_poly(sound.samples, _RATE, sound.rate).astype(np.float64)
        size, hop = _WINDOW_S * _RATE, _HOP_S * _RATE
        if len(low) < size // 2:
            return
        if len(low) < size:
            low = np.pad(low, (0, size - len(low)))
        window = np.hanning(size + 1)[:-1]
        scale = 2.0 / float(window.sum()) ** 2  # a line's power, whatever the window
        for first in range(0, len(low) - size + 1, hop):
            self._seen += 1
            if self._seen % self._every:
                continue
            spectrum = np.abs(np.fft.rfft(low[first : first + size] * window)) ** 2 * scale
            self._spectra.append(spectrum.astype(np.float32))
            if len(self._spectra) > _MOST_SPECTRA:
                self._spectra = self._spectra[::2]
                self._every *= 2

    def result(self) -> Hum:
        """The hum in all that was added."""
        if not self._spectra:
            return Hum()
        spectra = np.stack(self._spectra)
        power = spectra[:, round(40 / _STEP_HZ) :].sum(axis=1)
        count = max(3, int(_QUIET_SHARE * len(power)))
        quiet = np.median(spectra[np.argsort(power, kind="stable")[:count]], axis=0)
        # In few spectra any bin may stand out by chance.
        least = _STANDS_OUT_DB + _CHANCE_DB / float(np.sqrt(min(count, len(spectra))))
        found = [_best(quiet.astype(np.float64), least, *edges) for edges in _SEARCHED_HZ]
        return max(found, key=lambda hum: (hum.present, len(hum.harmonics), hum.level_dbfs))


def _best(power: Doubles, least: float, low: float, high: float) -> Hum:
    """The hum whose fundamental lies in `low`..`high` Hz and has most harmonics that stand out."""
    level = 10 * np.log10(power + 1e-20)
    best, best_worth = Hum(), 0.0
    for fundamental in np.arange(low, high, 0.05):
        rises = [(_rise(level, k * fundamental), k) for k in range(1, _HARMONICS + 1)]
        lines = tuple(k for rise, k in rises if rise > least)
        worth = sum(min(rise, 40.0) for rise, _ in rises if rise > least)
        if worth > best_worth:
            at = [round(k * fundamental / _STEP_HZ) for k in lines]
            total = sum(float(power[max(b - 1, 0) : b + 2].max()) for b in at)
            best = Hum(round(float(fundamental), 2), lines, float(10 * np.log10(total + 1e-20)))
            best_worth = worth
    return best


def _rise(level: Doubles, hz: float) -> float:
    """How many dB a line at `hz` stands above its surroundings (3 to 10 Hz away)."""
    at = round(hz / _STEP_HZ)
    if at + 40 >= len(level):
        return 0.0
    around = np.concatenate([level[max(at - 40, 0) : at - 11], level[at + 12 : at + 41]])
    return float(level[at - 1 : at + 2].max() - np.median(around))


def remove_hum(sound: Sound, hum: Hum) -> Sound:
    """The sound without the lines of `hum`: notches 2 Hz wide, forwards and backwards.

    Give some tenths of a second more than is needed on either side: a notch rings.
    """
    from scipy.signal import iirnotch, sosfiltfilt, tf2sos

    if not hum.harmonics:
        return sound
    wanted = [k * hum.fundamental_hz for k in hum.harmonics]
    sections = [
        tf2sos(*iirnotch(hz, hz / _NOTCH_HZ, fs=sound.rate)) for hz in wanted if hz < sound.rate / 2
    ]
    length = min(len(sound) - 1, sound.rate // 2)
    done = sosfiltfilt(np.concatenate(sections), sound.samples.astype(np.float64), padlen=length)
    return replace(sound, samples=done.astype(np.float32))
