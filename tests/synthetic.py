"""Footage and sound of our own making, whose truth the tests know."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from media.audio import Sound
from media.footage import FootageInfo, Frame
from media.time import FrameRate


def synthetic_frame(index: int, width: int, height: int) -> np.ndarray:
    """Smooth colour that drifts, with `index` as 8 black or white blocks on the top edge."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rgb = np.stack(
        [
            127 + 100 * np.sin(2 * np.pi * (x / width + index / 50)),
            127 + 100 * np.sin(2 * np.pi * (y / height - index / 70)),
            127 + 100 * np.cos(2 * np.pi * ((x + y) / (width + height))),
        ],
        axis=-1,
    )
    block = width // 8
    for bit in range(8):
        rgb[: height // 6, bit * block : (bit + 1) * block] = 255 * (index >> bit & 1)
    return np.rint(rgb).clip(0, 255).astype(np.uint8)


def index_in(rgb: np.ndarray) -> int:
    """The number that `synthetic_frame` wrote into a picture."""
    height, width = rgb.shape[:2]
    block = width // 8
    middles = [rgb[height // 12, bit * block + block // 2].mean() for bit in range(8)]
    return sum(1 << bit for bit, level in enumerate(middles) if level > 127)


def synthetic_info(
    rate: str = "24000/1001", width: int = 160, height: int = 120, **facts: object
) -> FootageInfo:
    """Facts of footage that does not exist yet, to hand to a writer."""
    parsed = FrameRate.parse(rate)
    return FootageInfo(
        path=Path("synthetic.mp4"),
        rate=parsed,
        width=width,
        height=height,
        frames=None,
        duration_s=Fraction(0),
        **facts,  # type: ignore[arg-type]
    )


def synthetic_frames(count: int, info: FootageInfo, start: int = 0) -> Iterator[Frame]:
    """`count` numbered frames at the constant rate of `info`."""
    for index in range(start, start + count):
        rgb = synthetic_frame(index, info.width, info.height)
        yield Frame(index, info.rate.time_of(index), rgb)


def tone(duration_s: float, rate: int = 48_000, hertz: float = 440.0) -> Sound:
    """A sine at -12 dBFS."""
    at = np.arange(round(duration_s * rate)) / rate
    return Sound((0.25 * np.sin(2 * np.pi * hertz * at)).astype(np.float32), rate)
