"""Whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from media.errors import MediaError, OutputError
from media.files import atomic_path, sha256_of, user_cache_dir


def write_and_fail(target: Path, error: Exception) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error


def test_the_name_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(KeyError):
        write_and_fail(target, KeyError("x"))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no room left"),
        (errno.EFBIG, "no room left"),
        (errno.EACCES, "not writable"),
        (errno.EROFS, "not writable"),
        (errno.EIO, "cannot write"),
    ],
)
def test_the_system_s_refusals_become_one_sentence(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(OutputError, match=words) as caught:
        write_and_fail(tmp_path / "a", OSError(code, os.strerror(code)))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_another_missing_file_is_not_our_business(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        (tmp_path / "input").read_text()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create it first"), atomic_path(tmp_path / "no/a.txt"):
        pass
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path):
        pass
    with (
        pytest.raises(OutputError, match="name is too long"),
        atomic_path(tmp_path / ("a" * 300)) as name,
    ):
        name.write_text("x")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="not writable"), atomic_path(tmp_path / "a"):
        pass
    tmp_path.chmod(0o700)


def test_a_long_name_keeps_working(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".mp4")
    with atomic_path(target) as temporary:
        temporary.write_text("x")
    assert target.exists()


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1_000_000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    with pytest.raises(MediaError):
        sha256_of(tmp_path / "missing")


def test_the_cache_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "deep" / "cache"))
    assert user_cache_dir() == tmp_path / "deep" / "cache"
    assert user_cache_dir().is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="WILDLINE_CACHE"):
        user_cache_dir()
