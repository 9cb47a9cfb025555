"""What a report draws: waveforms with phones, spectra (SVG), and contact sheets (JPEG)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["bands", "contact_sheet", "spectra", "waveform"]

_WIDE, _TALL = 900, 70  # of a waveform, in units of the drawing
_LANE = 16
_POINTS = 450
_CLOSED = frozenset({"P", "B", "M", "p", "b", "m"})
# Third-octave centres (IEC 61260), where speech and rooms differ.
_CENTRES = 1000.0 * 2.0 ** (np.arange(-11, 12) / 3)
_QUALITY = 72


def waveform(
    sound: Sound, timing: Timing | None, *, span: tuple[float, float], start: float
) -> str:
    """A sound's outline, and its words and phones below, over the seconds `span`.

    `start` is where in the span's own clock the sound begins (seconds).
    """
    first, last = span
    scale = _WIDE / max(last - first, 1e-6)
    parts = [_outline(sound, first, last, start)]
    tall = _TALL
    if timing is not None:
        tall += 2 * _LANE + 6
        for lane, spans in enumerate((timing.words, timing.phones)):
            top = _TALL + 4 + lane * (_LANE + 2)
            for s in spans:
                x, wide = (start + s.start_s - first) * scale, s.duration_s * scale
                kind = "shut" if lane and s.label in _CLOSED else "phone" if lane else "word"
                parts.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{top}" width="{max(wide - 1, 0.5):.1f}" '
                    f'height="{_LANE}"/>'
                )
                if wide > 7 * len(s.label) + 2:
                    parts.append(
                        f'<text x="{x + wide / 2:.1f}" y="{top + 12}">{escape(s.label)}</text>'
                    )
    return (
        f'<svg class="wave" viewBox="0 0 {_WIDE} {tall}" role="img" aria-label="waveform">'
        f"{''.join(parts)}</svg>"
    )


def _outline(sound: Sound, first: float, last: float, start: float) -> str:
    edges = (np.linspace(first, last, _POINTS + 1) - start) * sound.rate
    edges = np.clip(np.rint(edges), 0, len(sound)).astype(int)
    peak = max(float(np.abs(sound.samples).max(initial=0.0)), 1e-3)
    up, down = [], []
    for i, (a, b) in enumerate(pairwise(edges)):
        piece = sound.samples[a:b]
        high, low = (float(piece.max()), float(piece.min())) if len(piece) else (0.0, 0.0)
        x = i * _WIDE / _POINTS
        up.append(f"{x:.0f},{_TALL / 2 * (1 - high / peak):.1f}")
        down.append(f"{x:.0f},{_TALL / 2 * (1 - low / peak):.1f}")
    return f'<polygon class="sound" points="{" ".join([*up, *reversed(down)])}"/>'


def bands(sound: Sound) -> NDArray[np.float64]:
    """Level in each third of an octave from 80 Hz to 12.7 kHz, in dB against the mean band.

    Bands beyond half the sample rate, and those of silence, are NaN.
    """
    from scipy.signal import welch

    if len(sound) < 256:
        return np.full(len(_CENTRES), np.nan)
    n = min(8192, len(sound))
    hz, power = welch(sound.samples.astype(np.float64), sound.rate, nperseg=n)
    levels = np.full(len(_CENTRES), np.nan)
    for i, centre in enumerate(_CENTRES):
        inside = (hz >= centre * 2 ** (-1 / 6)) & (hz < centre * 2 ** (1 / 6))
        if inside.any() and power[inside].mean() > 1e-14:
            levels[i] = 10 * np.log10(power[inside].mean())
    return levels - np.nanmean(levels) if np.isfinite(levels).any() else levels


def spectra(curves: Mapping[str, NDArray[np.float64]]) -> str:
    """Curves of `bands` by name on one drawing, -30..30 dB."""
    wide, tall, low, high = 420, 150, -30.0, 30.0
    parts = []
    for hz, words in ((100, "100"), (1000, "1k"), (10_000, "10k")):
        x = _at(hz) * wide
        parts.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{tall}"/>')
        parts.append(f'<text x="{x:.0f}" y="{tall + 13}">{words} Hz</text>')
    for number, levels in enumerate(curves.values()):
        points = [
            f"{_at(hz) * wide:.0f},{tall * (1 - (np.clip(v, low, high) - low) / (high - low)):.1f}"
            for hz, v in zip(_CENTRES, levels, strict=True)
            if np.isfinite(v)
        ]
        parts.append(f'<polyline class="curve c{number}" points="{" ".join(points)}"/>')
    key = "".join(
        f'<tspan class="c{n}" dx="{0 if n == 0 else 14}">{escape(name)}</tspan>'
        for n, name in enumerate(curves)
    )
    return (
        f'<svg class="spectra" viewBox="0 0 {wide} {tall + 18}" role="img" aria-label="spectra">'
        f'{"".join(parts)}<text class="key" x="6" y="14">{key}</text></svg>'
    )


def _at(hz: float) -> float:
    """Where a frequency is on a logarithmic axis, 0..1."""
    low, high = np.log(_CENTRES[0]), np.log(_CENTRES[-1])
    return float((np.log(hz) - low) / (high - low))


def contact_sheet(rows: Sequence[tuple[Path, Sequence[int]]], width: int) -> str:
    """Frames of films as one JPEG, as a `data:` address: a row a film, `width` pixels a frame.

    A row is a file and the indices of its frames, ascending. Raises `MediaError`.
    """
    import cv2

    strips = [_strip(path, indices, width) for path, indices in rows]
    widest = max(s.shape[1] for s in strips)
    padded = [np.pad(s, ((0, 4), (0, widest - s.shape[1]), (0, 0))) for s in strips]
    sheet = np.concatenate(padded)[:-4]
    _, jpeg = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def _strip(path: Path, indices: Sequence[int], width: int) -> NDArray[np.uint8]:
    import cv2

    from media.video import read_frames

    wanted, pictures = set(indices), []
    for frame in read_frames(path, min(wanted), max(wanted) + 1):
        if frame.index in wanted:
            height = max(1, round(frame.rgb.shape[0] * width / frame.rgb.shape[1]))
            small = cv2.resize(frame.rgb, (width, height), interpolation=cv2.INTER_AREA)
            pictures.append(np.pad(small, ((0, 0), (0, 4), (0, 0))))
    if not pictures:
        return np.zeros((1, width, 3), np.uint8)
    return np.concatenate(pictures, axis=1)[:, :-4]
