"""Patches for a compositor: matte and colours alone, as film and as stills."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import synthetic_frames, synthetic_info, tone

from media.errors import MediaError, OutputError
from media.files import sha256_of
from media.patch import StillsWriter, stills_folder
from media.picture import Change, Picture, painted
from media.reader import probe, read_pictures
from media.time import Timecode
from media.video import ColourTags, FootageWriter

SIZE = (150, 121)  # width even, height odd: no multiple of a block
BOX = (slice(40, 80), slice(50, 110))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("patch") / "source.mov"
    info = synthetic_info("25", *SIZE, colour=ColourTags(1, 1, 1, False))
    start = Timecode.parse("10:00:00:00", info.rate)
    info = synthetic_info("25", *SIZE, colour=info.colour, start_timecode=start)
    with FootageWriter(path, info, quality=6) as writer:
        for frame in synthetic_frames(4, info):
            writer.write(frame)
    return path


def change_of(picture: Picture) -> Change:
    """A soft red disc, with the matte that lays it over the picture."""
    part = picture[BOX].astype(np.float32)
    y, x = np.mgrid[-1 : 1 : part.shape[0] * 1j, -1 : 1 : part.shape[1] * 1j]
    matte = np.clip(1.5 - 1.5 * np.hypot(x, y), 0, 1).astype(np.float32)
    fill = np.broadcast_to(np.float32([200, 60, 40]), part.shape).astype(np.float32)
    mixed = part + (fill - part) * matte[..., None]
    return Change(
        BOX[0].start, BOX[1].start, np.rint(mixed).astype(np.uint8), matte > 0, matte, fill
    )


def changed(source: Path) -> Iterator[tuple[Picture, Change | None]]:
    for picture in read_pictures(source):
        yield picture, None if picture.index == 2 else change_of(picture)


def over(below: np.ndarray, rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return below * (1 - alpha[..., None]) + rgb * alpha[..., None]


def test_a_patch_film_laid_over_its_source_is_the_changed_picture(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "patch.mov"
    with FootageWriter(out, probe(source), codec="prores4444", sound=tone(0.2)) as writer:
        for picture, change in changed(source):
            writer.write_changed(picture, () if change is None else (change,))
    info, was = probe(out), probe(source)
    assert (info.frames, info.width, info.height, info.rate) == (4, *SIZE, was.rate)
    assert str(info.start_timecode) == "10:00:00:00"
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "prores"
        alphas = [_alpha(frame) for frame in container.decode(video=0)]
    for (picture, change), patch, alpha in zip(
        changed(source), read_pictures(out), alphas, strict=True
    ):
        whole = np.zeros(alpha.shape, bool)
        if change is not None:
            whole[BOX] = change.where
            assert np.abs(alpha[BOX] - change.matte).max() < 1 / 1000
        assert (alpha[~whole] == 0).all()  # exactly
        made = over(picture.rgb, patch.rgb, alpha)
        wanted = painted(picture, () if change is None else (change,))
        assert np.abs(made - wanted).max() < 6
        assert np.abs(made - wanted)[whole].mean() < 1.0 if whole.any() else True


def _alpha(frame: av.VideoFrame) -> np.ndarray:
    bits = frame.format.components[3].bits
    plane = frame.planes[3]
    lines = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
    return lines / np.float64(2**bits - 1)


def test_stills_laid_over_their_source_are_the_changed_picture(
    source: Path, tmp_path: Path
) -> None:
    import cv2

    out = tmp_path / "mouth.png"
    with StillsWriter(out, probe(source)) as writer:
        for picture, change in changed(source):
            writer.write_changed(picture, () if change is None else (change,))
        assert not stills_folder(out).exists()  # not before it is whole
    facts = json.loads((tmp_path / "mouth.json").read_text("utf-8"))
    stills = sorted(stills_folder(out).iterdir())
    assert [s.name for s in stills] == list(facts["sha256"])
    assert stills[0].name == "mouth.0900000.png"  # 10 h of 25 frames
    assert (facts["first"], facts["frames"], facts["start_timecode"]) == (900000, 4, "10:00:00:00")
    assert facts["rate"] == "25"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mouth", "mouth.json"]
    for (picture, change), still in zip(changed(source), stills, strict=True):
        assert sha256_of(still) == facts["sha256"][still.name]
        bgra = cv2.imread(str(still), cv2.IMREAD_UNCHANGED)
        assert bgra.dtype == np.uint16
        rgb, alpha = bgra[..., 2::-1] / 257.0, bgra[..., 3] / 65535.0
        wanted = painted(picture, () if change is None else (change,))
        assert np.abs(over(picture.rgb, rgb, alpha) - wanted).max() < 1.0  # rounding alone
        if change is None:
            assert not bgra.any()


def _write_stills(out: Path, source: Path, changes: Sequence[tuple[Change, ...]]) -> None:
    with StillsWriter(out, probe(source)) as writer:
        for picture, change in zip(read_pictures(source), changes, strict=False):
            writer.write_changed(picture, change)


def test_stills_are_whole_or_absent_and_never_mixed_with_others(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mouth.png"
    torn = Change(0, 0, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match="matte"):
        _write_stills(out, source, ((), (torn,)))
    assert list(tmp_path.iterdir()) == []
    stills_folder(out).mkdir()
    (stills_folder(out) / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not empty"), StillsWriter(out, probe(source)):
        pass
    assert (stills_folder(out) / "mine.txt").read_text() == "keep"
    with pytest.raises(OutputError, match=r"name it \.mov"):
        FootageWriter(tmp_path / "a.mp4", probe(source), codec="prores4444")


def test_a_patch_film_takes_changes_only(source: Path, tmp_path: Path) -> None:
    frame = next(synthetic_frames(1, probe(source)))
    with (
        pytest.raises(MediaError, match="not whole frames"),
        FootageWriter(tmp_path / "a.mov", probe(source), codec="prores4444") as writer,
    ):
        writer.write(frame)
    bare = Change(0, 0, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))
    with (
        pytest.raises(ValueError, match="matte"),
        FootageWriter(tmp_path / "a.mov", probe(source), codec="prores4444") as writer,
    ):
        writer.write_changed(next(read_pictures(source)), (bare,))
    assert Fraction(probe(source).duration_s) == Fraction(4, 25)
