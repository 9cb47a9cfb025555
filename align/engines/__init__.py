"""Engines that put words and phones in time.

An `Aligner` takes a `media.audio.Sound` (mono, any rate, at most about half a minute) and
an `align.text.Script` and returns an `align.timing.Timing`. Engines are found by name and
imported on use:

    aligner = get_aligner("sphinx")
    timing = aligner.align(sound, speakable("We chose to go."))

"exact" is no aligner: a synthesiser that knows its durations hands them to
`align.engines.exact.timing_from_durations`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from media.errors import EngineMissingError

if TYPE_CHECKING:
    from align.text import Script
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["Aligner", "get_aligner"]

_ENGINES = {"sphinx": ("align.engines.sphinx", "SphinxAligner")}


class Aligner(Protocol):
    """Anything that finds when the words of a script are said in a sound."""

    name: str

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time every word and phone of `script`; raises `AlignError` when they cannot fit."""
        ...


def get_aligner(name: str = "sphinx") -> Aligner:
    """The engine called `name`; raises `EngineMissingError` naming those there are."""
    if name not in _ENGINES:
        known = ", ".join(sorted(_ENGINES))
        raise EngineMissingError(f"there is no aligner called '{name}'; choose one of: {known}")
    module, attribute = _ENGINES[name]
    engine: Aligner = getattr(import_module(module), attribute)()
    return engine
