"""Footage nobody would choose: what it gives, frame for frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from lipsync_own import TIMING, OwnMouth, grid_frames
from synthetic import synthetic_info, tone

from lipsync.faces import track_faces
from lipsync.resync import resync
from media.reader import read_frames
from media.video import FootageWriter, Frame, probe


@pytest.fixture(scope="module")
def face(data_dir: Path) -> list[np.ndarray]:
    """24 frames of a man, 360x288."""
    return grid_frames(data_dir, 24)


def write(path: Path, pictures: list[np.ndarray], rate: str = "25") -> Path:
    height, width = pictures[0].shape[:2]
    info = synthetic_info(rate, width, height)
    with FootageWriter(path, info, quality=8) as writer:
        for i, rgb in enumerate(pictures):
            writer.write(Frame(i, info.rate.time_of(i), rgb))
    return path


def test_cuts_every_10_frames_stay_apart(
    face: list[np.ndarray], data_dir: Path, tmp_path: Path
) -> None:
    other = data_dir / "clips" / "lp_d10.mp4"
    her = [cv2.resize(f.rgb, (288, 288)) for f in read_frames(other, 0, 10)]
    hers = [cv2.copyMakeBorder(rgb, 0, 0, 36, 36, cv2.BORDER_REPLICATE) for rgb in her]
    path = write(tmp_path / "cuts.mp4", [*face[:10], *hers, *face[10:20]])
    track = track_faces(path, at=(0.5, 0.5), cache=tmp_path)
    np.testing.assert_array_equal(np.flatnonzero(np.diff(track.shot)), [9, 19])
    # She is somebody else and keeps her mouth; he is found again.
    assert track.present[:10].all()
    assert track.present[20:].all()
    assert not track.present[10:20].any()
    own = OwnMouth()
    report = resync(
        path, tone(1.0), TIMING, tmp_path / "o.mp4", engine=own, at=(0.5, 0.5), cache=tmp_path
    )
    assert report.frames == 30 == probe(tmp_path / "o.mp4").frames
    assert own.asked == [*range(10), *range(20, 30)]
    assert [(p.first, p.last, p.reason) for p in report.passed] == [
        (10, 19, "another person's face")
    ]


def test_a_clip_of_one_frame_is_a_clip(face: list[np.ndarray], tmp_path: Path) -> None:
    path = write(tmp_path / "one.mp4", face[:1])
    report = resync(path, tone(0.04), TIMING, tmp_path / "o.mp4", engine=OwnMouth(), cache=tmp_path)
    assert (report.frames, report.replaced, report.passed) == (1, 1, ())
    assert probe(tmp_path / "o.mp4").frames == 1


def test_240_frames_a_second_keep_rate_and_count(face: list[np.ndarray], tmp_path: Path) -> None:
    path = write(tmp_path / "fast.mp4", [face[i // 10] for i in range(24)], "240")
    report = resync(path, tone(0.1), TIMING, tmp_path / "o.mp4", engine=OwnMouth(), cache=tmp_path)
    info = probe(tmp_path / "o.mp4")
    assert (report.frames, report.replaced, info.frames) == (24, 24, 24)
    assert info.rate.value == 240
    assert info.duration_s == Fraction(24, 240)


def test_odd_sizes_lose_no_line_and_no_column(face: list[np.ndarray], tmp_path: Path) -> None:
    wide = [cv2.resize(rgb, (853, 481), interpolation=cv2.INTER_CUBIC) for rgb in face[:3]]
    path = write(tmp_path / "odd.mp4", wide)
    report = resync(path, tone(0.2), TIMING, tmp_path / "o.mp4", engine=OwnMouth(), cache=tmp_path)
    info = probe(tmp_path / "o.mp4")
    assert (info.width, info.height, report.replaced) == (853, 481, 3)


def test_a_phone_held_upright_is_followed_and_delivered_upright(
    face: list[np.ndarray], tmp_path: Path
) -> None:
    portrait = [cv2.copyMakeBorder(f, 176, 176, 0, 0, cv2.BORDER_REPLICATE) for f in face[:4]]
    plain = write(tmp_path / "upright.mp4", portrait)
    path = tmp_path / "phone.mp4"
    _store_turned(portrait, path)
    info = probe(path)
    assert (info.width, info.height) == (360, 640)
    assert info.rotation in (90, 270)
    straight, turned = (track_faces(p, cache=tmp_path) for p in (plain, path))
    assert turned.present.all()
    away = np.abs(straight.landmarks[..., :2] - turned.landmarks[..., :2])
    assert away.mean() < 1.0
    report = resync(path, tone(0.2), TIMING, tmp_path / "o.mp4", engine=OwnMouth(), cache=tmp_path)
    made = probe(tmp_path / "o.mp4")
    assert (made.width, made.height, made.rotation, report.replaced) == (360, 640, 0, 4)
    first = next(read_frames(tmp_path / "o.mp4")).rgb
    assert np.abs(first[:150].astype(int) - portrait[0][:150]).mean() < 4


def _store_turned(pictures: list[np.ndarray], path: Path) -> None:
    """As a phone does: stored lying, with a flag that says how it was held."""
    lying = write(path.with_name("lying.mp4"), [np.rot90(rgb, 1).copy() for rgb in pictures])
    with av.open(str(lying)) as source, av.open(str(path), "w") as target:
        stored = source.streams.video[0]
        copied = target.add_stream_from_template(stored)
        copied.set_display_rotation(-90)
        for packet in source.demux(stored):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)


def test_sound_shorter_than_the_picture_is_followed_by_silence(
    face: list[np.ndarray], tmp_path: Path
) -> None:
    path = write(tmp_path / "long.mp4", face[:10])
    report = resync(path, tone(0.3), TIMING, tmp_path / "o.mp4", engine=OwnMouth(), cache=tmp_path)
    assert report.filled_s == pytest.approx(10 / 25 - 0.3, abs=1e-6)
    assert report.cut_s == 0
    assert probe(tmp_path / "o.mp4").frames == 10
