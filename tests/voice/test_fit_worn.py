"""Bands lent, and work done side by side."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from align.text import Script
from media.audio import Sound
from voice._band import band_filter
from voice._fit_gradient import Prepared
from voice._fit_person import Listener
from voice._fit_worn import lent
from voice._side_by_side import side_by_side
from voice.archive import CLIP_RATE
from voice.voice import Voice

SECONDS = 3


def pink(seed: int, level: float) -> np.ndarray:
    drawn = np.fft.rfft(np.random.default_rng(seed).standard_normal(SECONDS * CLIP_RATE))
    noise = np.fft.irfft(drawn / np.sqrt(np.arange(len(drawn)) + 1.0))
    return (level * noise / noise.std()).astype(np.float32)


def levels(samples: np.ndarray) -> np.ndarray:
    """Of octaves from 125 Hz, in dB."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / CLIP_RATE)
    edges = 125 * 2.0 ** np.arange(7)
    return np.array([10 * np.log10(power[(hz >= a) & (hz < 2 * a)].mean()) for a in edges])


def test_what_a_band_lacks_is_lent() -> None:
    mine, theirs = pink(3, 0.1), pink(4, 0.1)
    band = band_filter(3400, low_hz=300)
    assert band is not None
    heard = torch.conv1d(torch.from_numpy(mine)[None, None], band, padding="same")[0, 0]
    model: Any = SimpleNamespace(
        device=torch.device("cpu"), decode=lambda *_: torch.from_numpy(theirs)[None]
    )
    nothing: Any = torch.zeros(1, 40 * SECONDS, 1)
    item = Prepared(nothing, nothing, nothing, nothing, nothing, nothing, heard, nothing)
    (made,) = lent(model, [item], np.zeros(256, np.float32), 300.0, 3400.0)
    found = levels(made.samples.numpy())
    assert np.abs(found - levels(mine))[2:4].max() < 0.5  # 500 to 2000 Hz
    assert abs(found[-1] - levels(theirs)[-1]) < 0.2  # from 8 kHz
    correlation = np.corrcoef(np.diff(made.samples.numpy()), np.diff(theirs))[0, 1]
    assert correlation > 0.8


@pytest.mark.parametrize("workers", [1, 3])
def test_side_by_side_keeps_the_order(workers: int) -> None:
    said: list[float] = []
    turn = threading.Barrier(workers)

    def work(k: int) -> int:
        turn.wait(5)  # passed only when so many are at work
        return k * k

    assert side_by_side(work, range(6), workers, said.append) == [0, 1, 4, 9, 16, 25]
    assert said == pytest.approx([k / 6 for k in range(1, 7)])
    assert side_by_side(work, [], workers) == []
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda k: 1 / k, [1, 0, 2], workers)


class Speaker:
    """Says every line as a tone as long as the line; remembers which."""

    name = "tone"

    def __init__(self) -> None:
        self.spoken: list[tuple[float, int]] = []

    def speak(self, script: Script, voice: Voice, *_: object) -> SimpleNamespace:
        self.spoken.append((float(voice.style[0]), len(script.text)))
        samples = np.full(100 * len(script.text), voice.style[0], np.float32)
        return SimpleNamespace(sound=Sound(samples, CLIP_RATE))


def test_a_listener_says_and_marks_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[tuple[str, int]] = []

    def mark(_self: Listener, name: str, sound: Sound, _text: str) -> float:
        marked.append((name, len(sound)))
        return float(sound.samples[0]) + len(sound)

    monkeypatch.setattr(Listener, "_mark", mark)
    nobody: Any = None
    speaker: Any = Speaker()
    listener = Listener(nobody, speaker, 2)
    one, two = (Voice("v", np.full(256, k, np.float32)) for k in (0.25, 0.5))
    some = listener.measure(one, ["Go.", "Gone."], ("ge2e", "dnsmos"))
    assert some.ge2e == some.dnsmos == pytest.approx(400.25)
    assert np.isnan(some.similarity)
    assert np.isnan(some.wer)
    assert len(marked) == 4
    whole = listener.measure(one, ["Go.", "Gone.", "Gone by."])
    assert whole.wer == pytest.approx(1600 / 3 + 0.25)
    assert len(marked) == 4 + 4 + 4  # the two that were missing on two lines, all on the third
    assert listener.measure(two, ["Go."]).similarity == pytest.approx(300.5)
    layered = Voice("v", one.style, layers={"generator": np.ones(4, np.float32)})
    listener.measure(layered, ["Go."])
    assert sorted(speaker.spoken) == [(0.25, 3), (0.25, 3), (0.25, 5), (0.25, 8), (0.5, 3)]
