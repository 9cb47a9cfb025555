"""A run that was killed goes on behind its last whole piece, to the very bytes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache as kept
from pathlib import Path

import av
import numpy as np
import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_own import OwnMouth
from synthetic import tone

import lipsync.unfinished as lasting
import lipsync.writing as writing
from align.timing import Span, Timing
from lipsync.blend import Paster
from lipsync.crop import CropSpec
from lipsync.engines import BankSource, MouthRenderer, RenderJob, RepeatableRenderer, get_renderer
from lipsync.engines.mouthbank import MouthBankRenderer
from lipsync.track import FaceTrack
from lipsync.unfinished import FOLDER, job_key, unfinished
from lipsync.writing import Written, footage_seen, write
from media import files, video
from media.errors import MediaError, OutputError
from media.picture import Picture
from media.pieces import Pieces
from media.time import FrameRate, Timecode
from media.video import FootageWriter, count_pictures, probe, read_frames

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
    job, info, target = work.job, work.info, work.job.target
    (source,) = job.sources
    usable, moved = job.usable.copy(), target.landmarks.copy()
    usable[3] = False
    moved[3, 13] += 0.25

    def lent(**what: object) -> RenderJob:
        return replace(job, sources=[replace(source, **what)])  # type: ignore[arg-type]

    jobs = [
        replace(job, sound=replace(job.sound, samples=2 * job.sound.samples)),
        replace(job, timing=replace(TIMING, duration_s=2.5)),
        replace(job, usable=usable),
        replace(job, seed=4),
        replace(job, crop=CropSpec(256)),
        replace(job, sources=[source, source]),
        lent(sound=tone(2.4)),
        lent(timing=TIMING),
        lent(track=replace(target, landmarks=moved)),
        replace(job, target=replace(target, sha256="other")),
        replace(job, target=replace(target, landmarks=moved)),
        replace(job, target=replace(target, rate=FrameRate(Fraction(24)))),
    ]
    infos = [
        replace(info, rate=FrameRate(Fraction(24))),
        replace(info, start_timecode=Timecode(25, info.rate)),
        replace(info, sample_aspect=Fraction(4, 3)),
    ]
    others = [
        work,
        replace(work, quality=15),
        replace(work, codec="prores"),
        replace(work, out=Path("a.mov")),
        replace(work, deliver="patch"),
        *(replace(work, job=other) for other in jobs),
        *(replace(work, info=other) for other in infos),
    ]
    keys = [other.key for other in others]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert replace(work, out=Path("elsewhere/b.mp4")).key == work.key
    assert job_key(job, "mouthbank 1.0", ()) != job_key(job, "mouthbank 0.9", ())


def test_other_code_packages_and_plans_have_other_keys(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = prepared(scene, Path("a.mp4"))
    assert isinstance(work.renderer, MouthBankRenderer)
    learnt, plan = work.renderer._ready()
    keys = [work.key]
    with monkeypatch.context() as patch:
        patch.setattr(work.renderer, "_plan", replace(plan, change=plan.change + 0.5))
        keys.append(work.key)
        mouths = replace(learnt.mouths, frame=learnt.mouths.frame + 1)
        patch.setattr(work.renderer, "_plan", plan)
        patch.setattr(work.renderer, "_learnt", replace(learnt, mouths=mouths))
        keys.append(work.key)
    for package in ("", "torch", "scipy"):
        with monkeypatch.context() as patch:
            patch.setattr(lasting, "version", lambda name, p=package: str(name == p))
            keys.append(work.key)
    for room in ("align", "lipsync", "media"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text(room)
    monkeypatch.setattr(lasting, "_ROOT", tmp_path)
    for room in ("", "lipsync", "media"):
        if room:
            (tmp_path / room / "a.py").write_text("other")
        lasting._code.cache_clear()
        keys.append(work.key)
    lasting._code.cache_clear()
    assert len(set(keys)) == len(keys)


def test_batch_and_piece_stay_when_the_engine_halves_its_batch(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_PIECE", 10)
    job, renderer = _prepared(scene)

    class Tight:
        """The same mouths by an engine that runs out of memory at once."""

        name, batch = "tight", 8

        def __getattr__(self, name: str) -> object:
            return getattr(renderer, name)

        def render(self, indices: list[int], *rest: object) -> object:
            self.batch = 3
            return renderer.render(indices, *rest)  # type: ignore[arg-type]

    work = Written(probe(scene), job, Tight(), tmp_path / "a.mp4")  # type: ignore[arg-type]
    key = work.key

    def broken(_what: str, done: int, _total: int | None) -> None:
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(work, tmp_path / "cache", broken)
    assert work.renderer.batch == 3  # type: ignore[attr-defined]
    assert (work.batch, work.piece, work.key) == (8, 16, key)
    assert [p.frames for p in Pieces(tmp_path / "cache" / FOLDER / str(key)).kept] == [16, 32, 48]


def reading(monkeypatch: pytest.MonkeyPatch, lost: Container[int]) -> None:
    """From now on the footage gives no pictures `lost`, and counts those behind them on."""
    real = video.read_pictures

    def read(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Picture]:
        left = (p for p in real(path) if p.index not in lost)
        for index, picture in enumerate(left):
            picture.index = index
            if index >= start:
                yield picture

    monkeypatch.setattr(video, "read_pictures", read)


@pytest.mark.usefixtures("short_pieces")
@pytest.mark.parametrize("lost", [range(40, 45), range(50, FRAMES)])
def test_footage_that_loses_frames_leaves_nothing_to_the_next_run(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: range
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        reading(patch, lost)
        with pytest.raises(MediaError, match="at first"):
            write(prepared(scene, out), cache)
    assert not out.exists()
    assert not any((cache / FOLDER).iterdir())
    done: list[int] = []
    write(prepared(scene, out), cache, lambda _w, n, _t: done.append(n))
    assert done == list(range(1, FRAMES + 1))


@pytest.mark.usefixtures("short_pieces")
def test_other_pictures_of_the_same_number_are_no_film(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, renderer = _prepared(scene)
    kept = np.arange(FRAMES) != FRAMES - 1
    fewer = replace(
        job, target=cut(job.target, kept), usable=job.usable[kept]
    )  # the tracker missed the last, the writer misses another
    reading(monkeypatch, {40})
    with pytest.raises(MediaError, match=r"other pictures.*frame 40"):
        write(Written(probe(scene), fewer, renderer, tmp_path / "a.mp4"), tmp_path / "cache")
    assert not any((tmp_path / "cache" / FOLDER).iterdir())


def cut(track: FaceTrack, kept: np.ndarray) -> FaceTrack:
    names = ("landmarks", "reason", "shot", "pose", "scale", "times", "doubt")
    return replace(track, **{name: getattr(track, name)[kept] for name in names})


@pytest.mark.usefixtures("short_pieces")
def test_a_damaged_packet_does_not_move_the_pictures_behind_it(scene: Path, tmp_path: Path) -> None:
    damaged, cache = tmp_path / "damaged.mov", tmp_path / "cache"
    with FootageWriter(damaged, probe(scene), codec="prores") as writer:
        for frame in read_frames(scene):
            writer.write(frame)
    with av.open(str(damaged)) as container:
        packet = [p for p in container.demux(video=0) if p.size][5]
        assert packet.pos is not None
        at, size = packet.pos, packet.size
    data = bytearray(damaged.read_bytes())
    data[at : at + size] = bytes(size)
    damaged.write_bytes(data)
    frames = list(read_frames(damaged))
    assert len(frames) == FRAMES - 1
    assert probe(damaged).frames == FRAMES
    job, renderer = _prepared(scene)
    kept = np.arange(FRAMES) != 5
    job = replace(job, target=cut(job.target, kept), usable=job.usable[kept])

    def broken(_what: str, done: int, _total: int | None) -> None:
        if done == 50:
            raise KeyboardInterrupt

    whole, out = (Written(probe(damaged), job, renderer, tmp_path / n) for n in ("a.mp4", "b.mp4"))
    write(whole, tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        write(out, cache, broken)
    done: list[int] = []
    write(out, cache, lambda _w, n, _t: done.append(n))
    assert done == list(range(49, FRAMES))
    assert out.out.read_bytes() == whole.out.read_bytes()


@pytest.mark.usefixtures("short_pieces")
@pytest.mark.parametrize("at", [20, FRAMES])
def test_footage_that_is_replaced_meanwhile_is_refused(
    scene: Path, tmp_path: Path, at: int
) -> None:
    footage, out = tmp_path / "footage.mp4", tmp_path / "out.mp4"
    shutil.copyfile(scene, footage)
    work = replace(prepared(scene, out), info=probe(footage), seen=footage_seen(footage))

    def touched(_what: str, done: int, _total: int | None) -> None:
        if done == at:
            os.utime(footage, ns=(0, 1))

    with pytest.raises(MediaError, match="was changed while"):
        write(work, tmp_path / "cache", touched)
    with pytest.raises(MediaError, match="was changed while"):  # since it was tracked
        write(work, tmp_path / "cache")
    assert not out.exists()
    assert not any((tmp_path / "cache" / FOLDER).iterdir())


@pytest.mark.usefixtures("short_pieces")
def test_what_is_held_paints_nothing_again(scene: Path, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out.mp4"
    with suppress(KeyboardInterrupt), ExitStack() as held:
        write(prepared(scene, out), cache, held=held)
        raise KeyboardInterrupt  # while it is signed
    whole, done = out.read_bytes(), []
    out.unlink()
    with ExitStack() as held:
        write(prepared(scene, out), cache, lambda _w, n, _t: done.append(n), held)
        assert any((cache / FOLDER).iterdir())
    assert not done
    assert out.read_bytes() == whole
    assert not any((cache / FOLDER).iterdir())


@pytest.mark.usefixtures("short_pieces")
def test_a_full_cache_is_named_and_emptied_and_a_full_target_keeps_the_pieces(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out.mp4"
    full = OSError(errno.ENOSPC, "No space left on device")
    real = files._flush_to_disk

    def flush(path: Path) -> None:
        if (path.suffix == ".coded") == (filling == "cache") and "000000" not in path.name:
            raise full
        real(path)

    monkeypatch.setattr(files, "_flush_to_disk", flush)
    filling = "cache"
    with pytest.raises(OutputError, match=r"cache.*no room.*WILDLINE_CACHE") as told:
        write(prepared(scene, out), cache)
    assert str(cache) in str(told.value)
    assert not any((cache / FOLDER).iterdir())
    filling = "target"
    with pytest.raises(OutputError, match=r"out\.mp4.*no room"):
        write(prepared(scene, out), cache)
    (folder,) = (cache / FOLDER).iterdir()
    assert len(list(folder.glob("[0-9]*.coded"))) == 5
    assert not out.exists()


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


def test_a_folder_that_somebody_else_made_meanwhile_is_left_to_them(tmp_path: Path) -> None:
    with ExitStack() as second:
        with unfinished(tmp_path, "abc") as mine:
            shutil.rmtree(mine)
            other = second.enter_context(unfinished(tmp_path, "abc"))
            assert other == mine
            (other / "000000.coded").write_bytes(b"1")
        assert (other / "000000.coded").exists()
        with unfinished(tmp_path, "abc") as third:
            assert third != other
    assert not any((tmp_path / FOLDER).iterdir())


def test_the_lock_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        gone.append(path.name)
        real(path, missing_ok)

    with unfinished(tmp_path, "abc") as mine:
        for number in range(9):
            (mine / f"{number}.coded").write_bytes(b"1")
        monkeypatch.setattr(Path, "unlink", unlink)
    assert len(gone) == 10
    assert gone[-1] == "lock"


def test_runs_in_line_never_lose_their_folder(tmp_path: Path) -> None:
    def runs(name: str) -> None:
        for _ in range(150):
            with unfinished(tmp_path, "abc") as folder:
                (folder / name).write_bytes(b"1")
                assert (folder / name).read_bytes() == b"1"

    with ThreadPoolExecutor(3) as pool:
        for ended in [pool.submit(runs, name) for name in ("1.coded", "2.coded", "3.coded")]:
            ended.result()
    assert not any((tmp_path / FOLDER).iterdir())


def test_a_shared_cache_works_beside_what_others_may_not_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / FOLDER
    for name in ("abc-x1", "abc", "old"):
        (place / name).mkdir(parents=True)
        (place / name / "000000.coded").write_bytes(b"1")
    os.utime(place / "old", (time.time() - 8 * 86400,) * 2)
    real = os.open

    def forbidden(path: Path, *how: int) -> int:
        if Path(path).parent.name in ("abc-x1", "abc", "old"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *how)

    monkeypatch.setattr(os, "open", forbidden)
    with unfinished(tmp_path, "abc") as mine:
        assert mine.name.startswith("abc-")
    assert {p.name for p in place.iterdir()} == {"abc-x1", "abc", "old"}
    mask = os.umask(0o002)
    try:
        with unfinished(tmp_path, "shared") as mine:
            assert (mine / "lock").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(mask)


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
