"""Reels of one person brought to one colour before a fit.

Two recordings of a person differ by their microphones, lines and tapes as well; a fit that
compares colours would learn the mean of those. Where there are several recordings long enough to
know their colours, the others are given that of the best, as far as they hold anything; clips that
hold less say in which `band` it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voice.pitch import bandwidth_hz

if TYPE_CHECKING:
    from voice.archive import Clip

__all__ = ["in_one_channel"]

Floats = NDArray[np.float32]

_RATE = 24_000
_N_FFT = 1024
_EDGES = np.geomspace(90.0, 11_800.0, 29)  # of bands a quarter of an octave wide
_LEAST_S = 12.0  # of speech, below which a colour is that of its words
_LEAST_BANDS = 8  # two octaves of speech above the noise, below which it is that of the noise
_MOST_DB = 12.0  # of correction; what lacks more is missing
_ABOVE_NOISE_DB = 6.0
_AS_HIGH = 0.8  # of the best recording's band
_TAPS = 513


@dataclass(frozen=True, slots=True, eq=False)
class _Colour:
    """Mean level of speech and of its pauses in dB, float64 [28] each, around the same loudness."""

    speech: NDArray[np.float64]
    pauses: NDArray[np.float64]


def in_one_channel(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips of every recording in the colour of the best one.

    The best is the one furthest above its noise of those whose band reaches as high as any.
    Recordings with less than 12 s of speech, or hardly any above their noise, keep their colour.
    """
    by_source: dict[Path, list[Clip]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, []).append(clip)
    tops = {source: _top(own) for source, own in by_source.items()}
    colours = {
        source: _colour(own)
        for source, own in by_source.items()
        if sum(clip.duration_s for clip in own) >= _LEAST_S
    }
    if not colours:
        return tuple(clips)
    highest = _AS_HIGH * max(tops[source] for source in colours)
    best = max(
        (source for source in colours if tops[source] >= highest),
        key=lambda source: float(np.median([clip.snr_db for clip in by_source[source]])),
    )
    fitted = {
        source: _correction(colours[best], colours.get(source), tops[source], tops[best])
        for source in by_source
        if source != best
    }
    return tuple(_corrected(clip, fitted.get(clip.source)) for clip in clips)


def _top(clips: Sequence[Clip]) -> float:
    return float(np.median([bandwidth_hz(clip.sound) for clip in clips]))


def _colour(clips: Sequence[Clip]) -> _Colour:
    import librosa

    spectra = [
        np.abs(librosa.stft(c.sound.samples, n_fft=_N_FFT, hop_length=_N_FFT // 4)) ** 2
        for c in clips
    ]
    power = np.concatenate(spectra, axis=1).astype(np.float64)
    hz = np.arange(power.shape[0]) * _RATE / _N_FFT
    owner = np.digitize(hz, _EDGES) - 1
    bands = np.stack([power[owner == k].mean(axis=0) for k in range(len(_EDGES) - 1)])
    level = bands.sum(axis=0)
    loud = bands.mean(axis=1)  # of all: a choice by level would choose other sounds in dull reels
    quiet = bands[:, level <= np.percentile(level, 8)].mean(axis=1)
    speech = 10 * np.log10(np.maximum(loud - quiet, 1e-3 * loud) + 1e-14)
    pauses = 10 * np.log10(quiet + 1e-14)
    middle = (_EDGES[:-1] > 300) & (_EDGES[:-1] < 3000)
    loudness = speech[middle].mean()
    return _Colour(speech - loudness, pauses - loudness)


@dataclass(frozen=True, slots=True, eq=False)
class _Correction:
    filter: Floats | None  # [taps], linear phase
    band: tuple[float, float] | None


def _correction(
    best: _Colour, colour: _Colour | None, top_hz: float, best_top_hz: float
) -> _Correction:
    """What brings a recording to the best one's colour, and the band that it then shows."""
    heard = None if colour is None else colour.speech > colour.pauses + _ABOVE_NOISE_DB
    if colour is None or heard is None or heard.sum() < _LEAST_BANDS:
        narrow = top_hz < _AS_HIGH * best_top_hz
        return _Correction(None, (0.0, top_hz) if narrow else None)
    centres = np.sqrt(_EDGES[:-1] * _EDGES[1:])
    differences = np.pad(best.speech - colour.speech, 1, mode="edge")
    wanted = np.convolve(differences, np.ones(3) / 3, "valid")
    # Hum and rumble hide what is there of the lowest bands; that is no reason to miss them.
    wanted = np.interp(centres, centres[heard], wanted[heard])
    missing = wanted >= _MOST_DB
    usable = heard & ~missing
    low = int(np.argmin(missing))
    runs = [k for k in np.flatnonzero(usable) if usable[max(0, k - 3) : k + 1].mean() >= 0.5]
    high = int(runs[-1]) if runs else len(usable) - 1
    gains = np.clip(wanted, -_MOST_DB, _MOST_DB)
    gains[:low], gains[high + 1 :] = gains[low], gains[high]
    points = np.concatenate(([0.0], centres, [_RATE / 2]))
    amplitudes = 10 ** (np.concatenate((gains[:1], gains, gains[-1:])) / 20)
    lowest = 0.0 if low == 0 else float(_EDGES[low])
    highest = _RATE / 2 if high == len(usable) - 1 else float(_EDGES[high + 1])
    whole = low == 0 and highest >= _AS_HIGH * best_top_hz
    return _Correction(_filter(points, amplitudes), None if whole else (lowest, highest))


def _filter(hz: NDArray[np.float64], amplitudes: NDArray[np.float64]) -> Floats:
    from scipy.signal import firwin2

    return np.asarray(firwin2(_TAPS, hz, amplitudes, fs=_RATE), np.float32)


def _corrected(clip: Clip, found: _Correction | None) -> Clip:
    if found is None or (found.filter is None and found.band is None):
        return clip
    if found.filter is None:
        return replace(clip, band=found.band)
    samples = _filtered(clip.sound.samples, found.filter)
    noise = None if clip.noise is None else _filtered(clip.noise, found.filter)
    return replace(clip, sound=replace(clip.sound, samples=samples), noise=noise, band=found.band)


def _filtered(samples: Floats, taps: Floats) -> Floats:
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(samples, taps, "same"), np.float32)
