"""Timing from a synthesiser's own durations: nothing is estimated.

Kokoro says for each of its tokens how many frames of 25 ms it lasts. A phone lasts as
long as the characters it owns; stress marks belong to the phone after them. A space
between words is sound, not silence: its frames hold the closure or the onset of the next
word (measured: -15 to -45 dB where pauses are below -70 dB), so they go to the next
phone. Punctuation of two frames and more is a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from align.phones import without_stress
from align.timing import Span, Timing
from media.errors import AlignError

if TYPE_CHECKING:
    from align.text import Script

__all__ = ["FRAME_S", "timing_from_durations"]

# 600 samples at 24 kHz.
FRAME_S = 0.025
_PAUSE_FRAMES = 2.0


def timing_from_durations(
    script: Script,
    token_durations_frames: Sequence[float],
    frame_s: float = FRAME_S,
) -> Timing:
    """Exact words and phones of a synthesised line.

    `token_durations_frames` are the durations of [start, *tokens, end] in frames of
    `frame_s` seconds, one token for each character of `script.kokoro`. Start, end and
    pauses are silence. Words are the written ones: "1963" is one span over its four
    spoken words. Raises `AlignError` when the number of durations does not fit.
    """
    durations = [float(d) for d in token_durations_frames]
    if len(durations) != len(script.kokoro) + 2:
        raise AlignError(
            f"{len(durations)} durations for {len(script.kokoro)} phonemes; "
            "give one for each phoneme and one for each end"
        )
    edges = [0.0]
    for duration in durations:
        edges.append(edges[-1] + duration * frame_s)
    owners = _owners(script, durations)
    phones = _spans(script, owners, edges)
    return Timing(_written(script, phones), tuple(s for _, s in phones), edges[-1], engine="exact")


def _owners(script: Script, durations: list[float]) -> list[int]:
    """For each token (ends included) the index of its phone, -1 for silence."""
    owners = [-1] * len(durations)
    for index, chars in enumerate(script.phone_chars()):
        for char in range(chars.start, chars.end):
            owners[char + 1] = index
    following = -1
    for token in range(len(script.kokoro), 0, -1):
        if owners[token] >= 0:
            following = owners[token]
        elif script.kokoro[token - 1] == " " or durations[token] < _PAUSE_FRAMES:
            owners[token] = following
        else:
            following = -1 if script.kokoro[token - 1] != " " else following
    return owners


def _spans(script: Script, owners: list[int], edges: list[float]) -> list[tuple[int, Span]]:
    """(word, span) of every phone that has a length."""
    spans: list[tuple[int, Span]] = []
    for index, chars in enumerate(script.phone_chars()):
        tokens = [t for t, owner in enumerate(owners) if owner == index]
        start, end = edges[tokens[0]], edges[tokens[-1] + 1]
        if end > start:
            spans.append((chars.word, Span(without_stress(chars.phone), start, end)))
    return spans


def _written(script: Script, phones: list[tuple[int, Span]]) -> tuple[Span, ...]:
    """One span per written token."""
    words: list[Span] = []
    for first, last in script.written_words():
        inside = [s for w, s in phones if first <= w < last]
        if inside:
            label = script.words[first].written
            words.append(Span(label, inside[0].start_s, inside[-1].end_s))
    return tuple(words)
