"""Footage goes out and comes back: times, numbers, size, tags, timecode, sound."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import index_in, synthetic_frame, synthetic_frames, synthetic_info, tone

from media.audio import Sound, read_sound
from media.errors import MediaError, OutputError
from media.time import FrameRate, Timecode
from media.video import (
    ColourTags,
    FootageInfo,
    FootageWriter,
    Frame,
    count_pictures,
    prefetch,
    probe,
    read_frames,
)


def write(path: Path, info: FootageInfo, count: int, **options: object) -> FootageInfo:
    with FootageWriter(path, info, **options) as writer:  # type: ignore[arg-type]
        for frame in synthetic_frames(count, info):
            writer.write(frame)
    assert writer.frames_written == count
    return probe(path)


def test_the_small_footage(small_footage: Path) -> None:
    info = probe(small_footage)
    assert info.rate.value == Fraction(24000, 1001)
    assert (info.width, info.height, info.frames) == (160, 120, 48)
    assert info.duration_s == 48 * Fraction(1001, 24000)
    assert info.colour == ColourTags(1, 1, 1, None) or info.colour == ColourTags(1, 1, 1, False)
    assert str(info.start_timecode) == "01:00:00:00"
    assert info.has_sound
    assert not info.variable_rate


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "25", "60000/1001", "12.5"])
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_rates_and_numbers_survive(tmp_path: Path, rate: str, ending: str) -> None:
    info = synthetic_info(rate)
    path = tmp_path / f"out{ending}"
    back = write(path, info, 40)
    assert back.rate == info.rate
    assert not back.variable_rate
    assert back.frames == count_pictures(path) == 40
    frames = list(read_frames(path))
    assert [f.index for f in frames] == list(range(40)) == [index_in(f.rgb) for f in frames]
    slack = Fraction(1, 1000) if ending == ".mkv" else 0  # Matroska counts milliseconds
    assert all(abs(f.pts - info.rate.time_of(f.index)) <= slack for f in frames)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_a_variable_rate_keeps_every_time(tmp_path: Path, ending: str) -> None:
    tick = Fraction(1, 1000)
    gaps = [40, 33, 34, 100, 17, 40, 250, 33, 33, 41] * 3
    times = [Fraction(0)]
    for gap in gaps:
        times.append(times[-1] + gap * tick)
    info = replace(synthetic_info("25"), variable_rate=True, time_base=tick)
    path = tmp_path / f"vfr{ending}"
    with FootageWriter(path, info, sound=tone(9)) as writer:
        for index, at in enumerate(times):
            # A slice of longer footage: what counts is the time since its first frame.
            writer.write(Frame(index + 7, at + 3, synthetic_frame(index, 160, 120)))
    back = probe(path)
    assert back.variable_rate
    assert [f.pts for f in read_frames(path)] == times
    assert [index_in(f.rgb) for f in read_frames(path)] == list(range(len(times)))
    length = len(read_sound(path)) / 48_000
    assert abs(length - float(times[-1] + Fraction(1, 25))) < 1.5 / 48_000


@pytest.mark.parametrize("start", [0, 1, 23, 24, 25, 47, 48, 49, 99, 130, 149])
def test_a_late_start_is_exact(long_footage: Path, start: int) -> None:
    frames = list(read_frames(long_footage, start, start + 2))
    assert [f.index for f in frames] == [i for i in (start, start + 1) if i < 150]
    assert [index_in(f.rgb) for f in frames] == [f.index for f in frames]
    rate = probe(long_footage).rate
    assert [f.pts for f in frames] == [rate.time_of(f.index) for f in frames]
    whole = {f.index: f.rgb for f in read_frames(long_footage, 0, start + 2)}
    assert all(np.array_equal(f.rgb, whole[f.index]) for f in frames)


@pytest.fixture(scope="session")
def long_footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    write(path, synthetic_info("30000/1001"), 150)
    return path


def test_ranges_beyond_the_end_and_wrong_ones(small_footage: Path) -> None:
    assert not list(read_frames(small_footage, 48, 60))
    assert not list(read_frames(small_footage, 5, 5))
    assert len(list(read_frames(small_footage, 40, 400))) == 8
    for start, stop in ((-1, None), (5, 4)):
        with pytest.raises(MediaError, match="not a range"):
            read_frames(small_footage, start, stop)


def rotated_copy(source: Path, target: Path, degrees: int) -> None:
    """The same packets with a rotation flag, as a phone writes it."""
    with av.open(str(source)) as inside, av.open(str(target), "w") as outside:
        old = inside.streams.video[0]
        new = outside.add_stream_from_template(old)
        new.set_display_rotation(degrees)
        for packet in inside.demux(old):
            if packet.size:
                packet.stream = new
                outside.mux(packet)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_the_rotation_flag_is_obeyed(tmp_path: Path, degrees: int) -> None:
    info = replace(synthetic_info("25"), sample_aspect=Fraction(4, 3))
    write(tmp_path / "flat.mp4", info, 5)
    rotated_copy(tmp_path / "flat.mp4", tmp_path / "turned.mp4", degrees)
    turned = probe(tmp_path / "turned.mp4")
    assert turned.rotation == degrees % 360
    quarter = degrees % 180 != 0
    assert (turned.width, turned.height) == ((120, 160) if quarter else (160, 120))
    assert turned.sample_aspect == (Fraction(3, 4) if quarter else Fraction(4, 3))
    flat = [f.rgb for f in read_frames(tmp_path / "flat.mp4")]
    for before, after in zip(flat, read_frames(tmp_path / "turned.mp4"), strict=True):
        # A positive angle turns counter-clockwise, as numpy's rot90 does.
        assert np.array_equal(np.rot90(before, degrees // 90), after.rgb)
    # Written again it is upright in itself.
    with FootageWriter(tmp_path / "again.mp4", turned) as writer:
        for frame in read_frames(tmp_path / "turned.mp4"):
            writer.write(frame)
    again = probe(tmp_path / "again.mp4")
    assert (again.rotation, again.width, again.height) == (0, turned.width, turned.height)
    assert again.sample_aspect == turned.sample_aspect


@pytest.mark.parametrize(("size", "codec"), [((161, 121), "h264"), ((161, 121), "prores")])
@pytest.mark.parametrize("odd", ["both", "width", "height"])
def test_odd_sizes_keep_every_pixel(
    tmp_path: Path, size: tuple[int, int], codec: str, odd: str
) -> None:
    width = size[0] if odd != "height" else 160
    height = size[1] if odd != "width" else 120
    info = synthetic_info("25", width, height, colour=ColourTags(1, 1, 1, False))
    back = write(tmp_path / "odd.mov", info, 6, codec=codec, quality=4)
    assert (back.width, back.height) == (width, height)
    for frame in read_frames(tmp_path / "odd.mov"):
        error = np.abs(frame.rgb.astype(int) - synthetic_frame(frame.index, width, height))
        assert error[height // 4 :].mean() < 2.5  # below the hard blocks
        assert error[height // 4 :, -1].mean() < 4
        assert error[-1].mean() < 4


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("rate", "label"),
    [
        ("24000/1001", "01:00:00:00"),
        ("30000/1001", "00:59:59;28"),
        ("60000/1001", "10:00:00;58"),
        ("25", "09:58:57:24"),
    ],
)
def test_the_start_timecode_survives(tmp_path: Path, rate: str, label: str, ending: str) -> None:
    info = synthetic_info(rate)
    info = replace(info, start_timecode=Timecode.parse(label, info.rate))
    back = write(tmp_path / f"tc{ending}", info, 5)
    assert back.start_timecode == info.start_timecode
    assert str(back.start_timecode) == label


def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    info = replace(synthetic_info("25"), pix_fmt="yuv422p10le", colour=ColourTags(9, 14, 9, False))
    assert write(tmp_path / "a.mp4", info, 3).pix_fmt == "yuv422p10le"
    back = write(tmp_path / "b.mov", info, 3, codec="prores")
    assert back.pix_fmt == "yuv422p10le"
    assert (back.colour.primaries, back.colour.transfer, back.colour.matrix) == (9, 14, 9)


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "h264"), (".mov", "prores")])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, ending: str, codec: str) -> None:
    info = synthetic_info("25")
    results = set()
    for _ in range(8):
        # x264's macroblock tree used to differ about one time in three.
        write(tmp_path / f"a{ending}", info, 30, codec=codec, sound=tone(1))
        results.add((tmp_path / f"a{ending}").read_bytes())
    assert len(results) == 1


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("length_s", [0.5, 5.0])
def test_sound_is_as_long_as_the_picture_and_in_step(
    tmp_path: Path, ending: str, length_s: float
) -> None:
    info = synthetic_info("24000/1001")
    samples = np.zeros(round(length_s * 44_100), np.float32)
    click_s = float(info.rate.time_of(10))
    at = np.arange(len(samples)) / 44_100 - click_s
    samples += (0.8 * np.exp(-((at / 0.0005) ** 2))).astype(np.float32)
    back = write(tmp_path / f"click{ending}", info, 60, sound=Sound(samples, 44_100))
    sound = read_sound(tmp_path / f"click{ending}")
    assert sound.rate == 48_000
    assert abs(len(sound) - back.duration_s * 48_000) <= 1
    assert abs(int(sound.samples.argmax()) - click_s * 48_000) <= 24  # half a millisecond
    if length_s < 1:
        assert np.abs(sound.samples[30_000:]).max() < 1e-3


def test_24_bit_sound_is_stored_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    whole = rng.integers(-(2**23), 2**23, 48_000)
    sound = Sound((whole / 2.0**23).astype(np.float32), 48_000)
    write(tmp_path / "a.mov", synthetic_info("25"), 25, sound=sound)
    assert np.array_equal(read_sound(tmp_path / "a.mov").samples, sound.samples)


def test_a_cut_off_file_gives_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "whole.mkv", synthetic_info("25"), 100, sound=tone(4))
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 6 // 10])
    frames = list(read_frames(tmp_path / "cut.mkv"))
    assert 20 < len(frames) < 100
    shown = [index_in(f.rgb) for f in frames]
    # Where the file ends some pictures lack the ones they are predicted from.
    assert shown[:-8] == list(range(len(frames) - 8))
    assert all(a < b for a, b in pairwise(shown))
    assert 0.5 < float(read_sound(tmp_path / "cut.mkv").duration_s) < 4
    # An .mp4 with its index in front and its pictures cut off.
    write(tmp_path / "whole.mp4", synthetic_info("25"), 100)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 6 // 10])
    frames = list(read_frames(tmp_path / "cut.mp4"))
    assert 20 < len(frames) < 100
    assert [index_in(f.rgb) for f in frames][:-8] == list(range(len(frames) - 8))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"hello\n" * 500, "not sound or video"), (bytes(4096), "not sound or v")],
)
def test_what_is_not_video(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    for reader in (probe, lambda p: list(read_frames(p)), read_sound):
        with pytest.raises(MediaError, match=words) as caught:
            reader(path)
        assert "\n" not in str(caught.value)


def test_missing_folder_and_headless_files(tmp_path: Path, small_footage: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        probe(tmp_path / "none.mp4")
    with pytest.raises(MediaError, match="is a folder"):
        probe(tmp_path)
    # The index only: not one picture can be decoded.
    data = small_footage.read_bytes()
    (tmp_path / "head.mp4").write_bytes(data[: data.index(b"mdat") + 20])
    with pytest.raises(MediaError):
        probe(tmp_path / "head.mp4")


def test_sound_without_picture_is_not_footage(tmp_path: Path) -> None:
    from media.audio import write_wav

    write_wav(tmp_path / "a.wav", tone(0.2))
    with pytest.raises(MediaError, match="no picture"):
        probe(tmp_path / "a.wav")


def test_nothing_stays_behind_after_an_error(tmp_path: Path) -> None:
    info = synthetic_info("25")

    def breaks() -> None:
        with FootageWriter(tmp_path / "a.mp4", info) as writer:
            for frame in synthetic_frames(3, info):
                writer.write(frame)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    with pytest.raises(MediaError, match="no frame"), FootageWriter(tmp_path / "b.mp4", info):
        pass
    with (
        pytest.raises(MediaError, match="keep the size"),
        FootageWriter(tmp_path / "c.mp4", info) as writer,
    ):
        writer.write(Frame(0, Fraction(0), np.zeros((8, 8, 3), np.uint8)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "codec", "words"),
    [
        ("a.avi", "h264", ".mp4, .mov or .mkv"),
        ("a.mp4", "prores", "name it .mov"),
        ("a.mp4", "vp9", "choose h264 or prores"),
        ("none/a.mp4", "h264", "create it first"),
    ],
)
def test_outputs_that_are_refused(tmp_path: Path, name: str, codec: str, words: str) -> None:
    with (
        pytest.raises(OutputError, match=words),
        FootageWriter(tmp_path / name, synthetic_info("25"), codec=codec),  # type: ignore[arg-type]
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_prefetch_keeps_order_and_passes_errors_on() -> None:
    assert list(prefetch(range(100), depth=3)) == list(range(100))

    def breaks() -> object:
        yield 1
        raise MediaError("broken here")

    items = prefetch(breaks())
    assert next(items) == 1
    with pytest.raises(MediaError, match="broken here"):
        next(items)


def test_prefetch_closes_its_source_when_left_early() -> None:
    closed = threading.Event()
    made = []

    def source() -> object:
        try:
            for i in range(1000):
                made.append(i)
                yield i
        finally:
            closed.set()

    items = prefetch(source(), depth=2)
    assert next(items) == 0
    items.close()
    assert closed.wait(5)
    assert len(made) <= 5


def test_real_clips(data_dir: Path, tmp_path: Path) -> None:
    clip = data_dir / "clips" / "vrt_1.mp4"  # starts at 33 ms, variable rate
    info = probe(clip)
    assert (info.variable_rate, info.frames) == (True, 135)
    pts = [f.pts for f in read_frames(clip)]
    assert len(pts) == 135
    assert pts[0] == 0
    assert all(a < b for a, b in pairwise(pts))
    with FootageWriter(tmp_path / "again.mp4", info, sound=read_sound(clip)) as writer:
        for frame in prefetch(read_frames(clip, 0, 40)):
            writer.write(frame)
    assert [f.pts for f in read_frames(tmp_path / "again.mp4")] == pts[:40]
    grid = sorted((data_dir / "archive_grid_s1").glob("*.mpg"))[0]
    info = probe(grid)
    assert (info.rate, info.width, info.height) == (FrameRate.parse(25), 360, 288)
    assert [f.index for f in read_frames(grid)] == list(range(75))
