"""How a line is to be spoken: pace, length, pitch; and the arithmetic behind it.

    Prosody(speed=0.9)                   slower, pauses and vowels give way first
    Prosody(duration_s=3.2)              the finished take lasts 3.2 s, pads included
    Prosody(semitones=-1, expression=1.2)

Speech does not slow down evenly: pauses and vowels stretch, stops hardly do (Klatt 1976,
"Linguistic uses of segmental duration in English"). `fit_frames` follows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.errors import TextError

if TYPE_CHECKING:
    from voice.guide import Guide

    Floats = NDArray[np.float64]
    Frames = NDArray[np.int64]

__all__ = [
    "NEUTRAL",
    "PAUSES",
    "PLAIN",
    "VOICED_HZ",
    "Prosody",
    "WordWishes",
    "elasticity",
    "fit_frames",
    "shape_f0",
    "stretched",
]

_VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐ")
_STOPS = frozenset("pbtdkɡgʔʧʤɾT")
PAUSES = frozenset(';:,.!?—…"()“”')
_MARKS = frozenset("ˈˌː")
VOICED_HZ = 10.0
"""F0 at or below this is Kokoro's way to say unvoiced."""
_SHORTEST, _LONGEST = 0.4, 3.0  # of the natural length; beyond, it stops being speech


@dataclass(frozen=True, slots=True)
class WordWishes:
    """Wishes for single words of one script; words are counted as spoken, from 0.

    `stressed` words carry the sentence's weight. `pauses` are (word, seconds of silence before
    it), the number of words meaning the end. `paces` are (word, speed from it on).
    """

    stressed: frozenset[int] = frozenset()
    pauses: tuple[tuple[int, float], ...] = ()
    paces: tuple[tuple[int, float], ...] = ()

    def select(self, first: int, last: int) -> WordWishes:
        """Those for the words [first, last), counted from there; the pause at `last` is not."""
        before = [speed for word, speed in self.paces if word <= first]
        paces = [(w - first, speed) for w, speed in self.paces if first < w < last]
        return WordWishes(
            frozenset(w - first for w in self.stressed if first <= w < last),
            tuple((w - first, s) for w, s in self.pauses if first <= w < last),
            ((0, before[-1]), *paces) if before else tuple(paces),
        )

    def moved(self, by: int) -> WordWishes:
        """The same for a script with `by` more words in front."""
        return WordWishes(
            frozenset(w + by for w in self.stressed),
            tuple((w + by, s) for w, s in self.pauses),
            tuple((w + by, s) for w, s in self.paces),
        )

    def pause_before(self, word: int) -> float:
        """Seconds of silence wished before a word; 0 where nothing is wished."""
        return sum(seconds for w, seconds in self.pauses if w == word)

    def pace_of(self, word: int) -> float:
        """The speed of a word beside that of the line."""
        return next((speed for w, speed in reversed(self.paces) if w <= word), 1.0)


PLAIN = WordWishes()


@dataclass(frozen=True, slots=True)
class Prosody:
    """The wishes for one take.

    `speed` 1 is the voice's own pace. `duration_s`, when given, is the length of the
    finished take in seconds (pads included) and overrules `speed`. `semitones` moves the
    pitch, `expression` scales its movement about the median (0 monotone, 1 as spoken).
    `noise` scales the random part of the source, drawn from `seed`: 0 is none.
    `words` directs single words; `guide` is a performance to follow (`voice.guide`), which
    settles all lengths, so that `speed` and `duration_s` have no say.

    Raises `TextError` for values that cannot be spoken.
    """

    speed: float = 1.0
    duration_s: float | None = None
    semitones: float = 0.0
    expression: float = 1.0
    noise: float = 0.0
    seed: int = 0
    words: WordWishes = PLAIN
    guide: Guide | None = None

    def __post_init__(self) -> None:
        if not 0.3 <= self.speed <= 3.0:
            raise TextError(f"a speed of {self.speed:g} cannot be spoken; choose 0.3 to 3")
        if self.duration_s is not None and not self.duration_s > 0:
            raise TextError(f"a length of {self.duration_s:g} s is not possible; give one above 0")
        if not -24 <= self.semitones <= 24 or not 0 <= self.expression <= 4:
            raise TextError(
                f"pitch {self.semitones:+g} semitones with expression {self.expression:g} cannot "
                "be spoken; choose -24 to 24 and 0 to 4"
            )
        if not 0 <= self.noise <= 4:
            raise TextError(f"a source noise of {self.noise:g} is not possible; choose 0 to 4")


NEUTRAL = Prosody()


def elasticity(tokens: str) -> Floats:
    """How readily each character of a Kokoro phoneme string gives way, float64 [n], 0..1."""

    def one(token: str) -> float:
        if token in PAUSES or token in _VOWELS:
            return 1.0
        if token in _STOPS or token == " ":
            return 0.25
        return 0.8 if token in _MARKS else 0.6

    return np.array([one(t) for t in tokens], dtype=np.float64)


def fit_frames(expected: Floats, give: Floats, total: int) -> Frames:
    """Whole durations that sum to exactly `total` frames.

    `expected` float64 [n] natural durations in frames, `give` float64 [n] elasticities.
    Each becomes ``expected * exp(give * x)`` with one x for all, at least one frame; the
    running sum is rounded, so no boundary moves by more than half a frame.
    Raises `TextError` when `total` is far outside what speech can do.
    """
    natural = np.maximum(expected, 1.0)
    usual = float(natural.sum())
    low, high = max(len(natural), _SHORTEST * usual), _LONGEST * usual
    if not low <= total <= high:
        raise TextError(
            f"the words take {usual * 0.025:.2f} s and cannot be spoken in {total * 0.025:.2f} s; "
            f"ask for {low * 0.025:.2f} to {high * 0.025:.2f} s or change the line"
        )

    edges = np.floor(np.cumsum(stretched(natural, give, total)) + 0.5).astype(np.int64)
    edges[-1] = total
    return np.diff(edges, prepend=0)


def stretched(natural: Floats, give: Floats, total: float, least: float = 1.0) -> Floats:
    """Durations ``natural * exp(give * x)``, at least `least` each, that sum to `total`.

    All float64 [n], in frames; one x for all, found by halving.
    """

    def at(x: float) -> Floats:
        frames: Floats = np.maximum(natural * np.exp(give * x), least)
        return frames

    lower, upper = -40.0, 40.0
    for _ in range(80):
        middle = 0.5 * (lower + upper)
        if at(middle).sum() < total:
            lower = middle
        else:
            upper = middle
    return at(upper)


def shape_f0(f0: NDArray[np.float32], prosody: Prosody) -> NDArray[np.float32]:
    """F0 moved and widened as wished: Hz float32 [n] -> the same; unvoiced steps stay."""
    voiced = f0 > VOICED_HZ
    if not voiced.any() or (prosody.semitones == 0 and prosody.expression == 1):
        return f0
    octaves = np.log2(f0[voiced])
    median = np.median(octaves)
    octaves = median + (octaves - median) * prosody.expression + prosody.semitones / 12
    shaped = f0.copy()
    shaped[voiced] = np.exp2(octaves)
    return shaped
