"""The arithmetic of direction: whole durations and curves that do what was wished.

The engine gives a length to each phoneme character, an F0 and an energy to each 12.5 ms. Here
words are stressed, slowed and parted by pauses, and a guide's performance is laid on them.
Stress lengthens the vowel, raises pitch and level of the word and lowers what follows it in the
phrase (Xu and Xu 2005, "Phonetic realization of focus in English declarative intonation").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.errors import TextError
from voice.prosody import PAUSES, VOICED_HZ, WordWishes, elasticity, fit_frames, stretched

if TYPE_CHECKING:
    from align.text import Script
    from voice.guide import Guide

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Frames = NDArray[np.int64]

__all__ = [
    "Tokens",
    "guided_curves",
    "guided_frames",
    "shortened_pauses",
    "silent_frames",
    "stressed_curves",
    "wished_frames",
]

_FRAME_S, _STEP_S = 0.025, 0.0125
_LEAD_S = 0.050  # how far the sound runs ahead of the durations (`align.engines.exact`)
_VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐˈˌː")
_STRESS_VOWEL, _STRESS_OTHER = 1.35, 1.12
_STRESS_ST, _STRESS_ENERGY = 3.5, 0.7  # semitones; natural log of power
_AFTER_ST, _AFTER_ENERGY = -1.5, -0.25
_FLANK = 6  # steps
_MARK, _MARK_SOUNDS = 7, 3  # frames of a comma beside a pause, and those of it that still sound
_GUIDED_MARK = 4
_WIDEST = 1.7  # times the person's own spread of pitch that a guide may ask for
_ENERGY_SHARE, _ENERGY_LIMIT = 0.8, 2.0
_SMOOTH = 7  # steps


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The characters of a script from its first word to its last, and what the engine expects.

    `chars` and `owner` (index of the word, -1 between words) of length n; `expected` float64
    [n] frames.
    """

    chars: str
    owner: tuple[int, ...]
    expected: Doubles

    def of_word(self, word: int) -> NDArray[np.bool_]:
        """Which characters belong to a word."""
        return np.array([o == word for o in self.owner])

    def gaps(self) -> dict[int, int]:
        """For each word but the first, the character that a pause before it lengthens."""
        found: dict[int, int] = {}
        for i, word in enumerate(self.owner):
            if word < 0 or i == 0 or self.owner[i - 1] >= 0:
                continue
            start = i
            while start > 0 and self.owner[start - 1] < 0:
                start -= 1
            marks = [k for k in range(start, i) if self.chars[k] in PAUSES]
            found[word] = marks[0] if marks else start
        return found


def wished_frames(tokens: Tokens, words: WordWishes, speed: float, total: int | None) -> Frames:
    """Whole frames for each character, int64 [n], with words paced, stressed and parted.

    `total`, when given, is the sum; else `speed` says how much of the natural length it is.
    Raises `TextError` when there is no time for that.
    """
    natural = np.maximum(tokens.expected, 1.0)
    give = elasticity(tokens.chars)
    vowel = np.array([c in _VOWELS for c in tokens.chars])
    for word in words.stressed:
        own = tokens.of_word(word)
        natural[own] *= np.where(vowel[own], _STRESS_VOWEL, _STRESS_OTHER)
    for word in sorted({o for o in tokens.owner if o >= 0}):
        pace = words.pace_of(word)
        own = tokens.of_word(word)
        if pace != 1.0:
            natural[own] = stretched(natural[own], give[own], float(natural[own].sum()) / pace)
    held = np.zeros(len(natural), np.int64)
    for word, token in tokens.gaps().items():
        if words.pause_before(word) > 0:
            held[token] = min(_MARK_SOUNDS + round(words.pause_before(word) / _FRAME_S), _MARK)
    free = held == 0
    room = round(float(natural[free].sum()) / speed) if total is None else total - int(held.sum())
    if room <= 0:
        raise TextError("the pauses alone are longer than the line shall be; shorten them")
    held[free] = fit_frames(natural[free], give[free], room)
    return held


