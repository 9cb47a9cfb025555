"""Lip curves and visemes frame by frame, as a table for animation software.

    write_curves(timing, FrameRate(Fraction(24000, 1001)), Path("line.csv"))

One row a frame: its number and time, the six lip channels of `align.visemes.CHANNELS`
(0..1), and what the mouth is called there by us, by Oculus and by Rhubarb. The shapes are
those at the middle of the frame.
"""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from align.visemes import CHANNELS, SILENCE, curves, oculus, rhubarb, viseme_of
from media.files import atomic_path

if TYPE_CHECKING:
    from align.timing import Timing
    from media.time import FrameRate

__all__ = ["curves_csv", "write_curves"]


def curves_csv(timing: Timing, rate: FrameRate) -> str:
    """The table as text; it covers the whole sound."""
    count = max(1, rate.frame_at(Fraction(timing.duration_s) - Fraction(1, 10**9)) + 1)
    shapes = curves(timing, rate, count)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["frame", "time", *CHANNELS, "viseme", "oculus", "rhubarb"])
    for frame in range(count):
        start = rate.time_of(frame)
        phone = timing.phone_at(float(start + rate.time_of(frame + 1)) / 2)
        label = SILENCE if phone is None else phone.label
        table.writerow(
            [
                frame,
                f"{float(start):.6f}",
                *(f"{value:.4f}" for value in shapes[frame]),
                viseme_of(label),
                oculus(label),
                rhubarb(label),
            ]
        )
    return out.getvalue()


def write_curves(timing: Timing, rate: FrameRate, path: Path | str) -> None:
    """Write `curves_csv` to a file, whole or not at all. Raises `OutputError`."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(curves_csv(timing, rate), encoding="utf-8")
