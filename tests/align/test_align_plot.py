"""Pictures of timings: whole, readable as files, the same every time."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from align.plot import LONGEST_S, draw_timing
from align.timing import Span, Timing
from media.audio import Sound
from media.errors import AlignError, OutputError

RATE = 16_000


def hum(seconds: float) -> Sound:
    time = np.arange(round(seconds * RATE)) / RATE
    return Sound((0.2 * np.sin(2 * np.pi * 180 * time)).astype(np.float32), RATE)


def timing(seconds: float) -> Timing:
    count = int(seconds)
    words = tuple(Span(f"<word{i}>", i + 0.2, i + 0.8, 0.3 + 0.1 * (i % 7)) for i in range(count))
    phones = tuple(Span("AA", w.start_s, w.end_s, w.confidence) for w in words)
    notes = (Span("not in the text: 'um & er'", 0.3, 0.6),)
    return Timing(words, phones, seconds, "sphinx", notes=notes)


def test_svg_names_every_word_and_repeats_itself(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw_timing(hum(5), timing(5), tmp_path / name, title="five words")
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes()
    root = ElementTree.fromstring(drawn)
    comments = drawn.decode()
    assert root.tag.endswith("svg")
    for label in ("five words", "&lt;word0&gt;", "&lt;word4&gt;", "AA"):
        assert label in comments


@pytest.mark.parametrize("seconds", [0.05, 0.5, 9.3])
def test_png_of_any_length(tmp_path: Path, seconds: float) -> None:
    import matplotlib.image

    draw_timing(hum(seconds), timing(seconds), tmp_path / "a.png")
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[1] == 1560
    assert picture[..., :3].std() > 0.05


def test_an_hour_is_drawn_from_its_start_without_the_rest(tmp_path: Path) -> None:
    draw_timing(hum(4), timing(3600), tmp_path / "a.svg", rows=2)
    assert "the first 8 s" in (tmp_path / "a.svg").read_text()
    assert LONGEST_S == 48


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(AlignError, match=r"\.png, \.svg"):
        draw_timing(hum(1), timing(1), tmp_path / "a.gif")
    with pytest.raises(OutputError):
        draw_timing(hum(1), timing(1), tmp_path / "none" / "a.png")
    assert not list(tmp_path.iterdir())
