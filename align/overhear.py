"""The words of a recording whose text is known: read along where it is right, else recognised.

`align.follow` finds which of the next words a piece has, and the recogniser, told these words,
says how likely they are, which costs a third of writing them down (`align.recognise`). Only the
pieces whose text is doubtful are written down. After such a piece the place in the text is
found again from what was recognised; should it be wrong, the next piece is recognised, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from align.agreement import HeardWord, heard_words, key_of
from align.engines.nnet import Hearing, hear
from align.follow import Followed, Follower
from align.recognise import LIKELY, Reading, read_along
from align.recording import at_speech_rate
from align.timing import Span

if TYPE_CHECKING:
    from align.recording import Recording
    from align.text import Script
    from media.audio import Sound

__all__ = ["Listener", "fits", "overhear", "place_after"]

# The place in the text is looked for so far back, and so far beyond the words recognised.
_BACK, _BEYOND = 40, 60
_CHANGE, _GAP, _ELSEWHERE = 1.2, 0.7, 0.06
# A first word less likely than this may follow one that the text has not (8 clips, the first word
# left out: .000 to .059; left in, 6 above .4, 2 at .07 and .09, which are recognised in vain).
_LIKELY_FIRST = 0.1
# From its last word to where speech ends: a slow one, and the blur of its times.
_SLOW_PHONE_S, _BLUR_S = 0.12, 0.35
_SILENT_S = 0.28


class Listener(Protocol):
    """What is known of a recording beside its text."""

    def words(self, sound: Sound, piece: tuple[float, float]) -> Sequence[Span]:
        """The words of one piece, recognised; `sound` (16 kHz) lies at these seconds."""
        ...

    def speech_end(self, piece: tuple[float, float]) -> float:
        """The second at which the last speech of a piece ends."""
        ...


def overhear(
    source: Recording,
    pieces: Sequence[tuple[float, float]],
    script: Script,
    listener: Listener,
    progress: Callable[[float], None],
    hearing: Hearing = hear,
) -> tuple[HeardWord, ...]:
    """The spoken words of `pieces` (seconds, in order) with rough times.

    Words that the text has right are the script's own. `progress` is told the share done.
    """
    follower = Follower(script, hearing)
    keys = [key_of(word.spoken) for word in script.words]
    found: list[HeardWord] = []
    at = 0
    for number, (piece, cut) in enumerate(zip(pieces, source.cuts(pieces), strict=True)):
        sound = at_speech_rate(cut)
        final = number + 1 == len(pieces)
        followed = follower.follow(sound, piece[0], at, final=final)
        if followed is not None and _says(sound, piece, script, followed, listener):
            at = followed.last
            found += _own(script, keys, followed)
        else:
            words = heard_words(listener.words(sound, piece))
            at = place_after(keys, [w.key for w in words], at)
            found += words
        progress((number + 1) / len(pieces))
    return tuple(found)


def _says(
    sound: Sound,
    piece: tuple[float, float],
    script: Script,
    followed: Followed,
    listener: Listener,
) -> bool:
    """Whether a piece says the words that were followed, and nothing after them."""
    words = script.words[followed.first : followed.last]
    text = script.text[words[0].start_char : words[-1].end_char]
    reading = read_along(sound.samples, text.split())
    if reading is None:
        return False
    last = sum(len(w.phones) for w in words if w.start_char == words[-1].start_char)
    return fits(reading, last, listener.speech_end(piece) - piece[0])


def fits(reading: Reading, last_phones: int, speech_end_s: float) -> bool:
    """Whether a text was read along to the end of speech; its last word has `last_phones`."""
    left = speech_end_s - reading.last_s
    return (
        reading.first >= _LIKELY_FIRST
        and reading.least >= LIKELY
        and 0.0 <= left <= _SLOW_PHONE_S * last_phones + _BLUR_S
        and speech_end_s - reading.end_s <= _SILENT_S
    )


def _own(script: Script, keys: Sequence[str], followed: Followed) -> list[HeardWord]:
    """The script's words where they were followed."""
    return [
        HeardWord(keys[index], Span(script.words[index].spoken, start, end))
        for index, (start, end) in zip(
            range(followed.first, followed.last), followed.times, strict=True
        )
    ]


def place_after(keys: Sequence[str], heard: Sequence[str], at: int) -> int:
    """The word of the text after `heard`, which was said from about word `at` on.

    The cheapest way to lay all of `heard` over any stretch of the text nearby (Sellers 1980).
    """
    if not heard:
        return at
    low, high = max(0, at - _BACK), min(len(keys), at + len(heard) + _BEYOND)
    own = np.array(keys[low:high])
    # To begin elsewhere than at `at` costs, so that what is said twice decides nothing.
    cost = _ELSEWHERE * np.abs(np.arange(low, high + 1) - at)
    ramp = _GAP * np.arange(len(cost))
    for key in heard:
        both = np.concatenate([[np.inf], cost[:-1] + np.where(own == key, 0.0, _CHANGE)])
        best = np.minimum(both, cost + _GAP)
        cost = np.minimum.accumulate(best - ramp) + ramp
    return low + int(cost.argmin())
