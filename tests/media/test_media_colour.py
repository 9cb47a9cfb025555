"""RGB and YUV against matrices built here from the standards' own luma weights."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import synthetic_frame, synthetic_info

from media.colour import ColourTags, RgbConverter, bit_depth
from media.video import FootageWriter, Frame, probe, read_frames

# Kr, Kb: BT.709, BT.601, SMPTE 240M, BT.2020.
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
LUMA[9] = (0.2627, 0.0593)


def to_yuv(rgb: NDArray[np.uint8], matrix: int, full: bool, bits: int = 8) -> NDArray[np.float64]:
    """Quantised Y'CbCr by the definition (ITU-T H.273, 8.3), without chroma subsampling."""
    kr, kb = LUMA[matrix]
    r, g, b = np.moveaxis(rgb / 255.0, -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    scale = 2 ** (bits - 8)
    if full:
        top = 2**bits - 1
        return np.stack([top * y, top * cb + 128 * scale, top * cr + 128 * scale], -1)
    return scale * np.stack([16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr], -1)


def planes(frame: av.VideoFrame) -> list[NDArray[np.float64]]:
    kind = np.uint16 if bit_depth(frame.format.name) > 8 else np.uint8
    result = []
    for plane in frame.planes:
        data = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]
        result.append(data.astype(float))
    return result


def patches() -> NDArray[np.uint8]:
    """216 flat patches of 16x16: every combination of six levels."""
    levels = np.array([0, 51, 102, 153, 204, 255], np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(12, 18, 3)
    return cube.repeat(16, 0).repeat(16, 1)


@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
@pytest.mark.parametrize("full", [False, True])
def test_the_tagged_matrix_is_used_both_ways(matrix: int, full: bool) -> None:
    rgb = patches()
    convert = RgbConverter(ColourTags(1, 1, matrix, full), 720, "yuv444p")
    frame = convert.from_rgb(rgb)
    expected = to_yuv(rgb, matrix, full)
    error = np.stack(planes(frame), -1) - np.clip(expected, 0, 255)
    assert np.abs(error).max() <= 1.01
    assert np.abs(convert.to_rgb(frame).astype(int) - rgb).max() <= 2


def test_subsampled_flat_colour_round_trips() -> None:
    rgb = patches()
    convert = RgbConverter(ColourTags(1, 1, 1, False), 720, "yuv420p")
    back = convert.to_rgb(convert.from_rgb(rgb)).astype(int)
    middles = np.s_[8::16, 8::16]
    error = back[middles] - rgb[middles]
    assert np.abs(error).max() <= 2
    # swscale's quick path is 1.2 code values too dark and moves colour by half a pixel.
    assert abs(error.mean()) < 0.15


def test_smooth_pictures_have_no_bias() -> None:
    rgb = synthetic_frame(0, 320, 240)[60:]
    convert = RgbConverter(ColourTags(), 240, "yuv420p")
    error = convert.to_rgb(convert.from_rgb(rgb)).astype(int) - rgb
    assert abs(error.mean()) < 0.1
    assert np.abs(error).mean() < 1.0


def test_ten_bits_are_rounded_not_cut_off() -> None:
    rgb = patches()
    convert = RgbConverter(ColourTags(1, 1, 1, False), 720, "yuv422p10le")
    frame = convert.from_rgb(rgb)
    expected = to_yuv(rgb, 1, False, bits=10)
    assert np.abs(planes(frame)[0] - expected[..., 0]).max() <= 1
    error = convert.to_rgb(frame).astype(int)[8::16, 8::16] - rgb[8::16, 8::16]
    assert np.abs(error).max() <= 1
    assert abs(error.mean()) < 0.1


@pytest.mark.parametrize(
    ("lines", "tagged", "used"), [(719, 2, 6), (720, 2, 1), (480, 1, 1), (1080, 6, 6), (1080, 0, 1)]
)
def test_the_matrix_of_untagged_footage(lines: int, tagged: int, used: int) -> None:
    assert ColourTags(matrix=tagged).matrix_for(lines) == used


@pytest.mark.parametrize("codec", ["h264", "prores"])
@pytest.mark.parametrize(
    "tags",
    [
        ColourTags(1, 1, 1, False),
        ColourTags(5, 6, 5, False),
        ColourTags(6, 6, 6, False),
        ColourTags(9, 16, 9, False),
        ColourTags(1, 1, 1, True),
        ColourTags(),
    ],
)
def test_tags_and_numbers_survive_a_file(tmp_path: Path, tags: ColourTags, codec: str) -> None:
    info = synthetic_info("25", 288, 192, colour=tags)
    rgb = patches()
    path = tmp_path / "out.mov"
    with FootageWriter(path, info, codec=codec, quality=1) as writer:  # type: ignore[arg-type]
        writer.write(Frame(0, info.rate.time_of(0), rgb))
    back = probe(path).colour
    assert (back.primaries, back.transfer, back.matrix) == (
        tags.primaries,
        tags.transfer,
        tags.matrix,
    )
    assert bool(back.full_range) == (bool(tags.full_range) and codec == "h264")
    # What lies in the file is what the tags promise, seen without our own reader.
    with av.open(str(path)) as container:
        luma = planes(next(container.decode(video=0)))[0]
    bits = 10 if codec == "prores" else 8
    expected = to_yuv(rgb, tags.matrix_for(192), bool(back.full_range), bits)[..., 0]
    middles = np.s_[8::16, 8::16]
    assert np.abs(luma - expected)[middles].max() <= 2 * 2 ** (bits - 8)
    frame = next(read_frames(path))
    error = frame.rgb.astype(int)[middles] - rgb[middles]
    assert np.abs(error).max() <= 5
    assert np.abs(error).mean() < 1.0
