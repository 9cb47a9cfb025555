"""A fit that is broken off goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from voice._fit_gradient import _Descent
from voice._fit_progress import Unfinished, fingerprint
from voice._fit_targets import Target

STEPS = 24
AIMS = np.random.default_rng(4).normal(2.0, 0.5, STEPS)


def descend(descent: _Descent, until: int) -> None:
    """Towards a point that moves about."""
    a, b = descent.values
    while descent.done < until:
        aim = torch.full_like(a, AIMS[descent.done])
        descent.step(((a - aim) ** 2).sum() + ((b + aim[0, :2]) ** 2).sum())


def begun() -> _Descent:
    return _Descent([(torch.zeros(1, 3), 0.2), (torch.ones(2), 0.05)], STEPS)


@pytest.mark.parametrize("broken_off", [1, 5, 13, 23])
def test_a_descent_goes_on_to_the_same_numbers(broken_off: int, tmp_path: Path) -> None:
    whole = begun()
    descend(whole, STEPS)
    kept = Unfinished(tmp_path, "mark")
    first = begun()
    descend(first, broken_off)
    kept.keep("timbre", first.arrays())
    again = begun()
    reached = kept.read("timbre")
    assert reached is not None
    again.restore(reached)
    assert again.done == broken_off
    descend(again, STEPS)
    for ours, theirs in zip(again.means(), whole.means(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert float(whole.means()[0].mean()) == pytest.approx(2.0, abs=0.3)


def target(number: int) -> Target:
    rng = np.random.default_rng(number)
    return Target(
        text=f"Line {number}.",
        tokens=(5, 6, 7),
        durations=np.array([12, 3, 4, 2, 8]),
        f0=rng.uniform(80, 200, 58).astype(np.float32),
        energy=rng.standard_normal(58).astype(np.float32),
        samples=rng.standard_normal(58 * 300).astype(np.float32),
        speech=(12, 21),
        cost=0.25,
        number=number,
    )


def test_targets_come_back_whole(tmp_path: Path) -> None:
    kept = Unfinished(tmp_path, "mark")
    assert kept.targets("trained") is None
    kept.keep_targets("trained", [target(0), target(3)])
    back = kept.targets("trained")
    assert back is not None
    for ours, theirs in zip(back, [target(0), target(3)], strict=True):
        assert (ours.text, ours.tokens, ours.speech) == (theirs.text, theirs.tokens, theirs.speech)
        assert (ours.cost, ours.number) == (theirs.cost, theirs.number)
        np.testing.assert_array_equal(ours.samples, theirs.samples)
        np.testing.assert_array_equal(ours.durations, theirs.durations)


def test_what_is_damaged_or_of_another_fit_is_not_used(tmp_path: Path) -> None:
    kept = Unfinished(tmp_path, "mark")
    kept.keep("prosody", {"prosody": np.ones(128, np.float32)})
    assert Unfinished(tmp_path, "other").read("prosody") is None
    (file,) = tmp_path.rglob("prosody.npz")
    file.write_bytes(file.read_bytes()[:100])
    assert kept.read("prosody") is None
    kept.discard()
    assert list(tmp_path.iterdir()) == []


def test_another_sound_text_or_setting_is_another_fit() -> None:
    def clip(text: str, value: float, noise: float | None = None) -> SimpleNamespace:
        taken = None if noise is None else np.full(9, noise)
        sound = SimpleNamespace(samples=np.full(9, value))
        return SimpleNamespace(text=text, sound=sound, noise=taken, band=None)

    marks = {
        fingerprint([clip("We go.", 0.1)], 0),
        fingerprint([clip("We go.", 0.2)], 0),
        fingerprint([clip("We stay.", 0.1)], 0),
        fingerprint([clip("We go.", 0.1, 0.02)], 0),
        fingerprint([clip("We go.", 0.1)], 1),
        fingerprint([clip("We go.", 0.1), clip("We go.", 0.1)], 0),
    }
    assert len(marks) == 6
    assert fingerprint([clip("We go.", 0.1)], 0) in marks
