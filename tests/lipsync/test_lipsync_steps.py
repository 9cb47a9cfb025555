"""Clips of one tape are brought into step, and only as far as they say so themselves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from lipsync_talk import example

from lipsync.motion import MotionExample, MotionModel, in_sync
from lipsync.offset import best_shift
from lipsync.steps import MOST_S, in_step, own_lead
from media.time import FrameRate

R25 = FrameRate(Fraction(25))
LEADS = np.array([0.03, -0.04, 0.0, 0.05, -0.02, 0.0, -0.03, 0.02, 0.01])


@pytest.fixture(scope="module")
def clips() -> list[MotionExample]:
    """Nine sentences whose pictures lie off their sound by what `LEADS` says."""
    return [in_sync(example(5, R25, seed=s), -lead) for s, lead in enumerate(LEADS)]


def _start(example: MotionExample) -> float:
    assert example.timing is not None
    return example.timing.phones[3].start_s


def test_every_clip_is_moved_by_its_own_lead(clips: list[MotionExample]) -> None:
    moved = in_step(clips)
    by = np.array([_start(a) - _start(b) for a, b in zip(clips, moved, strict=True)])
    np.testing.assert_allclose(by, LEADS - LEADS.mean(), atol=0.012)
    assert by.mean() == pytest.approx(0, abs=0.004)
    before, after = MotionModel.fit(clips), MotionModel.fit(moved)
    assert after.held_out[0] > before.held_out[0] + 0.01


def test_few_clips_and_silent_ones_stay(clips: list[MotionExample]) -> None:
    assert in_step(clips[:5]) == clips[:5]
    silent = [MotionExample(None, None, c.shapes, R25) for c in clips]
    assert in_step(silent) == silent
    hidden = [replace(c, shapes=np.full_like(c.shapes, np.nan)) for c in clips]
    assert in_step(hidden) == hidden


def test_clips_that_tell_no_lead_stay_where_they_are(clips: list[MotionExample]) -> None:
    late = [in_sync(clip, -0.04) if n < 7 else clip for n, clip in enumerate(clips)]
    late[7:] = [replace(c, shapes=c.shapes[:8]) for c in late[7:]]  # too short to tell
    moved = in_step(late)
    assert [m.timing for m in moved[7:]] == [c.timing for c in late[7:]]
    assert any(m.timing != c.timing for m, c in zip(moved[:7], late[:7], strict=True))


def test_a_lead_is_bounded_and_nothing_where_it_cannot_be_told(
    clips: list[MotionExample],
) -> None:
    model = MotionModel.fit(in_step(clips))
    own = example(5, R25, seed=30)
    assert own_lead(model, in_sync(own, -0.05)) == pytest.approx(0.05, abs=0.015)
    far = own_lead(model, in_sync(own, -0.15))
    assert far is not None
    assert abs(far) <= MOST_S
    other = replace(own, shapes=example(5, R25, seed=31).shapes)  # lips of other words
    assert own_lead(model, other) is None
    assert own_lead(model, replace(own, sound=None)) is None
    assert own_lead(model, replace(own, shapes=own.shapes[:8])) is None


def test_the_best_shift_is_found_between_frames() -> None:
    at = np.arange(200) / 25
    wave = np.stack([np.sin(5 * at) + np.sin(11 * at), np.cos(7 * at)], 1)
    late = at - 1.4 / 25
    seen = np.stack([np.sin(5 * late) + np.sin(11 * late), np.cos(7 * late)], 1)
    seen[50:60] = np.nan
    shift, scores = best_shift(seen, wave, np.array([0.6, 0.4]), 4)
    assert shift == pytest.approx(1.4, abs=0.1)
    assert scores.argmax() == 5
    assert scores.max() > 0.98
