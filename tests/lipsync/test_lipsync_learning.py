"""Learning beside reading: the same bits on any number of threads, and an end when one fails."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from lipsync_film import R25, film, talking_marks, track_of
from lipsync_talk import talk, voice
from threadpoolctl import threadpool_limits

import align.encoder
import lipsync.motion
from lipsync._kernel import _solved, fit_kernel
from lipsync._network import NetworkFit, fit_networks
from lipsync._unwanted import Unwanted, ending_with, if_wanted
from lipsync.crop import CropSpec
from lipsync.engines import BankSource, mouthbank
from lipsync.engines._bank import Mouths, Pictures
from lipsync.engines._plan import Learnt, Weights, bank_of
from lipsync.engines._select import Bank, PathFinder, Wanted
from lipsync.engines.mouthbank import learn
from lipsync.motion import MotionExample, MotionModel
from media.errors import ArchiveError, MediaError

SPEC = CropSpec(128)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> BankSource:
    said = talk(8.0, seed=1)
    marks = talking_marks(said, 200)
    path = film(tmp_path_factory.mktemp("learning") / "archive.mp4", marks)
    return BankSource(path, track_of(marks), said, voice(said))


def test_what_is_learnt_while_pictures_are_read_does_not_depend_on_threads(
    source: BankSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = np.random.default_rng(0).standard_normal((320, 60))
    monkeypatch.setattr(
        align.encoder,
        "_rows",
        lambda window: np.pad(window.reshape(-1, 320) @ where, ((0, 0), (0, 324))),
    )
    networks: list[NetworkFit] = []

    def noted(*args: Any, **options: Any) -> NetworkFit | None:
        made = fit_networks(*args, **options)
        assert made is not None
        networks.append(made)
        return made

    monkeypatch.setattr(lipsync.motion, "fit_networks", noted)
    monkeypatch.setattr(lipsync.motion, "ENOUGH_TO_HEAR_S", 2.0)
    monkeypatch.setattr(lipsync.motion, "ENOUGH_SPEECH_S", 2.0)
    weights = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            model = learn([source], SPEC, most=60).model
        assert model.kernel is not None
        weights.append(model.kernel.weights)
    assert np.array_equal(*weights)
    one, two = networks
    for ours, theirs in zip(one.members, two.members, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_learning_ends_when_reading_fails_or_is_stopped(
    source: BankSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    def long(_sources: object) -> list[MotionExample]:
        for _ in range(2000):
            time.sleep(0.01)
            try:
                if_wanted()
            except Unwanted:
                ended.append(True)
                raise
        return []

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mouthbank, "_examples", long)
    with pytest.raises(MediaError):
        learn([replace(source, path=tmp_path / "gone.mp4")], SPEC, most=60)
    with pytest.raises(KeyboardInterrupt):
        learn([source], SPEC, most=60, progress=stopped)
    assert ended == [True, True]


def test_a_failure_to_learn_comes_out(source: BankSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_sources: object) -> list[MotionExample]:
        return []

    monkeypatch.setattr(mouthbank, "_examples", fails)
    with pytest.raises(ArchiveError, match="no lips"):
        learn([source], SPEC, most=60)


def test_long_steps_end_where_nobody_wants_them() -> None:
    rng = np.random.default_rng(0)
    features, wanted = rng.normal(size=(60, 4)), rng.normal(size=(60, 1))
    folds, stop = np.arange(60) // 12, Event()
    with ending_with(stop):
        if_wanted()
        stop.set()
        with pytest.raises(Unwanted):
            fit_kernel([features], wanted, folds, judged=(0,))
        with pytest.raises(Unwanted):
            fit_networks(features, wanted, folds, importance=(1.0,))
    if_wanted()


# --- the kernel's equations ----------------------------------------------------------------


def test_equations_are_solved_whether_positive_or_not() -> None:
    rng = np.random.default_rng(0)
    right = rng.normal(size=(7, 2))
    np.testing.assert_allclose(_solved(np.diag([1.0, -1.0]), right[:2]), right[:2] * [[1], [-1]])
    root = rng.normal(size=(7, 7))
    positive = root @ root.T + np.eye(7)
    for system in (positive, positive - 4 * np.eye(7), root + root.T):
        known = np.linalg.solve(system, right)
        np.testing.assert_allclose(_solved(system.copy(), right), known, rtol=1e-6)


def test_the_system_is_factored_where_it_lies() -> None:
    system = np.array([[4.0, 2.0], [2.0, 5.0]])
    _solved(system, np.ones((2, 1)))
    assert system[0, 0] == 2.0  # the root of 4: nothing was copied


def test_rows_that_are_all_alike_teach_their_mean() -> None:
    wanted = np.random.default_rng(0).normal(size=(500, 1))
    fit = fit_kernel([np.ones((500, 3))], wanted, np.arange(500) // 100, judged=(0,))
    np.testing.assert_allclose(fit([np.ones((2, 3))]), wanted.mean(), atol=0.02)


# --- smeared mouths ------------------------------------------------------------------------


def bank_with(sharp: list[float], source: list[int], opening: list[float]) -> Bank:
    """Mouths that differ in these alone, of a person who was not heard."""
    n = len(sharp)
    shape = np.tile(np.float32([0, 0.8, 0.8, 0.3, 0.4, 0.2, 1.8]), (n, 1))
    shape[:, 0] = opening
    pictures = Pictures()
    for _ in range(n):
        pictures.append(b"")
    none, owner = np.zeros((n, 3), np.float32), np.array(source, np.intp)
    mouths = Mouths(
        pictures, none, none, shape, none, none, none, np.float32(sharp), none[:, 0], owner,
        np.arange(n),
    )  # fmt: skip
    learnt = Learnt((), mouths, MotionModel.fit([MotionExample(None, None, shape, R25)]), ())
    return bank_of(learnt, Weights.of(learnt), np.full(n, 25, np.float32), 25.0)


def taken(bank: Bank, like: int) -> int:
    return int(PathFinder(bank).cheapest(Wanted(bank.target[[like]], np.zeros(1, bool)))[0])


def test_a_smeared_mouth_is_left_for_its_twin_and_a_soft_film_is_used() -> None:
    twins = bank_with([1.9, 3.0, 3.0, 3.1], [0] * 4, [0.1, 0.1, 0.2, 0.3])
    assert taken(twins, 0) == 1
    np.testing.assert_allclose(twins.penalty, [9, 0, 0, 0])
    # A soft film beside a sharp one, whose mouths fit a little less well.
    beside = bank_with([2.0] * 3 + [4.0] * 4, [0] * 3 + [1] * 4, [0.1, 0.2, 0.3] + [0.15] * 4)
    assert [taken(beside, like) for like in range(3)] == [0, 1, 2]
    assert not beside.penalty.any()
