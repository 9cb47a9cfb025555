"""A picture of a timing: waveform, spectrogram, words, phones and confidence.

    draw_timing(sound, timing, Path("line.png"))

PNG or SVG (or PDF), by the ending. Long recordings are broken into rows of a few seconds, like
lines of music, so that every phone stays readable; very long ones are shown from the start as
far as `rows` go. Drawn with matplotlib's Agg, so no screen is needed.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align.recording import at_speech_rate
from align.timing import Span, Timing
from media.errors import AlignError
from media.files import atomic_path

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["ENDINGS", "LONGEST_S", "draw_timing", "require_picture"]

ENDINGS: tuple[str, ...] = (".png", ".svg", ".pdf")
_ROW_S = 4.0
_MOST_ROWS = 12
_WIDTH_IN, _ROW_IN = 13.0, 3.6
_DPI = 120
LONGEST_S = _ROW_S * _MOST_ROWS
"""So much of a recording, in seconds, is drawn at most."""
_TOP_HZ = 8000
_RANGE_DB = 70.0
_INK, _FAINT, _WAVE = "#1d2330", "#8a93a3", "#3b5b92"
# From doubtful to certain; readable for colour-blind people and in print.
_SURE = ("#d1495b", "#edae49", "#8ac926", "#2a9d5c")
_VOWEL, _CONSONANT = "#e8eef9", "#f7f4ec"


def draw_timing(
    sound: Sound, timing: Timing, path: Path | str, *, title: str = "", rows: int = _MOST_ROWS
) -> None:
    """Draw `timing` over its `sound` into a file; whole or not at all.

    Raises `AlignError` for an ending other than `ENDINGS`, `OutputError` when it cannot be
    written.
    """
    target = require_picture(path)
    from matplotlib import rc_context

    # No date and no random names inside: the same timing gives the same bytes.
    dated = target.suffix.lower() == ".svg"
    bare: dict[str, Any] = {"metadata": {"Date": None}} if dated else {}
    with rc_context({"font.family": "DejaVu Sans", "svg.hashsalt": "wildline"}):
        figure = _figure(sound, timing, title, rows)
        with atomic_path(target) as temporary:
            figure.savefig(temporary, dpi=_DPI, **bare)


def require_picture(path: Path | str) -> Path:
    """`path`, when its ending is one of `ENDINGS`. Raises `AlignError`."""
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise AlignError(
            f"a picture cannot be written as '{target.name}'; use one of {', '.join(ENDINGS)}"
        )
    return target


def _figure(sound: Sound, timing: Timing, title: str, rows: int) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    duration = max(timing.duration_s, float(sound.duration_s))
    count = min(rows, max(1, ceil(duration / _ROW_S - 0.1)))
    length = max(duration / count if count < rows else _ROW_S, 0.2)
    figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * count + 0.55), facecolor="white")
    FigureCanvasAgg(figure)
    top = 1 - 0.42 / (_ROW_IN * count + 0.55)
    heading = title or "timing"
    figure.text(
        0.045,
        top + 0.12 / (_ROW_IN * count + 0.55),
        heading,
        size=12,
        weight="bold",
        color=_INK,
        va="bottom",
    )
    shown = "" if duration <= count * length + 0.01 else f", the first {count * length:.0f} s"
    figure.text(
        0.985,
        top + 0.12 / (_ROW_IN * count + 0.55),
        f"{len(timing.words)} words, {len(timing.phones)} phones, {duration:.2f} s"
        f"{shown}  ({timing.engine or 'unknown'})",
        size=9,
        color=_FAINT,
        ha="right",
        va="bottom",
    )
    grid = figure.add_gridspec(
        count,
        1,
        left=0.045,
        right=0.985,
        top=top,
        bottom=0.3 / (_ROW_IN * count + 0.55),
        hspace=0.16,
    )
    plain = at_speech_rate(sound)
    for row in range(count):
        _draw_row(figure, grid[row], plain, timing, row * length, length)
    return figure


def _draw_row(
    figure: Any, place: Any, sound: Sound, timing: Timing, start: float, length: float
) -> None:
    inner = place.subgridspec(4, 1, height_ratios=(1.0, 2.0, 1.15, 0.55), hspace=0.0)
    axes = [figure.add_subplot(inner[i]) for i in range(4)]
    end = start + length
    part = sound.cut(start, end)
    _draw_wave(axes[0], part, start)
    _draw_spectrogram(axes[1], part, start)
    _draw_labels(axes[2], timing, start, end)
    _draw_confidence(axes[3], timing, start, end)
    for number, axis in enumerate(axes):
        axis.set_xlim(start, end)
        axis.tick_params(labelsize=7, colors=_FAINT, length=2, width=0.5)
        for side in axis.spines.values():
            side.set_linewidth(0.5)
            side.set_color("#c9ced6")
        if number < 3:
            axis.tick_params(labelbottom=False, bottom=False)
        for word in _within(timing.words, start, end):
            for edge in (word.start_s, word.end_s):
                axis.axvline(edge, color=_INK, linewidth=0.5, alpha=0.35 if number < 2 else 0.0)


def _within(spans: tuple[Span, ...], start: float, end: float) -> list[Span]:
    return [s for s in spans if s.end_s > start and s.start_s < end]


def _draw_wave(axis: Any, sound: Sound, start: float) -> None:
    samples = sound.samples
    if not len(samples):
        return
    columns = min(1600, len(samples))
    edges = np.linspace(0, len(samples), columns + 1).astype(int)
    low = np.minimum.reduceat(samples, edges[:-1])
    high = np.maximum.reduceat(samples, edges[:-1])
    times = start + edges[:-1] / sound.rate
    axis.fill_between(times, low, high, color=_WAVE, linewidth=0.3, edgecolor=_WAVE)
    peak = float(np.abs(samples).max())
    axis.set_ylim(-1.1 * max(peak, 1e-3), 1.1 * max(peak, 1e-3))
    axis.set_yticks([])


def _draw_spectrogram(axis: Any, sound: Sound, start: float) -> None:
    """Wide band (5 ms), as phoneticians read it: formants, bursts, closures."""
    size, hop, transform = 96, 32, 512
    samples = np.pad(sound.samples.astype(np.float64), size)
    count = max(1, (len(samples) - size) // hop)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[: count * hop : hop]
    # The voice falls off by 6 dB an octave; lifted again, fricatives can be seen.
    lifted = np.diff(frames, axis=1, prepend=frames[:, :1])
    power = np.abs(np.fft.rfft(lifted * np.hanning(size), transform)) ** 2
    level = 10 * np.log10(power.T + 1e-12)
    top = float(np.percentile(level, 99.7)) if level.size else 0.0
    first = start - size / 2 / sound.rate
    axis.imshow(
        np.maximum(level, top - _RANGE_DB),
        origin="lower",
        aspect="auto",
        cmap="Greys",
        interpolation="bilinear",
        extent=(first, first + count * hop / sound.rate, 0, _TOP_HZ / 1000),
    )
    axis.set_ylim(0, _TOP_HZ / 1000)
    axis.set_yticks([2, 4, 6])
    axis.set_ylabel("kHz", size=7, color=_FAINT, labelpad=1)


def _draw_labels(axis: Any, timing: Timing, start: float, end: float) -> None:
    """Words above, phones below, each in its box."""
    from align.phones import VOWELS

    # Remarks have a strip of their own above the words, in every row or in none.
    axis.set_ylim(0, 2.4 if any(n.duration_s < timing.duration_s for n in timing.notes) else 2)
    axis.set_yticks([])
    for word in _within(timing.words, start, end):
        _box(axis, word, 1.0, 1.0, "#ffffff", start, end)
        _label(axis, word, 1.5, 9.0, start, end)
    for phone in _within(timing.phones, start, end):
        colour = _VOWEL if phone.label in VOWELS else _CONSONANT
        _box(axis, phone, 0.0, 1.0, colour, start, end)
        _label(axis, phone, 0.5, 7.5, start, end)
    for note in _within(timing.notes, start, end):
        if note.duration_s < timing.duration_s:
            axis.plot(
                [max(note.start_s, start), min(note.end_s, end)],
                [2.03, 2.03],
                color=_SURE[0],
                linewidth=2.5,
                solid_capstyle="butt",
            )
            axis.text(
                max(note.start_s, start),
                2.22,
                note.label,
                size=6.5,
                color=_SURE[0],
                va="center",
                ha="left",
                clip_on=True,
            )


def _box(
    axis: Any, span: Span, bottom: float, height: float, colour: str, start: float, end: float
) -> None:
    from matplotlib.patches import Rectangle

    left, right = max(span.start_s, start), min(span.end_s, end)
    axis.add_patch(
        Rectangle(
            (left, bottom), right - left, height, facecolor=colour, edgecolor=_INK, linewidth=0.5
        )
    )


def _label(axis: Any, span: Span, height: float, size: float, start: float, end: float) -> None:
    """The label in the middle of what is seen of the span, smaller or upright where narrow."""
    left, right = max(span.start_s, start), min(span.end_s, end)
    room = (right - left) / (end - start) * _WIDTH_IN * 0.94 * 72  # points
    wanted = 0.62 * size * len(span.label)
    turned = wanted > 1.35 * room and len(span.label) > 1
    fit = size if wanted <= room or turned else max(4.5, size * room / wanted)
    if turned:
        fit = min(size * 0.8, max(4.0, 1.1 * room))
    if room < 3.5:
        return
    axis.text(
        (left + right) / 2,
        height,
        span.label,
        size=fit,
        color=_INK,
        ha="center",
        va="center",
        rotation=90 if turned else 0,
        clip_on=True,
    )


def _draw_confidence(axis: Any, timing: Timing, start: float, end: float) -> None:
    axis.set_ylim(0, 1.05)
    axis.set_yticks([0, 1])
    axis.set_ylabel("sure", size=7, color=_FAINT, labelpad=5)
    for span in _within(timing.phones or timing.words, start, end):
        level = min(max(span.confidence, 0.0), 1.0)
        colour = _SURE[min(int(level * len(_SURE)), len(_SURE) - 1)]
        left, right = max(span.start_s, start), min(span.end_s, end)
        axis.bar(
            left,
            max(level, 0.02),
            right - left,
            align="edge",
            color=colour,
            edgecolor="white",
            linewidth=0.3,
        )
