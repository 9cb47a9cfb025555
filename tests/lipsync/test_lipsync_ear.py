"""What the recogniser hears as an input of lip motion, and the networks that learn from it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lipsync_talk import example, talk, voice

import align.encoder
from align.encoder import ENCODED_SIZE, encoded
from lipsync._ear import Ear
from lipsync._kernel import fit_kernel
from lipsync._network import _slopes, fit_networks
from lipsync.motion import ENOUGH_TO_HEAR_S, MotionModel, closures
from media.audio import Sound, read_sound
from media.errors import WeightsError
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


@pytest.mark.parametrize("seconds", [0.0, 0.013, 3.0, 8.0, 19.5])
def test_fifty_rows_a_second_whatever_the_length(seconds: float) -> None:
    sound = Sound(voice(talk(20)).samples[: round(16000 * seconds)], 16000)
    rows = [len(r) for r in encoded(sound)]
    assert sum(rows) == int(np.ceil(50 * seconds))
    assert max(rows, default=0) <= 400


def test_speech_is_told_apart_wherever_the_windows_lie() -> None:
    reel = Path(__file__).parents[2] / "samples" / "archive" / "reel_01_studio.flac"
    speech = read_sound(reel).cut(0, 19)
    rows = np.concatenate(list(encoded(speech)))
    assert rows.shape == (950, ENCODED_SIZE)
    later = np.concatenate(list(encoded(speech.cut(3, 19))))
    usual = rows.mean(0)

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        both = zip(a - usual, b - usual, strict=False)
        return float(np.median([np.corrcoef(x, y)[0, 1] for x, y in both]))

    # Where it lies in a window colours what is heard, but what is said counts for more.
    assert alike(rows[150:], later) > 0.3 > 0.15 > alike(rows[75:], later)


def test_loudness_changes_next_to_nothing() -> None:
    sound = voice(talk(6))
    loud = Sound(4 * sound.samples, sound.rate)
    rows, louder = (np.concatenate(list(encoded(s))) for s in (sound, loud))
    assert np.abs(rows - louder).max() < 0.05 * np.abs(rows).max()


def test_an_ear_hears_the_same_again_and_in_one_spread() -> None:
    sounds = [voice(talk(9, seed)) for seed in (1, 2)]
    ear, heard = Ear.learn(sounds)
    assert ear is not None
    for sound, rows in zip(sounds, heard, strict=True):
        assert np.array_equal(ear(sound), rows)
    assert np.concatenate(heard).std(0) == pytest.approx(1.0, abs=0.02)
    assert ear(Sound(np.zeros(0, np.float32), 16000)).shape == (1, heard[0].shape[1])


def test_without_a_recogniser_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise WeightsError("the recogniser is not there")

    monkeypatch.setattr(align.encoder, "recogniser", gone)
    taught = [example(ENOUGH_TO_HEAR_S + 12, R25, seed=1)]
    plain, hearing = (MotionModel.fit(taught, hear=hear) for hear in (False, True))
    assert hearing.ear is None
    timing = talk(5, 9)
    shapes = [m.predict(timing, voice(timing, 9), R25, 125) for m in (plain, hearing)]
    assert np.array_equal(*shapes)


def test_a_model_that_hears_is_no_worse_where_it_has_not_learnt_and_shuts_lips() -> None:
    taught = [example(ENOUGH_TO_HEAR_S + 12, R25, seed=1)]
    plain, hearing = (MotionModel.fit(taught, hear=hear) for hear in (False, True))
    assert hearing.ear is not None
    assert hearing.held_out[0] > plain.held_out[0] - 0.01
    timing = talk(5, 9)
    shapes = hearing.predict(timing, voice(timing, 9), R25, 125)
    assert (shapes[closures(timing, R25, 125), 0] <= hearing.closed_below).all()
    assert np.array_equal(shapes, hearing.predict(timing, voice(timing, 9), R25, 125))


def test_little_speech_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ear, "learn", lambda sounds: pytest.fail("listened"))
    assert MotionModel.fit([example(ENOUGH_TO_HEAR_S / 2, R25)], hear=True).ear is None


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


def test_what_is_heard_counts_together_with_what_is_said() -> None:
    """A kernel of three streams whose two products are written out by hand."""
    rng = np.random.default_rng(1)
    said, heard, sound = (rng.standard_normal((60, 3)) for _ in range(3))
    wanted = (said[:, :1] * heard[:, :1]).astype(float)
    folds = np.arange(60) % 3
    fit = fit_kernel([said, heard, sound], wanted, folds, judged=(0,), together=2)

    def apart(a: np.ndarray, b: np.ndarray, span: float) -> np.ndarray:
        return ((a[:, None] - b[None]) ** 2).sum(2) / span

    far = [
        apart(s, c, w) for s, c, w in zip((said, heard, sound), fit.centres, fit.spans, strict=True)
    ]
    kernel = 0.5 * (
        0.5 * (np.exp(-(far[0] + far[1]) / 4) + np.exp(-(far[0] + far[2]) / 4))
        + sum(np.exp(-f / 2) for f in far) / 3
    )
    assert fit([said, heard, sound]) == pytest.approx(kernel @ fit.weights + fit.mean)
