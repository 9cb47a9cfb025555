"""The networks that learn beside the kernel, and what they may not depend on."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from lipsync_talk import example, talk, voice
from threadpoolctl import threadpool_limits

import align.encoder
import lipsync.motion
from lipsync._network import NetworkFit, _slopes, fit_networks
from lipsync.motion import MotionModel, _as_shown, _Data, _gain, _Person
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


def test_each_network_is_judged_on_what_it_has_not_seen() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((900, 6))
    wanted = np.stack([np.abs(features[:, 0]), features[:, 1] * features[:, 2]], axis=1)
    folds = np.arange(900) // 300
    networks = fit_networks(features, wanted, folds, importance=(1, 1))
    assert networks is not None
    assert len(networks.members) == 3
    for j in range(2):
        assert np.corrcoef(networks.held_out[:, j], wanted[:, j])[0, 1] > 0.5
    # Noise can be learnt by heart, and is not foretold.
    chance = rng.standard_normal((900, 1))
    noise = fit_networks(features, chance, folds, importance=(1,))
    assert noise is not None
    assert abs(np.corrcoef(noise.held_out[:, 0], chance[:, 0])[0, 1]) < 0.15
    again = fit_networks(features, wanted, folds, importance=(1, 1))
    assert again is not None
    assert np.array_equal(networks(features), again(features))
    assert fit_networks(features, wanted, np.zeros(900, np.intp), importance=(1, 1)) is None


def test_slopes_are_those_of_the_error() -> None:
    """Against differences of the error itself, nothing dropped."""
    rng = np.random.default_rng(5)
    sizes = [(4, 5), (5,), (5, 6), (6,), (6, 2), (2,)]
    weights = [rng.standard_normal(s) for s in sizes]
    known, aims = rng.standard_normal((7, 4)), rng.standard_normal((7, 2))
    importance = np.array([2.0, 0.5])

    class Keep:
        def random(self, shape: tuple[int, ...], _: object) -> np.ndarray:
            return np.zeros(shape)

    def error() -> float:
        x = known / 0.8
        h = np.maximum(x @ weights[0] + weights[1], 0) / 0.7
        h = np.maximum(h @ weights[2] + weights[3], 0) / 0.7
        return float(((h @ weights[4] + weights[5] - aims) ** 2 * importance).mean())

    slopes = _slopes(weights, known, aims, importance, Keep())  # type: ignore[arg-type]
    for weight, slope in zip(weights, slopes, strict=True):
        for at in list(np.ndindex(weight.shape))[:6]:
            kept, step = weight[at], 1e-5
            weight[at] = kept + step
            up = error()
            weight[at] = kept - step
            down = error()
            weight[at] = kept
            assert slope[at] == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-5)


def _folds(n: int) -> np.ndarray:
    return np.arange(n) * 3 // n


def test_what_never_moved_says_nothing_when_it_does() -> None:
    """Two inputs that stand still in the archive, one that moves in a third of it alone."""
    rng = np.random.default_rng(3)
    features = rng.standard_normal((600, 5)).astype(np.float32)
    features[:, 1:3] = 0, 0.3
    features[200:, 3] = 0
    wanted = np.abs(features[:, :1]).astype(float)
    networks = fit_networks(features, wanted, _folds(600), importance=(1,))
    assert networks is not None
    moved = features.copy()
    moved[:, 1:3] = 1, -1
    assert np.array_equal(networks(moved), networks(features))
    first = networks.members[0][0]  # of the network that has not seen the first third
    assert not first[1:4].any()
    assert first[[0, 4]].any(axis=1).all()
    assert networks.members[1][0][3].any()


def test_of_many_examples_two_networks_have_seen_the_same() -> None:
    rng = np.random.default_rng(4)
    features = rng.standard_normal((4500, 3)).astype(np.float32)
    wanted = np.abs(features[:, :1]).astype(float)
    networks = fit_networks(features, wanted, np.arange(4500) // 2250, importance=(1,))
    assert networks is not None
    assert len(networks.members) == 4
    assert (networks.members[0][0] != networks.members[1][0]).any()
    assert np.corrcoef(networks.held_out[:, 0], wanted[:, 0])[0, 1] > 0.9
    assert (networks.calm > 0.9).all()


def test_an_input_far_out_counts_as_one_at_four_spreads() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((300, 3)).astype(np.float32)
    networks = fit_networks(features, features[:, :1].astype(float), _folds(300), importance=(1,))
    assert networks is not None
    far, edge = np.zeros((2, 1, 3), np.float32)
    far[0, 0] = 50
    edge[0, 0] = networks.middle[0] + 4 * networks.spread[0]
    assert networks(far) == pytest.approx(networks(edge), abs=1e-5)


def test_a_mean_of_networks_moves_less_than_each() -> None:
    rng = np.random.default_rng(6)
    features = rng.standard_normal((400, 20)).astype(np.float32)
    wanted = rng.standard_normal((400, 2))
    networks = fit_networks(features, wanted, _folds(400), importance=(1, 1))
    assert networks is not None
    assert (networks.calm < 0.9).all()
    new = rng.standard_normal((400, 20)).astype(np.float32)
    one = networks.held_out.std(0)
    away = networks(new).std(0)
    assert (away < one).all()
    assert (np.abs(networks.calm * one - away) < np.abs(one - away)).all()


def test_the_gain_makes_up_for_the_means_calm() -> None:
    """Held-out predictions of single networks move twice as much as a line will."""
    rng = np.random.default_rng(8)
    shapes = rng.standard_normal((500, 7))
    held_out, kernel = 0.8 * shapes, 0.3 * shapes
    calm = np.linspace(0.5, 1, 7)
    network = NetworkFit(
        np.zeros(1, np.float32), np.ones(1, np.float32), np.zeros(7), np.ones(7), (), held_out, calm
    )
    shown = _as_shown(kernel, network, 0.75)
    np.testing.assert_allclose(shown, 0.25 * kernel + 0.75 * calm * held_out)
    assert _as_shown(kernel, None, 0.0) is kernel
    person = _Person.measure(shapes)
    never = np.zeros(500, np.bool_)
    data = _Data([], shapes, np.zeros(500, np.intp), never)
    moved = person.possible(_gain(person, shown, data) * shown, never).std(0)
    whole = person.possible(shapes.copy(), never).std(0)
    np.testing.assert_allclose(moved[1:], whole[1:], rtol=0.1)


def test_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the real width: 11 taps of 15 visemes, 14 cepstra and 48 directions that are heard."""
    where = np.random.default_rng(0).standard_normal((320, 60))
    monkeypatch.setattr(
        align.encoder,
        "_rows",
        lambda window: np.pad(window.reshape(-1, 320) @ where, ((0, 0), (0, 324))),
    )
    kept: list[NetworkFit] = []

    def noted(*args: object, **options: object) -> NetworkFit | None:
        made = fit_networks(*args, **options)  # type: ignore[arg-type]
        assert made is not None
        kept.append(made)
        return made

    monkeypatch.setattr(lipsync.motion, "fit_networks", noted)
    monkeypatch.setattr(lipsync.motion, "ENOUGH_TO_HEAR_S", 6.0)
    taught, line = example(20, R25, seed=1), talk(3, 9)
    lips = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            model = MotionModel.fit([taught], hear=True, quick=True)
            lips.append(model.predict(line, voice(line, 9), R25, 75))
    assert len(kept[0].middle) == 847
    for one, two in zip(kept[0].members, kept[1].members, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert np.array_equal(*lips)
