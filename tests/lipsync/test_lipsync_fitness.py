"""Which frames keep their own mouth, and why; all on tracks of our own making."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lipsync_film import track_of
from lipsync_heads import landmarks, picture

from lipsync.blend import fade_weights
from lipsync.faces import usable_frames
from lipsync.fitness import Unfit, reason_words, settled, unfitness
from lipsync.likeness import Likeness
from lipsync.regions import OUTER_LIPS
from lipsync.track import Absence, Doubt, FaceTrack

N = 60


@pytest.fixture
def track() -> FaceTrack:
    marks = np.repeat(landmarks(at=(100, 75), scale=0.8)[None], N, 0)
    return track_of(marks)


def turned(track: FaceTrack, frame: int, degrees: float) -> FaceTrack:
    pose = track.pose.copy()
    pose[frame, 0] = degrees
    return replace(track, pose=pose)


def test_every_reason_is_named_and_the_plainest_comes_first(track: FaceTrack) -> None:
    marks, reason = track.landmarks.copy(), track.reason.copy()
    scale, doubt = track.scale.copy(), track.doubt.copy()
    marks[10], reason[10] = np.nan, Absence.NO_FACE
    marks[11], reason[11] = np.nan, Absence.OTHER_PERSON
    scale[12] = 30
    marks[13, :, 0] -= 80  # half the mouth beyond the left edge
    doubt[14], doubt[15] = Doubt.COVERED, Doubt.BLURRED
    doubt[10] = Doubt.COVERED
    seen = replace(track, landmarks=marks, reason=reason, scale=scale, doubt=doubt)
    seen = turned(seen, 16, -40.0)
    assert (marks[13, OUTER_LIPS, 0] < 0).any()
    unfit = unfitness(seen)
    words = [reason_words(seen, i, int(unfit[i])) for i in range(10, 17)]
    assert words == [
        "no face found",
        "another person's face",
        "face too small",
        "mouth at the edge of the picture",
        "something in front of the mouth",
        "out of focus",
        "turned away by more than 35 degrees",
    ]
    np.testing.assert_array_equal(usable_frames(seen), unfit == Unfit.FIT)
    assert (unfit[:10] == Unfit.FIT).all()


def test_a_head_that_hangs_on_the_limit_does_not_switch_on_and_off(track: FaceTrack) -> None:
    yaw = np.full(N, 10.0, np.float32)
    yaw[20:40] = 35 + 2 * (-1.0) ** np.arange(20)  # 33 and 37 in turn
    pose = track.pose.copy()
    pose[:, 0] = yaw
    hanging = replace(track, pose=pose)
    calm = settled(hanging, unfitness(hanging))
    np.testing.assert_array_equal(np.flatnonzero(calm != Unfit.FIT), np.arange(20, 40))
    assert set(calm[20:40]) == {Unfit.TURNED}


def test_a_stretch_too_short_to_fade_in_is_left_alone(track: FaceTrack) -> None:
    doubt = track.doubt.copy()
    doubt[20:26] = doubt[28:34] = Doubt.COVERED  # two frames between
    doubt[44:46] = doubt[52:54] = Doubt.COVERED  # six frames between
    seen = replace(track, doubt=doubt)
    calm = settled(seen, unfitness(seen))
    assert set(calm[26:28]) == {Unfit.BRIEF}
    assert reason_words(seen, 26, Unfit.BRIEF) == "to be seen too briefly"
    assert (calm[46:52] == Unfit.FIT).all()
    # At the ends of a shot nothing is between two others.
    doubt[:] = 0
    doubt[2:10] = Doubt.COVERED
    edge = replace(track, doubt=doubt)
    assert (settled(edge, unfitness(edge))[:2] == Unfit.FIT).all()


def test_the_effect_never_pops(track: FaceTrack) -> None:
    doubt = track.doubt.copy()
    doubt[20:26] = Doubt.COVERED
    seen = replace(track, doubt=doubt)
    usable = settled(seen, unfitness(seen)) == Unfit.FIT
    weights = fade_weights(usable, seen.shot, 4)
    assert np.abs(np.diff(weights)).max() <= 0.2 + 1e-6
    assert (weights[~usable] == 0).all()
    assert (weights[:15] == 1).all()
    # A cut is a cut: no fade across it.
    shot = seen.shot.copy()
    shot[26:] = 1
    assert fade_weights(usable, shot, 4)[26] == 1


def test_a_track_keeps_its_doubts_and_its_person(track: FaceTrack, tmp_path: Path) -> None:
    who = Likeness.of(track.landmarks[0], picture(track.landmarks[0], 200, 200))
    doubt = track.doubt.copy()
    doubt[3] = Doubt.BLURRED
    replace(track, doubt=doubt, faces=3, likeness=who).save(tmp_path / "t.npz")
    back = FaceTrack.load(tmp_path / "t.npz")
    np.testing.assert_array_equal(back.doubt, doubt)
    assert back.faces == 3
    assert back.likeness is not None
    assert back.likeness.distance(who) == pytest.approx(0, abs=1e-4)
    assert back.likeness.unlike(who) == pytest.approx(0, abs=1e-6)
