"""Warping one performance onto another, against a plain search."""

from __future__ import annotations

import numpy as np
import pytest

from voice.dtw import cepstra, warp, warp_cost

STEPS = ((1, 1, 1.0), (1, 2, 1.0), (2, 1, 1.0), (1, 0, 1.3), (0, 1, 1.3))


def plain_cost(distance: np.ndarray) -> float:
    """Total of the cheapest path, cell by cell."""
    n, m = distance.shape
    total = np.full((n, m), np.inf)
    total[0, 0] = distance[0, 0]
    for i in range(n):
        for j in range(m):
            for di, dj, weight in STEPS:
                if i >= di and j >= dj:
                    total[i, j] = min(total[i, j], total[i - di, j - dj] + weight * distance[i, j])
    return float(total[-1, -1])


@pytest.mark.parametrize(
    ("n", "m", "seed"), [(7, 9, 0), (12, 5, 1), (20, 20, 2), (1, 4, 3), (3, 1, 4)]
)
def test_path_is_the_cheapest(n: int, m: int, seed: int) -> None:
    distance = np.random.default_rng(seed).random((n, m))
    path, mean = warp_cost(distance)
    assert tuple(path[0]) == (0, 0)
    assert tuple(path[-1]) == (n - 1, m - 1)
    assert mean * len(path) == pytest.approx(plain_cost(distance))
    assert {(int(a), int(b)) for a, b in np.diff(path, axis=0)} <= {s[:2] for s in STEPS}


def test_a_stretched_copy_is_found_again() -> None:
    rng = np.random.default_rng(5)
    a = np.cumsum(rng.standard_normal((16, 200)), axis=1).astype(np.float32)
    truth = np.interp(np.arange(300), [0, 90, 180, 299], [0, 100, 130, 199])
    b = np.stack([np.interp(truth, np.arange(200), row) for row in a]).astype(np.float32)
    borders, cost = warp(a, b)
    assert borders.shape == (201,)
    assert (np.diff(borders) >= 0).all()
    assert borders[0] == 0
    assert borders[-1] == 300
    expected = np.interp(np.arange(200), truth, np.arange(300))
    assert np.abs(borders[:-1] - expected).mean() < 2.5
    assert cost < 0.02


def test_cepstra_ignore_level_and_colour() -> None:
    rng = np.random.default_rng(6)
    samples = rng.standard_normal(24_000).astype(np.float32) * np.repeat(rng.random(24), 1000)
    samples = samples.astype(np.float32)
    features = cepstra(samples)
    assert features.shape == (32, 81)
    np.testing.assert_allclose(cepstra(0.1 * samples), features, atol=0.05)
