"""Where in a text a piece of its recording is, found without writing the piece down.

Our own small network and an exact search (`align.engines.nnet`) lay the words that come next
over the piece and find how many of them it has. That it has them at all is taken for granted
here; whether it is so, the recogniser tells (`align.recognise.read_along`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align._weights import aligner_path
from align.engines._features import FRAME_S
from align.engines._network import load_network
from align.engines._pronunciations import pronunciations
from align.engines.nnet import Hearing, divided, hear

if TYPE_CHECKING:
    from align.engines._path import Step
    from align.text import Script
    from media.audio import Sound

__all__ = ["Followed", "Follower"]

# Nobody says more phones a second for long; so many words are looked at.
_FASTEST_PHONES_PER_S, _MORE_PHONES = 20.0, 30


@dataclass(frozen=True, slots=True)
class Followed:
    """Words [`first`, `last`) of a script, and the seconds of each in the recording."""

    first: int
    last: int
    times: tuple[tuple[float, float], ...]


class Follower:
    """Lays pieces of a recording over its text, each from any word on."""

    def __init__(self, script: Script, hearing: Hearing = hear) -> None:
        self._hear = hearing
        self._variants = pronunciations(script)
        self._network = load_network(aligner_path())

    def follow(
        self, sound: Sound, start_s: float, first: int, *, final: bool = False
    ) -> Followed | None:
        """The words from `first` on that `sound` has (any rate, at most half a minute, from
        `start_s` on); with `final`, all that are left. None when it is too short for them.
        """
        words = self._next_words(first, float(sound.duration_s))
        if not words or (final and first + len(words) < len(self._variants)):
            return None
        steps = divided(self._hear(sound, self._network), words, self._network, whole=final)
        if steps is None:
            return None
        times = _times(steps, start_s)
        return Followed(first, first + len(times), times)

    def _next_words(self, first: int, duration_s: float) -> list[tuple[str, ...]]:
        """As many words as can be said in so many seconds, and some more."""
        left = int(_FASTEST_PHONES_PER_S * duration_s) + _MORE_PHONES
        words: list[tuple[str, ...]] = []
        for variants in self._variants[first:]:
            left -= len(variants[0].split())
            if left < 0:
                break
            words.append(variants)
        return words


def _times(steps: Sequence[Step], start_s: float) -> tuple[tuple[float, float], ...]:
    """Start and end of each word, in order; every word has at least one step."""
    found: dict[int, tuple[float, float]] = {}
    for step in steps:
        if step.word >= 0:
            begin = found.get(step.word, (start_s + step.start * FRAME_S, 0.0))[0]
            found[step.word] = (begin, start_s + step.stop * FRAME_S)
    return tuple(found[word] for word in sorted(found))
