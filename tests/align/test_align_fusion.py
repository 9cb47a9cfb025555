"""Two timings of one line that meet, and phrases that begin where they are heard."""

from __future__ import annotations

import numpy as np
import pytest
from align_line import Line
from hypothesis import given
from hypothesis import strategies as st

from align.engines import get_aligner
from align.engines._fusion import halfway, pairs
from align.engines.nnet import NnetAligner, Placed, _opened, _rung_out, joined
from align.refine import HOP_S
from align.text import Script, speakable
from align.timing import Span, Timing

SCRIPT = speakable("red bed")
PHONES = ("R", "EH", "D", "B", "EH", "D")
OF_WORD = (0, 0, 0, 1, 1, 1)


def placed(edges: list[float], gap: float = 0.0) -> list[Placed]:
    """The phones of `SCRIPT` between seven edges, the second word `gap` seconds later."""
    return [
        Placed(w, p, a + gap * w, b + gap * w, 0.0)
        for w, p, a, b in zip(OF_WORD, PHONES, edges, edges[1:], strict=False)
    ]


def timing(edges: list[float], gap: float = 0.0, phones: tuple[str, ...] = PHONES) -> Timing:
    spans = tuple(
        Span(p, q.start_s, q.end_s) for p, q in zip(phones, placed(edges, gap), strict=True)
    )
    words = (
        Span("red", spans[0].start_s, spans[2].end_s),
        Span("bed", spans[3].start_s, spans[5].end_s),
    )
    return Timing(words, spans, 4.0, "other")


OWN = [0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90]


def test_phones_have_partners_in_words_said_alike() -> None:
    other = timing([e + 0.01 for e in OWN])
    assert pairs(placed(OWN), SCRIPT, other) == [(p.start_s, p.end_s) for p in other.phones]


def test_words_said_in_another_way_share_their_ends_only() -> None:
    other = timing([e + 0.01 for e in OWN], phones=("R", "IY", "D", "B", "EH", "D"))
    found = pairs(placed(OWN), SCRIPT, other)
    assert found[0] == (other.words[0].start_s, None)
    assert found[1] == (None, None)
    assert found[2] == (None, other.words[0].end_s)
    assert found[3:] == [(p.start_s, p.end_s) for p in other.phones[3:]]


def test_a_timing_of_other_words_is_no_partner() -> None:
    other = Timing((Span("red", 0.3, 0.6),), (), 2.0, "other")
    assert halfway(placed(OWN), SCRIPT, other) == placed(OWN)


def test_boundaries_inside_words_meet_in_the_middle() -> None:
    edges = [0.30, 0.44, 0.48, 0.60, 0.78, 0.80, 0.90]
    middle = halfway(placed(OWN), SCRIPT, timing(edges))
    assert middle[1].start_s == pytest.approx(0.42)
    assert middle[1].start_s == middle[0].end_s
    assert middle[2].start_s == pytest.approx(0.49)
    assert middle[4].start_s == pytest.approx(0.74)


@pytest.mark.parametrize(("away", "moved"), [(-0.02, -0.01), (-0.09, -0.015), (0.02, 0.0)])
def test_words_meet_earlier_only(away: float, moved: float) -> None:
    edges = list(OWN)
    edges[3] += away
    found = halfway(placed(OWN), SCRIPT, timing(edges))
    assert found[3].start_s - OWN[3] == pytest.approx(moved)
    assert found[2].end_s == found[3].start_s


@pytest.mark.parametrize(("away", "moved"), [(-0.02, -0.01), (0.02, 0.01), (0.2, 0.015)])
def test_phrases_meet_within_15_ms(away: float, moved: float) -> None:
    other = timing([e + away for e in OWN], gap=0.3)
    found = halfway(placed(OWN, gap=0.3), SCRIPT, other)
    for index, side in ((0, "start_s"), (2, "end_s"), (3, "start_s"), (5, "end_s")):
        own = getattr(placed(OWN, gap=0.3)[index], side)
        assert getattr(found[index], side) - own == pytest.approx(moved)


def test_a_pause_that_only_the_other_hears_is_met_in_its_middle() -> None:
    edges = [0.30, 0.40, 0.50, 0.56, 0.70, 0.80, 0.90]
    spans = list(timing(edges).phones)
    spans[3] = Span("B", 0.60, 0.70)
    words = (Span("red", 0.30, 0.56), Span("bed", 0.60, 0.90))
    found = halfway(placed(OWN), SCRIPT, Timing(words, tuple(spans), 2.0, "other"))
    assert found[3].start_s == pytest.approx(0.60 - 0.01)  # half of 20 ms


lengths = st.lists(st.floats(0.005, 0.3), min_size=7, max_size=7)


@given(lengths, lengths, st.floats(0, 0.3), st.floats(0, 0.3))
def test_whatever_meets_stays_in_order(
    one: list[float], two: list[float], gap: float, their_gap: float
) -> None:
    own = placed([float(x) for x in np.cumsum(one)], gap)
    other = timing([float(x) for x in np.cumsum(two)], their_gap)
    found = joined(halfway(own, SCRIPT, other), 4.0)
    at = np.array(found)
    assert (at[:, 1] > at[:, 0]).all()
    assert (at[1:, 0] >= at[:-1, 1] - 1e-9).all()


def loud_in(*spans: tuple[float, float]) -> np.ndarray:
    loud = np.zeros(round(1.0 / HOP_S), bool)
    for a, b in spans:
        loud[round(a / HOP_S) : round(b / HOP_S)] = True
    return loud


