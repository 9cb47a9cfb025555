"""Marks in a line: what is read, what is refused, and what the words become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.text import speakable
from media.errors import TextError
from voice.directing import Directions, direct, parse_directions, with_pauses
from voice.prosody import PLAIN, WordWishes


def test_marks_are_taken_out_and_tied_to_words() -> None:
    script, words = direct("[speed 0.8] We *chose* [pause 0.4] to go. [speed 1.1] And we went.")
    assert script.text == "We chose to go. And we went."
    assert words.stressed == {1}
    assert words.pauses == ((2, 0.4),)
    assert words.paces == ((0, 0.8), (4, 1.1))
    assert [words.pace_of(w) for w in (0, 3, 4, 6)] == [0.8, 0.8, 1.1, 1.1]
    at = script.word_of.index(2)
    assert script.kokoro[at - 2 : at] == ", "  # the pause has a place to be


def test_a_line_without_marks_is_left_alone() -> None:
    for text in ("We chose  to go.", "5*3 is 15", "a * b * c", " spaces kept "):
        assert parse_directions(text) == Directions(text)
    script, words = direct("We chose to go.")
    assert words == PLAIN
    assert script == speakable("We chose to go.")


def test_stress_reaches_words_that_have_none() -> None:
    script, words = direct("This is *the* one, *not that*.")
    assert words.stressed == {2, 4, 5}
    assert "ˈ" in script.words[2].ipa
    assert script.words[2].phones[-1].endswith("1")


def test_inline_phones_hold_for_one_place() -> None:
    script, _ = direct("A tomato{T AH0 M AA1 T OW0} is a tomato.")
    first, second = (w for w in script.words if w.written.startswith("tomato"))
    assert first.phones == ("T", "AH0", "M", "AA1", "T", "OW0")
    assert second.phones != first.phones
    assert len(script.kokoro) == len(script.word_of)
    year, _ = direct("In 1963{N AH1 M B ER0} we went.")
    assert [w.spoken for w in year.words][-2:] == ["we", "went"]
    assert year.words[1].phones[0] == "N"


def test_a_pause_keeps_the_mark_that_is_there() -> None:
    script = speakable("We chose to go, and we went.")
    assert with_pauses(script, [4]) == script
    more = with_pauses(script, [2])
    assert more.kokoro.count(",") == 2
    assert [c.phone for c in more.phone_chars()] == [c.phone for c in script.phone_chars()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("We [puase 0.4] went.", "is not a direction"),
        ("We [laughs] went.", "take the brackets away"),
        ("We [pause 99] went.", "up to 20 s"),
        ("We [speed 9] went.", "choose a speed"),
        ("We went{123}.", "not a pronunciation"),
        ("[pause 1]", "nothing to speak"),
    ],
)
def test_wrong_marks_are_one_sentence(line: str, words: str) -> None:
    with pytest.raises(TextError, match=words):
        direct(line)


def test_wishes_follow_their_words_into_pieces() -> None:
    words = WordWishes(frozenset({1, 5}), ((0, 0.2), (4, 0.5), (7, 1.0)), ((2, 0.8),))
    second = words.select(4, 7)
    assert second == WordWishes(frozenset({1}), ((0, 0.5),), ((0, 0.8),))
    assert words.select(4, 8).pause_before(3) == 1.0
    assert words.moved(3).select(3, 11) == words


@given(st.text(alphabet="ab *[]{}0.pause sd\n", max_size=40))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        asked = parse_directions(text)
    except TextError:
        return
    for start, end in asked.stressed:
        assert 0 <= start < end <= len(asked.text)
    assert all(0 <= place <= len(asked.text) + 1 for place, _ in (*asked.pauses, *asked.paces))
