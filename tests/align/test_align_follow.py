"""Whether a sound says its text, found out without writing it down."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from align_line import Line

from align.engines._path import best_path, build_graph
from align.follow import Follower
from align.overhear import fits, overhear, place_after
from align.recognise import Reading
from align.recording import recording
from align.text import Script, speakable
from align.timing import Span
from media.audio import Sound

GAP_S = 0.6


class Recogniser:
    """Says what it is told to, and remembers which pieces it was asked about."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.spoken_s = 0.0
        self.asked: list[tuple[float, float]] = []

    def speech_end(self, piece: tuple[float, float]) -> float:
        return piece[0] + self.spoken_s

    def words(self, sound: Sound, piece: tuple[float, float]) -> Sequence[Span]:
        self.asked.append(piece)
        words = self._answers.pop(0).split()
        step = (piece[1] - piece[0]) / len(words)
        return [
            Span(w, piece[0] + i * step, piece[0] + (i + 0.9) * step) for i, w in enumerate(words)
        ]


def repeated(line: Line, times: int) -> tuple[Sound, list[tuple[float, float]]]:
    """The line several times, and the seconds of each."""
    gap = np.zeros(round(GAP_S * line.sound.rate), np.float32)
    samples = np.concatenate([np.concatenate([line.sound.samples, gap])] * times)
    length = len(line.sound) + len(gap)
    pieces = [
        (i * length / line.sound.rate, (i + 1) * length / line.sound.rate) for i in range(times)
    ]
    return Sound(samples, line.sound.rate), pieces


def said(line: Line, script: Script, recogniser: Recogniser, times: int = 1) -> list[str]:
    """The words that `overhear` reports of the line said `times` times."""
    sound, pieces = repeated(line, times)
    recogniser.spoken_s = line.exact.words[-1].end_s
    shares: list[float] = []
    found = overhear(recording(sound), pieces, script, recogniser, shares.append)
    assert shares == [(i + 1) / times for i in range(times)]
    assert all(a.span.start_s <= b.span.start_s for a, b in pairwise(found))
    return [w.key for w in found]


def test_a_right_text_is_followed_and_needs_no_recogniser(line: Line) -> None:
    script = speakable(" ".join([line.script.text] * 3))
    recogniser = Recogniser()
    assert said(line, script, recogniser, 3) == [w.spoken.lower() for w in script.words]
    assert not recogniser.asked


def test_followed_words_lie_where_they_are_said(line: Line) -> None:
    found = Follower(line.script).follow(line.sound, 10.0, 0, final=True)
    assert found is not None
    runs = line.script.written_words()
    for (first, last), word in zip(runs, line.exact.words, strict=True):
        assert found.times[first][0] == pytest.approx(10.0 + word.start_s, abs=0.08)
        assert found.times[last - 1][1] == pytest.approx(10.0 + word.end_s, abs=0.08)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("big boat", "big wonderful boat"),
        ("seven ships", "seven"),
        ("by the bay", "by the window"),
        ("Peter put", "Then Peter put"),
        ("ships came home", "ships"),
    ],
)
def test_a_text_that_is_not_right_goes_to_the_recogniser(
    line: Line, written: str, instead: str
) -> None:
    assert written in line.script.text
    script = speakable(line.script.text.replace(written, instead))
    recogniser = Recogniser("hello")
    assert said(line, script, recogniser) == ["hello"]
    assert len(recogniser.asked) == 1


def test_a_sound_too_short_is_not_followed(line: Line) -> None:
    assert Follower(line.script).follow(line.sound.cut(0, 0.02), 0.0, 0, final=True) is None


def test_what_comes_after_the_last_word_is_told_by_its_times() -> None:
    assert fits(Reading(0.4, 0.4, 2.5, 3.0), 5, 3.1)
    assert not fits(Reading(0.4, 0.001, 2.5, 3.0), 5, 3.1)
    # The least likely of right words, and what a small word left out nearly always has.
    assert fits(Reading(0.4, 0.024, 2.5, 3.0), 5, 3.1)
    assert not fits(Reading(0.4, 0.018, 2.5, 3.0), 5, 3.1)
    assert not fits(Reading(0.06, 0.06, 2.5, 3.0), 5, 3.1)  # a word said before the first
    assert not fits(Reading(0.4, 0.4, 2.5, 3.0), 5, 3.5)
    assert not fits(Reading(0.4, 0.4, 2.5, 4.0), 2, 3.5)
    assert not fits(Reading(0.4, 0.4, 4.0, 4.0), 2, 3.5)


def test_one_wrong_piece_costs_one_piece(line: Line) -> None:
    wrong = line.script.text.replace("big boat", "big wonderful boat")
    script = speakable(" ".join([line.script.text, wrong, line.script.text, line.script.text]))
    recogniser = Recogniser(line.script.spoken)
    keys = said(line, script, recogniser, 4)
    assert keys == [w.spoken.lower() for w in line.script.words] * 4
    assert len(recogniser.asked) == 1
    assert recogniser.asked[0][0] == pytest.approx(repeated(line, 4)[1][1][0])


def test_the_place_in_the_text_is_found_again() -> None:
    keys = [
        "one",
        "fine",
        "day",
        "we",
        "went",
        "down",
        "to",
        "the",
        "river",
        "and",
        "we",
        "saw",
        "the",
        "boats",
        "there",
        "again",
    ]
    assert place_after(keys, ["day", "we", "went", "down"], 2) == 6
    assert place_after(keys, ["day", "we", "want", "down", "um"], 2) == 6
    assert place_after(keys, ["we", "saw", "the", "boats"], 2) == 14
    assert place_after(keys, ["saw", "the", "boats", "there", "again"], 14) == len(keys)
    assert place_after(keys, [], 3) == 3
    twice = ["so", "it", "goes"] * 4
    assert place_after(twice, ["so", "it", "goes"], 3) == 6
    assert place_after([], ["word"], 0) == 0


def test_the_search_stops_where_the_words_of_the_sound_stop() -> None:
    graph = build_graph([("K AE T",), ("D AO G",), ("P IH G",)])
    scores = np.full((12, 40), -8.0, np.float32)
    for frame, state in enumerate(np.repeat([1, 2, 3, 5, 6, 7], 2)):
        scores[frame, graph.phone[state]] = 0.0
    silent = np.zeros(12, np.float32)
    found = best_path(graph, scores, silent, 1.0, whole=False)
    assert found is not None
    assert sorted({s.word for s in found[0]} - {-1}) == [0, 1]
    whole = best_path(graph, scores, silent, 1.0)
    assert whole is not None
    assert {s.word for s in whole[0]} >= {0, 1, 2}
    # Fewer frames than all words need are enough for the first of them.
    short = best_path(graph, scores[:6], silent[:6], 1.0, whole=False)
    assert short is not None
    assert {s.word for s in short[0]} == {0}


def test_the_recogniser_leaves_the_number_of_threads_alone() -> None:
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from align.recognise import recogniser; recogniser()\n"
        "print(torch.get_num_threads())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "1"