@pytest.mark.parametrize(
    ("phone", "start"), [("AA", 0.32), ("M", 0.32), ("B", 0.32), ("S", 0.32), ("T", 0.27)]
)
@pytest.mark.parametrize("guess", [0.29, 0.32, 0.35])
def test_a_phrase_begins_where_it_is_heard(phone: str, start: float, guess: float) -> None:
    found = _opened([Placed(0, phone, guess, 0.5, 0.0)], loud_in((0.32, 0.8)))
    # The closure of [t] is 50 ms long, and less where that much was not left for it.
    assert found[0].start_s == pytest.approx(max(start, guess - 0.05 if phone == "T" else start))


def test_a_phrase_begins_after_the_one_before() -> None:
    first = Placed(0, "AA", 0.1, 0.3, 0.0)
    found = _opened([first, Placed(1, "T", 0.34, 0.5, 0.0)], loud_in((0.1, 0.5)))
    assert found[1].start_s >= 0.3
    close = Placed(1, "AA", 0.31, 0.5, 0.0)
    assert _opened([first, close], loud_in((0.1, 0.3), (0.36, 0.5)))[1] == close


@pytest.mark.parametrize(
    ("phone", "spans", "start"),
    [
        (Placed(0, "AA", 0.40, 0.60, 0.0), [(0.25, 0.6)], 0.40),  # a breath before it
        (Placed(0, "AA", 0.40, 0.60, 0.0), [(0.32, 0.6)], 0.35),  # heard 80 ms before it
        (Placed(0, "AA", 0.40, 0.60, 0.0), [(0.47, 0.6)], 0.45),  # and 70 ms after it
        (Placed(0, "AA", 0.30, 0.90, 0.0), [(0.30, 0.7), (0.75, 0.9)], 0.30),  # quiet inside it
        (Placed(0, "F", 0.30, 0.42, 0.0), [(0.41, 0.6)], 0.30),  # too faint
        (Placed(0, "F", 0.30, 0.34, 0.0), [(0.315, 0.6)], 0.315),
        (Placed(0, "AA", 0.02, 0.10, 0.0), [(0.0, 0.2)], 0.0),  # the sound begins in it
    ],
)
def test_a_start_moves_50_ms_at_most_and_not_past_the_middle(
    phone: Placed, spans: list[tuple[float, float]], start: float
) -> None:
    assert _opened([phone], loud_in(*spans))[0].start_s == pytest.approx(start)


def test_a_pause_that_stays_loud_is_kept() -> None:
    phones = [Placed(0, "AA", 0.1, 0.3, 0.0), Placed(1, "AA", 0.38, 0.5, 0.0)]
    assert _opened(phones, loud_in((0.1, 0.5))) == phones


placements = st.tuples(
    st.sampled_from(["AA", "S", "T", "B"]), st.floats(0, 0.2), st.floats(0.01, 0.3)
)


@given(placements, st.floats(0.04, 0.4), st.lists(st.booleans(), min_size=100, max_size=100))
def test_no_start_moves_farther_whatever_is_heard(
    placement: tuple[str, float, float], pause: float, blocks: list[bool]
) -> None:
    label, end, length = placement
    first = Placed(0, "AA", 0.0, end + 0.01, 0.0)
    begin = first.end_s + pause
    phone = Placed(1, label, begin, begin + length, 0.0)
    loud = np.repeat(np.array(blocks), round(0.01 / HOP_S))
    found = _opened([first, phone], loud)[1]
    assert abs(found.start_s - begin) <= 0.05 + 1e-9
    assert first.end_s - 1e-9 <= found.start_s <= begin + 0.5 * length + 1e-9
    assert found.end_s == phone.end_s


def test_silence_moves_nothing() -> None:
    phones = [Placed(0, "AA", 0.3, 0.5, 0.0)]
    assert _opened(phones, loud_in()) == phones
    assert _rung_out(phones, loud_in(), 1.0) == phones


def test_a_phrase_rings_on_for_25_ms() -> None:
    phones = [Placed(0, "AA", 0.3, 0.5, 0.0)]
    assert _rung_out(phones, loud_in((0.3, 0.51)), 1.0)[0].end_s == pytest.approx(0.51)
    assert _rung_out(phones, loud_in((0.3, 0.9)), 1.0)[0].end_s == pytest.approx(0.525)


def test_the_default_is_both() -> None:
    assert get_aligner().name == "combined"


def test_noise_is_left_to_the_network(line: Line) -> None:
    """The guide's own boundaries are worth little there; it only leads."""
    rng = np.random.default_rng(3)
    level = float(np.sqrt(np.mean(line.sound.samples**2) / 10))
    noise = rng.normal(0, level, len(line.sound)).astype(np.float32)
    noisy = type(line.sound)(line.sound.samples + noise, line.sound.rate)
    far = shifted(line.script, line.exact)
    aligner = NnetAligner()
    assert aligner.align_near(noisy, line.script, None, far) == aligner.align(noisy, line.script)
    plain = aligner.align(line.sound, line.script)
    assert aligner.align_near(line.sound, line.script, None, far) != plain


def shifted(script: Script, exact: Timing) -> Timing:
    """`exact`, every boundary 20 ms early."""
    assert len(script.written_words()) == len(exact.words)
    return exact.shifted(-0.02)
