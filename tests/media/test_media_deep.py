"""More than 8 bits: kept through reading, changing and writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from synthetic import synthetic_info

from media.colour import ColourTags, RgbConverter, from_planes, planes
from media.footage import FootageInfo
from media.picture import Change, Picture, as_fine, patched
from media.reader import probe, read_pictures
from media.video import FootageWriter

WIDTH, HEIGHT = 512, 64
DEEP = ("yuv420p10le", "yuv422p10le", "yuv444p10le")


def info_of(pix_fmt: str) -> FootageInfo:
    return synthetic_info("25", WIDTH, HEIGHT, pix_fmt=pix_fmt, colour=ColourTags(1, 1, 1, False))


def ramp(pix_fmt: str, index: int = 0) -> tuple[Picture, list[np.ndarray]]:
    """A picture of 512 steps of one 10-bit code each, and its samples."""
    info = info_of(pix_fmt)
    across, down = {"0": (2, 2), "2": (2, 1), "4": (1, 1)}[pix_fmt[5]]
    luma = np.tile(np.arange(300 + index, 812 + index, dtype=np.uint16), (HEIGHT, 1))
    colour = np.full((HEIGHT // down, WIDTH // across), 520, np.uint16)
    samples = [luma, colour, colour - 9]
    convert = RgbConverter(info.colour, HEIGHT, pix_fmt)
    return Picture(index, Fraction(index, 25), from_planes(samples, pix_fmt), convert, 0), samples


@pytest.mark.parametrize("pix_fmt", DEEP)
def test_fine_pixels_hold_every_10_bit_code_and_8_bits_do_not(pix_fmt: str) -> None:
    picture, samples = ramp(pix_fmt)
    convert = picture.converter
    whole = slice(0, HEIGHT), slice(0, WIDTH)
    back = planes(convert.from_rgb(picture.fine(*whole)))
    assert back is not None
    for ours, theirs in zip(back, samples, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    coarse = planes(convert.from_rgb(picture.rgb))
    assert coarse is not None
    assert len(np.unique(coarse[0])) < 300  # of 512: bands
    part = picture.fine(slice(10, 20), slice(100, 140))
    np.testing.assert_array_equal(part, picture.fine(*whole)[10:20, 100:140])


@pytest.mark.parametrize("pix_fmt", DEEP)
def test_a_soft_change_of_a_ramp_has_no_bands_and_no_step_at_its_edge(pix_fmt: str) -> None:
    picture, samples = ramp(pix_fmt)
    rows, columns = slice(8, 56), slice(100, 400)
    part = picture.fine(rows, columns).astype(np.float32) / 256
    x = np.linspace(-1, 1, part.shape[1], dtype=np.float32)
    lift = 6.0 * np.clip(1 - np.abs(x), 0, 1)  # code values, softly
    change = Change(
        rows.start, columns.start, as_fine(part + lift[None, :, None]),
        np.broadcast_to(lift > 0, part.shape[:2]),
    )  # fmt: skip
    out = planes(patched(picture, (change,), picture.converter))
    assert out is not None
    line = out[0][30].astype(int)
    np.testing.assert_array_equal(out[0][:8], samples[0][:8])
    np.testing.assert_array_equal(line[:100], samples[0][30][:100])
    np.testing.assert_array_equal(line[400:], samples[0][30][400:])
    # Up by 0.14 of a 10-bit code a column, then down by it, on a ramp of one a column.
    assert set(np.diff(line)) <= {0, 1, 2}


def _written(path: Path, info: FootageInfo, pictures: Sequence[Picture], **how: object) -> Path:
    with FootageWriter(path, info, **how) as writer:  # type: ignore[arg-type]
        for picture in pictures:
            writer.write_changed(picture)
    return path


@pytest.mark.parametrize("pix_fmt", DEEP)
def test_what_is_not_changed_is_written_with_its_own_10_bit_samples(
    pix_fmt: str, tmp_path: Path
) -> None:
    made = [ramp(pix_fmt, i) for i in range(3)]
    path = _written(tmp_path / "a.mp4", info_of(pix_fmt), [p for p, _ in made], quality=0)
    assert probe(path).pix_fmt == pix_fmt
    for picture, (_, samples) in zip(read_pictures(path), made, strict=True):
        stored = planes(picture.stored)
        assert stored is not None
        for ours, theirs in zip(stored, samples, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("codec", "name"), [("h264", "a.mp4"), ("prores", "a.mov")])
def test_10_bits_stay_10_bits_in_the_codecs_that_are_delivered(
    codec: str, name: str, tmp_path: Path
) -> None:
    picture, samples = ramp("yuv422p10le")
    path = _written(tmp_path / name, info_of("yuv422p10le"), [picture], codec=codec, quality=4)
    assert probe(path).pix_fmt == "yuv422p10le"
    stored = planes(next(read_pictures(path)).stored)
    assert stored is not None
    assert np.abs(stored[0].astype(int) - samples[0]).mean() < 1.0  # of 1023
    assert len(np.unique(stored[0])) > 400


def test_turned_10_bit_pictures_are_painted_with_all_their_bits(tmp_path: Path) -> None:
    upright, _ = ramp("yuv420p10le")
    info = replace(info_of("yuv420p10le"), width=HEIGHT, height=WIDTH, rotation=90)
    turned = Picture(0, Fraction(0), upright.stored, upright.converter, 90)
    assert turned.shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(
        turned.fine(slice(100, 140), slice(8, 32)),
        np.rot90(upright.fine(slice(0, HEIGHT), slice(0, WIDTH)))[100:140, 8:32],
    )
    path = _written(tmp_path / "a.mp4", replace(info, rotation=0), [turned], quality=0)
    stored = planes(next(read_pictures(path)).stored)
    assert stored is not None
    assert len(np.unique(stored[0])) == 512


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p"])
def test_a_lossless_copy_keeps_all_the_colour_of_8_bits_and_a_delivery_is_420(
    pix_fmt: str, tmp_path: Path
) -> None:
    info = info_of(pix_fmt)
    convert = RgbConverter(info.colour, HEIGHT, pix_fmt)
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    picture = Picture(0, Fraction(0), convert.from_rgb(rgb), convert, 0)
    path = _written(tmp_path / "a.mp4", info, [picture], quality=0)
    assert probe(path).pix_fmt == pix_fmt
    before, after = planes(picture.stored), planes(next(read_pictures(path)).stored)
    assert before is not None
    assert after is not None
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    delivered = _written(tmp_path / "b.mp4", info, [picture], quality=14)
    assert probe(delivered).pix_fmt == "yuv420p"
