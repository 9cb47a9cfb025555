"""Timings that an editor has changed come back whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from align_line import Line
from hypothesis import given, settings
from hypothesis import strategies as st

from align.corrections import settle
from align.formats import read_timing, write_timing
from align.text import speakable
from align.timing import Span, Timing

TEXT = "Peter put the big boat back by the bay"


def regular(text: str = TEXT, phone_s: float = 0.08) -> Timing:
    """Words and phones that agree: phones of one length, a pause after each third word."""
    words: list[Span] = []
    phones: list[Span] = []
    at = 0.3
    for number, word in enumerate(speakable(text).words):
        start = at
        for phone in word.phones:
            phones.append(Span(phone.rstrip("012"), at, at + phone_s, 0.8))
            at += phone_s
        words.append(Span(word.written, start, at, 0.8))
        at += 0.2 if number % 3 == 2 else 0.0
    return Timing(tuple(words), tuple(phones), at + 0.3, "sphinx")


def moved(timing: Timing, boundary: int, by: float) -> Timing:
    """The boundary between word `boundary` and the next one moved, words only."""
    words = list(timing.words)
    words[boundary] = replace(words[boundary], end_s=words[boundary].end_s + by)
    after = words[boundary + 1]
    if abs(after.start_s - timing.words[boundary].end_s) < 1e-9:
        words[boundary + 1] = replace(after, start_s=after.start_s + by)
    return replace(timing, words=tuple(words))


def agrees(timing: Timing) -> bool:
    for word in timing.words:
        own = timing.phones_of(word)
        if not own:
            return False
        if abs(own[0].start_s - word.start_s) > 2e-3 or abs(own[-1].end_s - word.end_s) > 2e-3:
            return False
    return True


def test_what_agrees_is_left_alone() -> None:
    timing = regular()
    assert settle(timing) is timing
    phones_only = replace(timing, words=())
    assert settle(phones_only) is phones_only


@given(st.integers(0, 7), st.floats(-0.1, 0.1))
@settings(max_examples=60, deadline=None)
def test_phones_follow_a_moved_word(boundary: int, by: float) -> None:
    timing = regular()
    edited = moved(timing, boundary, by)
    found = settle(edited)
    assert found.words == edited.words
    assert agrees(found)
    assert [p.label for p in found.phones] == [p.label for p in timing.phones]
    near = {w for k in (boundary, boundary + 1) for w in timing.phones_of(timing.words[k])}
    for old, new in zip(timing.phones, found.phones, strict=True):
        assert old in near or new == old


def test_a_small_move_stretches_the_phone_at_the_boundary_alone() -> None:
    timing = regular()
    found = settle(moved(timing, 0, 0.02))
    changed = [
        (a.label, b.label) for a, b in zip(timing.phones, found.phones, strict=True) if a != b
    ]
    assert len(changed) == 2


def test_a_word_moved_far_takes_its_phones_along() -> None:
    timing = regular("big boat")
    first, second = timing.words
    there = replace(second, start_s=second.start_s + 0.5, end_s=second.end_s + 0.5)
    found = settle(replace(timing, words=(first, there), duration_s=3.0))
    assert agrees(found)
    assert [p.duration_s for p in found.phones] == pytest.approx([0.08] * 6)


def test_a_corrected_spelling_gets_its_own_phones() -> None:
    timing = regular()
    words = list(timing.words)
    words[4] = replace(words[4], label="elephant")  # was "boat"
    words[5] = replace(words[5], end_s=words[5].end_s - 0.01)
    found = settle(moved(replace(timing, words=tuple(words)), 3, 0.03))
    assert agrees(found)
    wanted = [p.rstrip("012") for p in speakable("elephant").phones]
    assert [p.label for p in found.phones_of(found.words[4])] == wanted


def test_a_new_word_in_a_pause_and_a_deleted_one() -> None:
    timing = regular()
    new = Span("yes", timing.words[2].end_s + 0.02, timing.words[2].end_s + 0.19)
    added = settle(replace(timing, words=(*timing.words[:3], new, *timing.words[3:])))
    assert agrees(added)
    assert [p.label for p in added.phones_of(new)] == ["Y", "EH", "S"]
    fewer = replace(timing, words=(*timing.words[:4], *timing.words[5:]))
    assert agrees(settle(fewer))


def test_words_alone_are_given_phones_by_their_sound(line: Line) -> None:
    words = replace(line.exact, phones=())
    found = settle(words, line.sound)
    assert found.words == line.exact.words
    assert agrees(found)
    assert len(found.phones) > 0.8 * len(line.exact.phones)
    middle = [p for w in line.exact.words for p in line.exact.phones_of(w)]
    near = [min(abs(p.middle_s - q.middle_s) for q in found.phones) for p in middle]
    assert sum(d < 0.04 for d in near) > 0.85 * len(near)


def test_words_alone_without_a_sound_are_spread() -> None:
    timing = regular()
    found = settle(replace(timing, phones=()))
    assert agrees(found)
    assert [p.label for p in found.phones] == [p.label for p in timing.phones]


def test_through_a_textgrid(tmp_path: Path) -> None:
    path = tmp_path / "line.TextGrid"
    edited = moved(regular(), 4, 0.035)
    write_timing(edited, path)
    found = settle(read_timing(path))
    assert agrees(found)
    assert [w.end_s for w in found.words] == [w.end_s for w in edited.words]
