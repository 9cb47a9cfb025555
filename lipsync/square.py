"""Anamorphic footage seen with square pixels: a squeezed face is not what the networks know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.footage import FootageInfo
    from media.picture import Picture

__all__ = ["pixel_aspect", "squared"]

# Pixels as near to square as this are square.
_SQUARE = 0.01


def pixel_aspect(info: FootageInfo) -> float:
    """Width of a pixel of the footage over its height; exactly 1.0 where they are about square."""
    aspect = float(info.sample_aspect)
    return 1.0 if abs(aspect - 1) < _SQUARE else aspect


def squared(pictures: Iterable[Picture], aspect: float) -> Iterator[Picture]:
    """The pictures of footage with that `pixel_aspect`, each with square pixels."""
    if aspect == 1.0:
        yield from pictures
        return
    from media.picture import SquarePicture

    for picture in pictures:
        yield SquarePicture(picture, aspect)
