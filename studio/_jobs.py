"""What the jobs share: the progress callback, and how tools and weights are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from align.timing import Timing

__all__ = ["DELIVERY_RATE", "Progress", "quiet", "speech_span", "tools"]

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and how much there is (or None)."""

DELIVERY_RATE = 48_000
"""Hz, what film sound is delivered at."""


def quiet(what: str, done: int, total: int | None) -> None:
    """The callback of those who do not watch."""
    del what, done, total


def speech_span(timing: Timing) -> tuple[float, float]:
    """First and last moment of speech, in seconds."""
    spans = timing.phones or timing.words
    return (spans[0].start_s, spans[-1].end_s) if spans else (0.0, 0.0)


def tools(*engines: str) -> list[str]:
    """Wildline with its version, then the engines."""
    from importlib.metadata import version

    return [f"Wildline {version('wildline')}", *engines]
