"""The dataset as one page to look at: plots, why clips fell out, the recordings. Loads nothing.

Path("report.html").write_text(render_page(made, "Anna"))
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voice.ingest.dataset import Dataset, Row
from voice.ingest.facts import SourceFacts
from voice.ingest.grading import GRADES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["render_page"]

_INK, _QUIET, _LINE, _ACCENT, _OFF = "#23262a", "#767b82", "#d9d4cb", "#a4692c", "#b3402f"
_GRADE_COLOURS = ("#4c9460", "#5b8db8", "#d89a3d", "#c8503d")
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text as text: small, searchable, in the page's own type
    "svg.hashsalt": "wildline",  # the same page for the same dataset
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "text.color": _INK,
}
_SHOWN_ROWS = 400
_LOWEST_HZ = 50.0


def render_page(made: Dataset, title: str) -> str:
    """HTML, whole in itself. The same dataset gives the same page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    worst = sorted(made.rows, key=lambda r: (-GRADES.index(r.grade), r.id))
    return pages.get_template("dataset.html").render(
        title=title,
        made=made,
        minutes=made.minutes(),
        reasons=made.reasons(),
        plots=_plots(made),
        sources=[_source(made, source) for source in made.sources],
        worst=worst[:_SHOWN_ROWS],
        fallen=made.fallen[:_SHOWN_ROWS],
        clock=_clock,
    )


def _clock(seconds: float | None) -> str:
    """Minutes and seconds: 3:07.2."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _source(made: Dataset, source: SourceFacts) -> dict[str, Any]:
    """One line of the table of recordings."""
    used = sum(row.duration_s for row in made.rows if row.source == source.file)
    hum = f"{source.hum_hz:.1f} Hz at {source.hum_dbfs:.0f} dBFS" if source.hum_hz else ""
    dry = source.rt60_s is None or source.direct_db is None or source.direct_db > 20
    return {
        "facts": source,
        "used_s": used,
        "hum": hum,
        "room": "" if dry else f"{source.rt60_s:.2f} s, direct {source.direct_db:+.0f} dB",
        "fallen": sum(1 for item in made.fallen if item.source == source.file),
    }


def _plots(made: Dataset) -> list[tuple[str, str]]:
    """(what is shown, SVG) of everything there is to draw."""
    import matplotlib

    rows = made.rows
    with matplotlib.rc_context(_STYLE):
        found = [
            ("Minutes by grade", _drawn(lambda axes: _grades(axes, made))),
            ("Pitch", _drawn(lambda axes: _pitch(axes, made.f0_counts))),
            ("Level of the clips", _drawn(lambda axes: _levels(axes, rows))),
            ("Noise: speech above it", _drawn(lambda axes: _noise(axes, rows))),
            ("Bandwidth", _drawn(lambda axes: _bands(axes, rows))),
            ("How sure the words are", _drawn(lambda axes: _words(axes, rows))),
            ("Length of the clips", _drawn(lambda axes: _lengths(axes, rows))),
            ("Voices found", _drawn(lambda axes: _voices(axes, made))),
        ]
        reasons = made.reasons()
        if reasons:
            tall = 0.7 + 0.28 * len(reasons)
            drawn = _drawn(lambda axes: _reasons(axes, reasons), wide=8.4, tall=tall)
            found.append(("Why clips fell out", drawn))
    return found


def _drawn(draw: Callable[[Axes], None], *, wide: float = 4.1, tall: float = 2.3) -> str:
    """An SVG element without a size of its own."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, tall), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    draw(axes)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", svg, count=1).replace(
        ' height="' + _height(svg) + '"', "", 1
    )


def _height(svg: str) -> str:
    found = re.search(r'<svg[^>]*? height="([^"]*)"', svg)
    return found[1] if found else ""


