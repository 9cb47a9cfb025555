"""Directions as heard: pauses, stress, pace and lengths in the sound itself."""

from __future__ import annotations

import numpy as np
import pytest

from media.errors import TextError
from voice.delivery import measure_delivery
from voice.engines.kokoro import LEAD_S, TAIL_S
from voice.pitch import track_f0
from voice.prosody import Prosody
from voice.takes import joined_takes, say, say_pieces

LINE = "We never thought that Anna would leave."


def one(text: str, voice, **wishes):
    return say(text, voice, score=False, prosody=Prosody(**wishes))[0]


@pytest.fixture(scope="module")
def plain(stock_voice):
    return one(LINE, stock_voice)


@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_a_pause_is_as_long_as_asked_and_silent(stock_voice, seconds: float) -> None:
    marked = LINE.replace("Anna", f"[pause {seconds}] Anna")
    take = one(marked, stock_voice)
    words = take.timing.words
    gap = words[4].start_s - words[3].end_s
    assert gap == pytest.approx(seconds, abs=0.05)
    # The word before may ring on for 0.15 s; from there it is silent.
    silent = take.sound.cut(words[3].end_s + 0.18, words[4].start_s - 0.03)
    assert np.sqrt(np.mean(silent.samples**2)) < 0.003
    assert take.text == LINE


def test_pauses_at_both_ends(stock_voice, plain) -> None:
    take = one(f"[pause 0.5] {LINE} [pause 0.7]", stock_voice)
    assert take.timing.words[0].start_s == pytest.approx(0.5, abs=0.08)
    longer = float(take.sound.duration_s) - float(plain.sound.duration_s)
    assert longer == pytest.approx(0.5 - LEAD_S + 0.7 - TAIL_S, abs=0.06)
    assert np.abs(take.sound.samples[-int(0.6 * 24_000) :]).max() < 0.02


def prominence(take, index: int) -> tuple[float, float, float]:
    """(peak pitch over the line's median in semitones, length in s, level over the line in dB)."""
    word = take.timing.words[index]
    f0 = track_f0(take.sound)
    inside = f0[int(word.start_s / 0.0125) : int(word.end_s / 0.0125) + 1]
    voiced = inside[inside > 0]
    level = take.sound.cut(word.start_s, word.end_s).samples
    return (
        12 * float(np.log2(np.percentile(voiced, 90) / np.median(f0[f0 > 0]))),
        word.duration_s,
        20 * float(np.log10(np.sqrt(np.mean(level**2) / np.mean(take.sound.samples**2)))),
    )


def test_a_stressed_word_is_higher_longer_and_louder(stock_voice, plain) -> None:
    take = one(LINE.replace("Anna", "*Anna*"), stock_voice)
    before, after = prominence(plain, 4), prominence(take, 4)
    assert after[0] > before[0] + 1.5
    assert after[1] > 1.1 * before[1]
    assert after[2] > before[2] + 0.5


def test_a_slower_stretch_is_slower_there_alone(stock_voice, plain) -> None:
    take = one(f"[speed 0.7] {LINE.replace('Anna', '[speed 1] Anna')}", stock_voice)

    def length(of, first: int, last: int) -> float:
        return of.timing.words[last].end_s - of.timing.words[first].start_s

    assert length(take, 0, 3) == pytest.approx(length(plain, 0, 3) / 0.7, rel=0.12)
    assert length(take, 4, 6) == pytest.approx(length(plain, 4, 6), rel=0.1)


def test_a_length_holds_with_pauses_in_it(stock_voice) -> None:
    seconds = 2.6
    take = one(LINE.replace("Anna", "[pause 0.3] Anna"), stock_voice, duration_s=seconds)
    assert float(take.sound.duration_s) == pytest.approx(seconds, abs=1e-4)
    words = take.timing.words
    assert words[4].start_s - words[3].end_s == pytest.approx(0.3, abs=0.08)
    # What is spoken reaches to within the quiet ends: a soft last "s" may hide in them.
    assert seconds - TAIL_S - 0.35 < words[-1].end_s < seconds


@pytest.mark.parametrize("seconds", [0.6, 30.0])
def test_lengths_nobody_could_speak_name_the_limits(stock_voice, seconds: float) -> None:
    with pytest.raises(TextError, match="s"):
        one(LINE, stock_voice, duration_s=seconds)


def test_a_long_text_comes_in_pieces_that_join(stock_voice) -> None:
    text = (
        f"{LINE} But she did. She packed two bags, and she took the train to the coast before "
        f"anyone was awake; nobody heard the door, and nobody saw her go down the street.\n\n"
        f"{LINE} And yet the letter on the table said that she was never coming back to us."
    )
    pieces = list(say_pieces(text, stock_voice, score=False))
    assert len(pieces) >= 2
    whole = joined_takes(pieces, text)
    total = sum(float(p.sound.duration_s) for p in pieces)
    assert whole.timing.duration_s == pytest.approx(total, abs=1e-6)
    assert " ".join(w.label for w in whole.timing.words[:3]) == "We never thought"
    assert len(whole.timing.words) == len(text.split())
    with pytest.raises(TextError, match="several minutes"):
        next(say_pieces(text, stock_voice, prosody=Prosody(duration_s=20)))


def test_takes_know_how_they_were_made(stock_voice) -> None:
    takes = say(LINE, stock_voice, takes=2, score=False, seed=3)
    assert takes[0].made["speed"] == 1.0
    assert takes[1].made["speed"] != 1.0
    assert measure_delivery(takes[1].sound).syllables_s > 0
