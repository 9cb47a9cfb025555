"""Long films: the same numbers as in memory, read from files."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from align.timing import Span, Timing
from lipsync._kernel import fit_kernel
from lipsync._speech import cepstra, viseme_track, windows
from lipsync.listening import _sound_of
from lipsync.shots import smooth_landmarks
from lipsync.track import Absence, FaceTrack
from media.audio import Sound, write_wav
from media.far import FarRows, let_go, pieces
from media.time import FrameRate

STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    """Memory of this process."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def wandering(n: int) -> np.ndarray:
    """Faces that move and tremble, float32[n, 478, 3]."""
    rng = np.random.default_rng(3)
    face = rng.normal(0, 60, (478, 3))
    path = np.cumsum(rng.normal(0, 1, (n, 1, 3)), axis=0)
    return (face + path + rng.normal(0, 0.3, (n, 478, 3))).astype(np.float32)


def test_a_long_take_is_smoothed_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    n, rate = 260, 25.0
    marks, still = wandering(n), np.zeros((n, 2), np.float32)
    shot = np.zeros(n, np.int32)
    whole = smooth_landmarks(marks, still, shot, rate)
    for rows in (64, 129, 257):
        monkeypatch.setattr(pieces, "__defaults__", (rows,))
        out, pose, _ = smooth_landmarks(marks, still, shot, rate)
        np.testing.assert_array_equal(out, whole[0])
        np.testing.assert_array_equal(pose.place, whole[1].place)
        np.testing.assert_array_equal(pose.rotation, whole[1].rotation)
    monkeypatch.setattr("media.far._NEAR", 0)
    rows_kept = FarRows((478, 3), np.float32)
    for row in marks:
        rows_kept.append(row)
    there = rows_kept.array()
    out, _, _ = smooth_landmarks(there, still, shot, rate, in_place=True)
    assert out is there
    np.testing.assert_array_equal(out, whole[0])


def a_track(n: int) -> FaceTrack:
    """A track of those faces."""
    return FaceTrack(
        rate=FrameRate.parse("25"),
        width=640,
        height=360,
        landmarks=wandering(n),
        reason=np.full(n, Absence.PRESENT, np.uint8),
        shot=np.zeros(n, np.int32),
        pose=np.zeros((n, 3), np.float32),
        scale=np.full(n, 100, np.float32),
        times=np.arange(n) / 25,
    )


def test_a_track_read_from_its_file_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media.far._NEAR", 0)
    track, path = a_track(30), tmp_path / "t.npz"
    track.save(path)
    with np.load(path) as plain:  # an ordinary .npz
        np.testing.assert_array_equal(plain["landmarks"], track.landmarks)
        assert plain["times"].dtype == np.float64
    back = FaceTrack.load(path)
    path.unlink()  # somebody tidies the cache up
    let_go(back.landmarks)
    np.testing.assert_array_equal(back.landmarks, track.landmarks)
    assert not back.landmarks.flags.writeable


DESCRIPTORS = Path("/proc/self/fd")


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="the system lists no descriptors in /proc")
def test_tracks_of_many_short_clips_hold_no_descriptors(tmp_path: Path) -> None:
    track, path = a_track(30), tmp_path / "t.npz"
    track.save(path)
    before = len(list(DESCRIPTORS.iterdir()))
    kept = [FaceTrack.load(path) for _ in range(40)]
    assert len(list(DESCRIPTORS.iterdir())) < before + 10
    np.testing.assert_array_equal(kept[-1].landmarks, track.landmarks)
    assert not kept[-1].landmarks.flags.writeable


def problem(n: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Streams, numbers that follow from them, and folds."""
    rng = np.random.default_rng(5)
    streams = [rng.normal(0, 1, (n, d)) for d in (8, 6, 7)]
    wanted = np.stack([np.tanh(streams[0][:, 0]), streams[2][:, 1] * streams[0][:, 2]], axis=1)
    return streams, wanted, np.arange(n) * 5 // n


def test_matrices_in_files_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, wanted, folds = problem(700)
    near = fit_kernel(streams, wanted, folds, judged=(0, 1), most_centres=200)
    monkeypatch.setattr("media.far._NEAR", 0)
    far = fit_kernel(streams, wanted, folds, judged=(0, 1), most_centres=200)
    np.testing.assert_array_equal(near.weights, far.weights)
    np.testing.assert_array_equal(near.held_out, far.held_out)


@pytest.mark.skipif(not STATUS.is_file(), reason="the system tells no memory in /proc")
def test_learning_from_a_long_film_holds_no_features_of_all_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(6)
    rate, n = FrameRate.parse("25"), 12000
    track = rng.normal(0, 1, (n * 4, 48)).astype(np.float32)
    at = (np.arange(n) + 0.5) / float(rate)
    cut = windows(track, at, 0.2)  # 23 MB a stream, if they were cut
    monkeypatch.setattr("media.far._NEAR", 0)
    wanted = track[::4, :2].astype(np.float64)
    before = highest = resident_mb()
    fitting = ThreadPoolExecutor(1).submit(
        fit_kernel,
        [cut, cut, cut],
        wanted,
        np.arange(n) * 2 // n,
        judged=(0, 1),
        most_centres=300,
        strengths=(0.1,),
    )
    while not fitting.done():
        highest = max(highest, resident_mb())
        time.sleep(0.01)
    assert fitting.result().held_out.shape == (n, 2)
    assert highest - before < 60


def test_the_sound_of_a_long_film_lies_in_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    samples = rng.uniform(-0.5, 0.5, 16000 * 80).astype(np.float32)
    write_wav(tmp_path / "a.wav", Sound(samples, 16000), "FLOAT")
    sound = _sound_of(tmp_path / "a.wav")
    base = sound.samples
    while isinstance(base, np.ndarray):
        base = base.base  # type: ignore[assignment]
    assert base is not None
    np.testing.assert_array_equal(sound.samples, samples)


def test_a_long_line_has_the_tracks_of_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    sound = Sound(rng.uniform(-0.5, 0.5, 16000 * 50).astype(np.float32), 16000)
    labels = ("AA", "M", "S", "UW")
    phones = tuple(Span(labels[i % 4], 0.3 * i, 0.3 * i + 0.25) for i in range(150))
    timing = Timing((), phones, 50.0)
    steps = 5000  # more than are worked on at once
    near = viseme_track(timing, steps), cepstra(sound, timing, steps)
    on = np.array([viseme_track(timing, steps)[i] for i in (0, 4094, 4096, steps - 1)])
    np.testing.assert_allclose(on.sum(1), 1)
    monkeypatch.setattr("media.far._NEAR", 0)
    far = viseme_track(timing, steps), cepstra(sound, timing, steps)
    np.testing.assert_array_equal(near[0], far[0])
    np.testing.assert_array_equal(near[1], far[1])
