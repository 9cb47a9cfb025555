"""Arrays in files: the same numbers, and memory that is given back."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from media.audio import Sound
from media.errors import OutputError
from media.far import FarRows, empty_far, let_go, pieces, put_away

STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    """Memory of this process."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def some_rows(n: int, shape: tuple[int, ...] = (478, 3)) -> FarRows:
    """Rows filled with their number."""
    rows = FarRows(shape, np.float32)
    for i in range(n):
        rows.append(np.full(shape, i, np.float32))
    return rows


def test_rows_come_back_as_they_were_appended_and_replaced() -> None:
    rows = some_rows(5, (2,))
    rows.replace_last(2, np.array([7, 8], np.float32))
    assert len(rows) == 5
    there = rows.array()
    np.testing.assert_array_equal(there, [[0, 0], [1, 1], [2, 2], [7, 8], [4, 4]])
    with pytest.raises(ValueError, match="shape"):
        rows.append(np.zeros(3, np.float32))
    assert FarRows((2,), np.float32).array().shape == (0, 2)


def test_what_was_written_stays_when_memory_is_given_back() -> None:
    there = some_rows(2000).array()
    there[1500] += 0.5
    let_go(there[3:])  # a view gives back all
    assert there[1500, 0, 0] == 1500.5
    near = np.arange(3)
    let_go(near)
    assert near.tolist() == [0, 1, 2]


@pytest.mark.skipif(not STATUS.is_file(), reason="the system tells no memory in /proc")
def test_a_long_film_costs_the_memory_of_a_piece() -> None:
    there = some_rows(12000).array()  # 69 MB
    let_go(there)
    before = resident_mb()
    highest = 0.0
    for piece in pieces(there):
        there[piece].sum()
        highest = max(highest, resident_mb())
    assert highest - before < 25


def test_pieces_cover_everything_once() -> None:
    array = np.zeros((2500, 2))
    assert [(p.start, p.stop) for p in pieces(array)] == [(0, 1024), (1024, 2048), (2048, 2500)]
    assert list(pieces(array[:0])) == []


def test_a_far_array_holds_what_is_put_there_and_is_near_when_no_file_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = empty_far((3000, 500), np.float32)
    far[:] = 2
    let_go(far)
    assert far.base is not None
    assert float(far.sum()) == 3_000_000.0

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    near = empty_far((3000, 500), np.float32)
    near[:] = 2
    assert near.base is None
    assert float(near.sum()) == 3_000_000.0


def test_a_full_folder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = some_rows(1, (4,))

    class Full:
        def seek(self, _at: int) -> None:
            raise OSError(28, "No space left on device")

    rows.array()
    monkeypatch.setattr(rows, "_file", Full())
    with pytest.raises(OutputError, match="space"):
        rows.append(np.zeros(4, np.float32))


def test_what_is_put_away_is_the_same_and_what_is_small_stays() -> None:
    long = np.arange(3_000_000, dtype=np.float32)
    away = put_away(long)
    let_go(away)
    assert away is not long
    np.testing.assert_array_equal(away, long)
    assert put_away(long[:10]).base is long


def test_what_others_map_is_left_alone(tmp_path: Path) -> None:
    """A private mapping loses what was written to its pages when they are given back."""
    path = tmp_path / "sound.f32"
    path.write_bytes(bytes(400_000))
    private = np.memmap(path, np.float32, "c")
    private += 0.5
    sound = Sound(private, 48_000)
    let_go(private)
    assert (sound.samples == 0.5).all()


DESCRIPTORS = Path("/proc/self/fd")


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="the system lists no descriptors in /proc")
def test_small_arrays_hold_no_descriptors() -> None:
    before = len(list(DESCRIPTORS.iterdir()))
    kept = [some_rows(3, (4,)).array() for _ in range(40)]
    assert len(list(DESCRIPTORS.iterdir())) < before + 10
    kept[7][0] = 9
    assert kept[7].sum() == 4 * (9 + 1 + 2)


def test_what_cannot_be_mapped_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr("media.far._NEAR", 0)
    monkeypatch.setattr(mmap, "mmap", refused)
    monkeypatch.setattr("media.far._Mapping", refused, raising=False)
    assert some_rows(300).array()[:, 5, 1].tolist() == list(range(300))


def test_a_full_disk_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("this system has no /dev/full")

    def opened(*, prefix: str, buffering: int = -1) -> object:
        return full.open("r+b", buffering=buffering)

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    rows = FarRows((4,), np.float32)
    with pytest.raises(OutputError, match=r"no room left.*TMPDIR"):
        rows.extend(np.zeros((4096, 4), np.float32))
    del rows
    gc.collect()
    assert not told


def test_no_folder_for_temporary_files_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(OutputError, match="TMPDIR"):
        FarRows((4,), np.float32)


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        some_rows(2, (2,)).extend(np.zeros((3, 5), np.float32))
