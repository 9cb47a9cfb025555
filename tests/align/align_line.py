"""The type of the `line` fixture."""

from __future__ import annotations

from typing import NamedTuple

from align.text import Script
from align.timing import Timing
from media.audio import Sound


class Line(NamedTuple):
    """A synthesised line: what was said, how it sounds, when each phone is."""

    script: Script
    sound: Sound
    exact: Timing
