"""Long films: the same numbers as in memory, read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipsync.shots import smooth_landmarks
from lipsync.track import Absence, FaceTrack
from media.far import FarRows, let_go, pieces
from media.time import FrameRate


def wandering(n: int) -> np.ndarray:
    """Faces that move and tremble, float32[n, 478, 3]."""
    rng = np.random.default_rng(3)
    face = rng.normal(0, 60, (478, 3))
    path = np.cumsum(rng.normal(0, 1, (n, 1, 3)), axis=0)
    return (face + path + rng.normal(0, 0.3, (n, 478, 3))).astype(np.float32)


def test_a_long_take_is_smoothed_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    n, rate = 260, 25.0
    marks, still = wandering(n), np.zeros((n, 2), np.float32)
    shot = np.zeros(n, np.int32)
    whole = smooth_landmarks(marks, still, shot, rate)
    for rows in (64, 129, 257):
        monkeypatch.setattr(pieces, "__defaults__", (rows,))
        out, pose, _ = smooth_landmarks(marks, still, shot, rate)
        np.testing.assert_array_equal(out, whole[0])
        np.testing.assert_array_equal(pose.place, whole[1].place)
        np.testing.assert_array_equal(pose.rotation, whole[1].rotation)
    rows_kept = FarRows((478, 3), np.float32)
    for row in marks:
        rows_kept.append(row)
    there = rows_kept.array()
    out, _, _ = smooth_landmarks(there, still, shot, rate, in_place=True)
    assert out is there
    np.testing.assert_array_equal(out, whole[0])


def test_a_track_read_from_its_file_lies_there(tmp_path: Path) -> None:
    n = 30
    track = FaceTrack(
        rate=FrameRate.parse("25"),
        width=640,
        height=360,
        landmarks=wandering(n),
        reason=np.full(n, Absence.PRESENT, np.uint8),
        shot=np.zeros(n, np.int32),
        pose=np.zeros((n, 3), np.float32),
        scale=np.full(n, 100, np.float32),
        times=np.arange(n) / 25,
    )
    path = tmp_path / "t.npz"
    track.save(path)
    with np.load(path) as plain:  # an ordinary .npz
        np.testing.assert_array_equal(plain["landmarks"], track.landmarks)
        assert plain["times"].dtype == np.float64
    back = FaceTrack.load(path)
    path.unlink()  # somebody tidies the cache up
    let_go(back.landmarks)
    np.testing.assert_array_equal(back.landmarks, track.landmarks)
    assert not back.landmarks.flags.writeable
