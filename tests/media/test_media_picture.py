"""Pictures that are converted in parts: the same bits, and nothing else is touched."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from synthetic import synthetic_frame, synthetic_info, tone

from media.colour import RgbConverter, planes
from media.errors import MediaError
from media.footage import FootageInfo
from media.picture import SquarePicture, patched
from media.video import (
    Change,
    ColourTags,
    FootageWriter,
    Frame,
    painted,
    probe,
    read_frames,
    read_pictures,
)

KINDS = {
    "8 bits": ({"colour": ColourTags(1, 1, 1, False)}, ".mp4", "h264"),
    "full range": ({"colour": ColourTags(1, 1, 1, True)}, ".mp4", "h264"),
    "10 bits": ({"pix_fmt": "yuv420p10le", "colour": ColourTags(9, 14, 9, False)}, ".mp4", "h264"),
    "ProRes": ({"pix_fmt": "yuv422p10le"}, ".mov", "prores"),
}


def noisy(index: int, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(index)
    soft = cv2.GaussianBlur(rng.normal(0, 60, (height, width, 3)).astype(np.float32), (0, 0), 1.5)
    return (synthetic_frame(index, width, height) + soft).clip(0, 255).astype(np.uint8)


def film(
    path: Path,
    count: int = 3,
    size: tuple[int, int] = (338, 250),
    codec: str = "h264",
    **facts: object,
) -> FootageInfo:
    info = synthetic_info("25", *size, **facts)
    with FootageWriter(path, info, codec=codec, quality=10) as writer:  # type: ignore[arg-type]
        for i in range(count):
            writer.write(Frame(i, info.rate.time_of(i), noisy(i, *size)))
    return probe(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_has_the_bits_of_the_whole(tmp_path: Path, kind: str) -> None:
    facts, ending, codec = KINDS[kind]
    film(tmp_path / f"a{ending}", codec=codec, **facts)
    rng = np.random.default_rng(3)
    whole = [f.rgb for f in read_frames(tmp_path / f"a{ending}")]
    for picture in read_pictures(tmp_path / f"a{ending}"):
        assert picture.shape == whole[picture.index].shape
        for _ in range(8):
            y0, x0 = int(rng.integers(0, 200)), int(rng.integers(0, 280))
            y1, x1 = y0 + int(rng.integers(1, 50)), x0 + int(rng.integers(1, 58))
            part = picture[y0:y1, x0:x1]
            np.testing.assert_array_equal(part, whole[picture.index][y0:y1, x0:x1])
    assert picture[240:400, 300:900].shape == (10, 38, 3)
    assert picture[50:20, 0:5].size == 0


@pytest.mark.parametrize("size", [(161, 121), (161, 120), (160, 121)])
def test_odd_sizes_and_edges(tmp_path: Path, size: tuple[int, int]) -> None:
    film(tmp_path / "odd.mp4", 1, size)
    (whole,) = (f.rgb for f in read_frames(tmp_path / "odd.mp4"))
    (picture,) = read_pictures(tmp_path / "odd.mp4")
    corner = picture[size[1] - 20 : size[1], size[0] - 30 : size[0]]
    np.testing.assert_array_equal(corner, whole[-20:, -30:])


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_picture_is_cut_as_displayed(tmp_path: Path, degrees: int) -> None:
    from test_media_video import rotated_copy

    film(tmp_path / "flat.mp4", 2)
    rotated_copy(tmp_path / "flat.mp4", tmp_path / "turned.mp4", degrees)
    whole = [f.rgb for f in read_frames(tmp_path / "turned.mp4")]
    for picture in read_pictures(tmp_path / "turned.mp4"):
        part = picture[40:97, 101:150]
        np.testing.assert_array_equal(part, whole[picture.index][40:97, 101:150])
        small = picture.thumbnail(60, 80).astype(int)
        want = cv2.resize(whole[picture.index], (60, 80), interpolation=cv2.INTER_AREA)
        assert np.abs(small - want).mean() < 5


def test_a_thumbnail_is_nearly_an_exact_reduction(tmp_path: Path) -> None:
    for facts in ({}, {"pix_fmt": "yuv420p10le"}):
        film(tmp_path / "a.mp4", 1, (640, 360), **facts)
        (picture,) = read_pictures(tmp_path / "a.mp4")
        want = cv2.resize(picture.rgb, (128, 72), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(picture.thumbnail(128, 72) - want).mean() < 4


def stored(path: Path) -> list[list[np.ndarray]]:
    """Luma and chroma of every picture as they lie in the file."""
    with av.open(str(path)) as container:
        return [[p.copy() for p in planes(f) or []] for f in container.decode(video=0)]


@pytest.mark.parametrize("kind", ["8 bits", "full range", "10 bits"])
def test_what_is_not_changed_keeps_its_samples(tmp_path: Path, kind: str) -> None:
    facts, _, _ = KINDS[kind]
    info = film(tmp_path / "in.mp4", 1, **facts)
    rng = np.random.default_rng(0)
    where = rng.random((40, 51)) < 0.6
    change = Change(101, 97, rng.integers(0, 256, (40, 51, 3), np.uint8), where)
    (picture,) = read_pictures(tmp_path / "in.mp4")
    convert = RgbConverter(info.colour, info.stored_lines, info.pix_fmt)
    before = [p.copy() for p in planes(picture.stored) or []]
    after = planes(patched(picture, [change], convert)) or []
    touched = np.zeros(before[0].shape, bool)
    touched[101:141, 97:148] = where
    luma = before[0] != after[0]
    assert not (luma & ~touched).any()
    assert luma.sum() > 0.8 * touched.sum()
    blocks = touched.reshape(125, 2, 169, 2).any((1, 3))
    for a, b in zip(before[1:], after[1:], strict=True):
        assert not ((a != b) & ~blocks).any()
    # The decoder's own picture, which others are predicted from, is not written to.
    for a, b in zip(before, planes(picture.stored) or [], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(before, planes(patched(picture, [], convert)) or [], strict=True):
        np.testing.assert_array_equal(a, b)


def test_footage_passes_through_a_lossless_file_unchanged(tmp_path: Path) -> None:
    info = film(tmp_path / "in.mp4")
    with FootageWriter(tmp_path / "out.mp4", info, quality=0) as writer:
        for picture in read_pictures(tmp_path / "in.mp4"):
            writer.write_changed(picture)
    for before, after in zip(
        stored(tmp_path / "in.mp4"), stored(tmp_path / "out.mp4"), strict=True
    ):
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("centred", [False, True])
def test_colour_lies_where_the_file_says(tmp_path: Path, centred: bool) -> None:
    """A red edge comes back where it was, not half a pixel beside it."""
    rgb = np.full((64, 128, 3), 100, np.uint8)
    rgb[:, 41:] = (180, 60, 80)
    info = replace(synthetic_info("25", 128, 64), centred_chroma=centred)
    with FootageWriter(tmp_path / "a.mp4", info, quality=0) as writer:
        writer.write(Frame(0, Fraction(0), rgb))
    (back,) = (f.rgb for f in read_frames(tmp_path / "a.mp4"))
    tint = back[32, :, 0].astype(float) - back[32, :, 1]
    at = np.interp(60, tint[36:47], np.arange(36, 47))
    assert at == pytest.approx(40.5, abs=0.2)


def test_changed_pixels_arrive(tmp_path: Path) -> None:
    info = film(tmp_path / "in.mp4", 1)
    patch = np.full((60, 60, 3), (200, 60, 40), np.uint8)
    change = Change(100, 100, patch, np.ones((60, 60), bool))
    with FootageWriter(tmp_path / "out.mp4", info, quality=0) as writer:
        for picture in read_pictures(tmp_path / "in.mp4"):
            writer.write_changed(picture, [change])
            wanted = painted(picture, [change])
    (out,) = (f.rgb for f in read_frames(tmp_path / "out.mp4"))
    assert np.abs(out[106:154, 106:154].astype(int) - patch[6:54, 6:54]).max() <= 3
    np.testing.assert_array_equal(wanted[100:160, 100:160], patch)


@pytest.mark.parametrize(("ending", "codec"), [(".mov", "prores"), (".mp4", "h264")])
def test_other_formats_and_turned_pictures_are_written_too(
    tmp_path: Path, ending: str, codec: str
) -> None:
    from test_media_video import rotated_copy

    film(tmp_path / "flat.mp4", 2)
    rotated_copy(tmp_path / "flat.mp4", tmp_path / "turned.mp4", 90)
    for name in ("flat.mp4", "turned.mp4"):
        info = probe(tmp_path / name)
        out = tmp_path / f"out{ending}"
        with FootageWriter(out, info, codec=codec, quality=4) as writer:  # type: ignore[arg-type]
            for picture in read_pictures(tmp_path / name):
                writer.write_changed(picture)
        pairs = zip(read_frames(tmp_path / name), read_frames(out), strict=True)
        for before, after in pairs:
            assert np.abs(before.rgb.astype(int) - after.rgb).mean() < 2.5


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    film(tmp_path / "in.mp4", 1)
    other = synthetic_info("25", 64, 64)
    with (
        pytest.raises(MediaError, match="keep the size"),
        FootageWriter(tmp_path / "out.mp4", other) as writer,
    ):
        writer.write_changed(next(read_pictures(tmp_path / "in.mp4")))


def test_threads_may_share_a_converter(tmp_path: Path) -> None:
    film(tmp_path / "in.mp4", 4)
    whole = [f.rgb for f in read_frames(tmp_path / "in.mp4")]
    pictures = list(read_pictures(tmp_path / "in.mp4"))
    wrong: list[int] = []

    def look(picture) -> None:
        for k in range(20):
            part = picture[k : k + 60 + k, 2 * k : 2 * k + 100]
            if not np.array_equal(part, whole[picture.index][k : k + 60 + k, 2 * k : 2 * k + 100]):
                wrong.append(k)

    threads = [threading.Thread(target=look, args=(p,)) for p in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_last_frame_of_a_variable_rate_lasts_as_long_as_in_the_source(tmp_path: Path) -> None:
    tick = Fraction(1, 1000)
    info = replace(synthetic_info("25"), variable_rate=True, time_base=tick)
    times = [Fraction(t, 1000) for t in (0, 40, 73, 173, 200)]
    with FootageWriter(tmp_path / "a.mp4", info, sound=tone(1)) as writer:
        for i, at in enumerate(times):
            length = Fraction(250, 1000) if i == 4 else None
            writer.write(Frame(i, at, synthetic_frame(i, 160, 120), length))
    first = probe(tmp_path / "a.mp4")
    assert first.duration_s == Fraction(450, 1000)
    with FootageWriter(tmp_path / "b.mp4", first) as writer:
        for picture in read_pictures(tmp_path / "a.mp4"):
            writer.write_changed(picture)
    again = probe(tmp_path / "b.mp4")
    assert again.duration_s == first.duration_s
    assert again.rate == first.rate


def test_an_odd_rate_comes_out_exactly(data_dir: Path, tmp_path: Path) -> None:
    info = probe(data_dir / "clips" / "vrt_1.mp4")
    with FootageWriter(tmp_path / "again.mp4", info, quality=40, preset="ultrafast") as writer:
        for picture in read_pictures(info.path):
            writer.write_changed(picture)
    assert probe(tmp_path / "again.mp4").rate == info.rate


@pytest.mark.parametrize(
    "tags", [{"primaries": "bt709"}, {"transfer": 1.0}, {"matrix": None}, {"full_range": "tv"}]
)
def test_colour_tags_are_numbers(tags: dict[str, object]) -> None:
    with pytest.raises(MediaError, match=r"colour (tag|range)"):
        ColourTags(**tags)  # type: ignore[arg-type]


def test_a_square_view_is_the_picture_made_wider(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 1, (240, 180))
    (picture,) = read_pictures(tmp_path / "a.mp4")
    square = SquarePicture(picture, 4 / 3)
    assert square.shape == (180, 320, 3)
    whole = square.rgb.astype(int)
    wide = cv2.resize(picture.rgb, (320, 180), interpolation=cv2.INTER_CUBIC)
    assert np.abs(whole - wide).mean() < 1.0
    part = SquarePicture(picture, 4 / 3)[30:90, 101:202].astype(int)
    assert np.abs(part - whole[30:90, 101:202]).max() <= 2


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray", "nv12"])
def test_pictures_that_are_not_three_planes_come_through_with_their_colours(
    tmp_path: Path, pix_fmt: str
) -> None:
    rgb = noisy(1, 160, 120)
    with av.open(str(tmp_path / "raw.nut"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pix_fmt
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    info = probe(tmp_path / "raw.nut")
    (want,) = (f.rgb for f in read_frames(tmp_path / "raw.nut"))
    (picture,) = read_pictures(tmp_path / "raw.nut")
    np.testing.assert_array_equal(picture[20:60, 30:90], want[20:60, 30:90])
    assert picture.thumbnail(80, 60).shape == (60, 80, 3)
    with FootageWriter(tmp_path / "out.mp4", info, quality=4) as writer:
        writer.write_changed(picture)
    (back,) = (f.rgb for f in read_frames(tmp_path / "out.mp4"))
    assert np.abs(back.astype(int) - want).mean() < 4
    assert abs(float(back.mean()) - float(want.mean())) < 1.5
