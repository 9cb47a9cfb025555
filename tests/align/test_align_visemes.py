"""Mouth shapes: complete tables, closures at every frame rate, silence shut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.phones import ARPABET
from align.timing import Span, Timing
from align.visemes import (
    CHANNELS,
    LIP_TARGETS,
    OCULUS,
    RHUBARB,
    VISEMES,
    arpabet_of,
    closures,
    curves,
    lip_target,
    oculus,
    rhubarb,
    silent_frames,
    to_rate,
    viseme_of,
)
from media.time import FrameRate

OCULUS_TEXT = "sil PP FF TH DD kk CH SS nn RR aa E ih oh ou"
OCULUS_15 = set(OCULUS_TEXT.split())


def test_every_phone_is_in_every_table() -> None:
    for phone in ARPABET:
        assert viseme_of(phone) in VISEMES
        assert phone in OCULUS
        assert phone in RHUBARB
        assert phone in LIP_TARGETS
    assert set(OCULUS.values()) == OCULUS_15
    assert set(RHUBARB.values()) == set("ABCDEFGHX")
    assert len(VISEMES) == 15


def test_what_lips_do() -> None:
    assert {p for p in ARPABET if lip_target(p).closure} == {"P", "B", "M"}
    assert {p for p in ARPABET if lip_target(p).teeth} == {"F", "V"}
    assert lip_target("AA").opening > lip_target("IY").opening
    assert lip_target("UW").roundness > 0.9
    assert lip_target("IY").width > lip_target("UW").width


def test_ipa_and_stress_and_silence() -> None:
    assert viseme_of("ʃ") == viseme_of("SH")
    assert viseme_of("AA1") == viseme_of("AA")
    assert oculus("m") == "PP"
    assert rhubarb("") == "X"
    assert viseme_of("sil") == "sil"


@pytest.mark.parametrize(
    ("ipa", "arpabet"),
    [
        ("tʃ", "CH"),
        ("d͡ʒ", "JH"),
        ("eɪ", "EY"),
        ("aj", "AY"),
        ("ow", "OW"),
        ("pʰ", "P"),
        ("iː", "IY"),
        ("ɑ̃", "AA"),
        ("n̩", "N"),
        ("ɫ", "L"),
        ("ɝ", "ER"),
        ("ʍ", "W"),
        ("ʙ", "B"),
    ],
)
def test_ipa_of_other_aligners(ipa: str, arpabet: str) -> None:
    assert arpabet_of(ipa) == arpabet
    assert lip_target(ipa) == LIP_TARGETS[arpabet]


RATES = [FrameRate(Fraction(n, d)) for n, d in ((12, 1), (24000, 1001), (25, 1), (60, 1))]


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    at, phones = 0.0, []
    for _ in range(draw(st.integers(1, 25))):
        at += draw(st.sampled_from([0.0, 0.0, 0.05, 0.3]))
        length = draw(st.floats(0.012, 0.3))
        phones.append(Span(draw(st.sampled_from(sorted(ARPABET))), at, at + length))
        at += length
    return Timing((), tuple(phones), at + draw(st.sampled_from([0.0, 0.5])))


@given(timings(), st.sampled_from(RATES))
def test_closures_are_always_reached(timing: Timing, rate: FrameRate) -> None:
    n = rate.frame_at(Fraction(timing.duration_s)) + 1
    shut = closures(timing, rate, n)
    shape = curves(timing, rate, n)
    assert shape.shape == (n, len(CHANNELS))
    assert shape.dtype == np.float32
    assert ((shape >= 0) & (shape <= 1)).all()
    for phone in timing.phones:
        if phone.label in ("P", "B", "M"):
            # Independent of `closures`: some frame whose time on screen meets the phone.
            seen = [
                i
                for i in range(n)
                if float(rate.time_of(i)) < phone.end_s
                and float(rate.time_of(i + 1)) > phone.start_s
            ]
            assert any(shut[i] and shape[i, 0] == 0.0 for i in seen)
    quiet = silent_frames(timing, rate, n)
    assert (shape[quiet, 0] == 0).all()


def test_coarticulation_rounds_the_s_of_soon() -> None:
    rate = FrameRate(Fraction(100))

    def roundness_of_s(vowel: str) -> float:
        timing = Timing((), (Span("S", 0.1, 0.2), Span(vowel, 0.2, 0.4)), 0.5)
        return float(curves(timing, rate, 50)[15:20, 2].mean())

    assert roundness_of_s("UW") > roundness_of_s("IY") + 0.1


def test_a_vowel_alone_opens_and_shuts_again() -> None:
    timing = Timing((), (Span("AA", 0.4, 0.7),), 1.2)
    opening = curves(timing, FrameRate(Fraction(50)), 60)[:, 0]
    assert opening[:15].max() == 0
    assert opening[27] > 0.7
    assert opening[45:].max() == 0


@pytest.mark.parametrize("rate", RATES)
def test_to_rate_is_exact(rate: FrameRate) -> None:
    start, end = rate.time_of(1000), rate.time_of(1010)
    first, last = to_rate(Span("x", float(start) + 1e-7, float(end)), rate)
    assert (first, last) == (1000, 1010)
