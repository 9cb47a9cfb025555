"""What the recogniser hears as an input of lip motion, and the networks that learn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from lipsync_talk import example, talk, voice

import align.encoder
import lipsync.motion
from align.encoder import ENCODED_SIZE
from align.timing import Span, Timing
from align.visemes import VISEMES, viseme_of
from lipsync._ear import Ear, Spoken
from lipsync._kernel import fit_kernel
from lipsync._network import NetworkFit
from lipsync._speech import viseme_track
from lipsync.motion import (
    ENOUGH_TO_HEAR_S,
    NATURAL_LEAD_S,
    MotionExample,
    MotionModel,
    closures,
)
from media.audio import Sound
from media.errors import WeightsError
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


def test_an_ear_hears_the_same_again_and_in_one_spread() -> None:
    timings = [talk(9, seed) for seed in (1, 2)]
    spoken = [Spoken(voice(t), t, 10.0) for t in timings]
    ear, heard = Ear.learn(spoken)
    assert ear is not None
    for one, rows in zip(spoken, heard, strict=True):
        assert np.array_equal(ear(one.sound, 10.0), rows)
        assert np.array_equal(ear(one.sound)[:400], rows[:400])
        assert (len(ear(one.sound)), len(rows)) == (450, 500)
    inside = [rows[_rows_inside(s.timing, 500)] for s, rows in zip(spoken, heard, strict=True)]
    assert np.concatenate(inside).mean(0) == pytest.approx(0.0, abs=1e-3)
    assert np.concatenate(inside).std(0).max() == pytest.approx(1.0, abs=1e-3)
    assert ear(Sound(np.zeros(0, np.float32), 16000)).shape == (1, heard[0].shape[1])


def _rows_inside(timing: Timing, rows: int) -> np.ndarray:
    middles = (np.arange(rows) + 0.5) / 50
    return np.array([any(p.start_s <= t < p.end_s for p in timing.phones) for t in middles])


def _stand_in(monkeypatch: pytest.MonkeyPatch, told: Callable[[np.ndarray], np.ndarray]) -> None:
    """An encoder whose rows are `told` from 20 ms of sound each, [rows, 320] -> [rows, k]."""

    def rows(window: np.ndarray) -> np.ndarray:
        parts = told(window.reshape(-1, 320)).astype(np.float32)
        return np.pad(parts, ((0, 0), (0, ENCODED_SIZE - parts.shape[1])))

    monkeypatch.setattr(align.encoder, "_rows", rows)


def test_directions_come_from_phones_of_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first source only moves along one number, the last along another, silence wildly."""
    rng = np.random.default_rng(2)
    rates = [np.repeat(rng.uniform(0.1, 1, 50 * 200), 320).astype(np.float32) for _ in range(3)]
    low, high = Sound(rates[0], 16000), Sound(-rates[1], 16000)

    def told(parts: np.ndarray) -> np.ndarray:
        middle = parts[:, 160]
        return np.stack([np.maximum(middle, 0), np.maximum(-middle, 0), 1e-7 * middle], axis=1)

    monkeypatch.setattr(align.encoder, "_level", lambda samples: 0.12)
    _stand_in(monkeypatch, told)
    all_along = Timing((), (Span("AH", 0, 200),), 200.0)
    ear, heard = Ear.learn(
        [Spoken(low, all_along), Spoken(low, all_along), Spoken(high, all_along)]
    )
    assert ear is not None
    assert 0.5 < heard[2].std(0).max() < 2
    # What hardly moves is not blown up: it is scaled as if it moved a thirtieth of the most.
    size = np.linalg.norm(ear.axes, axis=0)
    assert size.max() / size.min() == pytest.approx(np.sqrt(1000), rel=1e-3)
    half = Timing((), (Span("AH", 0, 100),), 200.0)
    loud = Sound(np.concatenate([rates[0][:1600000], -9 * rates[1][1600000:]]), 16000)
    ear, _ = Ear.learn([Spoken(loud, half)])
    assert ear is not None
    assert ear.mean[1] == 0


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


def _polarity(seconds: float, seed: int) -> np.ndarray:
    """+1 or -1 for every 20 ms, changing every 0.1 to 0.4 s."""
    rng = np.random.default_rng(seed)
    changes = np.cumsum(rng.integers(5, 20, round(seconds * 10)))
    return np.where(np.searchsorted(changes, np.arange(round(seconds * 50))) % 2, 1.0, -1.0)


