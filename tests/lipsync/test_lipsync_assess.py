"""Judging a finished video: each measure on a fault made on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_talk import talk, voice

import lipsync.faces
from lipsync.assessment import LIMITS, Verdict, VideoScores, assess
from lipsync.track import FaceTrack
from media.errors import MediaError
from media.video import FootageWriter, Frame, probe, read_frames

LINE = talk(4.0, seed=3)
MARKS = talking_marks(LINE, 100)
# Sampled noise on the finished pictures would move every measure a little: keep it small.
QUALITY = 6


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(
        tmp_path_factory.mktemp("assess") / "scene.mp4", MARKS, sound=voice(LINE), quality=QUALITY
    )


@pytest.fixture(autouse=True)
def known_faces(monkeypatch: pytest.MonkeyPatch) -> dict[str, FaceTrack]:
    """Painted heads are not found by the tracker: their tracks are known instead."""
    tracks: dict[str, FaceTrack] = {}
    monkeypatch.setattr(
        lipsync.faces, "track_faces", lambda path, **_: tracks.get(path.name, track_of(MARKS))
    )
    return tracks


def altered(
    source: Path, out: Path, change: Callable[[int, np.ndarray, np.ndarray], np.ndarray]
) -> Path:
    """The same footage with every picture changed by `change(index, rgb, landmarks)`."""
    with FootageWriter(out, probe(source), sound=voice(LINE), quality=QUALITY) as writer:
        for frame in read_frames(source):
            rgb = change(frame.index, frame.rgb.copy(), MARKS[frame.index])
            writer.write(Frame(frame.index, frame.pts, rgb))
    return out


def mouth_box(marks: np.ndarray, reach: int = 26) -> tuple[slice, slice]:
    x, y = marks[[13, 14], :2].mean(0).astype(int)
    return slice(y - 14, y + 20), slice(x - reach, x + reach)


def test_a_copy_scores_as_its_source(source: Path, tmp_path: Path) -> None:
    copy = altered(source, tmp_path / "copy.mp4", lambda _i, rgb, _m: rgb)
    verdict = assess(copy, LINE, before=source, before_timing=LINE)
    assert verdict.source is not None
    assert verdict.result.closure_rate == verdict.source.closure_rate > 0.9
    assert verdict.result.changed_outside == 0
    assert np.isnan(verdict.result.seam)
    assert verdict.result.identity == pytest.approx(verdict.source.identity, abs=0.01)
    assert verdict.result.sharpness == pytest.approx(verdict.source.sharpness, rel=0.05)
    assert verdict.result.shape_error < 0.6
    assert verdict.result.frames == 100


def test_a_blurred_mouth_a_seam_and_a_stain_are_seen(source: Path, tmp_path: Path) -> None:
    def soft(_i: int, rgb: np.ndarray, marks: np.ndarray) -> np.ndarray:
        box = mouth_box(marks)
        rgb[box] = cv2.GaussianBlur(rgb[box], (0, 0), 3)
        return rgb

    def boxed(_i: int, rgb: np.ndarray, marks: np.ndarray) -> np.ndarray:
        box = mouth_box(marks)
        rgb[box] = (rgb[box] * 0.6).astype(np.uint8)
        return rgb

    def stained(i: int, rgb: np.ndarray, _marks: np.ndarray) -> np.ndarray:
        if i == 5:
            rgb[4:14, 4:24] = 255 - rgb[4:14, 4:24]
        return rgb

    def trembling(i: int, rgb: np.ndarray, marks: np.ndarray) -> np.ndarray:
        box = mouth_box(marks)
        rgb[box] = (rgb[box] * (0.9 if i % 2 else 1.0)).astype(np.uint8)
        return rgb

    verdicts = {
        kind.__name__: assess(
            altered(source, tmp_path / f"{kind.__name__}.mp4", kind),
            LINE,
            before=source,
            before_timing=LINE,
        )
        for kind in (soft, boxed, stained, trembling)
    }
    real = verdicts["soft"].source
    assert real is not None
    assert verdicts["soft"].result.sharpness < 0.7 * real.sharpness
    assert verdicts["boxed"].result.seam > 1.5 > real.seam
    assert 150 <= verdicts["stained"].result.changed_outside <= 260
    assert verdicts["boxed"].result.changed_outside == 0
    assert verdicts["trembling"].result.flicker > 1.5 * real.flicker
    assert verdicts["soft"].result.identity < real.identity


def test_lips_that_say_something_else_are_told(
    source: Path, tmp_path: Path, known_faces: dict[str, FaceTrack]
) -> None:
    other = talking_marks(talk(4.0, seed=11), 100)
    path = film(tmp_path / "other.mp4", other, sound=voice(LINE))
    known_faces["other.mp4"] = track_of(other)
    verdict = assess(path, LINE, before=source, before_timing=LINE)
    assert verdict.source is not None
    assert verdict.result.shape_error > 1.5 * verdict.source.shape_error
    assert verdict.result.closure_rate < verdict.source.closure_rate


def test_the_face_judged_is_the_one_that_the_source_shows(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With two people in the picture the larger face may be the other one in the result.
    asked: list[tuple[float, float] | None] = []

    def track_faces(_path: Path, at: tuple[float, float] | None = None, **_: object) -> FaceTrack:
        asked.append(at)
        return track_of(MARKS)

    monkeypatch.setattr(lipsync.faces, "track_faces", track_faces)
    assess(source, LINE, before=source, before_timing=LINE)
    assert asked[0] is None
    assert asked[1] == pytest.approx(MARKS[0][:, :2].mean(0) / 200)


def test_without_a_source_what_needs_one_is_left_open(source: Path) -> None:
    verdict = assess(source, LINE)
    assert verdict.source is None
    for name in ("identity", "seam", "changed_outside"):
        assert np.isnan(getattr(verdict.result, name))
    assert verdict.result.closure_rate > 0.9
    table = verdict.table()
    assert len(table.splitlines()) == len(fields(VideoScores)) + 1
    assert "needs the source" in table


def test_every_measure_says_what_it_cannot_tell() -> None:
    assert set(LIMITS) == {f.name for f in fields(VideoScores)}


def test_other_footage_is_refused(
    source: Path, tmp_path: Path, known_faces: dict[str, FaceTrack]
) -> None:
    shorter = film(tmp_path / "short.mp4", MARKS[:50])
    known_faces["short.mp4"] = track_of(MARKS[:50])
    with pytest.raises(MediaError, match="frames"):
        assess(source, LINE, before=shorter)
    known_faces["wide.mp4"] = track_of(MARKS, (640, 200))
    with pytest.raises(MediaError, match="made from"):
        assess(source, LINE, before=tmp_path / "wide.mp4")


def test_a_verdict_is_a_table_of_both(source: Path) -> None:
    del source
    one = VideoScores(0.9, 1, 2, -30, 0.6, 20, 0.4, 0.5, 3, 4, 1.1, 0.98, 1.2, 0, 100)
    rows = Verdict(one, one).rows()
    assert rows[0][:3] == ("closure rate", "0.900", "0.900")
    assert rows[-1][1:3] == ("100", "100")
