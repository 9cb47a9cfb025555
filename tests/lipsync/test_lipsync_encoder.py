"""What the recogniser's encoder hears does not hang on length, place or loudness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lipsync_talk import talk, voice

from align.encoder import ENCODED_SIZE, Encoding, _level, encoded
from media.audio import Sound, read_sound


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


def test_minutes_of_silence_before_a_line_do_not_change_what_is_heard() -> None:
    line = voice(talk(6))
    hiss = 2e-4 * np.random.default_rng(0).standard_normal(704 * 16000).astype(np.float32)
    own = np.concatenate(list(encoded(Sound(np.pad(line.samples, (8 * 16000, 0)), 16000))))
    for before in (np.zeros(704 * 16000, np.float32), hiss):
        late = Encoding(Sound(np.concatenate([before, line.samples]), 16000))
        rows = late.window(88)
        assert len(late) == 89
        assert late.span(88) == (704 * 50, 710 * 50)
        inside = slice(25, 275)
        alike = [
            np.corrcoef(a, b)[0, 1] for a, b in zip(rows[inside], own[400:][inside], strict=True)
        ]
        assert np.median(alike) > 0.99
        assert min(alike) > 0.9


def test_a_clap_does_not_drown_a_line() -> None:
    line = voice(talk(8)).samples
    clap = line.copy()
    clap[80000:80800] = np.random.default_rng(0).uniform(-1, 1, 800)
    assert _level(clap) == pytest.approx(_level(line), rel=0.2)
    assert _level(np.zeros(0, np.float32)) == _level(np.zeros(9000, np.float32)) > 0
    assert _level(np.full(100, 0.3, np.float32)) == pytest.approx(0.3)
