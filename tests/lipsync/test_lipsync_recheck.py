"""Finished lips are measured where they are known to be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lipsync_own import grid_frames, write_footage
from synthetic import tone

from align.timing import Span, Timing
from lipsync.crop import lip_shape
from lipsync.faces import track_faces
from lipsync.recheck import finished_lips, line_frames, track_again
from lipsync.score import score_lips
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


@pytest.mark.parametrize(
    ("phones", "n", "frames"),
    [
        ([], 90, (0, 90)),
        ([(10.0, 14.0)], 1000, (225, 376)),  # a second around it
        ([(10.0, 10.4)], 1000, (180, 331)),  # at least six seconds
        ([(0.2, 1.0)], 1000, (0, 91)),
        ([(3.0, 9.0)], 200, (50, 200)),
        ([(30.0, 31.0)], 100, (99, 100)),  # a line beyond the end
    ],
)
def test_the_frames_around_a_line(
    phones: list[tuple[float, float]], n: int, frames: tuple[int, int]
) -> None:
    spans = tuple(Span("AA", a, b) for a, b in phones)
    assert line_frames(Timing((), spans, 40.0), R25, n) == frames


def test_lips_are_measured_as_by_following_the_face_anew(data_dir: Path, tmp_path: Path) -> None:
    pictures = grid_frames(data_dir, 30)
    pictures[12] = np.full_like(pictures[0], 70)  # nobody there
    film = write_footage(tmp_path / "film.mp4", pictures)
    known = track_faces(film)
    again = track_again(film, known)
    np.testing.assert_array_equal(again.present, known.present)
    assert not again.present[12]
    np.testing.assert_array_equal(again.shot, known.shot)
    one, other = (lip_shape(t.landmarks)[known.present] for t in (known, again))
    assert np.abs(one - other)[:, :2].max() < 0.02
    assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] > 0.995
    part = track_again(film, known, (5, 11))
    assert len(part) == 6
    assert part.times[0] == 0
    timing = Timing((), (Span("AA", 0.1, 0.5), Span("M", 0.5, 0.6)), 1.2)
    lips = finished_lips(film, known, timing, tone(1.2))
    assert lips is not None
    assert lips.frames == 29
    whole = score_lips(known, timing, sound=tone(1.2), person=known)
    assert lips.closure_rate == whole.closure_rate
    assert lips.flicker == pytest.approx(whole.flicker, rel=0.15)
