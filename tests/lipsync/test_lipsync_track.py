"""The face track: saved, loaded, refused."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipsync.faces import usable_frames
from lipsync.track import Absence, FaceTrack
from media.errors import MediaError
from media.time import FrameRate


def a_track(n: int = 6) -> FaceTrack:
    rng = np.random.default_rng(0)
    reason = np.zeros(n, np.uint8)
    reason[2:4] = Absence.NO_FACE, Absence.OTHER_PERSON
    points = rng.normal(100, 20, (n, 478, 3)).astype(np.float32)
    points[2:4] = np.nan
    pose = np.zeros((n, 3), np.float32)
    pose[2:4] = np.nan
    pose[5, 0] = -50.0
    return FaceTrack(
        rate=FrameRate(Fraction(24000, 1001)),
        width=320,
        height=240,
        landmarks=points,
        reason=reason,
        shot=np.array([0, 0, 0, 1, 1, 1], np.int32)[:n],
        pose=pose,
        scale=np.array([100, 30, np.nan, np.nan, 100, 100], np.float32)[:n],
        times=np.arange(n) * 1001 / 24000,
        sha256="ab" * 32,
    )


def test_a_track_comes_back_as_it_was(tmp_path: Path) -> None:
    track = a_track()
    track.save(tmp_path / "t.npz")
    back = FaceTrack.load(tmp_path / "t.npz")
    assert back.rate == track.rate
    assert (back.width, back.height, back.sha256) == (320, 240, "ab" * 32)
    for name in ("landmarks", "reason", "shot", "pose", "scale", "times"):
        np.testing.assert_array_equal(getattr(back, name), getattr(track, name))
        assert getattr(back, name).dtype == getattr(track, name).dtype
    np.testing.assert_array_equal(back.present, [True, True, False, False, True, True])


def test_a_damaged_track_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    a_track().save(path)
    whole = path.read_bytes()
    for bad in (b"", b"no zip at all", whole[: len(whole) // 2]):
        path.write_bytes(bad)
        with pytest.raises(MediaError, match="is not a face track"):
            FaceTrack.load(path)


def test_no_damaged_byte_breaks_out(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    track = a_track()
    track.save(path)
    whole = path.read_bytes()
    heads = [*range(700), *range(len(whole) - 900, len(whole))]
    for at in heads[::7]:
        for flipped in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flipped]) + whole[at + 1 :])
            with suppress(MediaError):
                np.testing.assert_array_equal(FaceTrack.load(path).landmarks, track.landmarks)


def test_arrays_of_different_length_are_refused() -> None:
    track = a_track()
    with pytest.raises(ValueError, match="one row per frame"):
        FaceTrack(
            track.rate, 1, 1, track.landmarks, track.reason[:3], track.shot, track.pose,
            track.scale, track.times,
        )  # fmt: skip


def test_small_turned_and_absent_faces_are_not_usable() -> None:
    np.testing.assert_array_equal(
        usable_frames(a_track()), [True, False, False, False, True, False]
    )
