"""Interlaced, telecined and progressive pictures are told apart by what they show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic import synthetic_info

from media.errors import MediaError
from media.fields import combing, refuse_interlaced, scan_of
from media.video import FootageWriter, Frame, probe


def moment(t: float, moving: bool = True) -> np.ndarray:
    """A textured disc on a textured ground at time `t` (in fields)."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.normal(0, 80, (240, 320)).astype(np.float32), (0, 0), 2) + 120
    disc = cv2.GaussianBlur(rng.normal(0, 160, (240, 320)).astype(np.float32), (0, 0), 3) + 160
    at = 60 + 4.0 * t if moving else 100.0
    y, x = np.indices((240, 320), dtype=np.float32)
    inside = np.clip(60 - np.hypot(x - at, y - 120), 0, 1)
    shifted = np.roll(disc, round(at), axis=1)
    grey = ground + inside * (shifted - ground)
    return cv2.GaussianBlur(grey, (0, 0), 0.7).clip(0, 255).astype(np.uint8)


def woven(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    both = first.copy()
    both[1::2] = second[1::2]
    return both


def pictures(kind: str, count: int) -> list[np.ndarray]:
    if kind == "interlaced":
        return [woven(moment(2 * i), moment(2 * i + 1)) for i in range(count)]
    if kind == "still":
        return [moment(0, moving=False)] * count
    film = [moment(2.5 * i) for i in range(count + 2)]
    if kind == "progressive":
        return film[:count]
    # 2:3 pulldown: four pictures become five.
    fields = [f for i, f in enumerate(film) for _ in range(2 + i % 2)]
    return [woven(fields[2 * i], fields[2 * i + 1]) for i in range(count)]


def write(path: Path, kind: str, count: int = 36) -> Path:
    info = synthetic_info("30000/1001", 320, 240)
    with FootageWriter(path, info, quality=12) as writer:
        for i, grey in enumerate(pictures(kind, count)):
            rgb = np.repeat(grey[..., None], 3, axis=2)
            writer.write(Frame(i, info.rate.time_of(i), rgb))
    return path


@pytest.mark.parametrize("kind", ["progressive", "interlaced", "telecined", "still"])
def test_scans_are_told_apart(tmp_path: Path, kind: str) -> None:
    info = probe(write(tmp_path / "a.mp4", kind))
    assert scan_of(info) == ("progressive" if kind == "still" else kind)
    if kind in ("interlaced", "telecined"):
        with pytest.raises(MediaError, match="ffmpeg") as refusal:
            refuse_interlaced(info)
        assert "\n" not in str(refusal.value)
    else:
        refuse_interlaced(info)


def test_grain_has_no_teeth() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.normal(128, 25, (200, 300)).clip(0, 255).astype(np.uint8) for _ in range(2))
    teeth = combing(a, b)
    assert teeth is not None
    assert teeth < 1.15


def test_nothing_moves_nothing_is_said() -> None:
    assert combing(moment(0), moment(0)) is None


def test_one_picture_is_progressive(tmp_path: Path) -> None:
    assert scan_of(probe(write(tmp_path / "a.mp4", "interlaced", 1))) == "progressive"


def test_real_footage_is_progressive(data_dir: Path) -> None:
    for name in ("vv_interview.mp4", "lia_obama.mov", "lp_d10.mp4", "vrt_1.mp4"):
        assert scan_of(probe(data_dir / "clips" / name)) == "progressive", name
    for clip in sorted((data_dir / "archive_grid_s1").glob("*.mpg"))[:3]:
        assert scan_of(probe(clip)) == "progressive", clip.name
