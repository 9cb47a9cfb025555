"""The sync expert finds known offsets, says how well it does, and refuses what it cannot know."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from lipsync_talk import example, lips, talk, voice

from lipsync.expert import SyncExpert
from lipsync.motion import MotionExample, in_sync
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


@pytest.fixture(scope="module")
def expert() -> SyncExpert:
    found = SyncExpert.fit(example(24, R25, seed=1))
    assert found is not None
    return found


@pytest.mark.parametrize("late_s", [-0.28, -0.1, 0.0, 0.06, 0.2])
def test_lips_put_out_of_sync_are_told_by_how_much(expert: SyncExpert, late_s: float) -> None:
    timing = talk(8, 7)
    moved = in_sync(MotionExample(timing, voice(timing, 7), lips(timing, R25, 200, 7), R25), late_s)
    assert moved.timing is not None
    late_ms, sure = expert.offset(moved.shapes, moved.timing, moved.sound, R25)
    assert late_ms == pytest.approx(1000 * late_s, abs=15)
    assert sure > 0.4


def test_it_tests_itself_on_stretches_it_has_not_seen(expert: SyncExpert) -> None:
    test = expert.test
    assert test is not None
    assert test.stretches >= 3
    assert test.right == 1.0
    assert test.error_ms < 15
    assert "100 %" in test.words


def test_stretches_without_a_face_are_no_part_of_its_test() -> None:
    own = example(24, R25, seed=1)
    shapes = own.shapes.copy()
    shapes[round(20.5 * 25) :] = np.nan  # of the third that is held out, half
    whole, half = SyncExpert.fit(own), SyncExpert.fit(replace(own, shapes=shapes))
    assert whole is not None
    assert half is not None
    assert whole.test is not None
    assert half.test is not None
    assert 0 < half.test.stretches < whole.test.stretches
    assert f"of {half.test.stretches} held-out" in half.test.words


def test_footage_out_of_sync_is_no_reason_to_learn_that(expert: SyncExpert) -> None:
    own = in_sync(example(24, R25, seed=1), -0.2)  # lips 200 ms early
    other = SyncExpert.fit(own)
    assert other is not None
    assert own.timing is not None
    late_ms, _ = other.offset(own.shapes, own.timing, own.sound, R25)
    assert late_ms == pytest.approx(-200, abs=30)


def test_lips_of_other_words_are_not_sure(expert: SyncExpert) -> None:
    timing = talk(8, 7)
    _, sure = expert.offset(lips(talk(8, 70), R25, 200, 7), timing, voice(timing, 7), R25)
    assert sure < 0.35


def test_too_little_is_refused(expert: SyncExpert) -> None:
    own = example(24, R25, seed=1)
    assert SyncExpert.fit(replace(own, timing=None)) is None
    assert SyncExpert.fit(example(5, R25, seed=1)) is None
    assert SyncExpert.fit(replace(own, shapes=np.full_like(own.shapes, np.nan))) is None
    assert own.timing is not None
    for shapes in (own.shapes[:30], np.full_like(own.shapes[:100], np.nan)):
        found = expert.offset(shapes, own.timing, own.sound, R25)
        assert np.isnan(found).all()
