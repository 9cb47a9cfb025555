"""Timing from a synthesiser's own durations.

Kokoro says for each of its tokens how many frames of 25 ms it lasts; a phone lasts as
long as the characters it owns. Three things stand between these numbers and the sound,
measured over 45 sentences in five voices against acoustic landmarks (closures, bursts,
the start of friction and of voicing):

* The sound runs ahead of the durations by 50 ms (median deviation 10 ms), the same in all
  voices: the decoder looks ahead.
* A space between words is sound, not silence: its first 15 ms end the word before, the
  rest begins the next one (-15 to -45 dB where pauses are below -70 dB).
* The last phone before a pause is given much of the pause.
* At one space in twenty the voice pauses without punctuation, for 0.1 to 0.6 s. The durations
  give that to the phones around it.

With the sound at hand the last two are mended by its level, and boundaries move from the
25 ms grid to the nearest change of the spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from align.phones import without_stress
from align.timing import Span, Timing
from media.errors import AlignError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.text import Script
    from media.audio import Sound

__all__ = ["FRAME_S", "LEAD_S", "timing_from_durations"]

# 600 samples at 24 kHz.
FRAME_S = 0.025
# How far the sound runs ahead of the durations.
LEAD_S = 0.050
_SPACE_TO_LEFT_S = 0.015
_PAUSE_FRAMES = 2.0
_LEAST_PHONE_S = 0.01
# Between two words so much quiet is a pause. At 859 junctures in 35 voices the closures of stops
# last 117 ms at most; where aligners hear a pause, it is longer in three cases of four. Two
# closures in a row ("keep Paul", 108 ms) last longer in slow speech: 133 ms at a speed of 0.6.
_QUIET_S = 0.12
_QUIET_OF_TWO_STOPS_S = 0.17


def timing_from_durations(
    script: Script,
    token_durations_frames: Sequence[float],
    frame_s: float = FRAME_S,
    sound: Sound | None = None,
) -> Timing:
    """Words and phones of a synthesised line.

    `token_durations_frames` are the durations of [start, *tokens, end] in frames of
    `frame_s` seconds, one token for each character of `script.kokoro`. Give the `sound`
    they belong to whenever it is at hand: it settles where pauses begin, tells of those that
    nothing writes and sharpens the boundaries. Start, end and punctuation of two frames and
    more are silence. Words are the written ones: "1963" is one span over its four spoken
    words. Raises `AlignError` when the number of durations does not fit.
    """
    durations = [float(d) for d in token_durations_frames]
    if len(durations) != len(script.kokoro) + 2:
        raise AlignError(
            f"{len(durations)} durations for {len(script.kokoro)} phonemes; "
            "give one for each phoneme and one for each end"
        )
    edges = [0.0, *(float(e) * frame_s for e in np.cumsum(durations))]
    total = edges[-1]
    phrases = _phrases(script, durations, edges)
    if sound is not None:
        total = float(sound.duration_s)
        phrases = _sharpened(script, phrases, sound)
    spans = _spans(script, phrases, total)
    return Timing(_written(script, spans), tuple(s for _, s in spans), total, engine="exact")


# Phones without a pause between them: the index of the first one, and all their edges.
_Phrase = tuple[int, list[float]]


def _phrases(script: Script, durations: list[float], edges: list[float]) -> list[_Phrase]:
    """Boundaries of the phones between pauses, moved by the lead of the sound."""
    phrases: list[_Phrase] = []
    before = 0  # the token (start token included) after which the last phone ended
    for index, chars in enumerate(script.phone_chars()):
        first = chars.start + 1
        between = range(before + 1, first)
        pause = [
            t for t in between if script.kokoro[t - 1] != " " and durations[t] >= _PAUSE_FRAMES
        ]
        if index == 0 or pause:
            if phrases:
                phrases[-1][1].append(edges[pause[0]] - LEAD_S)
            opens = edges[pause[-1] + 1] if pause else edges[before + 1]
            phrases.append((index, [opens - LEAD_S]))
        else:
            gap = edges[first] - edges[before + 1]
            lean = min(_SPACE_TO_LEFT_S, 0.5 * gap)
            phrases[-1][1].append(edges[before + 1] + lean - LEAD_S)
        before = chars.end
    phrases[-1][1].append(edges[before + 1] - LEAD_S)
    return phrases


def _sharpened(script: Script, phrases: list[_Phrase], sound: Sound) -> list[_Phrase]:
    """Phrases begun and ended where the sound does, boundaries on its changes."""
    from align.refine import loudness, phrase_end, phrase_start, refine_edges, speech_level

    levels = loudness(sound)
    loud = levels > speech_level(levels)
    labels = [without_stress(c.phone) for c in script.phone_chars()]
    phrases = [part for phrase in phrases for part in _parted(script, phrase, loud)]
    found: list[_Phrase] = []
    for number, (first, edges) in enumerate(phrases):
        floor = found[-1][1][-1] if found else 0.0
        ceiling = float(sound.duration_s)
        if number + 1 < len(phrases):
            ceiling = phrases[number + 1][1][0]
        start = phrase_start(loud, edges[0], edges[1], labels[first])
        end = phrase_end(loud, edges[-2], max(edges[-1], min(edges[-1] + 0.1, ceiling)))
        inner = refine_edges(sound, edges, spread_s=0.012, reach_s=0.025)[1:-1]
        found.append((first, [max(start, floor), *inner, end]))
    return found


def _parted(script: Script, phrase: _Phrase, loud: NDArray[np.bool_]) -> list[_Phrase]:
    """`phrase` divided between words where the sound pauses; `loud` or not every `HOP_S`."""
    from align.refine import CLOSURE_S, HOP_S, STOPS

    first, edges = phrase
    chars = script.phone_chars()[first : first + len(edges) - 1]
    parts: list[_Phrase] = [(first, [edges[0]])]
    end = 0
    for i, edge in enumerate(edges[1:], 1):
        if i < len(chars) and chars[i].word != chars[i - 1].word:
            low, high = (round(e / HOP_S) for e in (edges[i - 1], edges[i + 1]))
            low = max(low, end)  # a word of one phone: no pause counts twice
            heard = np.flatnonzero(loud[low:high])
            # The outer phones hold quiet from before and after the phrase.
            if len(heard) and i + 1 == len(chars):
                high = low + int(heard[-1]) + 1
            if len(heard) and i == 1:
                low += int(heard[0])
            begin, until = (low + k for k in _longest_quiet(loud[low:high]))
            before, after = (without_stress(c.phone) in STOPS for c in chars[i - 1 : i + 1])
            least = _QUIET_OF_TWO_STOPS_S if before and after else _QUIET_S
            if (until - begin) * HOP_S >= least:
                end = until
                closure = CLOSURE_S if after else 0.0
                parts[-1][1].append(begin * HOP_S)
                parts.append((first + i, [end * HOP_S - closure]))
                continue
        parts[-1][1].append(edge)
    return parts


def _longest_quiet(loud: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last (exclusive) of the longest run of frames that are not loud."""
    at = np.flatnonzero(np.diff(np.concatenate([[True], loud, [True]])))
    if not len(at):
        return 0, 0
    begins, ends = at[::2], at[1::2]
    best = int(np.argmax(ends - begins))
    return int(begins[best]), int(ends[best])


def _spans(script: Script, phrases: list[_Phrase], total: float) -> list[tuple[int, Span]]:
    """(word, span) of every phone: in order, inside the sound, none without a length."""
    chars = script.phone_chars()
    spans: list[tuple[int, Span]] = []
    at, left = 0.0, len(chars)
    least = min(_LEAST_PHONE_S, total / (2 * left))
    for first, edges in phrases:
        at = max(at, edges[0])
        for index in range(len(edges) - 1):
            start = min(at, total - left * least)
            left -= 1
            at = min(max(edges[index + 1], start + least), total - left * least)
            owner = chars[first + index]
            spans.append((owner.word, Span(without_stress(owner.phone), start, at)))
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