def _grades(axes: Axes, made: Dataset) -> None:
    minutes = made.minutes()
    bars = axes.bar(list(minutes), list(minutes.values()), color=_GRADE_COLOURS, width=0.62)
    axes.bar_label(bars, fmt="%.1f", padding=2, color=_INK)
    axes.set_ylabel("minutes")
    axes.margins(y=0.18)


def _pitch(axes: Axes, counts: Sequence[int]) -> None:
    if not counts or not sum(counts):
        return
    hz = _LOWEST_HZ * 2 ** (np.arange(len(counts) + 1) / 12)
    share = 100 * np.asarray(counts) / sum(counts)
    axes.stairs(share, hz, fill=True, color=_ACCENT)
    axes.set_xscale("log")
    axes.set_xlim(_LOWEST_HZ, 500)
    axes.set_xticks(
        [50, 75, 100, 150, 200, 300, 500], ["50", "75", "100", "150", "200", "300", "500"]
    )
    axes.minorticks_off()
    axes.set_xlabel("Hz")
    axes.set_ylabel("% of voiced time")


def _histogram(axes: Axes, values: Sequence[float], edges: np.ndarray, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.hist(np.clip(values, edges[0], edges[-1]), bins=edges.tolist(), color=_ACCENT)
    axes.set_xlabel(label)
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _levels(axes: Axes, rows: Sequence[Row]) -> None:
    _histogram(axes, [r.level_dbfs for r in rows], np.arange(-60, 1, 2.0), "dBFS")


def _noise(axes: Axes, rows: Sequence[Row]) -> None:
    edges = np.arange(0, 62, 2.0)
    axes.hist(
        [np.clip([r.snr_before_db for r in rows], 0, 60), np.clip([r.snr_db for r in rows], 0, 60)],
        bins=edges.tolist(),
        color=[_LINE, _ACCENT],
        histtype="stepfilled",
        alpha=0.8,
        label=["as recorded", "in the dataset"],
    )
    axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("dB")
    axes.set_ylabel("clips")


def _bands(axes: Axes, rows: Sequence[Row]) -> None:
    top = max([8.0, *(r.bandwidth_hz / 1000 for r in rows)])
    _histogram(axes, [r.bandwidth_hz / 1000 for r in rows], np.linspace(0, np.ceil(top), 33), "kHz")


def _words(axes: Axes, rows: Sequence[Row]) -> None:
    edges = np.linspace(0.3, 1.0, 29)
    for origin, colour in (("given", "#4c9460"), ("recognised", "#5b8db8")):
        values = [r.confidence for r in rows if r.transcript == origin]
        if values:
            axes.hist(
                np.clip(values, 0.3, 1.0),
                bins=edges.tolist(),
                color=colour,
                alpha=0.75,
                label=origin,
            )
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_xlabel("confidence of the words")
    axes.set_ylabel("clips")


def _lengths(axes: Axes, rows: Sequence[Row]) -> None:
    _histogram(axes, [r.duration_s for r in rows], np.arange(0, 13, 0.5), "seconds")


def _voices(axes: Axes, made: Dataset) -> None:
    shown = made.voices[:12]
    names = [f"voice {k + 1}" for k in range(len(shown))]
    colours = [_ACCENT if k == made.wanted else _LINE for k in range(len(shown))]
    bars = axes.bar(names, [s / 60 for s in shown], color=colours, width=0.62)
    axes.bar_label(bars, fmt="%.1f", padding=2, color=_INK)
    axes.set_ylabel("minutes")
    axes.margins(y=0.18)
    if len(shown) > 5:
        axes.tick_params(axis="x", labelrotation=60)


def _reasons(axes: Axes, reasons: dict[str, int]) -> None:
    names = list(reasons)[::-1]
    bars = axes.barh(
        [_short(n) for n in names], [reasons[n] for n in names], color=_OFF, height=0.6
    )
    axes.bar_label(bars, padding=3, color=_INK)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.margins(x=0.08)


def _short(reason: str, longest: int = 64) -> str:
    return reason if len(reason) <= longest else f"{reason[: longest - 1]}…"
