"""What a training shows of itself: held-out mouths as pictures, and the loss over its steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.files import atomic_path

if TYPE_CHECKING:
    from lipsync.training.loop import HeldOut

__all__ = ["draw_curve", "draw_preview"]

_SHOWN, _SIDE = 10, 128


def draw_preview(seen: HeldOut, path: Path) -> None:
    """Ten held-out mouths as PNG: real, the reference (the mouthbank's), the network's."""
    import cv2

    columns = np.linspace(0, len(seen.real) - 1, min(_SHOWN, len(seen.real))).astype(int)
    rows = [
        np.concatenate(
            [cv2.resize(part[c], (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) for c in columns],
            axis=1,
        )
        for part in (seen.real, seen.reference, seen.drawn)
    ]
    for row, name in zip(rows, ("real", "mouthbank", "mouthnet"), strict=True):
        cv2.putText(row, name, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
    picture: NDArray[np.uint8] = np.concatenate(rows)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.ascontiguousarray(picture[..., ::-1]))


def draw_curve(
    losses: Sequence[tuple[int, float]],
    curve: Sequence[tuple[int, float, float]],
    copied: float,
    path: Path,
) -> None:
    """The loss, the held-out error and the error of copying the reference over steps, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100)
    left = figure.add_subplot()
    right = left.twinx()
    left.plot([s for s, _ in losses], [v for _, v in losses], color="0.7", label="loss")
    right.plot(
        [s for s, _, _ in curve], [e for _, _, e in curve], "o-", ms=3, label="held-out error"
    )
    right.axhline(copied, color="C1", ls="--", label="copying the reference")
    left.set_xlabel("step")
    left.set_ylabel("loss, on what is learnt")
    right.set_ylabel("error, held out")
    # Above the axes, where it hides neither the curves nor the numbers.
    lines = [*left.lines, *right.lines]
    left.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
