"""Every part of every clip is seen equally often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voice._fit_gradient import _CONTEXT, _SEGMENT, _Walk


def clip(first: int, last: int) -> Any:
    """A clip whose words take frames `first` to `last`."""
    return SimpleNamespace(target=SimpleNamespace(speech=(first, last)))


@pytest.mark.parametrize("offset", [0.0, 0.37, 0.999])
def test_clips_are_seen_by_their_length(offset: float) -> None:
    clips = [clip(10, 110), clip(0, 30), clip(20, 420)]
    walk, steps = _Walk(clips, offset), 600
    seen = [walk.at(step) for step in range(steps)]
    shares = [sum(item is c for item, _ in seen) / steps for c in clips]
    # What the words and a little silence around them take; a short clip is one segment.
    lengths = np.array([104 + _CONTEXT, _SEGMENT, 400 + 2 * _CONTEXT], float)
    np.testing.assert_allclose(shares, lengths / lengths.sum(), atol=2 / 600 * 3)


def test_segments_lie_within_the_words_and_cover_them() -> None:
    long = clip(20, 420)
    walk = _Walk([long, clip(0, 30)], 0.2)
    firsts = np.sort([first for item, first in map(walk.at, range(400)) if item is long])
    assert firsts[0] >= 20 - _CONTEXT
    assert firsts[-1] <= 420 + _CONTEXT - _SEGMENT
    assert np.diff(firsts).max() <= 4  # dice leave holes of a dozen


def test_any_few_steps_are_spread_over_all_clips() -> None:
    clips = [clip(0, 100) for _ in range(8)]
    walk = _Walk(clips, 0.61)
    for begin in range(40):
        near = [walk.at(begin + step)[0] for step in range(13)]
        assert all(any(item is c for item in near) for c in clips)


def test_a_clip_shorter_than_a_segment_is_seen_from_its_start() -> None:
    short = clip(3, 20)
    assert {_Walk([short], 0.5).at(step) == (short, 0) for step in range(20)} == {True}