def silent_frames(tokens: Tokens, words: WordWishes) -> dict[int, int]:
    """Frames of true silence to splice in for the wished pauses: after which character, how many.

    A mark held long is not silent: the engine draws the word before it out, or breathes. So it is
    held as long as it usually is, and the rest is silence of our own.
    """
    wished = (
        (token, round(words.pause_before(word) / _FRAME_S) - (_MARK - _MARK_SOUNDS))
        for word, token in tokens.gaps().items()
    )
    return {token: frames for token, frames in wished if frames > 0}


def shortened_pauses(tokens: Tokens, frames: Frames) -> tuple[Frames, dict[int, int]]:
    """A guide's long marks cut to `_GUIDED_MARK` frames, and the silence to splice in for it."""
    short = frames.copy()
    silent: dict[int, int] = {}
    for token in set(tokens.gaps().values()):
        if tokens.chars[token] in PAUSES and short[token] > _GUIDED_MARK:
            silent[token] = int(short[token]) - _GUIDED_MARK
            short[token] = _GUIDED_MARK
    return short, silent


def guided_frames(tokens: Tokens, script: Script, guide: Guide) -> Frames:
    """Whole frames that put every phone where the guide has it, int64 [n].

    Edges are rounded where they stand, so no error adds up; each character keeps one frame.
    """
    offset = next(i for i, o in enumerate(script.word_of) if o >= 0)
    edges = np.full(len(tokens.chars) + 1, np.nan)
    for k, phone in enumerate(script.phone_chars()):
        first, last = phone.start - offset, phone.end - offset
        share = np.concatenate(([0.0], np.cumsum(np.maximum(tokens.expected[first:last], 0.1))))
        span = guide.ends_s[k] - guide.starts_s[k]
        inner = guide.starts_s[k] + span * share / share[-1]
        # Where two phones touch, one edge serves both.
        if not np.isnan(edges[first]):
            inner[0] = 0.5 * (edges[first] + inner[0])
        edges[first : last + 1] = inner
    _lean_spaces(edges, tokens)
    known = np.flatnonzero(~np.isnan(edges))
    edges = np.interp(np.arange(len(edges)), known, edges[known])
    return _whole((edges - edges[0]) / _FRAME_S)


def _lean_spaces(edges: Doubles, tokens: Tokens) -> None:
    """A space between words is sound: it takes 15 ms of the word before, 10 of the next.

    Beside a punctuation mark that holds a pause it belongs to the next word alone.
    """
    for i, (char, owner) in enumerate(zip(tokens.chars, tokens.owner, strict=True)):
        if char != " " or owner >= 0:
            continue
        after_mark = i > 0 and tokens.owner[i - 1] < 0
        if after_mark:
            edges[i] = edges[i + 1]  # the mark ends where the next word begins
            edges[i + 1] += _FRAME_S
        elif not np.isnan(edges[i]) and not np.isnan(edges[i + 1]):
            middle = 0.5 * (edges[i] + edges[i + 1])
            edges[i] = min(edges[i], middle - 0.015)
            edges[i + 1] = max(edges[i + 1], middle + 0.010)


def _whole(edges: Doubles) -> Frames:
    """Rounded edges with a frame at least between two; the end gives way last."""
    at = np.round(edges).astype(np.int64)
    steps = np.arange(len(at))
    last = max(int(at[-1]), len(at) - 1)
    at = np.maximum.accumulate(np.maximum(at, 0) - steps) + steps
    at[-1] = last
    at = np.minimum.accumulate((at - steps)[::-1])[::-1] + steps
    frames: Frames = np.diff(at)
    frames[0] += at[0]
    return np.maximum(frames, 1)


def stressed_curves(
    f0: Floats,
    energy: Floats,
    spans: dict[int, tuple[float, float]],
    tokens: Tokens,
    stressed: frozenset[int],
) -> tuple[Floats, Floats]:
    """F0 (Hz) and energy float32 [steps] with the stressed words raised.

    `spans` are the words' times in the sound, in steps of 12.5 ms.
    """
    if not stressed:
        return f0, energy
    lift, loud = np.zeros(len(f0)), np.zeros(len(f0))
    ends = _phrase_ends(tokens)
    for word in stressed:
        start, end = spans[word]
        bump = _plateau(len(f0), start, end)
        after = _plateau(len(f0), end + _FLANK, spans[ends[word]][1])
        if ends[word] == word:
            after = np.zeros(len(f0))
        lift += _STRESS_ST * bump + _AFTER_ST * after * (1 - bump)
        loud += _STRESS_ENERGY * bump + _AFTER_ENERGY * after * (1 - bump)
    voiced = f0 > VOICED_HZ
    raised = np.where(voiced, f0 * np.exp2(lift / 12), f0).astype(np.float32)
    return raised, (energy + loud).astype(np.float32)


