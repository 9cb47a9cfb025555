"""What two engines together make of a line: where its words are, and which are not said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from align_line import Line

from align.assemble import Part, assemble
from align.engines import get_aligner
from align.engines.combined import DOUBTFUL, weighed
from align.engines.nnet import NnetAligner
from align.engines.sphinx import SphinxAligner
from align.recording import recording
from align.text import speakable
from align.timing import Span, Timing
from media.audio import Sound, read_sound

REEL = Path(__file__).parents[2] / "samples" / "archive" / "reel_01_studio"


def opinion(*sure: float, engine: str, late: float = 0.0) -> Timing:
    """Words of 0.4 s, so sure of each, every one `late` seconds late."""
    spans = tuple(Span("w", 0.5 * i + late, 0.5 * i + late + 0.4, c) for i, c in enumerate(sure))
    return Timing(spans, spans, 3.0, engine=engine)


def doubted(timing: Timing) -> list[bool]:
    return [w.confidence < DOUBTFUL for w in timing.words]


def test_a_wrong_word_that_both_put_in_one_place_stays_doubtful() -> None:
    network = opinion(0.98, 0.3, 0.45, engine="nnet")
    found = weighed(network, opinion(0.85, 0.35, 0.4, engine="sphinx"))
    assert doubted(found) == [False, True, True]
    assert found.words[1].confidence < 0.3
    assert found.words[2].confidence < 0.45
    assert [p.confidence for p in found.phones] == [
        min(p.confidence, w.confidence) for p, w in zip(network.phones, found.words, strict=True)
    ]
    assert found.engine == "nnet+sphinx"


def test_a_word_is_doubted_by_both_or_very_much_by_one() -> None:
    network = opinion(0.3, 0.95, 0.95, 0.98, engine="nnet")
    found = weighed(network, opinion(0.85, 0.6, 0.3, 0.9, engine="sphinx"))
    assert doubted(found) == [False, False, True, False]


def test_where_the_guide_puts_a_word_says_nothing_of_it() -> None:
    network = opinion(0.9, 0.4, engine="nnet")
    near = weighed(network, opinion(0.7, 0.7, engine="sphinx"))
    far = weighed(network, opinion(0.7, 0.7, engine="sphinx", late=0.3))
    assert near == far


def test_another_guide_or_other_words_leave_the_network_its_confidence() -> None:
    network = opinion(0.9, 0.4, engine="nnet")
    for other in (opinion(0.1, 0.9, engine="synth"), opinion(0.1, engine="sphinx")):
        found = weighed(network, other)
        assert found.words == network.words
        assert found.phones == network.phones


def test_the_boundaries_of_both_meet(line: Line) -> None:
    """The real engines: within words the combined engine's boundaries are midway."""
    guide = SphinxAligner().align(line.sound, line.script)
    runs = zip(line.script.written_words(), guide.words, strict=True)
    windows = [(w.start_s, w.end_s) for (a, b), w in runs for _ in range(a, b)]
    network = NnetAligner().align_near(line.sound, line.script, windows)
    both = get_aligner("combined").align(line.sound, line.script)
    off, apart = [], []
    for one, other, word in zip(network.words, guide.words, both.words, strict=True):
        a, b, met = network.phones_of(one), guide.phones_of(other), both.phones_of(word)
        if not [p.label for p in a] == [p.label for p in b] == [p.label for p in met]:
            continue
        for x, y, z in zip(a[1:], b[1:], met[1:], strict=True):
            apart.append(abs(x.start_s - y.start_s))
            off.append(abs(z.start_s - 0.5 * (x.start_s + y.start_s)))
    assert len(off) > 20
    assert np.max(apart) > 0.01
    assert np.max(off) < 1e-6
    assert both.engine == "nnet+sphinx"
    known = zip(line.exact.words, both.words, strict=True)
    assert np.mean([abs(w.start_s - k.start_s) for k, w in known]) < 0.02


@pytest.fixture(scope="module")
def reel() -> Sound:
    return read_sound(REEL.with_suffix(".flac"), 16_000).cut(0.0, 4.0)


def remarks(sound: Sound, text: str) -> list[str]:
    script = speakable(text)
    length = float(sound.duration_s)
    part = Part((0.0, length), script, (True,) * len(script.written_words()))
    timing = assemble(recording(sound), [part], get_aligner(), length, strict=True)
    return [n.label for n in timing.notes if n.label.startswith("uncertain")]


SAID = "This is reel one, recorded at the old customs house."


def test_right_words_get_no_remark_and_a_wrong_one_does(reel: Sound) -> None:
    assert remarks(reel, SAID) == []
    assert remarks(reel, SAID.replace("customs", "garden")) == ["uncertain: 'garden'"]


def test_a_sentence_that_is_not_said_is_mostly_remarked(reel: Sound) -> None:
    other = "They bring eleven green bottles down from the empty farm."
    words = " ".join(r.split("'", 1)[1] for r in remarks(reel, other)).split()
    assert len(words) >= 0.6 * len(other.split())
