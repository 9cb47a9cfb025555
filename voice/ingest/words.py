"""The words of every clip: what came along if it fits the sound, what is heard otherwise.

    given = Transcripts().given(path)                        # name.txt, .lab, .srt, .vtt, a table
    worded = word_clips(spans, heard, given, whole=False)

A transcript is believed as far as it can be heard: its words are laid over the recogniser's, each
clip gets the stretch between its neighbours', and how far both agree is its confidence. Where they
do not, the transcript belongs to something else; the clip is then written down by ear, and says so.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from align.normalise import normalise
from align.recognise import Heard
from voice._sidecar import Given, plain

__all__ = ["Worded", "agreement", "spoken_words", "word_clips"]

Span = tuple[float, float]

_FITS = 0.6  # of the words agree
_NEAR = 0.35  # fewer than this, and the transcript is another's
_SURE = 0.6  # confidence of the recogniser at which it is believed against a transcript
_AROUND_S = 2.0  # by which the times of subtitles may be wrong
_GROUP_WORDS = 200
_LEAST_SHARE = 0.3
_STRAY = 4
_UNCHECKED = 0.7  # confidence of a transcript that nobody could listen to
_MISFIT = "the transcript beside it does not fit the sound"


@dataclass(frozen=True, slots=True)
class Worded:
    """The words of one clip: `origin` "given" or "recognised", `note` on how they were found.

    `agreement` of a transcript with what is heard, None without one; `reason` why the clip
    cannot be used.
    """

    text: str
    confidence: float
    origin: str
    agreement: float | None = None
    note: str = ""
    reason: str | None = None


def spoken_words(text: str) -> list[str]:
    """The words as they are spoken, in small letters: "$3" is "three", "dollars"."""
    return [p.text.lower().strip("'") for p in normalise(text).pieces if p.kind != "punct"]


def agreement(a: str, b: str) -> float:
    """The share of words that two texts have in common, in order, 0..1."""
    mine, theirs = spoken_words(a), spoken_words(b)
    if not mine or not theirs:
        return 0.0
    return difflib.SequenceMatcher(None, mine, theirs, autojunk=False).ratio()


def word_clips(
    spans: Sequence[Span],
    heard: Sequence[Heard | None],
    given: Given | None,
    *,
    whole: bool,
) -> list[Worded]:
    """The words of each clip. `whole` says that the one clip is all that is said in its file.

    `heard` is None where nothing could listen (another language).
    """
    if given is None:
        return [_by_ear(h) for h in heard]
    if any(h is None for h in heard):
        return _unheard(spans, given, whole)
    known = [h for h in heard if h is not None]
    texts = _dealt(spans, known, given, whole)
    return [_settled(text, h, given.name) for text, h in zip(texts, known, strict=True)]


def _by_ear(heard: Heard | None) -> Worded:
    if heard is None:
        why = "no transcript beside it, and only English can be recognised"
        return Worded("", 0.0, "none", reason=why)
    return Worded(heard.text, heard.confidence, "recognised")


def _unheard(spans: Sequence[Span], given: Given, whole: bool) -> list[Worded]:
    """Transcripts nobody could check: by their times, or of a file that is one clip."""
    note = f"from {given.name}, not checked by ear"
    if whole and len(spans) == 1:
        return [Worded(given.text, _UNCHECKED, "given", note=note)]
    if given.times is None:
        why = "a transcript without times cannot be divided where nothing can be recognised"
        return [Worded("", 0.0, "none", reason=why) for _ in spans]
    middles = [(a + b) / 2 for a, b in given.times]
    texts = [
        " ".join(given.words[bisect_left(middles, a) : bisect_right(middles, b)]) for a, b in spans
    ]
    return [Worded(text, _UNCHECKED, "given", note=note) for text in texts]


def _settled(text: str | None, heard: Heard, name: str) -> Worded:
    """Transcript against ear."""
    alike = agreement(text, heard.text) if text else 0.0
    if text and alike >= _FITS:
        return Worded(text, max(alike, heard.confidence), "given", alike, f"from {name}")
    if text and alike >= _NEAR and heard.confidence < _SURE:
        note = f"from {name}; {alike:.0%} of it can be heard"
        return Worded(text, max(alike, heard.confidence), "given", alike, note)
    if heard.confidence >= _SURE and heard.text:
        note = f"{_MISFIT} ({name}); recognised instead"
        return Worded(heard.text, heard.confidence, "recognised", alike, note)
    return Worded(heard.text, heard.confidence, "recognised", alike, reason=_MISFIT)


def _dealt(
    spans: Sequence[Span], heard: Sequence[Heard], given: Given, whole: bool
) -> list[str | None]:
    """The stretch of the transcript that belongs to each clip."""
    if whole and len(spans) == 1:
        return [given.text]
    tokens = [plain(word) for word in given.words]
    said = [[plain(word) for word in h.text.split()] for h in heard]
    if given.times is not None:
        ranges = _by_time(tokens, said, spans, given.times)
    else:
        ranges = _in_order(tokens, said)
    return [None if r is None else " ".join(given.words[r[0] : r[1]]) for r in ranges]


def _by_time(
    tokens: Sequence[str],
    said: Sequence[Sequence[str]],
    spans: Sequence[Span],
    times: Sequence[Span],
) -> list[tuple[int, int] | None]:
    """Each clip looks for its words among those written near its time."""
    starts, ends = [a for a, _ in times], [b for _, b in times]
    found: list[tuple[int, int] | None] = []
    for words, (start, end) in zip(said, spans, strict=True):
        low = bisect_left(ends, start - _AROUND_S)
        high = bisect_right(starts, end + _AROUND_S)
        inside = _ranges(tokens[low:high], [words])[0]
        found.append(None if inside is None else (low + inside[0], low + inside[1]))
    return found


def _in_order(tokens: Sequence[str], said: Sequence[Sequence[str]]) -> list[tuple[int, int] | None]:
    """Clips look for their words from where the ones before them ended, some minutes at a time."""
    found: list[tuple[int, int] | None] = []
    at = first = 0
    while first < len(said):
        last, count = first, 0
        while last < len(said) and (count < _GROUP_WORDS or last == first):
            count += len(said[last])
            last += 1
        group = said[first:last]
        for reach in (2 * count + 80, 10 * count + 400):
            part = tokens[at : at + reach]
            ranges = _ranges(part, group)
            covered = sum(b - a for a, b in (r for r in ranges if r is not None))
            if covered >= _LEAST_SHARE * count:
                break
        else:
            ranges = [None] * len(group)
        found += [None if r is None else (at + r[0], at + r[1]) for r in ranges]
        at = max([at, *(r[1] for r in found if r is not None)])
        first = last
    return found


def _ranges(tokens: Sequence[str], said: Sequence[Sequence[str]]) -> list[tuple[int, int] | None]:
    """For each clip its words [first, last) of `tokens`; None where none of them is found."""
    flat = [word for words in said for word in words]
    owner = [k for k, words in enumerate(said) for _ in words]
    matcher = difflib.SequenceMatcher(None, tokens, flat, autojunk=False)
    blocks: list[list[tuple[int, int, int]]] = [[] for _ in said]
    for block in matcher.get_matching_blocks():
        done = 0
        while done < block.size:  # a block may run over the end of a clip
            clip = owner[block.b + done]
            size = done
            while size < block.size and owner[block.b + size] == clip:
                size += 1
            blocks[clip].append((block.a + done, block.b + done, size - done))
            done = size
    offsets, at = [], 0
    for words in said:
        offsets.append(at)
        at += len(words)
    ranges = [
        _stretch(part, offsets[k], len(said[k]), len(tokens)) for k, part in enumerate(blocks)
    ]
    return _apart(ranges)


def _stretch(
    blocks: Sequence[tuple[int, int, int]], offset: int, count: int, total: int
) -> tuple[int, int] | None:
    """The words around one clip's matches, with as many at its edges as were misheard there."""
    if not blocks:
        return None
    core = max(range(len(blocks)), key=lambda k: blocks[k][2])
    low = high = core
    while low > 0 and _follows(blocks[low - 1], blocks[low]):
        low -= 1
    while high + 1 < len(blocks) and _follows(blocks[high], blocks[high + 1]):
        high += 1
    lead = blocks[low][1] - offset
    tail = offset + count - (blocks[high][1] + blocks[high][2])
    first = max(0, blocks[low][0] - lead)
    return first, min(total, blocks[high][0] + blocks[high][2] + tail)


def _follows(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether two matches are as far apart in the text as in the speech, or nearly."""
    return b[0] - a[0] - a[2] <= 2 * (b[1] - a[1] - a[2]) + _STRAY


def _apart(ranges: list[tuple[int, int] | None]) -> list[tuple[int, int] | None]:
    """The same with no word in two clips: what both would take, the later one leaves."""
    end = 0
    kept: list[tuple[int, int] | None] = []
    for found in ranges:
        if found is not None:
            found = (max(found[0], end), found[1])
            found = found if found[0] < found[1] else None
        if found is not None:
            end = found[1]
        kept.append(found)
    return kept
