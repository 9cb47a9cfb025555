"""Clips heard the short way: the same words, and the long way wherever that is in doubt."""

from __future__ import annotations

import numpy as np
import pytest

from align.recognise import Heard, hear
from media.audio import Sound
from voice.ingest import listening
from voice.ingest.listening import listen
from voice.ingest.words import agreement

RATE = 24_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples were heard the long way, each time."""
    lengths: list[int] = []
    long_way = listening._long_way

    def counted(samples: np.ndarray) -> Heard:
        lengths.append(len(samples))
        return long_way(samples)

    monkeypatch.setattr(listening, "_long_way", counted)
    return lengths


def test_the_short_way_hears_the_same(box_lines: list[Sound], asked: list[int]) -> None:
    for line in box_lines[:2]:
        short, long = listen(line), hear(line)
        assert agreement(short.text, long.text) > 0.9
        assert short.confidence == pytest.approx(long.confidence, abs=0.12)
    assert not asked  # nothing was in doubt


def test_doubt_is_settled_the_long_way(box_lines: list[Sound], asked: list[int]) -> None:
    dice = np.random.default_rng(0)
    line = box_lines[0]
    level = 2.0 * float(np.sqrt(np.mean(line.samples**2)))
    drowned = line.samples + level * dice.standard_normal(len(line)).astype(np.float32)
    sound = Sound(drowned.astype(np.float32), line.rate)
    found, wanted = listen(sound), hear(sound)
    assert found.text == wanted.text
    assert found.confidence == pytest.approx(wanted.confidence, abs=0.01)
    assert len(asked) == 1


def test_silence_and_what_is_too_long_go_the_long_way(asked: list[int]) -> None:
    assert listen(Sound(np.zeros(2 * RATE, np.float32), RATE)).confidence == 0.0
    assert len(asked) == 1
    assert listen(Sound(np.zeros(29 * RATE + 8_000, np.float32), RATE)).text == ""
    assert len(asked) == 2


def test_loops_and_what_nobody_can_say_in_the_time_are_doubted() -> None:
    line = "And type very similar was used during the next fifteen or twenty years"
    again = " not only by Schoeffer" * 2
    assert not listening._doubtful(line, 0.8, 5.0)
    assert listening._doubtful(line, 0.61, 5.0)  # unsure
    assert listening._doubtful(line, 0.8, 2.0)  # too much for the time
    assert listening._doubtful(line[:12], 0.8, 5.0)  # too little
    assert listening._doubtful(line + again, 0.8, 9.0)  # Whisper's loop
    assert listening._doubtful("", 0.8, 5.0)
