"""Reels of one person brought to one colour before a fit.

Two recordings of a person differ by their microphones, lines and tapes as well; a fit that
compares colours would learn the mean of those. Where there are several recordings long enough to
know their colours, the others are given that of the best, as far as they hold anything; clips that
hold less say in which `band` it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_MOST_DB = 12.0  # of correction; what lacks more is missing
_ABOVE_NOISE_DB = 6.0
_AS_HIGH = 0.9  # of the best recording's band
_TAPS = 513


@dataclass(frozen=True, slots=True, eq=False)
class _Colour:
    """Mean level of speech and of its pauses in dB, float64 [28] each, around the same loudness."""

    speech: NDArray[np.float64]
    pauses: NDArray[np.float64]
    band_hz: float


def in_one_channel(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips of every recording in the colour of the best one.

    As they are where fewer than two recordings hold enough speech; recordings with less keep
    their colour. The best reaches highest, and of those lies furthest above its noise.
    """
    by_source: dict[Path, list[Clip]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, []).append(clip)
    colours = {
        source: _colour(own)
        for source, own in by_source.items()
        if sum(clip.duration_s for clip in own) >= _LEAST_S
    }
    if len(colours) < 2:
        return tuple(clips)
    best = max(colours, key=lambda s: _worth(colours[s], by_source[s]))
    fitted = {
        source: _correction(colours[best], colour)
        for source, colour in colours.items()
        if source != best
    }
    return tuple(_corrected(clip, fitted) for clip in clips)


def _worth(colour: _Colour, clips: Sequence[Clip]) -> tuple[int, float]:
    # Bands are told apart by the half octave: a tape that ends at 9.8 kHz is no worse for it.
    return round(2 * np.log2(colour.band_hz)), float(np.median([c.snr_db for c in clips]))


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
    band = float(np.median([bandwidth_hz(clip.sound) for clip in clips]))
    return _Colour(speech - loudness, pauses - loudness, band)


@dataclass(frozen=True, slots=True, eq=False)
class _Correction:
    filter: Floats  # [taps], linear phase
    band: tuple[float, float] | None


def _correction(best: _Colour, colour: _Colour) -> _Correction:
    from scipy.signal import firwin2

    wanted = np.convolve(
        np.pad(best.speech - colour.speech, 1, mode="edge"), np.ones(3) / 3, "valid"
    )
    usable = (wanted < _MOST_DB) & (colour.speech > colour.pauses + _ABOVE_NOISE_DB)
    usable &= colour.speech > colour.speech.max() - 70
    middle = int(np.argmin(np.abs(_EDGES - 1000)))
    low, high = middle, middle
    while low > 0 and usable[low - 1]:
        low -= 1
    while high < len(usable) - 1 and usable[high + 1]:
        high += 1
    gains = np.clip(wanted, -_MOST_DB, _MOST_DB)
    gains[:low], gains[high + 1 :] = gains[low], gains[high]
    centres = np.sqrt(_EDGES[:-1] * _EDGES[1:])
    points = np.concatenate(([0.0], centres, [_RATE / 2]))
    amplitudes = 10 ** (np.concatenate((gains[:1], gains, gains[-1:])) / 20)
    taps = firwin2(_TAPS, points, amplitudes, fs=_RATE).astype(np.float32)
    lowest = 0.0 if low == 0 else float(_EDGES[low])
    highest = _RATE / 2 if high == len(usable) - 1 else float(_EDGES[high + 1])
    whole = low == 0 and highest >= _AS_HIGH * best.band_hz
    return _Correction(taps, None if whole else (lowest, highest))


def _corrected(clip: Clip, corrections: Mapping[Path, _Correction]) -> Clip:
    found = corrections.get(clip.source)
    if found is None:
        return clip
    samples = _filtered(clip.sound.samples, found.filter)
    noise = None if clip.noise is None else _filtered(clip.noise, found.filter)
    return replace(clip, sound=replace(clip.sound, samples=samples), noise=noise, band=found.band)


def _filtered(samples: Floats, taps: Floats) -> Floats:
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(samples, taps, "same"), np.float32)