def _phrase_ends(tokens: Tokens) -> dict[int, int]:
    """For each word the last word of its phrase."""
    ends: dict[int, int] = {}
    waiting: list[int] = []
    last = -1
    for char, word in zip(tokens.chars, tokens.owner, strict=True):
        if word >= 0 and word != last:
            waiting.append(word)
            last = word
        elif word < 0 and char in PAUSES:
            ends.update(dict.fromkeys(waiting, last))
            waiting = []
    ends.update(dict.fromkeys(waiting, last))
    return ends


def _plateau(length: int, start: float, end: float) -> Doubles:
    """1 from `start` to `end` (steps) with half-cosine flanks."""
    at = np.arange(length) + 0.5
    rise = np.clip((at - (start - _FLANK)) / _FLANK, 0, 1)
    fall = np.clip(((end + _FLANK) - at) / _FLANK, 0, 1)
    return np.asarray(0.25 * (1 - np.cos(np.pi * rise)) * (1 - np.cos(np.pi * fall)))


def guided_curves(
    f0: Floats, energy: Floats, edges: Doubles, script: Script, guide: Guide
) -> tuple[Floats, Floats]:
    """F0 (Hz) and energy float32 [steps] that follow the guide, in the person's own range.

    `edges` float64 [characters + 1] are the times in seconds, in this sound, of the edges of the
    script's characters. The model keeps its say on what is voiced; the melody is the guide's
    about this voice's median, narrowed where it is much wider than the voice's own.
    """
    ours, theirs = _anchors(edges, script, guide)
    at = np.asarray((np.arange(len(f0)) + 0.5) * _STEP_S, np.float64)
    there = np.asarray(np.interp(at, ours, theirs) / _STEP_S, np.float64)
    voiced = f0 > VOICED_HZ
    if not voiced.any():
        return f0, energy
    octaves = np.log2(f0[voiced].astype(np.float64))
    spread = max(12 * float(np.std(octaves)), 1.0)
    narrow = min(1.0, _WIDEST * spread / max(guide.spread_st, 0.1))
    melody = np.interp(there, np.arange(len(guide.melody_st)), guide.melody_st) * narrow
    median = float(np.exp2(np.median(octaves)))
    shaped = np.where(voiced, median * np.exp2(melody / 12), f0).astype(np.float32)
    return shaped, _guided_energy(energy, there, at, ours, guide)


def _guided_energy(
    energy: Floats, there: Doubles, at: Doubles, ours: Doubles, guide: Guide
) -> Floats:
    """Energy moved towards the guide's, phone-slow, and not in the pauses."""
    inside = (at >= ours[0]) & (at <= ours[-1])
    loud = inside & (energy > np.percentile(energy[inside], 30))
    own = energy - float(np.median(energy[loud]))
    wanted = np.interp(there, np.arange(len(guide.energy)), guide.energy)
    wanted -= float(np.median(wanted[loud]))  # how loud the whole is stays the voice's own
    kernel = np.hanning(_SMOOTH + 2)[1:-1]
    difference = np.convolve(wanted - own, kernel / kernel.sum(), "same")
    push = np.clip(_ENERGY_SHARE * difference, -_ENERGY_LIMIT, _ENERGY_LIMIT)
    return (energy + np.where(loud, push, 0.0)).astype(np.float32)


def _anchors(edges: Doubles, script: Script, guide: Guide) -> tuple[Doubles, Doubles]:
    """Times in this sound and in the guide that belong together, both rising."""
    ours: list[float] = []
    theirs: list[float] = []
    for k, phone in enumerate(script.phone_chars()):
        for here, there in (
            (edges[phone.start], guide.starts_s[k]),
            (edges[phone.end], guide.ends_s[k]),
        ):
            if not ours or (here > ours[-1] + 1e-6 and there >= theirs[-1]):
                ours.append(float(here))
                theirs.append(float(there))
    return np.array(ours), np.array(theirs)
