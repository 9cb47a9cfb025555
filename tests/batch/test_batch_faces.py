"""A cue's shot: whose face it is, and the frames it is cut from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic import synthetic_info

from media.colour import ColourTags, RgbConverter, from_planes, planes
from media.footage import Frame
from media.picture import Picture
from media.reader import probe, read_frames, read_pictures
from media.time import Timecode
from media.writer import FootageWriter
from studio.batch.shots import _cut, _whose


def _bench(places: list[Path], *, archive_only: bool = False) -> Any:
    """The settings of a cue's shot that choosing a face reads."""
    settings = {"archive": [str(p) for p in places], "archive_only": archive_only}
    return SimpleNamespace(setting=settings.__getitem__)


def _write(path: Path, pictures: list[np.ndarray]) -> Path:
    height, width = pictures[0].shape[:2]
    with FootageWriter(path, synthetic_info("25", width, height), quality=8) as writer:
        for i, rgb in enumerate(pictures):
            writer.write(Frame(i, Fraction(i, 25), rgb))
    return path


def test_a_still_among_the_persons_faces_says_whose_the_cue_is(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    grid = sorted((data_dir / "archive_grid_s1").glob("*.mpg"))[0]
    man = [f.rgb[:, 30:318] for f in read_frames(grid, 4, 9)]
    her = list(read_frames(data_dir / "clips" / "lp_d10.mp4", 0, 5))
    woman = [cv2.resize(f.rgb, (288, 288)) for f in her]
    faces = tmp_path / "faces"
    faces.mkdir()
    cv2.imwrite(str(faces / "her.png"), her[0].rgb[..., ::-1])
    both = _write(tmp_path / "both.mp4", [np.hstack(p) for p in zip(man, woman, strict=True)])
    choice = _whose(_bench([faces]), both, (0.0, 0.2))
    assert choice is not None
    assert (choice.kind, choice.picture) == ("picture", faces / "her.png")
    # Nothing says who it is, and there is no sound to listen to: the largest, as the report says.
    assert _whose(_bench([both], archive_only=True), both, (0.0, 0.2)) is None
    alone = _write(tmp_path / "alone.mp4", man)
    assert _whose(_bench([faces]), alone, (0.0, 0.2)) is None


def test_a_shot_is_cut_from_its_film_sample_for_sample(tmp_path: Path) -> None:
    info = synthetic_info(
        "24", 128, 64, pix_fmt="yuv422p10le", colour=ColourTags(1, 1, 1, False),
        start_timecode=Timecode.parse("01:00:00:00", synthetic_info("24").rate),
    )  # fmt: skip
    convert = RgbConverter(info.colour, 64, info.pix_fmt)
    rng = np.random.default_rng(3)
    film = tmp_path / "film.mp4"
    with FootageWriter(film, info, quality=0) as writer:
        for i in range(8):
            samples = [rng.integers(80, 900, (64, w), np.uint16) for w in (128, 64, 64)]
            frame = from_planes(samples, info.pix_fmt)
            writer.write_changed(Picture(i, Fraction(i, 24), frame, convert, 0))
    cut = tmp_path / "cut.mp4"
    _cut(film, 3, 7, cut)
    made = probe(cut)
    assert (made.frames, str(made.start_timecode)) == (4, "01:00:00:03")
    for ours, theirs in zip(read_pictures(cut), read_pictures(film, 3, 7), strict=True):
        for one, other in zip(planes(ours.stored) or (), planes(theirs.stored) or (), strict=True):
            np.testing.assert_array_equal(one, other)
