"""A film coded piece by piece is the same film, however often the run was killed."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import index_in, synthetic_frames, synthetic_info, tone

from media.audio import read_sound
from media.errors import MediaError
from media.footage import FootageInfo, Frame
from media.pieces import PieceError, Pieces
from media.video import FootageWriter, count_pictures, probe, read_frames

PIECE = 10


def folder(tmp_path: Path, name: str = "pieces") -> Path:
    made = tmp_path / name
    made.mkdir(exist_ok=True)
    return made


def write(
    path: Path, info: FootageInfo, place: Path, stop: int, total: int, **options: object
) -> None:
    """Frames up to `stop` (then it breaks off) of `total`, in pieces of ten."""
    with FootageWriter(path, info, pieces=Pieces(place), **options) as writer:  # type: ignore[arg-type]
        first = writer.frames_written
        for frame in synthetic_frames(total - first, info, first):
            if frame.index == stop:
                raise KeyboardInterrupt
            writer.write(frame)
            if writer.frames_written % PIECE == 0:
                writer.end_piece(bytes([writer.frames_written]))


CODECS = [("a.mp4", "h264", "25"), ("a.mov", "prores", "24000/1001"), ("a.mkv", "h264", "60")]


@pytest.mark.parametrize(("name", "codec", "rate"), CODECS)
def test_a_broken_run_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, name: str, codec: str, rate: str
) -> None:
    info = synthetic_info(rate)
    options = {"codec": codec, "sound": tone(1.3)}
    whole, broken = tmp_path / f"whole-{name}", tmp_path / name
    write(whole, info, folder(tmp_path, "other"), -1, 37, **options)
    place = folder(tmp_path)
    for stop in (4, 24, 35):
        with pytest.raises(KeyboardInterrupt):
            write(broken, info, place, stop, 37, **options)
    assert not broken.exists()
    assert [p.frames for p in Pieces(place).kept] == [10, 20, 30]
    assert [p.note for p in Pieces(place).kept] == [b"\x0a", b"\x14", b"\x1e"]
    write(broken, info, place, -1, 37, **options)
    assert broken.read_bytes() == whole.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"other", "pieces", whole.name, name}
    frames = list(read_frames(broken))
    assert [index_in(f.rgb) for f in frames] == list(range(37))
    slack = Fraction(1, 1000) if name == "a.mkv" else 0  # Matroska counts milliseconds
    assert all(abs(f.pts - info.rate.time_of(f.index)) <= slack for f in frames)
    assert abs(probe(broken).duration_s - info.rate.time_of(37)) <= slack
    assert read_sound(broken).duration_s == pytest.approx(info.rate.time_of(37), abs=0.03)


def test_the_pieces_are_the_film_that_is_written_at_once(tmp_path: Path) -> None:
    info = synthetic_info("25")
    at_once, pieced, single = (tmp_path / n for n in ("once.mp4", "pieced.mp4", "single.mp4"))
    with FootageWriter(at_once, info) as writer:
        for frame in synthetic_frames(25, info):
            writer.write(frame)
    write(pieced, info, folder(tmp_path), -1, 25)
    with FootageWriter(single, info, pieces=Pieces(folder(tmp_path, "one"))) as writer:
        for frame in synthetic_frames(25, info):
            writer.write(frame)
    # One piece is the very file; several differ by their key frames alone.
    assert single.read_bytes() == at_once.read_bytes()
    with av.open(str(pieced)) as container:
        keys = [p.pts for p in container.demux(video=0) if p.is_keyframe and p.size]
        times = sorted(p.dts for p in container.demux(video=0) if p.dts is not None)
    assert len(keys) == 3
    assert times == sorted(set(times))
    for one, other in zip(read_frames(at_once), read_frames(pieced), strict=True):
        assert np.abs(one.rgb.astype(int) - other.rgb).mean() < 2.0
    assert count_pictures(pieced) == 25


def test_variable_rates_keep_every_time_and_the_last_length(tmp_path: Path) -> None:
    info = synthetic_info("25", variable_rate=True, time_base=Fraction(1, 600))
    times = [Fraction(i * 24 + (7 if i % 3 else 0), 600) for i in range(23)]
    for name in ("a.mp4", "b.mp4"):
        place = folder(tmp_path)
        with FootageWriter(tmp_path / name, info, pieces=Pieces(place)) as writer:
            first = writer.frames_written
            assert first == (0 if name == "a.mp4" else 20)
            for frame in synthetic_frames(23 - first, info, first):
                length = Fraction(50, 600) if frame.index == 22 else Fraction(24, 600)
                writer.write(Frame(frame.index, times[frame.index], frame.rgb, length))
                if writer.frames_written % PIECE == 0:
                    writer.end_piece()
        (place / "000002.coded").unlink()
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert [f.pts for f in read_frames(tmp_path / "a.mp4")] == times
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == times[-1] + Fraction(50, 600)  # type: ignore[operator]


def test_damaged_pieces_and_all_behind_them_are_made_again(tmp_path: Path) -> None:
    info, place = synthetic_info("25"), folder(tmp_path)
    write(tmp_path / "a.mp4", info, place, -1, 35)
    second = place / "000001.coded"
    data = bytearray(second.read_bytes())
    data[100] ^= 1
    second.write_bytes(data)
    (place / ".000004.123456.coded").write_bytes(b"half")
    assert [p.frames for p in Pieces(place).kept] == [10]
    assert [p.name for p in place.iterdir()] == ["000000.coded"]
    for short in (b"", b"x" * 12):
        (place / "000001.coded").write_bytes(short)
        assert len(Pieces(place).kept) == 1
    write(tmp_path / "b.mp4", info, place, -1, 35)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_pieces_that_end_elsewhere_are_made_again(tmp_path: Path) -> None:
    info, place = synthetic_info("25"), folder(tmp_path)
    write(tmp_path / "a.mp4", info, place, -1, 35)
    assert [p.frames for p in Pieces(place, every=10, total=35).kept] == [10, 20, 30, 35]
    assert [p.frames for p in Pieces(place, every=10, total=37).kept] == [10, 20, 30]
    assert not (place / "000003.coded").exists()
    assert not Pieces(place, every=12, total=36).kept


def test_notes_stay_on_the_disk_until_they_are_asked_for(tmp_path: Path) -> None:
    info, place = synthetic_info("25"), folder(tmp_path)
    pieces = Pieces(place)
    with FootageWriter(tmp_path / "a.mp4", info, pieces=pieces) as writer:
        for frame in synthetic_frames(6, info):
            writer.write(frame)
            writer.end_piece(bytes(100_000))
        held = [pickle.dumps(piece) for piece in (*pieces.kept, *Pieces(place).kept)]
        assert max(map(len, held)) < 1000
        assert [len(piece.note) for piece in pieces.kept] == [100_000] * 6
    (place / "000002.coded").unlink()
    with pytest.raises(PieceError, match="000002"):
        _ = pieces.kept[2].note
    with pytest.raises(PieceError, match="000002"):
        list(pieces.kept[2].packets())
    (place / "000003.coded").write_bytes(b"half")
    with pytest.raises(PieceError, match="000003"):
        _ = pieces.kept[3].note


def test_nothing_written_is_refused_and_ending_twice_is_harmless(tmp_path: Path) -> None:
    info, place = synthetic_info("25"), folder(tmp_path)
    with (
        pytest.raises(MediaError, match="no frame was given"),
        FootageWriter(tmp_path / "a.mp4", info, pieces=Pieces(place)) as writer,
    ):
        writer.end_piece()
    with FootageWriter(tmp_path / "a.mp4", info, pieces=Pieces(place)) as writer:
        for frame in synthetic_frames(3, info):
            writer.write(frame)
        writer.end_piece()
        writer.end_piece()
    assert count_pictures(tmp_path / "a.mp4") == 3
    assert len(Pieces(place).kept) == 1
    with FootageWriter(tmp_path / "b.mp4", info, pieces=Pieces(place)) as writer:
        assert writer.frames_written == 3
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
