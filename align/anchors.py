"""A long text laid over what a recogniser heard, so that it can be cut into pieces.

The recogniser mishears words, and transcripts leave words out or add some; runs of words
that both have are anchors (longest matching blocks, Ratcliff & Obershelp, as in difflib).
Words between two anchors that lie in different pieces are shared out in proportion to
what was heard on each side of the cut.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING

from align.normalise import normalise
from media.errors import AlignError

if TYPE_CHECKING:
    from align.text import Script
    from align.timing import Span

__all__ = ["divide_script"]

_LEAST_IN_COMMON = 0.15


def _key(word: str) -> str:
    return re.sub(r"[^a-z]", "", word.lower())


def _heard_words(words: Sequence[Span], ends: Sequence[float]) -> tuple[list[str], list[int]]:
    """Spoken words that were heard, and the piece in which each one was."""
    keys: list[str] = []
    pieces: list[int] = []
    for span in words:
        piece = min(bisect_right(ends, span.middle_s), len(ends) - 1)
        for spoken in normalise(span.label).pieces:
            if spoken.kind != "punct":
                keys.append(_key(spoken.text))
                pieces.append(piece)
    return keys, pieces


def divide_script(
    script: Script, heard: Sequence[Span], ends: Sequence[float]
) -> list[tuple[int, int]]:
    """For each piece (it ends at `ends[i]` seconds) its words [first, last) of `script`.

    `heard` are recognised words with rough times. The ranges follow on each other and
    cover all words; written tokens are never divided. Raises `AlignError` when text and
    speech have next to nothing in common.
    """
    keys, pieces = _heard_words(heard, ends)
    own = [_key(w.spoken) for w in script.words]
    blocks = SequenceMatcher(None, own, keys, autojunk=False).get_matching_blocks()
    matched = sum(b.size for b in blocks)
    if matched < _LEAST_IN_COMMON * min(len(own), max(len(keys), 1)):
        raise AlignError(
            f"only {matched} of {len(own)} words of the text can be heard in the sound; "
            "give the text of this sound, in the language that is spoken"
        )
    positions = _positions(len(own), len(keys), [(b.a, b.b, b.size) for b in blocks])
    cuts = [0]
    for piece in range(len(ends) - 1):
        heard_before = bisect_right(pieces, piece)
        cut = bisect_right(positions, heard_before - 0.5)
        cuts.append(max(cuts[-1], _whole_token(script, cut)))
    return list(zip(cuts, [*cuts[1:], len(own)], strict=True))


def _positions(own: int, heard: int, blocks: list[tuple[int, int, int]]) -> list[float]:
    """For every word of the text its place among the heard words, monotonic.

    Anchored words have their counterpart's; words between are spread evenly.
    """
    known = [(-1, -1.0)]
    for a, b, size in blocks:
        known += [(a + i, float(b + i)) for i in range(size)]
    known.append((own, float(heard)))
    places: list[float] = []
    for (left, at), (right, to) in pairwise(known):
        gap = right - left
        places += [at + (to - at) * (i + 1) / gap for i in range(gap - 1)]
        if right < own:
            places.append(to)
    return places


def _whole_token(script: Script, cut: int) -> int:
    """The start of the written token that a cut before word `cut` would divide."""
    words = script.words
    while 0 < cut < len(words) and words[cut].start_char == words[cut - 1].start_char:
        cut -= 1
    return cut
