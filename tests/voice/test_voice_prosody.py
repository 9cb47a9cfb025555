"""Durations that fit a length; pitch moved as wished."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import TextError
from voice.prosody import Prosody, elasticity, fit_frames, shape_f0

natural = st.lists(st.floats(1.0, 20.0), min_size=3, max_size=60)


@given(natural, st.floats(0.9, 2.0), st.integers(0, 2**32 - 1))
def test_the_sum_is_exact_and_every_token_keeps_a_frame(expected, ratio, seed):
    give = np.random.default_rng(seed).uniform(0.2, 1.0, len(expected))
    total = max(round(sum(expected) * ratio), len(expected))
    frames = fit_frames(np.array(expected), give, total)
    assert frames.sum() == total
    assert frames.min() >= 1


@given(natural)
def test_natural_length_changes_no_boundary_by_more_than_half_a_frame(expected):
    wanted = np.array(expected)
    total = round(wanted.sum())
    frames = fit_frames(wanted, np.ones(len(wanted)), total)
    drift = np.cumsum(frames) - np.cumsum(wanted)
    assert np.abs(drift).max() <= 1.0 + 1e-6  # half for rounding, half for the whole total


def test_pauses_and_vowels_give_way_before_stops():
    tokens = "t,A"
    frames = fit_frames(np.array([10.0, 10.0, 10.0]), elasticity(tokens), 60)
    stop, pause, vowel = frames
    assert stop < pause
    assert abs(int(pause) - int(vowel)) <= 1


def test_an_impossible_length_names_the_possible_ones():
    with pytest.raises(TextError, match=r"cannot be spoken in 0\.05 s; ask for"):
        fit_frames(np.full(10, 4.0), np.ones(10), 2)
    with pytest.raises(TextError, match="cannot be spoken"):
        fit_frames(np.full(10, 4.0), np.ones(10), 400)


@pytest.mark.parametrize(
    "wish",
    [{"speed": 0.1}, {"duration_s": 0.0}, {"semitones": 40}, {"expression": -1}, {"noise": -1}],
)
def test_wishes_out_of_range_are_refused(wish):
    with pytest.raises(TextError):
        Prosody(**wish)


def test_pitch_moves_in_semitones_and_unvoiced_stays():
    f0 = np.array([0, 100, 200, 3], np.float32)
    moved = shape_f0(f0, Prosody(semitones=12))
    np.testing.assert_allclose(moved, [0, 200, 400, 3], rtol=1e-5)
    flat = shape_f0(f0, Prosody(expression=0))
    np.testing.assert_allclose(flat[1:3], np.sqrt(100 * 200), rtol=1e-5)
