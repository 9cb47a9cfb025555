"""Lines delivered with a slate, in a scene's sound, after an actor, and of any length."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media.audio import Sound, read_sound, write_wav
from media.bwf import read_bwf
from media.errors import MediaError
from media.time import FrameRate, Timecode
from studio import speaking
from studio._voice_commands import _timecode
from studio.speaking import Slate, say, say_long
from studio.verify import verify_file

RATE = FrameRate.parse("23.976")


@pytest.fixture(scope="module")
def voice() -> str:
    from voice.voice import stock_voices

    return f"stock:{stock_voices()[10]}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, voice: str) -> Path:
    """Somebody speaks in a noisy place of 8 kHz band."""
    from voice.takes import say as speak
    from voice.voice import load_voice

    text = "The harbour was empty when we came back. Nobody had waited."
    sound = speak(text, load_voice(voice), score=False)[0].sound
    padded = np.pad(sound.samples, (sound.rate // 2, sound.rate // 2)) * 0.5
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(padded))
    path = tmp_path_factory.mktemp("scene") / "scene.wav"
    write_wav(path, replace(sound, samples=(padded + noise).astype(np.float32)))
    return path


def test_timecodes_need_a_rate_that_has_them() -> None:
    assert _timecode("01:00:10:12@23.976") == Timecode.parse("01:00:10:12", RATE)
    assert _timecode(None) is None
    for text, words in (
        ("01:00:10:12", "needs its frame rate"),
        ("01:00:10:24@23.976", "does not exist"),
        ("one@24", "is not a timecode"),
        ("01:00:00:00@fast", "is not a frame rate"),
    ):
        with pytest.raises(MediaError, match=words):
            _timecode(text)


def test_parts_without_a_recording_to_match_are_refused(voice: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="give --match"):
        say("We went.", voice, tmp_path / "a.wav", match_only=["level"])
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.slow
def test_a_directed_line_sits_in_its_scene_with_a_slate(
    voice: str, scene: Path, tmp_path: Path
) -> None:
    slate = Slate(Timecode.parse("01:00:10:12", RATE), "12A", "3", "softer", circled=True)
    out = tmp_path / "line.wav"
    made = say(
        "We *chose* to go, [pause 0.4] and we went to the coast.",
        voice,
        out,
        takes=2,
        match=scene,
        slate=slate,
        keep_takes=True,
        project="The Long Summer",
    )
    facts = read_bwf(out)
    assert facts is not None
    assert str(facts.timecode) == "01:00:10:12"
    assert (facts.scene, facts.take, facts.note, facts.circled) == ("12A", "3", "softer", True)
    assert facts.project == "The Long Summer"
    assert facts.loudness is not None
    assert read_sound(out).start == 86_652 * 2002
    assert made.match is not None
    assert abs(made.match.level_db) < 1
    assert abs(made.match.noise_db) < 2
    assert made.take.text == "We chose to go, and we went to the coast."
    assert made.others == (tmp_path / "line.take-2.wav",)
    for path in (out, *made.others):
        assert verify_file(path).sound  # signed, marked, unchanged
        written = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert written["match"]["level_db"] == pytest.approx(0, abs=1)
        assert written["delivery"]["f0_hz"] > 60
        length = float(read_sound(path).duration_s)
        assert written["duration_s"] == pytest.approx(length, abs=1e-3)


@pytest.mark.slow
def test_a_long_text_is_one_marked_file(
    voice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "_BLOCK_S", 4)
    text = (
        "The harbour was empty when we came back, and nobody had waited for us on the quay.\n\n"
        "My grandmother worked in that factory for thirty years before it closed down, and in all "
        "that time she never once complained about the noise, the hours, or the pay. She was "
        "never late."
    )
    made = say_long(text, voice, tmp_path / "long.wav", slate=Slate(scene="4"))
    sound = read_sound(made.path)
    facts = json.loads((tmp_path / "long.json").read_text("utf-8"))
    assert facts["duration_s"] == pytest.approx(float(sound.duration_s), abs=2e-3)
    assert len(facts["words"]) == len(text.split())
    assert facts["scores"]["wer"] <= 0.1
    # The words lie where the JSON says: it is loud there and quiet between.
    last = facts["words"][-1]
    assert np.abs(sound.cut(last["start_s"], last["end_s"]).samples).max() > 0.05
    assert verify_file(made.path).sound
    found = read_bwf(made.path)
    assert found is not None
    assert found.scene == "4"


def test_pieces_keep_their_place_when_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("studio.watermark.watermark", lambda sound: sound)
    tone = np.sin(np.arange(24_000 * 7) / 20).astype(np.float32)
    takes = [SimpleNamespace(sound=Sound(tone, 24_000)) for _ in range(5)]
    monkeypatch.setattr(speaking, "replace", lambda take, **_: take)
    blocks = list(speaking._marked_in_blocks(iter(takes), []))
    assert [b.rate for b in blocks] == [48_000, 48_000]
    assert sum(map(len, blocks)) == 5 * 7 * 48_000