def _secret(seconds: float, seed: int) -> MotionExample:
    """One vowel all along, in pulses: which way they point is in no spectrum, but on the lips."""
    way = _polarity(seconds, seed)
    samples = 1e-3 * np.random.default_rng(seed).standard_normal(320 * len(way))
    samples[::80] += 0.2 * np.repeat(way, 4)
    spans = tuple(Span("AH", i / 10, (i + 1) / 10) for i in range(round(10 * seconds)))
    soft = np.convolve(np.pad(way, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    at = (np.arange(round(25 * seconds)) + 0.5) / 25 + NATURAL_LEAD_S
    shapes = 0.3 + 0.002 * np.random.default_rng(seed + 1).standard_normal((len(at), 7))
    shapes[:, :4] += 0.1 * np.interp(at, (np.arange(len(way)) + 0.5) / 50, soft)[:, None]
    sound = Sound(samples.astype(np.float32), 16000)
    return MotionExample(Timing((), spans, seconds), sound, shapes.astype(np.float32), R25)


def _tells_polarity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lipsync.motion, "ENOUGH_TO_HEAR_S", 6.0)
    _stand_in(monkeypatch, lambda parts: np.sign(parts.sum(1, keepdims=True)))


@pytest.fixture(scope="module")
def hearing() -> MotionModel:
    """A model of lips that only the ear explains."""
    with pytest.MonkeyPatch.context() as patch:
        _tells_polarity(patch)
        return MotionModel.fit([_secret(16, 1)], hear=True, quick=True)


def test_what_only_the_ear_can_tell_is_heard_when_it_is_said(
    hearing: MotionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tells_polarity(monkeypatch)
    line = _secret(8, 5)
    assert line.timing is not None
    assert MotionModel.fit([_secret(16, 1)], quick=True).held_out[0] < 0.3
    assert hearing.held_out[0] > 0.9
    assert hearing.share > 0

    def follows() -> float:
        shapes = hearing.predict(line.timing, line.sound, R25, len(line.shapes))
        return float(np.corrcoef(shapes[:, 0], line.shapes[:, 0])[0, 1])

    assert follows() > 0.9
    # A tenth of a second beside what is said is worse, so the clocks of both are one.
    hear = Ear.__call__
    for rows in (-5, 5):
        monkeypatch.setattr(Ear, "__call__", lambda *a, r=rows: np.roll(hear(*a), r, axis=0))
        assert follows() < 0.75


def test_after_the_end_of_a_sound_silence_is_heard(
    hearing: MotionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound that ends before its film does not go on with its last row."""
    _tells_polarity(monkeypatch)
    line = _secret(4, 5)
    assert line.timing is not None
    assert line.sound is not None
    asked: list[int] = []
    real = lipsync.motion._streams

    def streams(said: Any, sounds: Any, heard: Any, at: Any, reach: Any) -> Any:
        asked.append(len(heard))
        assert np.ptp(heard[200:], axis=0).max() == 0
        assert np.abs(heard[200:] - heard[199]).max() > 0.5
        return real(said, sounds, heard, at, reach)

    monkeypatch.setattr(lipsync.motion, "_streams", streams)
    hearing.predict(line.timing, line.sound, R25, 200)
    assert asked == [425]


def test_networks_have_their_share_in_what_is_predicted(
    hearing: MotionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two networks written by hand: one follows a viseme and what is heard, one says nothing."""
    _tells_polarity(monkeypatch)
    ear, kernel = hearing.ear, hearing.kernel
    assert ear is not None
    assert kernel is not None
    line = _secret(4, 5)
    timing = Timing((), (Span("AA", 1, 2), Span("S", 2, 3)), 4.0)
    width, heads = 11 * (15 + 14) + 11 * ear.axes.shape[1], np.zeros((2, 7), np.float32)
    first = np.zeros((width, 2), np.float32)
    vowel, middle = VISEMES.index(viseme_of("AA")), 11 * (15 + 14) + 5 * ear.axes.shape[1]
    first[5 * 15 + vowel, 0] = first[middle, 1] = 1
    heads[:, 0], heads[:, 1] = (0.4, 0.1), (0.0, 0.2)
    eye, none = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    speaks = (first, none, eye, none, heads, np.zeros(7, np.float32))
    silent = tuple(np.zeros_like(w) for w in speaks)
    mean, scale = np.full(7, 0.3), np.full(7, 2.0)
    network = NetworkFit(
        np.zeros(width, np.float32), np.ones(width, np.float32), mean, scale, (speaks, silent),
        np.zeros((0, 7)), np.ones(7),
    )  # fmt: skip
    model = replace(hearing, network=network, share=0.5, gain=np.full(7, 1.3))
    shapes = model.predict(timing, line.sound, R25, 100)

    alone = replace(model, network=None, share=0.0)
    at = (np.arange(100) + 0.5) / 25 + NATURAL_LEAD_S
    on = viseme_track(timing, 500)[np.floor(100 * at).astype(int), vowel]
    heard = ear(line.sound, 4.5)[np.floor(50 * at).astype(int), 0]
    assert heard.std() > 0.5
    units = np.stack([on, np.clip(heard, 0, 4)], axis=1)
    said = 0.3 + 2.0 * 0.5 * (units @ heads)
    raw = alone._raw(kernel, timing, line.sound, R25, 100)
    wanted = kernel.mean + 1.3 * (0.5 * raw + 0.5 * said - kernel.mean)
    np.testing.assert_allclose(shapes, model.person.shut_softly(wanted, timing, R25), atol=1e-5)
    assert np.abs(shapes - alone.predict(timing, line.sound, R25, 100)).max() > 0.05


def test_networks_that_broke_have_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    _tells_polarity(monkeypatch)
    real = lipsync.motion.fit_networks

    def broken(*args: Any, **options: Any) -> NetworkFit:
        made = real(*args, **options)
        assert made is not None
        # Finite, but no correlation with it is a number; with no share at all it is.
        return replace(made, held_out=np.where(made.held_out > 0.3, 1.7e308, 1.6e308))

    monkeypatch.setattr(lipsync.motion, "fit_networks", broken)
    with np.errstate(over="ignore", invalid="ignore"):
        model = MotionModel.fit([_secret(9, 1)], hear=True, quick=True)
    assert model.network is None
    assert np.isfinite(model.held_out).all()


def test_a_source_without_a_sample_of_sound_is_heard_as_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _tells_polarity(monkeypatch)
    mute = replace(_secret(3, 2), sound=Sound(np.zeros(0, np.float32), 16000))
    assert MotionModel.fit([_secret(9, 1), mute], hear=True, quick=True).ear is not None
