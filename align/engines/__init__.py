"""Engines that put words and phones in time.

An `Aligner` takes a `media.audio.Sound` (mono, any rate, at most about half a minute) and
an `align.text.Script` and returns an `align.timing.Timing`. Engines are found by name and
imported on use:

    aligner = get_aligner()
    timing = aligner.align(sound, speakable("We chose to go."))

"combined", the default, is a small network of our own ("nnet") led by PocketSphinx ("sphinx");
"ctc" is any wav2vec 2.0 model that spells (`align.engines.ctc.CtcAligner(folder)`), and
`align.engines.synth.SynthAligner` compares with a synthesis of the same words.
docs/aligner.md has the figures of each. "exact" is no aligner:
a synthesiser that knows its durations hands them to
`align.engines.exact.timing_from_durations`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from media.errors import EngineMissingError

if TYPE_CHECKING:
    from align.engines.nnet import Hearing
    from align.text import Script
    from align.timing import Timing
    from media.audio import Sound

__all__ = ["DEFAULT", "OURS", "Aligner", "get_aligner"]

_ENGINES = {
    "ctc": ("align.engines.ctc", "CtcAligner"),
    "combined": ("align.engines.combined", "CombinedAligner"),
    "nnet": ("align.engines.nnet", "NnetAligner"),
    "sphinx": ("align.engines.sphinx", "SphinxAligner"),
}
DEFAULT = "combined"
"""The engine of whoever asks for none."""
OURS = frozenset({"combined", "nnet"})
"""Engines that hear with our own network."""


class Aligner(Protocol):
    """Anything that finds when the words of a script are said in a sound."""

    @property
    def name(self) -> str:
        """What the engine is called, and what `Timing.engine` says."""
        ...

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time every word and phone of `script`; raises `AlignError` when they cannot fit."""
        ...


def get_aligner(name: str = DEFAULT, hearing: Hearing | None = None) -> Aligner:
    """The engine called `name`; raises `EngineMissingError` naming those there are.

    `hearing` (None, `align.engines.nnet.hear`) is how those of `OURS` run their network; it is
    nothing to the others.
    """
    if name not in _ENGINES:
        known = ", ".join(sorted(_ENGINES))
        raise EngineMissingError(f"there is no aligner called '{name}'; choose one of: {known}")
    module, attribute = _ENGINES[name]
    settings = {"hearing": hearing} if hearing is not None and name in OURS else {}
    engine: Aligner = getattr(import_module(module), attribute)(**settings)
    return engine
