"""Alignment by comparison with a synthesis, and what is made of two opinions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from align_line import Line

from align.engines.combined import CombinedAligner
from align.engines.synth import SynthAligner, laid_on
from align.formats import read_timing
from align.spread import spread
from align.text import Script
from align.timing import Span, Timing
from align.transcription import align_file
from media.audio import Sound
from media.errors import AlignError


def slower(line: Line, factor: float) -> tuple[Sound, Timing]:
    """The line played slower, with a little noise: another performance, known times."""
    count = int(len(line.sound) * factor)
    samples = np.interp(np.arange(count) / factor, np.arange(len(line.sound)), line.sound.samples)
    noise = np.random.default_rng(0).normal(0, 0.002, count)

    def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple(replace(s, start_s=s.start_s * factor, end_s=s.end_s * factor) for s in spans)

    exact = line.exact
    timing = replace(
        exact,
        words=moved(exact.words),
        phones=moved(exact.phones),
        duration_s=count / line.sound.rate,
    )
    return Sound((samples + noise).astype(np.float32), line.sound.rate), timing


def starts(timing: Timing) -> np.ndarray:
    return np.array([w.start_s for w in timing.words])


def test_a_known_performance_times_another(line: Line) -> None:
    sound, exact = slower(line, 1.12)
    found = SynthAligner(lambda script: (line.sound, line.exact)).align(sound, line.script)
    assert [w.label for w in found.words] == [w.label for w in exact.words]
    assert [p.label for p in found.phones] == [p.label for p in exact.phones]
    off = 1000 * np.abs(starts(found) - starts(exact))
    assert np.median(off) < 12
    assert np.mean(off) < 25
    assert found.engine == "synth"
    assert np.mean([w.confidence for w in found.words]) > 0.45


def test_a_voice_times_a_real_recording(data_dir: Path) -> None:
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.voice import load_voice, stock_voices

    voice, engine = load_voice(f"stock:{stock_voices()[0]}"), KokoroSynthesizer(threads=1)

    def speak(script: Script) -> tuple[Sound, Timing]:
        said = engine.speak(script, voice)
        return said.sound, said.timing

    folder = data_dir / "speech" / "praatio"
    known = read_timing(folder / "mary.TextGrid")
    text = " ".join(w.label for w in known.words)
    found = align_file(folder / "mary.wav", text, engine=SynthAligner(speak))
    assert [w.label for w in found.words] == [w.label for w in known.words]
    assert found.engine == "synth"
    off = np.abs(starts(found) - starts(known))
    assert np.max(off) < 0.12
    assert np.mean(off) < 0.06


def test_other_words_are_not_believed(line: Line) -> None:
    reversed_sound = Sound(line.sound.samples[::-1].copy(), line.sound.rate)
    right = laid_on(slower(line, 1.1)[0], line.sound, line.exact)
    wrong = laid_on(reversed_sound, line.sound, line.exact)
    assert len(wrong.words) == len(line.exact.words)

    def sure(timing: Timing) -> float:
        return float(np.mean([w.confidence for w in timing.words]))

    assert sure(wrong) < 0.6 * sure(right)


def test_silence_and_short_sounds_still_answer(line: Line) -> None:
    for sound in (Sound(np.zeros(64000, np.float32), 16000), line.sound.cut(0, 3.0)):
        found = laid_on(sound, line.sound, line.exact)
        assert len(found.phones) == len(line.exact.phones)
        assert found.phones[-1].end_s <= found.duration_s + 1e-9
    aligner = SynthAligner(lambda script: (line.sound, line.exact))
    with pytest.raises(AlignError, match="cannot be spoken"):
        aligner.align(line.sound.cut(0, 0.4), line.script)


class Fixed:
    """An engine that always answers the same, and remembers the guide it was given."""

    name = "fixed"

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.guide: object = "nothing"
        self.other: object = "nothing"

    def align(self, sound: Sound, script: Script) -> Timing:
        return self.timing

    def align_near(
        self, sound: Sound, script: Script, guide: object, other: Timing | None = None
    ) -> Timing:
        self.guide, self.other = guide, other
        return self.timing


def combined_of(first: Timing, guide: Timing, line: Line) -> tuple[Timing, Fixed]:
    leader = Fixed(first)
    aligner = CombinedAligner(leader, Fixed(guide))  # type: ignore[arg-type]
    return aligner.align(line.sound, line.script), leader


def test_the_guide_tells_every_spoken_word_where_to_look(line: Line) -> None:
    guide = replace(line.exact, engine="two")
    found, leader = combined_of(replace(line.exact, engine="one"), guide, line)
    assert found.engine == "one+two"
    assert leader.other == guide
    windows = leader.guide
    assert isinstance(windows, list)
    assert len(windows) == len(line.script.words)
    runs = zip(line.script.written_words(), line.exact.words, strict=True)
    for (first, last), word in runs:
        assert set(windows[first:last]) == {(word.start_s, word.end_s)}


def test_what_one_loses_the_other_keeps(line: Line) -> None:
    lost, kept = spread(line.sound, line.script), replace(line.exact, engine="two")
    assert combined_of(lost, kept, line)[0] == kept
    found, leader = combined_of(kept, lost, line)
    assert found == kept
    assert leader.guide is None
    assert leader.other is None
