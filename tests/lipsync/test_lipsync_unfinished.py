"""A run that was killed goes on behind its last whole piece, to the very bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import cache as kept
from pathlib import Path

import numpy as np
import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_own import OwnMouth
from synthetic import tone

import lipsync.writing as writing
from align.timing import Span, Timing
from lipsync.blend import Paster
from lipsync.crop import CropSpec
from lipsync.engines import BankSource, MouthRenderer, RenderJob, RepeatableRenderer, get_renderer
from lipsync.unfinished import FOLDER, job_key, unfinished
from lipsync.writing import Written, write
from media.errors import OutputError
from media.video import count_pictures, probe, read_frames

HERE = Path(__file__).resolve().parent
TIMING = Timing((Span("a", 0.2, 1.9),), (Span("AA", 0.2, 1.0), Span("M", 1.0, 1.2)), 2.0)
FRAMES, PIECE = 60, 12


def prepared(scene: Path, out: Path, **how: object) -> Written:
    """The film that a run makes of `scene`, with the real engine."""
    job, renderer = _prepared(scene)
    return Written(probe(scene), job, renderer, out, **how)  # type: ignore[arg-type]


@kept
def _prepared(scene: Path) -> tuple[RenderJob, MouthRenderer]:
    marks = talking_marks(TIMING, FRAMES)
    track = replace(track_of(marks), sha256="film")
    usable = np.ones(FRAMES, np.bool_)
    usable[30:33] = False
    source = BankSource(scene, track)
    job = RenderJob(track, usable, TIMING, tone(2.4), [source], CropSpec(128), seed=3)
    renderer = get_renderer("mouthbank")
    renderer.prepare(job)
    return job, renderer


def run(scene: Path, out: Path, cache: Path, killed_at: int, **how: object) -> None:
    """What the subprocess does: paint, and die in the middle of it."""
    writing._PIECE = PIECE  # type: ignore[attr-defined]

    def progress(what: str, done: int, total: int | None) -> None:
        assert what == "writing the picture"
        assert total == FRAMES
        if done == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    write(prepared(scene, out, **how), cache, progress)


def killed(scene: Path, out: Path, cache: Path, at: int) -> None:
    """The same in a process that gets a SIGKILL after frame `at`."""
    code = (
        f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parent), str(HERE.parent.parent)]!r}\n"
        "from pathlib import Path; import test_lipsync_unfinished as t\n"
        f"t.run(Path({str(scene)!r}), Path({str(out)!r}), Path({str(cache)!r}), {at})\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    return film(path, talking_marks(TIMING, FRAMES), seed=4)


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_PIECE", PIECE)


@pytest.mark.usefixtures("short_pieces")
def test_a_run_killed_at_nine_tenths_goes_on_from_its_last_piece(
    scene: Path, tmp_path: Path
) -> None:
    cache, whole, out = tmp_path / "cache", tmp_path / "whole.mp4", tmp_path / "out.mp4"
    write(prepared(scene, whole), cache)
    assert not any((cache / FOLDER).iterdir())
    killed(scene, out, cache, 54)
    assert not out.exists()
    (folder,) = (cache / FOLDER).iterdir()
    assert len(list(folder.glob("[0-9]*.coded"))) == 4
    done: list[int] = []
    write(prepared(scene, out), cache, lambda _w, n, _t: done.append(n))
    assert done == list(range(49, FRAMES + 1))
    assert out.read_bytes() == whole.read_bytes()
    assert not any((cache / FOLDER).iterdir())
    assert count_pictures(out) == FRAMES
    changed = [
        bool(np.abs(a.rgb.astype(int) - b.rgb)[90:].max() > 24)
        for a, b in zip(read_frames(scene), read_frames(out), strict=True)
    ]
    assert sum(changed) > 20
    assert not any(changed[30:33])


@pytest.mark.usefixtures("short_pieces")
def test_other_settings_begin_anew_and_leave_the_pieces_alone(scene: Path, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out.mp4"

    def broken(_what: str, done: int, _total: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(prepared(scene, out), cache, broken)
    first: list[int] = []
    write(prepared(scene, out, quality=20), cache, lambda _w, n, _t: first.append(n))
    assert first[0] == 1
    (folder,) = (cache / FOLDER).iterdir()
    assert len(list(folder.glob("[0-9]*.coded"))) == 2


def test_every_setting_has_a_key_of_its_own(scene: Path) -> None:
    work = prepared(scene, Path("a.mp4"))
    job = work.job
    louder = replace(job.sound, samples=2 * job.sound.samples)
    later = replace(TIMING, duration_s=2.5)
    usable = job.usable.copy()
    usable[3] = False
    others = [
        work,
        replace(work, quality=15),
        replace(work, codec="prores"),
        replace(work, out=Path("a.mov")),
        replace(work, deliver="patch"),
        replace(work, job=replace(job, sound=louder)),
        replace(work, job=replace(job, timing=later)),
        replace(work, job=replace(job, usable=usable)),
        replace(work, job=replace(job, seed=4)),
        replace(work, job=replace(job, sources=[*job.sources, *job.sources])),
        replace(work, job=replace(job, target=replace(job.target, sha256="other"))),
    ]
    keys = [other.key for other in others]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert replace(work, out=Path("elsewhere/b.mp4")).key == work.key
    assert job_key(job, "mouthbank 1.0", ()) != job_key(job, "mouthbank 0.9", ())


def test_engines_that_cannot_begin_in_the_middle_and_stills_keep_nothing(
    scene: Path, tmp_path: Path
) -> None:
    work, own = prepared(scene, tmp_path / "out.mp4"), OwnMouth()
    assert isinstance(work.renderer, RepeatableRenderer)
    assert not isinstance(own, RepeatableRenderer)
    assert replace(work, renderer=own).key is None
    assert replace(work, out=Path("a.png"), deliver="patch").key is None
    write(replace(work, renderer=own), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_two_at_once_do_not_share_and_strays_are_swept(tmp_path: Path) -> None:
    with unfinished(tmp_path, "abc") as mine, unfinished(tmp_path, "abc") as other:
        assert mine.name == "abc"
        assert other.name.startswith("abc-")
        (mine / "000000.coded").write_bytes(b"1")
    assert not any((tmp_path / FOLDER).iterdir())
    with suppress(KeyboardInterrupt), unfinished(tmp_path, "abc") as mine:
        (mine / "000000.coded").write_bytes(b"1")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), unfinished(tmp_path, "empty"):
        raise KeyboardInterrupt  # with nothing made
    stray, old = tmp_path / FOLDER / "abc-x1", tmp_path / FOLDER / "old"
    for folder in (stray, old):
        folder.mkdir()
        (folder / "000000.coded").write_bytes(b"1")
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    with unfinished(tmp_path, "other"):
        assert {p.name for p in (tmp_path / FOLDER).iterdir()} == {"abc", "other"}


def test_a_cache_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="unfinished"), unfinished(tmp_path / "file", "abc"):
        pass


def test_the_light_goes_through_a_note() -> None:
    light = np.random.default_rng(1).random((32, 32, 3), np.float32)
    found = writing._light(writing._note(light))
    assert found is not None
    np.testing.assert_array_equal(found, light)
    assert writing._light(writing._note(None)) is None
    np.testing.assert_array_equal(Paster(light=light).light, light)
