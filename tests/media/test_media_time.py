"""Exact rates and timecode, against a counter that knows no formula."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.errors import MediaError
from media.time import FrameRate, Timecode

NTSC = Fraction(1000, 1001)
rates = st.sampled_from(
    [Fraction(n) for n in (12, 24, 25, 30, 48, 50, 60)] + [n * NTSC for n in (24, 30, 48, 60)]
)


def labels(nominal: int, drop: bool):
    """Every label of a day in order, by walking the clock (ST 12-1: 10-minute exception)."""
    skipped = nominal // 15 if drop else 0
    for hour in range(24):
        for minute in range(60):
            for second in range(60):
                first = skipped if second == 0 and minute % 10 else 0
                for frame in range(first, nominal):
                    yield hour, minute, second, frame


@pytest.mark.parametrize(("nominal", "drop"), [(30, True), (60, True), (24, False), (30, False)])
def test_a_whole_stretch_of_labels(nominal: int, drop: bool) -> None:
    rate = FrameRate(nominal * NTSC)
    mark = ";" if drop else ":"
    for count, (h, m, s, f) in enumerate(labels(nominal, drop)):
        if h == 1 and m > 12:
            break
        # Every frame of the first 12 minutes and those around the hour, then a sieve.
        if not (h == 0 and m < 12) and count % 997 and s not in (0, 59):
            continue
        text = f"{h:02}:{m:02}:{s:02}{mark}{f:02}"
        assert str(Timecode(count, rate, drop)) == text
        assert Timecode.parse(text, rate).frames == count


@given(st.integers(0, 24 * 3600 * 60), rates)
@settings(max_examples=300)
def test_label_round_trip(frames: int, rate: Fraction) -> None:
    frames %= 23 * 3600 * FrameRate(rate).nominal
    for drop in (False, True) if rate in (30 * NTSC, 60 * NTSC) else (False,):
        code = Timecode(frames, FrameRate(rate), drop)
        assert Timecode.parse(str(code), FrameRate(rate)) == code
        assert (code + 1).frames == frames + 1


@given(st.integers(0, 10**9), rates)
def test_frame_times_invert(index: int, value: Fraction) -> None:
    rate = FrameRate(value)
    start = rate.time_of(index)
    assert rate.frame_at(start) == index
    assert rate.frame_at(start + rate.time_of(1) - Fraction(1, 10**12)) == index
    assert rate.frames_in(start) == index
    sample = rate.sample_of(index, 48_000)
    assert 0 <= Fraction(sample, 48_000) - start < Fraction(1, 48_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("23.976", 24 * NTSC),
        ("23.98", 24 * NTSC),
        ("23.976023976", 24 * NTSC),
        (29.97, 30 * NTSC),
        ("59.94", 60 * NTSC),
        ("119.88", 120 * NTSC),
        ("24000/1001", 24 * NTSC),
        ("24", Fraction(24)),
        (25.0, Fraction(25)),
        ("12.5", Fraction(25, 2)),
        (Fraction(1350, 61), Fraction(1350, 61)),
    ],
)
def test_rates_as_people_write_them(text: str | float, value: Fraction) -> None:
    assert FrameRate.parse(text).value == value


@pytest.mark.parametrize("text", ["", "fast", "0", "-24", "24/0", "nan", "inf", float("inf")])
def test_what_is_not_a_rate(text: str | float) -> None:
    with pytest.raises(MediaError):
        FrameRate.parse(text)


def test_an_exact_rate_is_never_bent() -> None:
    # 2997/100 as a container writes it is 29.97; a true odd rate keeps its value.
    assert FrameRate.parse(Fraction(30000, 1001)).value == Fraction(30000, 1001)
    assert FrameRate.parse(Fraction(29991, 1000)).value != 0


@pytest.mark.parametrize(
    "text", ["", "1:2", "00:60:00:00", "00:00:60:00", "00:00:00:30", "00:01:00;00", "00:01:00;01"]
)
def test_labels_that_do_not_exist(text: str) -> None:
    with pytest.raises(MediaError):
        Timecode.parse(text, FrameRate(30 * NTSC))


def test_labels_start_again_at_midnight() -> None:
    last = Timecode.parse("23:59:59:24", FrameRate(Fraction(25)))
    assert str(last + 1) == "00:00:00:00"
    assert (last + 1).seconds == 24 * 3600
    assert str(Timecode.parse("23:59:59;29", FrameRate(30 * NTSC)) + 1) == "00:00:00;00"
    with pytest.raises(MediaError):
        Timecode.parse("24:00:00:00", FrameRate(Fraction(25)))


def test_drop_frame_only_where_it_is_defined() -> None:
    with pytest.raises(MediaError):
        Timecode.parse("00:00:00;00", FrameRate(Fraction(25)))
    # 10 minutes of drop-frame are 17,982 frames; the label then says real time.
    code = Timecode.parse("00:10:00;00", FrameRate(30 * NTSC))
    assert code.frames == 17_982
    assert abs(code.seconds - 600) < Fraction(1, 50)
