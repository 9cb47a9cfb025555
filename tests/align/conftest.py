"""A line spoken by our own synthesiser: sound with known words, for every test of the room."""

from __future__ import annotations

import pytest
from align_line import Line

from align.text import speakable

LINE = "Peter put the big boat back by the bay. In 1963, seven ships came home."


@pytest.fixture(scope="session")
def line() -> Line:
    """`LINE` in a stock voice, with the synthesiser's own timing."""
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.voice import load_voice, stock_voices

    script = speakable(LINE)
    said = KokoroSynthesizer(threads=1).speak(script, load_voice(f"stock:{stock_voices()[0]}"))
    return Line(script, said.sound, said.timing)
