"""The learned aligner on real sound: a synthesised line with known durations, recordings."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from align_line import Line

from align._weights import aligner_path
from align.engines.nnet import NnetAligner
from align.text import speakable
from align.timing import Timing
from media.audio import Sound, read_sound, resample
from media.errors import AlignError
from media.files import sha256_of


def difference_ms(one: Timing, other: Timing) -> np.ndarray:
    pairs = zip(one.words, other.words, strict=True)
    return np.array([1000 * (b.start_s - a.start_s) for a, b in pairs])


def test_the_shipped_weights_are_those_of_the_card() -> None:
    path = aligner_path()
    card = tomllib.loads(path.with_suffix(".toml").read_text("utf-8"))
    assert card["sha256"] == sha256_of(path)
    assert path.stat().st_size <= 4 << 20
    assert {"licence", "seed", "command", "trained_on"} <= set(card)


def test_nnet_agrees_with_the_durations(line: Line) -> None:
    found = NnetAligner().align(line.sound, line.script)
    assert [w.label for w in found.words] == [w.label for w in line.exact.words]
    off = difference_ms(line.exact, found)
    assert abs(np.median(off)) < 10
    assert np.mean(np.abs(off)) < 20
    assert found.engine == "nnet"
    assert all(w.confidence > 0.5 for w in found.words)


def test_nnet_repeats_itself(line: Line) -> None:
    aligner = NnetAligner()
    first = aligner.align(line.sound, line.script)
    aligner.align(line.sound.cut(0, 2.0), speakable("Peter put the big"))
    assert aligner.align(line.sound, line.script) == first


def test_nnet_does_not_mind_level_rate_or_ends(line: Line) -> None:
    aligner = NnetAligner()
    plain = aligner.align(line.sound, line.script)
    quiet = Sound(line.sound.samples * np.float32(0.003), line.sound.rate)
    assert np.abs(difference_ms(plain, aligner.align(quiet, line.script))).max() < 5
    narrow = aligner.align(resample(line.sound, 8000), line.script)
    assert np.median(np.abs(difference_ms(plain, narrow))) < 10
    silence = np.zeros(line.sound.rate, np.float32)
    padded = Sound(np.concatenate([silence, line.sound.samples, silence]), line.sound.rate)
    moved = aligner.align(padded, line.script).shifted(-1.0)
    assert np.median(np.abs(difference_ms(plain, moved))) < 8


def test_nnet_follows_noise(line: Line) -> None:
    power = float(np.mean(line.sound.samples**2))
    noise = np.random.default_rng(3).normal(0, np.sqrt(power / 10), len(line.sound))
    noisy = Sound(line.sound.samples + noise.astype(np.float32), line.sound.rate)
    off = np.abs(difference_ms(line.exact, NnetAligner().align(noisy, line.script)))
    assert np.median(off) < 20


def test_wrong_words_are_known_by_their_confidence(line: Line) -> None:
    script = speakable("Would you kindly measure every yellow zebra for us")
    wrong = NnetAligner().align(line.sound, script)
    right = NnetAligner().align(line.sound, line.script)
    assert len(wrong.words) == 9
    assert np.mean([w.confidence < 0.5 for w in wrong.words]) >= 0.7
    assert np.mean([w.confidence for w in right.words]) > 0.8


def test_one_wrong_word_among_right_ones(line: Line) -> None:
    words = line.script.text.split()
    words[3] = "measuring"  # for "big"
    found = NnetAligner().align(line.sound, speakable(" ".join(words)))
    doubts = [w.confidence for w in found.words]
    assert int(np.argmin(doubts)) == 3
    assert doubts[3] < 0.5


def test_too_many_words_are_refused_and_noise_is_survived(line: Line) -> None:
    aligner = NnetAligner()
    with pytest.raises(AlignError, match="cannot be spoken"):
        aligner.align(line.sound.cut(0, 0.5), line.script)
    rng = np.random.default_rng(0)
    for samples in (np.zeros(80000), rng.normal(0, 0.1, 80000), np.ones(80000)):
        found = aligner.align(Sound(samples.astype(np.float32), 16000), line.script)
        assert len(found.words) == len(line.exact.words)
        assert found.phones[-1].end_s <= found.duration_s
        assert np.mean([w.confidence < 0.5 for w in found.words]) > 0.35


def test_a_guide_leads_and_does_not_force(line: Line) -> None:
    aligner = NnetAligner()
    plain = aligner.align(line.sound, line.script)
    inside = [
        w
        for (a, b), w in zip(line.script.written_words(), plain.words, strict=True)
        for _ in range(a, b)
    ]
    right = [(w.start_s, w.end_s) for w in inside]
    led = aligner.align_near(line.sound, line.script, right)
    assert np.abs(difference_ms(plain, led)).max() < 15
    late = [(a + 1.5, b + 1.5) for a, b in right]
    misled = aligner.align_near(line.sound, line.script, late)
    assert np.median(np.abs(difference_ms(plain, misled))) < 30


@pytest.mark.slow
def test_no_recording_is_lost(data_dir: Path) -> None:
    """GRID's talker was not trained on."""
    aligner, off = NnetAligner(), []
    folder = data_dir / "archive_grid_s1"
    for path in sorted(folder.glob("*.mpg"))[:24]:
        rows = [r.split() for r in path.with_suffix(".align").read_text().splitlines()]
        known = [(int(a) / 25000, w) for a, _, w in rows if w not in ("sil", "sp")]
        script = speakable(" ".join(w for _, w in known))
        timing = aligner.align(read_sound(path, 16000), script)
        assert timing.engine == "nnet"
        off += [abs(w.start_s - k[0]) for w, k in zip(timing.words, known, strict=True)]
    assert np.median(off) < 0.025
