"""Words of footage that are found while its face is followed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import align.engines
import align.transcription
from align.timing import Span, Timing
from lipsync.listening import listening, own_speech
from media.audio import Sound, write_wav
from media.errors import NoFaceError
from media.files import sha256_of


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Two seconds in which nobody speaks."""
    wave = 0.1 * np.sin(2 * np.pi * 440 * np.arange(88_200) / 44_100)
    write_wav(tmp_path / "tone.wav", Sound(wave.astype(np.float32), 44_100))
    return tmp_path / "tone.wav"


def test_a_failure_meanwhile_ends_the_listening(
    tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread inside a recogniser while Python ends would abort the process."""
    begun, told = threading.Event(), []

    def endless(*_: Any, progress: Any, **__: Any) -> None:
        begun.set()
        try:
            while True:
                progress(0.5)
        except BaseException as error:
            told.append(error)
            raise

    def nobody_seen() -> None:
        assert begun.wait(20)
        raise NoFaceError("nobody is seen")

    monkeypatch.setattr(align.transcription, "align_sound", endless)
    with pytest.raises(NoFaceError), listening(tone, tmp_path / "cache"):
        nobody_seen()
    assert len(told) == 1
    assert not any(t.name.startswith("listening") for t in threading.enumerate())


def test_what_nobody_foresaw_is_told_after_the_block(
    tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(align.transcription, "align_sound", broken)
    reached = []
    with pytest.raises(ZeroDivisionError), listening(tone, tmp_path / "cache"):
        reached.append(True)
    assert reached


def test_footage_without_words_is_listened_to_once(
    tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = align.transcription.align_sound

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return real(*args, **options)

    monkeypatch.setattr(align.transcription, "align_sound", counted)
    with listening(tone, tmp_path / "cache"):
        pass
    for _ in range(2):
        sound, words = own_speech(tone, sha256_of(tone), tmp_path / "cache")
        assert words is None
        assert sound is not None
        assert (sound.rate, len(sound)) == (16_000, 32_000)
    assert len(calls) == 1


def test_footage_that_cannot_be_heard_is_told_later(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF....WAVE")
    with listening(tmp_path / "broken.wav", tmp_path / "cache"):
        pass


def test_words_of_another_aligner_are_not_taken_for_this_ones(
    tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def aligned(sound: Sound, text: None, *, engine: Any, **_: Any) -> Timing:
        asked.append(engine.name)
        at = float(len(asked))
        return Timing((Span("hello", at, at + 0.5),), (Span("HH", at, at + 0.5),), 9.0)

    monkeypatch.setattr(align.transcription, "align_sound", aligned)
    sha256 = sha256_of(tone)
    starts = []
    for name in ("combined", "sphinx", "combined"):
        monkeypatch.setattr(align.engines, "get_aligner", lambda n=name: _Named(n))
        with listening(tone, tmp_path / "cache"):
            pass
        _, words = own_speech(tone, sha256, tmp_path / "cache")
        assert words is not None
        starts.append(words.words[0].start_s)
    assert asked == ["combined", "sphinx"]
    assert starts == [1, 2, 1]


@dataclass(frozen=True)
class _Named:
    """An aligner of which only the name is asked."""

    name: str
