"""The engines on real sound: a synthesised line with known durations, and recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from align_line import Line

from align.engines import get_aligner
from align.engines.exact import LEAD_S, timing_from_durations
from align.engines.sphinx import SphinxAligner
from align.refine import refine_edges
from align.spread import CONFIDENCE, spread
from align.text import speakable
from align.timing import Timing
from media.audio import Sound, read_sound
from media.errors import AlignError, EngineMissingError


def level_db(sound: Sound, start: float, end: float) -> float:
    part = sound.cut(start, end).samples.astype(np.float64)
    return float(10 * np.log10(np.mean(part**2) + 1e-12))


def test_exact_sums_durations_by_hand() -> None:
    script = speakable("hi, Tom")  # hˈI, tˈɑm
    assert script.kokoro == "hˈI, tˈɑm"
    frames = [10, 4, 1, 5, 8, 2, 3, 1, 6, 4, 12]
    timing = timing_from_durations(script, frames)
    # h | ˈI | pause | space+t | ˈɑ | m, each edge earlier by the lead of the sound.
    edges = np.array([10, 14, 20, 28, 33, 40, 44]) * 0.025 - LEAD_S
    assert [p.label for p in timing.phones] == ["HH", "AY", "T", "AA", "M"]
    starts = [p.start_s for p in timing.phones]
    assert starts == pytest.approx([edges[0], edges[1], edges[3], edges[4], edges[5]])
    assert timing.phones[1].end_s == pytest.approx(edges[2])
    assert timing.phones[-1].end_s == pytest.approx(edges[6])
    assert timing.duration_s == pytest.approx(56 * 0.025)
    assert timing.engine == "exact"


def test_exact_gives_a_written_year_one_span() -> None:
    script = speakable("in 1963 we")
    timing = timing_from_durations(script, [8] + [2] * len(script.kokoro) + [8])
    assert [w.label for w in timing.words] == ["in", "1963", "we"]


def test_exact_refuses_the_wrong_number() -> None:
    with pytest.raises(AlignError, match="durations"):
        timing_from_durations(speakable("hi"), [1, 2])


def test_exact_pauses_are_silent_and_words_are_not(line: Line) -> None:
    pauses = list(line.exact.silences(0.15))
    assert len(pauses) >= 2
    for gap in pauses:
        assert level_db(line.sound, gap.start_s + 0.02, gap.end_s - 0.06) < -45
    for word in line.exact.words:
        assert level_db(line.sound, word.start_s, word.end_s) > -40


def paused_at_a_space(text: str, quiet_s: float) -> tuple[Timing, Timing, float]:
    """A tone that stops for `quiet_s` at the first space of `text`, timed by durations that
    give the pause to a long space: with the sound, without it, and when the tone stops.
    """
    script = speakable(text)
    space = script.kokoro.index(" ")
    frames = [8] + [4] * len(script.kokoro) + [8]
    frames[space + 1] = round(quiet_s / 0.025)
    stops = (8 + 4 * space) * 0.025 - LEAD_S
    at = np.arange(round(sum(frames) * 0.025 * 16_000)) / 16_000
    quiet = (at >= stops) & (at < stops + quiet_s)
    quiet |= (at < 8 * 0.025 - LEAD_S) | (at >= at[-1] - 8 * 0.025 - LEAD_S)
    tone = np.where(quiet, 0.0, 0.3 * np.sin(2 * np.pi * 600 * at)).astype(np.float32)
    sound = Sound(
        tone + np.random.default_rng(0).normal(0, 1e-4, len(at)).astype(np.float32), 16_000
    )
    with_sound = timing_from_durations(script, frames, sound=sound)
    return with_sound, timing_from_durations(script, frames), stops


@pytest.mark.parametrize(
    ("text", "closure"), [("tell me", 0.0), ("tell two", 0.05), ("keep Paul", 0.05)]
)
@pytest.mark.parametrize("quiet", [0.2, 0.5])
def test_exact_hears_a_pause_that_nothing_writes(text: str, closure: float, quiet: float) -> None:
    found, blind, stops = paused_at_a_space(text, quiet)
    assert blind.words[0].end_s == blind.words[1].start_s
    assert found.words[0].end_s == pytest.approx(stops, abs=0.012)
    assert found.words[1].start_s == pytest.approx(stops + quiet - closure, abs=0.012)
    assert [p.label for p in found.phones] == [p.label for p in blind.phones]


@pytest.mark.parametrize(("text", "quiet"), [("tell two", 0.1), ("keep Paul", 0.14)])
def test_exact_takes_no_closure_for_a_pause(text: str, quiet: float) -> None:
    """Nor two in a row, which slow speech draws out."""
    found, _, _ = paused_at_a_space(text, quiet)
    assert found.words[0].end_s == found.words[1].start_s


def test_exact_does_not_take_the_end_of_a_phrase_for_a_pause_before_its_last_word() -> None:
    """The last phone is given the silence that follows: "eye" was put behind all of it."""
    script = speakable("left eye")
    frames = [8] + [4] * len(script.kokoro) + [8]
    frames[-2] = 24
    at = np.arange(round(sum(frames) * 0.025 * 16_000)) / 16_000
    begins, ends = 8 * 0.025 - LEAD_S, (sum(frames[:-2]) + 4) * 0.025 - LEAD_S
    tone = np.where((at >= begins) & (at < ends), 0.3 * np.sin(3770 * at), 0.0)
    timing = timing_from_durations(script, frames, sound=Sound(tone.astype("f4"), 16_000))
    assert timing.words[0].end_s == timing.words[1].start_s
    assert timing.words[1].start_s < ends - 0.05
    assert timing.words[1].end_s == pytest.approx(ends, abs=0.012)


def test_a_word_of_one_phone_in_the_middle_of_quiet_stays_in_order() -> None:
    """Both of its junctures see the same pause."""
    script = speakable("see a man")
    frames = [8] + [4] * len(script.kokoro) + [8]
    frames[script.kokoro.index(" ") + 2] = 12
    at = np.arange(round(sum(frames) * 0.025 * 16_000)) / 16_000
    for start in np.arange(0.2, 1.0, 0.05):
        tone = np.where((at > start) & (at < start + 0.25), 0.0, np.sin(3770 * at))
        timing = timing_from_durations(script, frames, sound=Sound(0.3 * tone.astype("f4"), 16_000))
        edges = [e for p in timing.phones for e in (p.start_s, p.end_s)]
        assert edges == sorted(edges)
        assert all(p.duration_s > 0 for p in timing.phones)


def difference_ms(one: Timing, other: Timing) -> np.ndarray:
    pairs = zip(one.words, other.words, strict=True)
    return np.array([1000 * (b.start_s - a.start_s) for a, b in pairs])


def test_sphinx_agrees_with_the_durations(line: Line) -> None:
    found = SphinxAligner().align(line.sound, line.script)
    assert [w.label for w in found.words] == [w.label for w in line.exact.words]
    off = difference_ms(line.exact, found)
    assert abs(np.median(off)) < 12
    assert np.mean(np.abs(off)) < 35
    assert found.engine == "sphinx"
    assert all(0 < p.confidence < 1 for p in found.phones)


def test_sphinx_repeats_itself_whatever_came_before(line: Line) -> None:
    aligner = SphinxAligner()
    first = aligner.align(line.sound, line.script)
    aligner.align(line.sound.cut(0, 2.0), speakable("Peter put the big"))
    assert aligner.align(line.sound, line.script) == first


def test_sphinx_does_not_mind_level_rate_or_ends(line: Line) -> None:
    aligner = SphinxAligner()
    plain = aligner.align(line.sound, line.script)
    quiet = Sound(line.sound.samples * np.float32(0.003), line.sound.rate)
    assert np.abs(difference_ms(plain, aligner.align(quiet, line.script))).max() < 30
    silence = np.zeros(line.sound.rate, np.float32)
    padded = Sound(np.concatenate([silence, line.sound.samples, silence]), line.sound.rate)
    moved = aligner.align(padded, line.script).shifted(-1.0)
    assert np.median(np.abs(difference_ms(plain, moved))) < 15


def test_sphinx_follows_noise(line: Line) -> None:
    power = float(np.mean(line.sound.samples**2))
    noise = np.random.default_rng(3).normal(0, np.sqrt(power / 10), len(line.sound))
    noisy = Sound(line.sound.samples + noise.astype(np.float32), line.sound.rate)
    off = np.abs(difference_ms(line.exact, SphinxAligner().align(noisy, line.script)))
    assert np.median(off) < 40


def test_wrong_words_are_aligned_with_little_confidence(line: Line) -> None:
    right = SphinxAligner().align(line.sound, line.script)
    script = speakable("Would you kindly measure every yellow zebra for us")
    wrong = SphinxAligner().align(line.sound, script)
    assert len(wrong.words) == 9

    def sure(timing: Timing) -> float:
        return float(np.mean([p.confidence for p in timing.phones]))

    assert sure(wrong) < 0.6 * sure(right)


def test_too_many_words_are_refused(line: Line) -> None:
    with pytest.raises(AlignError, match="cannot be spoken"):
        SphinxAligner().align(line.sound.cut(0, 0.5), line.script)


def test_spread_always_answers(line: Line) -> None:
    for sound in (line.sound, Sound(np.zeros(9000, np.float32), 16000), line.sound.cut(0, 0.01)):
        timing = spread(sound, line.script)
        assert len(timing.phones) == len(line.script.phones)
        assert timing.phones[-1].end_s <= timing.duration_s + 1e-9
        assert all(p.confidence <= CONFIDENCE for p in timing.phones)


def test_refinement_finds_a_step_in_the_spectrum() -> None:
    rate, at = 16000, 0.5137
    time = np.arange(rate) / rate
    noise = np.random.default_rng(0).normal(0, 0.1, rate)
    sound = Sound(np.where(time < at, 0.3 * np.sin(2 * np.pi * 220 * time), noise), rate)
    for guess in (at - 0.015, at + 0.015):
        (found,) = refine_edges(sound, [guess], spread_s=0.015, reach_s=0.03)
        assert found == pytest.approx(at, abs=0.005)


def test_engines_by_name() -> None:
    assert get_aligner("sphinx").name == "sphinx"
    with pytest.raises(EngineMissingError, match="sphinx"):
        get_aligner("mfa")


@pytest.mark.slow
def test_no_recording_is_lost(data_dir: Path) -> None:
    """Clips that the decoder's own lattice search refuses are among these."""
    aligner, off = SphinxAligner(), []
    folder = data_dir / "archive_grid_s1"
    for path in sorted(folder.glob("*.mpg"))[:24]:
        rows = [r.split() for r in path.with_suffix(".align").read_text().splitlines()]
        known = [(int(a) / 25000, w) for a, _, w in rows if w not in ("sil", "sp")]
        script = speakable(" ".join(w for _, w in known))
        timing = aligner.align(read_sound(path, 16000), script)
        assert timing.engine == "sphinx"
        off += [abs(w.start_s - k[0]) for w, k in zip(timing.words, known, strict=True)]
    assert np.median(off) < 0.025
