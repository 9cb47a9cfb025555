"""Whether the default aligner is early or late where the truth is known: the presenter's scene.

Lips learn from footage that it has timed and are driven by the synthesiser's own timing, so the two
must not lie apart on the whole. Single phones may; see docs/aligner.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from align.engines import get_aligner
from align.formats import read_timing
from align.phones import VOWELS
from align.text import speakable
from media.audio import read_sound

SAMPLES = Path(__file__).parents[2] / "samples"
MOST_MS = 3.0

Off = list[tuple[str, float, float]]


@pytest.fixture(scope="module")
def off() -> Off:
    """(phone, start, end) of every phone that both have: found less known, in ms."""
    known = read_timing(SAMPLES / "presenter.json")
    sound = read_sound(SAMPLES / "presenter.mp4", 16_000)
    script = speakable(" ".join(w.label for w in known.words))
    found = get_aligner().align(sound, script)
    pairs: Off = []
    for own, true in zip(found.words, known.words, strict=True):
        a, b = found.phones_of(own), known.phones_of(true)
        if [p.label for p in a] == [p.label for p in b]:
            pairs += [
                (x.label, 1000 * (x.start_s - y.start_s), 1000 * (x.end_s - y.end_s))
                for x, y in zip(a, b, strict=True)
            ]
    assert len(pairs) > 200
    return pairs


@pytest.mark.parametrize("side", [1, 2], ids=["starts", "ends"])
def test_phones_are_neither_early_nor_late_on_the_whole(off: Off, side: int) -> None:
    assert abs(np.mean([row[side] for row in off])) < MOST_MS
    assert abs(np.median([row[side] for row in off])) < MOST_MS


def test_nor_are_the_middles_of_vowels_and_of_shut_lips(off: Off) -> None:
    for phones in (VOWELS, {"P", "B", "M"}):
        middles = [0.5 * (a + b) for label, a, b in off if label in phones]
        assert len(middles) > 15
        assert abs(np.mean(middles)) < MOST_MS
