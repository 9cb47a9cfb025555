"""Transcripts laid over what is heard, voices told apart, copies found, grades given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.recognise import Heard
from media.audio import Sound, resample
from media.errors import ArchiveError
from voice._sidecar import Given, Transcripts
from voice.ingest.duplicates import Performances, contour
from voice.ingest.grading import Marks, grade, unfit
from voice.ingest.settings import Settings
from voice.ingest.speakers import VoicePrint, choose_speaker
from voice.ingest.words import agreement, word_clips

TEXT = (
    "We chose to listen and the harbour gave us back its voices. "
    "My grandmother worked in that factory for thirty years. "
    "Nobody knew at the time how important that letter would become."
)
SAID = (
    "we chose to listen in the harbor gave us back its voices",
    "my grandmother work in that factory for 30 years",
    "nobody new at the time how important that letter would become",
)
SPANS = [(0.0, 4.0), (5.0, 8.0), (9.0, 13.0)]


def heard(*texts: str, sure: float = 0.8) -> list[Heard]:
    return [Heard(text, sure if text else 0.0) for text in texts]


def text_of(words: str) -> Given:
    return Given(tuple(words.split()), "a.txt")


def test_what_is_heard_counts_where_nothing_came_along() -> None:
    found = word_clips(SPANS[:1], heard(SAID[0]), None, whole=True)[0]
    assert (found.text, found.origin, found.confidence) == (SAID[0], "recognised", 0.8)
    none = word_clips(SPANS[:1], [None], None, whole=True)[0]
    assert none.reason is not None
    assert "only English" in none.reason


def test_a_transcript_is_dealt_out_to_its_clips() -> None:
    given_ = Given(tuple(TEXT.split()), "tape.txt")
    found = word_clips(SPANS, heard(*SAID), given_, whole=False)
    assert [w.text for w in found] == [f"{s}." for s in TEXT[:-1].split(". ")]
    assert all(w.origin == "given" and w.note == "from tape.txt" for w in found)
    assert all(0.75 < w.confidence <= 1 for w in found)


def test_words_of_clips_that_fell_out_go_to_nobody() -> None:
    given_ = Given(tuple(TEXT.split()), "tape.txt")
    found = word_clips([SPANS[0], SPANS[2]], heard(SAID[0], SAID[2]), given_, whole=False)
    assert [w.text.split()[0] for w in found] == ["We", "Nobody"]
    assert "grandmother" not in " ".join(w.text for w in found)


def test_subtitles_are_found_by_their_time_though_it_is_wrong_by_a_second() -> None:
    words = tuple(TEXT.split())
    times = tuple((1 + k * 13 / len(words), 1 + (k + 1) * 13 / len(words)) for k in range(33))
    found = word_clips(SPANS, heard(*SAID), Given(words, "a.srt", times[: len(words)]), whole=False)
    assert [w.text.split()[0] for w in found] == ["We", "My", "Nobody"]
    unheard = word_clips(SPANS, [None] * 3, Given(words, "a.srt", times[: len(words)]), whole=False)
    assert all(w.text and "not checked" in w.note for w in unheard)


def test_a_transcript_of_something_else_is_noticed() -> None:
    other = text_of("Printing in the only sense with which we are concerned")
    sure = word_clips(SPANS[:1], heard(SAID[0]), other, whole=True)[0]
    assert sure.text == SAID[0]
    assert sure.origin == "recognised"
    assert "does not fit the sound (a.txt)" in sure.note
    unsure = word_clips(SPANS[:1], heard(SAID[0], sure=0.45), other, whole=True)[0]
    assert unsure.reason == "the transcript beside it does not fit the sound"


def test_a_transcript_half_understood_is_kept_only_where_the_ear_is_unsure() -> None:
    given_ = text_of("we chose to listen and the harbour was gone at noon")
    unsure = word_clips(SPANS[:1], heard(SAID[0], sure=0.5), given_, whole=True)[0]
    assert unsure.origin == "given"
    assert "% of it can be heard" in unsure.note


def test_figures_are_compared_as_spoken() -> None:
    assert agreement("It cost $16 in 1963.", "it cost sixteen dollars in nineteen sixty three") == 1
    assert agreement("", "a") == 0


def _unheard(words: list[str], rng: np.random.Generator) -> list[str]:
    """`words` without a tenth of them: of a line that lost more by chance, less may be believed."""
    lost = set(rng.choice(len(words), round(0.1 * len(words)), replace=False).tolist())
    return [word for k, word in enumerate(words) if k not in lost]


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_long_transcripts_are_dealt_in_order(clips: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank = [f"w{k}" for k in range(400)]
    texts = [" ".join(rng.choice(bank, rng.integers(5, 30))) for _ in range(clips)]
    said = [" ".join(_unheard(t.split(), rng)) for t in texts]
    spans = [(10.0 * k, 10.0 * k + 8) for k in range(clips)]
    whole = Given(tuple(" ".join(texts).split()), "a.txt")
    found = word_clips(spans, heard(*said), whole, whole=False)
    alike = [agreement(w.text, t) for w, t in zip(found, texts, strict=True)]
    assert np.mean(alike) > 0.85


def test_subtitles_lose_their_stage_directions(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(
        "1\n00:00:01,000 --> 00:00:03,000\n[door slams] ANNA: We chose to go.\n\n"
        "2\n00:00:04,000 --> 00:00:06,000\n♪ old song ♪\nAnd we went. (laughter)\n",
        encoding="utf-8",
    )
    found = Transcripts().given(tmp_path / "a.wav")
    assert found is not None
    assert found.text == "We chose to go. And we went."
    assert found.times is not None
    assert found.times[0][0] > 1.0
    assert Transcripts().of(tmp_path / "a.wav") is None
    (tmp_path / "b.srt").write_bytes(b"\xff\x00nothing")
    assert Transcripts().given(tmp_path / "b.wav") is None


# -- voices ----------------------------------------------------------------------------------


def prints(sizes: tuple[int, ...], spread: float = 0.6, seed: int = 1) -> list[VoicePrint]:
    """So many clips of each of several voices, as far apart as people are."""
    rng = np.random.default_rng(seed)
    found = []
    for count in sizes:
        centre = rng.standard_normal(512)
        for _ in range(count):
            whole = centre + spread * rng.standard_normal(512)
            pieces = np.tile(centre[:256], (6, 1)) + spread * rng.standard_normal((6, 256))
            pieces /= np.linalg.norm(pieces, axis=1, keepdims=True)
            found.append(VoicePrint(unit(whole), unit(whole), pieces.astype(np.float32), False))
    return found


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_whoever_speaks_longest_is_chosen_and_not_whoever_speaks_most_often() -> None:
    known = prints((5, 3))
    choice = choose_speaker(known, [2.0] * 5 + [9.0] * 3)
    assert choice.cluster.tolist() == [1] * 5 + [0] * 3
    assert choice.wanted == 0
    assert choice.seconds == (27.0, 10.0)
    assert choice.likeness[5:].min() > choice.least > choice.likeness[:5].max()
    assert not choice.mixed.any()


def test_a_reference_chooses() -> None:
    known = prints((5, 3))
    choice = choose_speaker(known, [5.0] * 8, known[6])
    assert choice.wanted == 1
    assert choice.cluster[6] == 1
    stranger = prints((1,), seed=9)[0]
    with pytest.raises(ArchiveError, match=r"sounds like 'anna.wav' \(the nearest of 2"):
        choose_speaker(known, [5.0] * 8, stranger, reference_name="anna.wav")


def test_a_clip_that_changes_hands_is_mixed() -> None:
    known = prints((6, 6))
    half = np.concatenate([known[0].pieces[:3], known[7].pieces[:3]])
    known.append(VoicePrint(known[0].whole, known[0].narrow, half, False))
    choice = choose_speaker(known, [5.0] * 7 + [3.0] * 6)
    assert choice.mixed.tolist() == [False] * 12 + [True]


def test_one_clip_is_one_voice() -> None:
    assert choose_speaker(prints((1,)), [3.0]).cluster.tolist() == [0]


# -- copies ----------------------------------------------------------------------------------


def test_copies_are_found_across_rates_levels_and_cuts(box_lines: list[Sound]) -> None:
    seen = Performances()
    one, two = box_lines[:2]
    assert seen.meet("one", contour(one), "the committee will meet again") is None
    assert seen.meet("two", contour(two), "my grandmother worked in that factory") is None
    low = resample(Sound(0.3 * one.samples, one.rate), 8_000)
    assert seen.meet("x", contour(low), "the committee will meet again") == "one"
    late = Sound(one.samples[6_000:], one.rate)
    assert seen.meet("x", contour(late), "The committee will meet again!") == "one"
    slow = resample(Sound(one.samples, 22_000), 24_000)  # another take
    assert seen.meet("take", contour(slow), "the committee will meet again") is None


# -- grades ----------------------------------------------------------------------------------


def marks(**changes: object) -> Marks:
    values: dict[str, object] = {
        "text": "twelve words of speech that fit three seconds",
        "duration_s": 3.0,
        "confidence": 0.9,
        "snr_db": 40.0,
        "clipped": 0.0,
        "bandwidth_hz": 10_000.0,
        "direct_db": 20.0,
    }
    return Marks(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "letter", "reason"),
    [
        ({}, "A", ""),
        ({"bandwidth_hz": None, "direct_db": None}, "A", ""),
        ({"snr_db": 20.0}, "B", "20 dB above the noise"),
        ({"bandwidth_hz": 3400.0}, "C", "nothing above 3.4 kHz"),
        ({"direct_db": -6.0}, "D", "a reverberant room"),
        ({"clipped": 5e-4}, "C", "clipped (0.05%)"),
        ({"confidence": 0.45, "snr_db": 20.0}, "D", "words sure to 0.45 only"),
    ],
)
def test_a_clip_is_as_good_as_what_is_wrong_with_it(
    changes: dict[str, object], letter: str, reason: str
) -> None:
    found, reasons = grade(marks(**changes))
    assert found == letter
    assert reasons == ((reason,) if reason else ())


def test_what_cannot_be_used_says_why() -> None:
    assert unfit(marks()) is None
    assert unfit(marks(text="")) == "no words recognised"
    assert unfit(marks(clipped=0.01, confidence=0.1)) == "clipped"
    assert "above the noise" in str(unfit(marks(snr_db=2.0)))
    assert "not clear" in str(unfit(marks(confidence=0.1)))
    assert "length" in str(unfit(marks(text="Hi.")))


def test_another_language_is_told_by_the_whole_recording() -> None:
    from voice.ingest.facts import ClipFacts
    from voice.ingest.work import _another_language

    unclear = "the words are not clear (mumbled, noisy, or another language than English)"
    clips = [
        ClipFacts(k, k + 1, origin="recognised", snr_db=30.0, reason=unclear if k else "")
        for k in range(4)
    ]
    found = [c.reason for c in _another_language(clips, Settings())]
    assert found[0] == ""
    assert all(reason.startswith("another language than English") for reason in found[1:])
    noisy = [replace(c, snr_db=8.0) for c in clips]
    assert [c.reason for c in _another_language(noisy, Settings())][1] == unclear
    assert [c.reason for c in _another_language(clips, Settings(language="fr"))][1] == unclear
