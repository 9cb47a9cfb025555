"""Words and phones of a line from the durations of a model's own tokens.

VITS says how many frames each of its tokens lasts, and its decoder makes exactly one hop of
sound of each frame; unlike Kokoro's, the sound does not run ahead. So a phone lies where the
tokens it owns lie. Blank tokens, which the model puts between characters, are shared by both
neighbours.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from align.phones import VOWELS, without_stress
from align.timing import Span, Timing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.text import Script
    from voice.engines._coqui_text import Reading

    Frames = NDArray[np.float64]

__all__ = ["character_frames", "timing_of_characters", "whole_frames"]

_PAUSE_S = 0.07  # between two words; shorter gaps belong to the words
_VOWEL_SHARE = 1.6  # of a word's time, beside a consonant's
_GUESSED = 0.5  # confidence of phones inside a word whose letters only are known


def character_frames(
    script: Script, reading: Reading, positions: Sequence[int], frames: Frames
) -> Frames:
    """Frames of [start, *characters of `script.kokoro`, end], float64, with the same sum.

    `positions` has for every token the index of the character in `reading` that it is, or -1
    for a blank, a start or an end mark; `frames` float64 [tokens] how long each lasts.
    """
    found = np.zeros(len(script.kokoro) + 2)
    known = [t for t, position in enumerate(positions) if position >= 0]
    for token, position in enumerate(positions):
        if position >= 0:
            found[reading.owner[position] + 1] += frames[token]
            continue
        nearest = bisect.bisect_left(known, token)
        if nearest == 0:
            found[0] += frames[token]
        elif nearest == len(known):
            found[-1] += frames[token]
        else:
            for neighbour in known[nearest - 1 : nearest + 1]:
                found[reading.owner[positions[neighbour]] + 1] += 0.5 * frames[token]
    return _spread_words(script, found) if reading.by_word else found


def _spread_words(script: Script, frames: Frames) -> Frames:
    """The time of each word dealt out to its characters, vowels getting more."""
    spread = frames.copy()
    for word in range(len(script.words)):
        own = [i + 1 for i, w in enumerate(script.word_of) if w == word]
        total = frames[own].sum()
        weights = np.zeros(len(own))
        first = own[0]
        for chars in script.phone_chars():
            if chars.word == word:
                size = chars.end - chars.start
                heavy = without_stress(chars.phone) in VOWELS
                weights[chars.start + 1 - first : chars.end + 1 - first] = (
                    _VOWEL_SHARE if heavy else 1.0
                ) / size
        spread[own] = total * weights / weights.sum()
    return spread


def whole_frames(frames: Frames) -> NDArray[np.int64]:
    """Whole numbers with the same (whole) sum; no boundary moves by more than half a frame."""
    edges = np.floor(np.cumsum(frames) + 0.5).astype(np.int64)
    edges[-1] = round(float(frames.sum()))
    return np.diff(edges, prepend=0)


def timing_of_characters(
    script: Script, frames: Frames, frame_s: float, *, by_word: bool = False
) -> Timing:
    """The timing of a line whose [start, *characters, end] last `frames` of `frame_s` seconds."""
    edges = np.concatenate(([0.0], np.cumsum(frames))) * frame_s
    chars = script.phone_chars()
    starts = np.array([edges[c.start + 1] for c in chars])
    ends = np.array([edges[c.end + 1] for c in chars])
    for left in range(len(chars) - 1):
        if starts[left + 1] - ends[left] < _PAUSE_S:
            ends[left] = starts[left + 1] = 0.5 * (ends[left] + starts[left + 1])
    _keep_apart(starts, ends, float(edges[-1]))
    sure = _GUESSED if by_word else 1.0
    phones = [
        Span(without_stress(c.phone), float(a), float(b), sure)
        for c, a, b in zip(chars, starts, ends, strict=True)
    ]
    words = []
    for first, last in script.written_words():
        inside = [p for p, c in zip(phones, chars, strict=True) if first <= c.word < last]
        label = script.words[first].written
        words.append(Span(label, inside[0].start_s, inside[-1].end_s))
    return Timing(tuple(words), tuple(phones), float(edges[-1]), engine="exact")


def _keep_apart(starts: Frames, ends: Frames, total: float) -> None:
    """In place: every phone gets a length, in order, inside the sound."""
    least = min(0.005, total / (2 * len(starts)))
    at = 0.0
    for index in range(len(starts)):
        left = len(starts) - index
        starts[index] = min(max(starts[index], at), total - left * least)
        ends[index] = min(max(ends[index], starts[index] + least), total - (left - 1) * least)
        at = ends[index]
