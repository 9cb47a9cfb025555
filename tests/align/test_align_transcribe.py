"""Sound to words: recognised, refused, and cut when long."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from align_line import Line
from hypothesis import given
from hypothesis import strategies as st

from align.anchors import divide_script
from align.recording import recording
from align.text import speakable
from align.timing import Span
from align.transcription import (
    _LONGEST_S,
    _USUAL_S,
    _listen,
    align_file,
    align_sound,
    transcribe,
)
from align.vad import pieces_at_pauses, speech_probability, speech_spans
from media.audio import Sound, write_wav
from media.errors import AlignError, NoSpeechError, TextError

RATE = 16000
TIME = np.arange(4 * RATE) / RATE


def no_speech() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    brown = np.cumsum(rng.normal(size=len(TIME)))
    notes = 220 * 2 ** (rng.integers(0, 12, 16) / 12)
    tune = np.concatenate(
        [
            sum(np.sin(2 * np.pi * f * k * TIME[:4000]) / k for k in range(1, 8)) * np.hanning(4000)
            for f in notes
        ]
    )
    return {
        "silence": np.zeros(len(TIME)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * TIME),
        "sweep": 0.3 * np.sin(2 * np.pi * (80 * TIME + 300 * TIME**2)),
        "white noise": 0.1 * rng.normal(size=len(TIME)),
        "brown noise": 0.5 * brown / np.abs(brown).max(),
        "tune": 0.1 * tune,
        "throbbing tone": 0.2 * np.sin(2 * np.pi * 150 * TIME) * (1 + np.sin(8 * np.pi * TIME)),
    }


@pytest.mark.parametrize("kind", sorted(no_speech()))
def test_sound_without_speech_is_refused(kind: str) -> None:
    sound = Sound(no_speech()[kind].astype(np.float32), RATE)
    with pytest.raises(NoSpeechError):
        align_sound(sound)


def test_a_line_is_recognised(line: Line) -> None:
    heard = transcribe(line.sound)
    said = speakable(heard.text).spoken.lower()
    common = set(said.split()) & set(line.script.spoken.lower().split())
    assert len(common) >= 0.7 * len(set(line.script.spoken.lower().split()))
    assert -1 < heard.avg_logprob < 0
    timing = align_sound(line.sound)
    assert timing.words[0].start_s == pytest.approx(line.exact.words[0].start_s, abs=0.08)
    assert timing.duration_s == pytest.approx(float(line.sound.duration_s))


def test_text_wins_over_the_recogniser(line: Line) -> None:
    timing = align_sound(line.sound, line.script.text)
    assert [w.label for w in timing.words] == [w.label for w in line.exact.words]


def test_bad_texts(line: Line) -> None:
    for empty in ("", "🎉", "Где находится вокзал?"):
        with pytest.raises(TextError, match="nothing to speak"):
            align_sound(line.sound, empty)
    with pytest.raises(AlignError, match="cannot be spoken"):
        align_sound(line.sound, line.script.text * 8)


def test_another_text_is_refused_unless_taken_at_its_word(line: Line) -> None:
    other = "Would you tell me where I can find the nearest hospital before they close tonight?"
    with pytest.raises(AlignError, match="not the text of this sound"):
        align_sound(line.sound, other)
    unchecked = align_sound(line.sound, other, check=False)
    assert len(unchecked.words) == len(other.split())


def test_words_too_many_and_too_few_are_noted_and_push_nobody_away(line: Line) -> None:
    right = align_sound(line.sound, line.script.text)
    assert not [n for n in right.notes if not n.label.startswith("uncertain")]
    text = line.script.text.replace("big boat", "big wonderful boat").replace("ships came", "came")
    found = align_sound(line.sound, text)
    notes = " ".join(n.label for n in found.notes)
    assert "not heard: 'wonderful'" in notes
    assert "not in the text: 'ships'" in notes
    assert "wonderful" not in [w.label for w in found.words]
    (ships,) = (w for w in right.words if w.label == "ships")
    known = [w for w in right.words if w is not ships]
    for word, same in zip(found.words, known, strict=True):
        assert word.label == same.label
        assert word.start_s == pytest.approx(same.start_s, abs=0.06)
    # What is said without being in the text still moves the lips.
    assert any(p.label == "SH" for p in found.phones_of(ships))


def test_a_file_is_timed_as_the_sound_in_it(line: Line, tmp_path: Path) -> None:
    write_wav(tmp_path / "line.wav", line.sound, "FLOAT")
    whole = align_sound(line.sound, line.script.text, check=False)
    assert align_file(tmp_path / "line.wav", line.script.text, check=False) == whole


@pytest.mark.slow
def test_long_sound_is_cut_and_keeps_its_words(line: Line) -> None:
    times = 6
    gap = np.zeros(line.sound.rate // 2, np.float32)
    samples = np.concatenate([np.concatenate([line.sound.samples, gap])] * times)
    long = Sound(samples, line.sound.rate)
    step = float(line.sound.duration_s) + 0.5
    assert float(long.duration_s) > 25
    timing = align_sound(long, " ".join([line.script.text] * times))
    words = len(line.exact.words)
    assert len(timing.words) == words * times
    off = [
        timing.words[r * words + i].start_s - (r * step + w.start_s)
        for r in range(times)
        for i, w in enumerate(line.exact.words)
    ]
    assert np.median(np.abs(off)) < 0.025
    assert np.max(np.abs(off)) < 0.4


def test_pieces_cover_the_sound_and_cut_in_pauses(line: Line) -> None:
    gap = np.zeros(line.sound.rate, np.float32)
    long = Sound(np.concatenate([line.sound.samples, gap] * 5), line.sound.rate)
    duration = float(long.duration_s)
    probability = speech_probability(long)
    spans = speech_spans(probability, duration)
    pieces = pieces_at_pauses(spans, duration, probability, 10.0)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == duration
    for (_, end), (start, _) in itertools.pairwise(pieces):
        assert end == start
        assert not any(a < end < b for a, b in spans)
    assert all(b - a <= 10.001 for a, b in pieces)


@given(
    st.lists(st.tuples(st.floats(0.3, 15.0), st.floats(0.25, 2.0)), min_size=1, max_size=20),
    st.sampled_from([None, 3.0, 7.0, 10.0, 12.0]),
)
def test_pieces_are_no_longer_than_allowed_and_of_usual_length_where_pauses_let_them(
    turns: list[tuple[float, float]], usual: float | None
) -> None:
    """Whatever is said and kept quiet (seconds of each, in turn)."""
    times = np.concatenate([[0.0], np.cumsum(np.array(turns).ravel())])
    spans = tuple(zip(times[:-1:2].tolist(), times[1::2].tolist(), strict=True))
    duration = float(times[-1])
    probability = np.zeros(int(duration / 0.032) + 1, np.float32)
    pieces = pieces_at_pauses(spans, duration, probability, 10.0, usual)
    assert pieces[0][0] == 0.0
    assert pieces[-1][1] == duration
    pauses = [0.5 * (b + a) for (_, b), (a, _) in itertools.pairwise(spans)]
    for (start, end), (after, _) in itertools.pairwise(pieces):
        assert end == after
        assert end - start <= 10.0 + 0.032
        most = min(usual or 10.0, 10.0)
        if any(start + 0.4 * most <= p <= start + most for p in pauses):
            assert end - start <= most
            assert end in pauses
    assert pieces[-1][1] - pieces[-1][0] <= 10.0


def test_a_text_is_followed_in_shorter_pieces_unless_the_whole_is_one(line: Line) -> None:
    gap = np.zeros(line.sound.rate // 2, np.float32)
    long = Sound(np.concatenate([line.sound.samples, gap] * 6), line.sound.rate)
    usual, longest = (_listen(recording(long), s).pieces for s in (_USUAL_S, _LONGEST_S))
    assert float(long.duration_s) > _LONGEST_S
    assert len(longest) < len(usual)
    assert max(b - a for a, b in usual) <= _USUAL_S
    one = long.cut(0.0, 19.0)
    assert len(_listen(recording(one), _USUAL_S).pieces) == 1


def heard(text: str, start: float = 0.0) -> list[Span]:
    return [Span(w, start + 0.4 * i, start + 0.4 * i + 0.3) for i, w in enumerate(text.split())]


def test_anchors_survive_misheard_missing_and_added_words() -> None:
    script = speakable("one fine day we went down to the river in 1963 and saw seven boats there")
    # Cut at 4 s, after ten heard words; "fine" misheard, "the" missing, "um" added.
    said = "one fan day we went down to river in 1963 um and saw seven boats there"
    divided = divide_script(script, heard(said), [4.0, 8.0])
    words = [script.words[i].spoken for i in range(*divided[0])]
    assert words[-3:] == ["nineteen", "sixty", "three"]
    assert divided[0][1] == divided[1][0]
    assert divided[1][1] == len(script.words)


def test_anchors_refuse_another_text() -> None:
    script = speakable("completely different words about economics and law")
    with pytest.raises(AlignError, match="can be heard"):
        divide_script(script, heard("she sells sea shells by the shore today"), [2.0, 4.0])
