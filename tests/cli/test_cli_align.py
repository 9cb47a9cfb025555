"""`wildline align` through the installed command: one recording, a folder, a data set."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from synthetic import tone

from align.formats import read_timing
from align.transcription import align_file
from media.audio import Sound, write_wav

Wildline = Callable[..., subprocess.CompletedProcess[str]]
Refused = Callable[..., str]
LINE = "Peter put the big boat back by the bay."


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """`LINE` in a stock voice."""
    from align.text import speakable
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.voice import load_voice, stock_voices

    voice = load_voice(f"stock:{stock_voices()[0]}")
    return KokoroSynthesizer(threads=1).speak(speakable(LINE), voice).sound


@pytest.fixture
def speech(tmp_path: Path, spoken: Sound) -> Path:
    path = tmp_path / "line.wav"
    write_wav(path, spoken)
    return path


def test_one_recording_with_all_that_can_be_asked_for(
    wildline: Wildline, speech: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.toml").write_text('Pxtr = "P IY1 T ER0"\n')
    text = LINE.replace("Peter", "Pxtr")
    done = wildline(
        *("align", speech, "--text", text, "--format", "textgrid-short", "--lexicon", "names.toml"),
        *("--plot", "line.svg", "--curves", "line.csv", "--rate", "23.976", "-o", "out.TextGrid"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    timing = read_timing(tmp_path / "out.TextGrid")
    assert [w.label for w in timing.words] == text.rstrip(".").split()
    assert [p.label for p in timing.phones[:4]] == ["P", "IY", "T", "ER"]
    assert 'name = "words"' not in (tmp_path / "out.TextGrid").read_text()
    assert (tmp_path / "line.svg").read_text().lstrip().startswith("<?xml")
    rows = list(csv.DictReader((tmp_path / "line.csv").read_text().splitlines()))
    assert float(rows[1]["time"]) == pytest.approx(1001 / 24000, abs=1e-6)
    assert {r["oculus"] for r in rows} >= {"PP", "sil"}
    again = wildline("align", speech, "--timing", "out.TextGrid", "-o", "same.json")
    assert again.returncode == 0
    assert read_timing(tmp_path / "same.json").words == timing.words


def test_a_folder_goes_on_after_bad_files(wildline: Wildline, speech: Path, tmp_path: Path) -> None:
    folder = tmp_path / "takes"
    (folder / "day two").mkdir(parents=True)
    for name in ("untold", "unread"):
        shutil.copy(speech, folder / f"{name}.wav")
    (folder / "untold.txt").write_text(" \n")
    (folder / "unread.txt").write_bytes(b"\xff\xfe\x00")
    speech.rename(folder / "day two" / "good.wav")
    (folder / "day two" / "good.txt").write_text(LINE)
    write_wav(folder / "tone.wav", tone(2))
    (folder / "broken.wav").write_text("not a sound at all")
    soundfile.write(folder / "nan.wav", np.full(9000, np.nan, np.float32), 16000, subtype="FLOAT")
    done = wildline("align", folder, "-o", "timings", "--format", "srt")
    assert done.returncode == 1
    errors = done.stderr.strip().splitlines()
    assert len(errors) == 5
    assert all(line.startswith("error: ") for line in errors)
    bad = ("broken.wav", "nan.wav", "tone.wav", "unread.txt", "untold.txt")
    for name, line in zip(bad, errors, strict=True):
        assert name in line
    assert "1 of 6 recordings timed" in done.stdout
    assert (tmp_path / "timings" / "day two" / "good.srt").is_file()
    assert sorted(p.name for p in (tmp_path / "timings").rglob("*.*")) == ["good.srt"]


def test_a_data_set_with_its_table(wildline: Wildline, speech: Path, tmp_path: Path) -> None:
    wavs = tmp_path / "set" / "wavs"
    wavs.mkdir(parents=True)
    speech.rename(wavs / "LJ001-0001.wav")
    write_wav(wavs / "unlisted.wav", tone(1))
    table = tmp_path / "set" / "metadata.csv"
    table.write_text(f"LJ001-0001|{LINE}|{LINE}\n")
    done = wildline("align", table, "-o", "timings", "--plot", "png", "--no-check")
    assert (done.returncode, done.stderr) == (0, "")
    timing = read_timing(tmp_path / "timings" / "wavs" / "LJ001-0001.TextGrid")
    assert len(timing.words) == 9
    assert (tmp_path / "timings" / "wavs" / "LJ001-0001.png").is_file()


def test_bad_calls(refused: Refused, wildline: Wildline, speech: Path, tmp_path: Path) -> None:
    assert "no format called 'docx'" in refused("align", speech, "--format", "docx")
    assert "no aligner called 'mfa'" in refused("align", speech, "--engine", "mfa")
    assert "nothing to speak" in refused("align", speech, "--text", "Где вокзал?")
    assert "lexicon 'bad.dict'" in _with_lexicon(refused, speech, tmp_path)
    assert "picture cannot be written" in refused("align", speech, "--plot", "line.gif")
    (tmp_path / "empty").mkdir()
    assert "no recording in 'empty'" in refused("align", "empty")
    assert "put each text beside" in refused("align", "empty", "--text", "Hello.")
    (tmp_path / "torn.TextGrid").write_text('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    assert "torn.TextGrid" in refused("align", speech, "--timing", "torn.TextGrid", "-o", "x.json")


def test_a_voice_times_a_recording(
    wildline: Wildline, refused: Refused, speech: Path, tmp_path: Path
) -> None:
    from voice.voice import stock_voices

    voice = f"stock:{stock_voices()[3]}"
    options = ("--engine", "synth", "--text", LINE, "-o", "line.json")
    done = wildline("align", speech, *options, "--voice", voice)
    assert (done.returncode, done.stderr) == (0, "")
    assert "9 words" in done.stdout
    assert "(synth)" in done.stdout
    own = {w.label: w.start_s for w in align_file(speech, LINE).words}
    found = read_timing(tmp_path / "line.json").words
    assert np.median([abs(own[w.label] - w.start_s) for w in found]) < 0.05
    assert "--voice stock:NAME" in refused("align", speech, *options)
    assert "--voice goes with" in refused("align", speech, "--voice", voice)
    assert "no stock voice" in refused("align", speech, *options, "--voice", "stock:nobody")
    # A person's voice says only what their consent allows, which is not asked for here.
    assert "nobody's" in refused("align", speech, *options, "--voice", "voices/anna")


def _with_lexicon(refused: Refused, speech: Path, tmp_path: Path) -> str:
    (tmp_path / "bad.dict").write_text("Peter P 33 T\n")
    return refused("align", speech, "--lexicon", "bad.dict")


def test_text_and_sound_in_different_languages(refused: Refused, speech: Path) -> None:
    french = "Pourriez-vous me dire où se trouve la gare la plus proche, je vous prie?"
    line = refused("align", speech, "--text", french)
    assert "not the text of this sound" in line
    assert "in the language that is spoken" in line


@pytest.mark.slow
def test_wrong_words_are_noted_and_cost_the_rest_nothing(
    wildline: Wildline, data_dir: Path, tmp_path: Path
) -> None:
    name = "LJ001-0001"
    wav = data_dir / "speech" / "lj" / "wavs" / f"{name}.wav"
    rows = (data_dir / "speech" / "lj" / "metadata.csv").read_text().splitlines()
    text = next(r.split("|")[2] for r in rows if r.startswith(name))
    right = {w.label: w for w in align_file(wav, text, check=False).words}
    tampered = text.replace("the arts and crafts", "the crafts").replace(
        "most if not from", "most people if not from"
    )
    done = wildline("align", wav, "--text", tampered, "-o", "wrong.json")
    assert done.returncode == 0
    assert "arts" in done.stdout
    assert "people" in done.stdout
    wrong = {w.label: w for w in read_timing(tmp_path / "wrong.json").words}
    assert "people" not in wrong
    for label in ("Printing", "concerned", "differs", "crafts", "represented", "Exhibition"):
        match = next(k for k in right if k.startswith(label))
        assert wrong[match].start_s == pytest.approx(right[match].start_s, abs=0.03)
