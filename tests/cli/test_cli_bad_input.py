"""Whatever a user hands in, the answer is one clear line, exit code 2 and no debris."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from synthetic import synthetic_frames, synthetic_info, tone

from media.audio import Sound, read_sound, write_wav
from media.writer import FootageWriter

Refused = Callable[..., str]


@pytest.fixture
def silent_footage(tmp_path: Path) -> Path:
    """A second of pictures without a sound track and without a face."""
    path = tmp_path / "silent.mp4"
    info = synthetic_info()
    with FootageWriter(path, info) as writer:
        for frame in synthetic_frames(24, info):
            writer.write(frame)
    return path


@pytest.fixture
def tone_file(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    write_wav(path, tone(3))
    return path


@pytest.fixture
def timing_file(tmp_path: Path) -> Path:
    """A timing for three seconds of sound."""
    from align.formats import write_timing
    from align.timing import Span, Timing

    words = (Span("mama", 0.5, 1.1),)
    phones = tuple(
        Span(label, 0.5 + 0.15 * i, 0.65 + 0.15 * i)
        for i, label in enumerate(("M", "AA", "M", "AA"))
    )
    path = tmp_path / "timing.json"
    write_timing(Timing(words, phones, 3.0), path)
    return path


# --- files that are not what they should be ---------------------------------------------------


def test_missing_files(refused: Refused, consent: Callable[..., Path], tone_file: Path) -> None:
    record = consent()
    assert "none.wav' does not exist" in refused("align", "none.wav", "-o", "out.json")
    assert "none.mp4' does not exist" in refused(
        "resync", "none.mp4", tone_file, "--consent", record, "-o", "out.mp4"
    )
    assert "nothing at 'none'" in refused("fit", "none", "--consent", record, "-o", "voice")
    assert "none.mp4" in refused("verify", "none.mp4")
    assert "there is no voice in 'none'" in refused("say", "Hi.", "--voice", "none", "-o", "a.wav")


def test_a_folder_in_place_of_a_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    assert "folder.wav" in refused("align", "folder.wav", "-o", "out.json")


def test_not_media(refused: Refused, consent: Callable[..., Path], tmp_path: Path) -> None:
    record = consent()
    for name in ("text.wav", "text.mp4"):
        (tmp_path / name).write_text("To whom it may concern\n" * 100)
    assert "text.wav" in refused("align", "text.wav", "-o", "out.json")
    assert "text.mp4" in refused(
        "resync", "text.mp4", "text.wav", "--consent", record, "-o", "out.mp4"
    )


def test_footage_without_sound(refused: Refused, silent_footage: Path) -> None:
    assert "has no sound" in refused("align", silent_footage, "-o", "out.json")


def test_footage_without_any_face(
    refused: Refused,
    consent: Callable[..., Path],
    small_footage: Path,
    tone_file: Path,
    timing_file: Path,
) -> None:
    line = refused(
        *("resync", small_footage, tone_file, "--timing", timing_file),
        *("--consent", consent(), "-o", "out.mp4"),
    )
    assert "shows no face" in line


def test_sound_without_speech(
    refused: Refused, consent: Callable[..., Path], small_footage: Path, tone_file: Path
) -> None:
    assert refused("align", tone_file, "-o", "out.TextGrid")
    assert refused("resync", small_footage, tone_file, "--consent", consent(), "-o", "out.mp4")


def test_recordings_too_short(
    refused: Refused, consent: Callable[..., Path], data_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    speech = read_sound(data_dir / "speech" / "jfk" / "jfk.wav").cut(0, 5)
    write_wav(folder / "short.wav", speech)
    assert " s" in refused("fit", folder, "--consent", consent(), "-o", "voice")


def test_recordings_without_speech(
    refused: Refused, consent: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.01, 48_000).astype(np.float32)
    write_wav(folder / "noise.wav", Sound(noise, 48_000))
    assert refused("fit", folder, "--consent", consent(), "-o", "voice")


@pytest.mark.parametrize("line", ["", "   ", "…", "🎬 ?!"])
def test_a_line_with_nothing_to_speak(refused: Refused, stock_voice: str, line: str) -> None:
    assert refused("say", line, "--voice", stock_voice, "-o", "line.wav")


def test_a_delivery_that_the_voice_does_not_have(refused: Refused, stock_voice: str) -> None:
    said = refused("say", "We go.", "--voice", stock_voice, "--delivery", "warm", "-o", "a.wav")
    assert "has no delivery 'warm'; it has: none" in said


def test_unknown_voices_and_endings(refused: Refused, tmp_path: Path) -> None:
    assert "no stock voice 'nobody'" in refused(
        "say", "Hello.", "--voice", "stock:nobody", "-o", "line.wav"
    )
    assert ".wav" in refused("say", "Hello.", "--voice", "stock:nobody", "-o", "line.mp3")


# --- consent ----------------------------------------------------------------------------------


_TODAY = date.today()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"expiry": _TODAY - timedelta(days=1)}, "expired on"),
        ({"revoked": _TODAY}, "was revoked on"),
        ({"start": _TODAY + timedelta(days=1)}, "is valid from"),
        ({"uses": ("voice-say",)}, "but not"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "resync"])
def test_consent_that_does_not_cover_it(
    refused: Refused,
    consent: Callable[..., Path],
    tone_file: Path,
    command: str,
    changes: dict[str, object],
    says: str,
) -> None:
    record = consent(**changes)
    inputs = (tone_file,) if command == "fit" else (tone_file, tone_file)
    line = refused(command, *inputs, "--consent", record, "-o", "out.mp4")
    assert says in line


def test_consent_of_another_person_or_project_or_none(
    refused: Refused, consent: Callable[..., Path], tone_file: Path
) -> None:
    record = consent()
    fit = ("fit", tone_file, "-o", "voice")
    assert "not by Bob" in refused(*fit, "--consent", record, "--person", "Bob")
    assert "not 'B'" in refused(*fit, "--consent", record, "--project", "B")
    assert "--consent" in refused(*fit)
    assert "there is no consent record none.toml" in refused(*fit, "--consent", "none.toml")
    record.write_text("person = ")
    assert "is not a TOML file" in refused(*fit, "--consent", record)


def test_a_voice_speaks_only_under_its_own_persons_consent(
    refused: Refused, consent: Callable[..., Path], stock_voice: str, tmp_path: Path
) -> None:
    from dataclasses import replace

    from voice.voice import load_voice

    fitted = load_voice(stock_voice)
    # A card that calls itself stock is still somebody's voice.
    replace(fitted, name="stock:anna", person="Anna Example").save(tmp_path / "anna")
    say = ("say", "We chose to go.", "--voice", "anna", "-o", "line.wav")
    assert "--consent" in refused(*say)
    assert "given by Bob, not by Anna Example" in refused(*say, "--consent", consent(person="Bob"))
    assert "is not one of them" in refused(*say, "--consent", consent(lines=("Another.",)))
    replace(fitted, person="").save(tmp_path / "nobody")
    assert "does not say whose it is" in refused(
        "say", "We chose to go.", "--voice", "nobody", "-o", "line.wav"
    )


def test_refusals_are_in_the_ledger(
    refused: Refused, consent: Callable[..., Path], tone_file: Path, tmp_path: Path
) -> None:
    from studio.ledger import read_ledger

    line = refused("fit", tone_file, "-o", "v", "--consent", consent(), "--person", "Bob")
    (entry,) = read_ledger(tmp_path / "wildline-ledger.jsonl")
    assert entry.event == "consent.refused"
    assert entry.facts["reason"] == line


# --- places that cannot be written ------------------------------------------------------------


@pytest.mark.parametrize("out", ["file/x", "none/x", "/proc/x"])
def test_output_folder_not_writable(
    refused: Refused, consent: Callable[..., Path], tone_file: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    record = consent()
    resync = ("resync", tone_file, tone_file, "--consent", record)
    assert "cannot write" in refused(*resync, "-o", f"{out}.mp4")
    assert "cannot write" in refused("say", "Hi.", "--voice", "stock:x", "-o", f"{out}.wav")


def test_a_folder_where_the_file_should_go(
    refused: Refused, tone_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.json").mkdir()
    assert "it is a folder" in refused("align", tone_file, "-o", "folder.json")


@pytest.mark.parametrize("out", ["file", "file/voice", "/proc/voice"])
def test_voice_folder_not_writable(
    refused: Refused, consent: Callable[..., Path], tone_file: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot write" in refused("fit", tone_file, "--consent", consent(), "-o", out)


def test_an_unwritable_ledger_stops_the_work(
    refused: Refused, consent: Callable[..., Path], tone_file: Path
) -> None:
    line = refused(
        *("fit", tone_file, "--consent", consent(), "-o", "voice"),
        *("--ledger", "/proc/ledger.jsonl"),
    )
    assert "nothing is made without a record" in line


def test_disk_full_while_writing_a_record(refused: Refused) -> None:
    line = refused(
        *("consent", "new", "--person", "A", "--project", "P", "--use", "voice-say"),
        *("--description", "d", "--signed", "2026-01-01", "--start", "2026-01-01"),
        *("--expiry", "2027-01-01", "--document-sha256", "0" * 64),
        room=100,
    )
    assert "no room left" in line


@pytest.mark.slow
def test_disk_full_while_writing_a_line(refused: Refused, stock_voice: str) -> None:
    line = refused(
        *("say", "We chose to go to the moon, and then we went home.", "--voice", stock_voice),
        *("--takes", 1, "-o", "line.wav"),
        room=400_000,
    )
    assert "no room left" in line


# --- calls that are not understood --------------------------------------------------------------


def test_wrong_calls_are_one_line_too(refused: Refused) -> None:
    assert "Missing argument" in refused("say")
    assert "No such command" in refused("sing")
    assert "No such option" in refused("weights", "--all")
    assert "--person" in refused("consent", "new")
    assert "is not a use" in refused("consent", "check", "x.toml", "--use", "voice-sell")


def test_interrupting_and_unforeseen_trouble(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from studio import cli

    def raising(error: BaseException) -> Callable[..., None]:
        def app(*_: object, **__: object) -> None:
            raise error

        return app

    cases = (
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(28, "No space left on device", "x.wav"), 2, "no room left"),
        (PermissionError(13, "Permission denied", "x.wav"), 2, "permissions"),
    )
    for error, code, says in cases:
        monkeypatch.setattr(cli, "app", raising(error))
        assert cli.run([]) == code
        written = capsys.readouterr().err
        assert says in written
        assert written.count("\n") == 1
