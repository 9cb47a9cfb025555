"""An editor's corrections win.

Editors move a word's boundary in Praat and leave the phones where they were, correct a
word, or hand in words (or a subtitle file) without any phones. `settle` makes such a timing
whole again:

    timing = settle(read_timing("line.TextGrid"), sound)

Phones follow their words: the phone at a moved boundary is stretched, all of the word's
phones when one of them would become absurd. A word whose spelling was changed gets the phones
of its new pronunciation, and a new word its own. Whoever moves a phone's boundary at the edge of
a word must move the word's boundary with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from align.phones import VOWELS, without_stress
from align.timing import Span, Timing
from align.visemes import arpabet_of
from media.errors import AlignError, TextError

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["settle"]

_SAME_S = 0.0015
_LEAST_PHONE_S = 0.02
_LEAST_SHARE, _MOST_SHARE = 0.4, 2.5
_FARTHEST_S = 3.0
_MOST_PHONES = 30
# In seconds of displacement: what a phone too many, too few, or of another kind is worth.
_PHONE_COST_S = 0.04
_STRANGE_S = 0.6
_OTHER_WORD = 0.4
_GUESSED = 0.5


def settle(timing: Timing, sound: Sound | None = None) -> Timing:
    """`timing` with the phones of every word inside its word; words are kept as they are.

    With words alone, phones are found in `sound`, or spread where there is none. A timing
    in which words and phones agree, and one without words, come back unchanged. Raises
    `AlignError` when words without phones cannot be said in the sound.
    """
    if not timing.words:
        return timing
    if not timing.phones:
        return _with_phones(timing, sound)
    if all(_agree(timing, word) for word in timing.words):
        return timing
    return _followed(timing)


def _agree(timing: Timing, word: Span) -> bool:
    inside = timing.phones_of(word)
    return bool(inside) and _same(inside, word)


def _same(phones: Sequence[Span], word: Span) -> bool:
    return (
        abs(phones[0].start_s - word.start_s) < _SAME_S
        and abs(phones[-1].end_s - word.end_s) < _SAME_S
    )


def _expected(label: str) -> tuple[str, ...]:
    """The phones, without stress, of a word as written; none when it cannot be spoken."""
    from align.text import speakable

    try:
        return tuple(without_stress(p) for p in speakable(label).phones)
    except TextError:
        return ()


def _followed(timing: Timing) -> Timing:
    """Runs of words that disagree with the phones between their agreeing neighbours."""
    words, phones = timing.words, timing.phones
    settled: list[Span] = []
    at = 0  # phones before this one are settled
    index = 0
    while index < len(words):
        if _agree(timing, words[index]):
            own = timing.phones_of(words[index])
            first = phones.index(own[0], at)
            settled += phones[at : first + len(own)]
            at, index = first + len(own), index + 1
            continue
        last = index
        while last < len(words) and not _agree(timing, words[last]):
            last += 1
        end = len(phones)
        if last < len(words):
            end = phones.index(timing.phones_of(words[last])[0], at)
        settled += _run(words[index:last], phones[at:end])
        at, index = end, last
    return replace(timing, phones=_ordered([*settled, *phones[at:]]))


def _ordered(phones: list[Span]) -> tuple[Span, ...]:
    """Without overlaps: what was settled later gives way."""
    kept: list[Span] = []
    for phone in sorted(phones, key=lambda p: (p.start_s, p.end_s)):
        start = max(phone.start_s, kept[-1].end_s if kept else 0.0)
        if phone.end_s - start > 1e-4:
            kept.append(replace(phone, start_s=start))
    return tuple(kept)


def _run(words: Sequence[Span], phones: Sequence[Span]) -> list[Span]:
    """The phones of a run of words, inside their words."""
    expected = [_expected(w.label) for w in words]
    found: list[Span] = []
    for word, wanted, (first, last) in zip(
        words, expected, _owners(words, expected, phones), strict=True
    ):
        own = phones[first:last]
        if wanted and (not own or _likeness(own, wanted) < _OTHER_WORD):
            found += _spread(word, wanted)
        elif own:
            found += list(own) if _same(own, word) else _pulled(own, word)
    return found


def _likeness(phones: Sequence[Span], wanted: Sequence[str]) -> float:
    have = [arpabet_of(p.label) for p in phones]
    return SequenceMatcher(None, have, list(wanted), autojunk=False).ratio()


def _owners(
    words: Sequence[Span], expected: Sequence[tuple[str, ...]], phones: Sequence[Span]
) -> list[tuple[int, int]]:
    """Which phones [first, last) belong to each word: the cheapest way to share them out.

    Cost: how far a word's edges are from those of its phones, and how far these are from its
    pronunciation. Phones may be nobody's (a word was deleted) and words
    may have none (a word was added).
    """
    # best[j]: cost of the words so far when the first j phones are spent; came: how.
    best: dict[int, float] = {0: 0.0}
    steps: list[dict[int, tuple[int, int]]] = []
    for word, wanted in zip(words, expected, strict=True):
        reached: dict[int, float] = {}
        came: dict[int, tuple[int, int]] = {}
        for spent, cost in best.items():
            for first, last, more in _choices(word, wanted, phones, spent):
                if cost + more < reached.get(last, float("inf")):
                    reached[last], came[last] = cost + more, (spent, first)
        best = reached
        steps.append(came)
    left = {j: c + _PHONE_COST_S * (len(phones) - j) for j, c in best.items()}
    at = min(left, key=lambda j: left[j])
    owners: list[tuple[int, int]] = []
    for came in reversed(steps):
        spent, first = came[at]
        owners.append((first, at))
        at = spent
    return owners[::-1]


def _choices(
    word: Span, wanted: Sequence[str], phones: Sequence[Span], spent: int
) -> list[tuple[int, int, float]]:
    """(first, last, cost) of the phones that `word` may own when `spent` are gone."""
    bare = _STRANGE_S + word.duration_s + _PHONE_COST_S * (len(wanted) + 1)
    found = [(spent, spent, bare)]
    target = Counter(wanted)
    labels = [arpabet_of(p.label) for p in phones[spent : spent + _MOST_PHONES + 4]]
    for first in range(spent, min(spent + 4, len(phones))):
        skipped = _PHONE_COST_S * (first - spent)
        off = abs(phones[first].start_s - word.start_s)
        if off > _FARTHEST_S:
            continue
        for last in range(first + 1, min(first + _MOST_PHONES, len(phones)) + 1):
            cost = skipped + off + abs(phones[last - 1].end_s - word.end_s)
            if wanted:
                cost += _PHONE_COST_S * abs(last - first - len(wanted))
                common = (Counter(labels[first - spent : last - spent]) & target).total()
                cost += _STRANGE_S * (1 - common / max(len(wanted), last - first))
            found.append((first, last, cost))
    return found


def _pulled(phones: Sequence[Span], word: Span) -> list[Span]:
    """The same phones from the start of `word` to its end."""
    moved = list(phones)
    moved[0] = replace(moved[0], start_s=word.start_s)
    moved[-1] = replace(moved[-1], end_s=word.end_s)
    sane = all(
        new.duration_s >= max(_LEAST_PHONE_S, _LEAST_SHARE * old.duration_s)
        and new.duration_s <= _MOST_SHARE * old.duration_s + 0.05
        for new, old in ((moved[0], phones[0]), (moved[-1], phones[-1]))
    )
    if sane:
        return moved
    start, end = phones[0].start_s, phones[-1].end_s
    scale = word.duration_s / (end - start)

    def place(time: float) -> float:
        return word.start_s + (time - start) * scale

    return [replace(p, start_s=place(p.start_s), end_s=place(p.end_s)) for p in phones]


def _spread(word: Span, wanted: Sequence[str]) -> list[Span]:
    """Phones of a pronunciation inside a word, vowels longer; known to be a guess."""
    sizes = [1.6 if p in VOWELS else 1.0 for p in wanted]
    unit = word.duration_s / sum(sizes)
    found: list[Span] = []
    at = word.start_s
    for label, size in zip(wanted, sizes, strict=True):
        found.append(Span(label, at, at + size * unit, _GUESSED))
        at += size * unit
    return found


def _with_phones(timing: Timing, sound: Sound | None) -> Timing:
    """Words alone: their phones from the sound where there is one."""
    phones: list[Span] = []
    if sound is not None:
        if max(w.confidence for w in timing.words) < _GUESSED:  # lines of subtitles: no word times
            return _from_lines(timing, sound)
        found = _heard_phones(timing, sound)
    else:
        found = [()] * len(timing.words)
    for word, own in zip(timing.words, found, strict=True):
        wanted = _expected(word.label)
        if own:
            phones += _pulled(own, word)
        elif wanted:
            phones += _spread(word, wanted)
    return replace(timing, phones=_ordered(phones))


def _from_lines(timing: Timing, sound: Sound) -> Timing:
    from align.transcription import align_sound

    return align_sound(sound, timing.text)


def _heard_phones(timing: Timing, sound: Sound) -> list[tuple[Span, ...]]:
    """For every word its phones as they are heard near it, none where it cannot be."""
    from align.engines import get_aligner
    from align.text import speakable

    aligner = get_aligner()
    found: list[tuple[Span, ...]] = []
    for first, last in _stretches(timing.words):
        group = timing.words[first:last]
        start = max(0.0, group[0].start_s - 0.1)
        end = min(float(sound.duration_s), group[-1].end_s + 0.1)
        try:
            script = speakable(" ".join(w.label for w in group))
            heard = aligner.align(sound.cut(start, end), script).shifted(start)
        except TextError:
            found += [()] * len(group)
            continue
        except AlignError as error:
            at = f"{group[0].start_s:.2f}-{group[-1].end_s:.2f} s"
            raise AlignError(f"the words at {at} do not fit the sound: {error}") from error
        found += _matched(group, heard)
    return found


def _matched(words: Sequence[Span], heard: Timing) -> list[tuple[Span, ...]]:
    """The phones of the heard words that carry the same characters as each given word."""
    found: list[tuple[Span, ...]] = []
    queue = list(heard.words)
    for word in words:
        own: list[Span] = []
        left = word.label
        while queue and queue[0].label in left:
            left = left[left.index(queue[0].label) + len(queue[0].label) :]
            own += heard.phones_of(queue.pop(0))
        found.append(tuple(own))
    return found


def _stretches(words: Sequence[Span], longest_s: float = 15.0) -> list[tuple[int, int]]:
    """Runs of words of at most about `longest_s`, divided at the longest pauses."""
    runs: list[tuple[int, int]] = []
    first = 0
    while first < len(words):
        last = first + 1
        while last < len(words) and words[last].end_s - words[first].start_s <= longest_s:
            last += 1
        if last < len(words) and last - first > 1:
            gaps = range(first + 1, last + 1)
            last = max(gaps, key=lambda i: (words[i].start_s - words[i - 1].end_s, i))
        runs.append((first, last))
        first = last
    return runs
