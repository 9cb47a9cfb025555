"""Texts laid over what was heard: what fits, what is missing, what is too much."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.agreement import compare, pair_up
from align.assemble import plan
from align.text import speakable
from align.timing import Span
from media.errors import AlignError

TEXT = (
    "Printing in the only sense with which we are at present concerned differs from most if not "
    "from all the arts and crafts represented in the exhibition"
)


def heard(text: str, start: float = 0.0, step: float = 0.4) -> list[Span]:
    return [
        Span(w, start + step * i, start + step * i + 0.75 * step, 0.9)
        for i, w in enumerate(text.split())
    ]


def distance(one: str, other: str) -> float:
    """The same costs by the textbook's table."""
    rows = [[0.7 * j for j in range(len(other) + 1)]]
    for i, a in enumerate(one, 1):
        row = [0.7 * i]
        for j, b in enumerate(other, 1):
            change = rows[-1][j - 1] + (0 if a == b else 1.2)
            row.append(min(change, rows[-1][j] + 0.7, row[-1] + 0.7))
        rows.append(row)
    return rows[-1][-1]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_the_cheapest_alignment_is_found(one: str, other: str) -> None:
    steps = pair_up(one, other)
    assert [i for i, _ in steps if i >= 0] == list(range(len(one)))
    assert [j for _, j in steps if j >= 0] == list(range(len(other)))
    cost = sum(0.7 if i < 0 or j < 0 else 1.2 * (one[i] != other[j]) for i, j in steps)
    assert cost == pytest.approx(distance(one, other))


def test_an_hour_of_words_in_a_band() -> None:
    rng = random.Random(2)
    words = [f"w{rng.randrange(900)}" for _ in range(12_000)]
    other = [w for w in words if rng.random() > 0.05]
    steps = pair_up(words, other)
    assert sum(i >= 0 and j >= 0 and words[i] == other[j] for i, j in steps) > 0.99 * len(other)


def test_the_same_words_however_they_are_written() -> None:
    script = speakable("In 1963 we went into the hall")
    found = compare(script, heard("in nineteen sixty-three we went in to the Hall!"))
    assert found.share == 1.0
    assert not found.unheard
    assert not found.added


def test_missing_and_added_words_are_told_apart_from_misheard_ones() -> None:
    said = TEXT.replace("the only sense", "the lonely sense").replace(" at present", "")
    said = said.replace("arts and crafts", "arts and you know the famous crafts")
    found = compare(speakable(TEXT), heard(said))
    missing = [speakable(TEXT).words[i].spoken for i in sorted(found.unheard)]
    assert missing == ["at", "present"]
    assert [a.text for a in found.added] == ["you know the famous"]
    assert found.share > 0.9


def test_another_text_has_next_to_nothing_in_common() -> None:
    other = "Would you please tell me where I can find the nearest hospital before it closes"
    found = compare(speakable(TEXT), heard(other))
    assert found.share < 0.25
    with pytest.raises(AlignError, match="not the text of this sound"):
        plan(speakable(TEXT), found, [(0.0, 6.0)], [(0.0, 6.0)])


def test_a_plan_leaves_out_what_there_is_no_time_for_and_puts_in_what_is_said() -> None:
    said = TEXT.replace(" at present", "").replace("arts and crafts", "arts and famous old crafts")
    spans = heard(said)
    found = compare(speakable(TEXT), spans)
    end = spans[-1].end_s
    (part,) = plan(speakable(TEXT), found, [(0.0, end)], [(0.0, end)])
    assert part.script.spoken.lower().split() == said.lower().split()
    assert [text for _, text in part.unsaid] == ["at present"]
    assert len(part.own) == len(part.script.written_words())
    assert sum(not mine for mine in part.own) == 2
    kept = [w for w, mine in zip(part.script.words, part.own, strict=True) if mine]
    assert " ".join(w.written for w in kept) == TEXT.replace(" at present", "")


def test_with_time_to_spare_an_unheard_word_is_kept() -> None:
    spans = heard(TEXT)
    del spans[9:11]  # "at present" is said, the recogniser missed it
    (part,) = plan(speakable(TEXT), compare(speakable(TEXT), spans), [(0.0, 12.0)], [(0.0, 12.0)])
    assert part.unsaid == ()
    assert all(part.own)


def test_pieces_keep_their_words_apart() -> None:
    spans = heard(TEXT)
    pieces = [(0.0, 4.0), (4.0, 12.0)]
    parts = plan(speakable(TEXT), compare(speakable(TEXT), spans), pieces, [(0.0, 12.0)])
    assert [p.piece for p in parts] == pieces
    assert len(parts[0].script.words) == 10
    assert " ".join(p.script.spoken for p in parts) == speakable(TEXT).spoken
