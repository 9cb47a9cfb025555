"""A small box of tapes becomes a dataset: chosen, written down, kept, read again."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.audio import Sound, read_sound, resample, write_wav
from media.errors import ArchiveError, MediaError, OutputError
from media.files import sha256_of
from voice.archive import CLIP_RATE, read_archive
from voice.ingest import Settings, is_dataset, make_dataset, read_dataset
from voice.ingest import build as building
from voice.ingest import work as working
from voice.ingest.repair import Plan

RATE = 24_000
BOX_LINES = (
    "This is reel one, recorded at the old customs house.",
    "My name is Mara Voss, and I have been asked to describe the north shore as I found it.",
    "There were eleven houses, a chapel without a roof, and a path that the tide covered twice a "
    "day.",
)


def quiet(seconds: float, level: float = 1e-4) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (level * rng.standard_normal(int(seconds * RATE))).astype(np.float32)


def tape(lines: list[Sound], level: float = 1e-4) -> np.ndarray:
    parts = [quiet(1.0)]
    for line in lines:
        parts += [line.samples, quiet(1.2)]
    joined = np.concatenate(parts)
    return joined + quiet(len(joined) / RATE + 1, level)[: len(joined)]


def organ(seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * f * k * time) / k for f in (220, 277, 330) for k in (1, 2, 3))
    return (0.04 * chord).astype(np.float32)


@pytest.fixture(scope="module")
def box(
    tmp_path_factory: pytest.TempPathFactory, box_lines: list[Sound], other_lines: list[Sound]
) -> Path:
    """Two speakers, hum, a copy at 8 kHz, a wrong transcript, music, a clipped reel, a bad file."""
    folder = tmp_path_factory.mktemp("box")
    reel = tape([box_lines[0], box_lines[1], other_lines[0]])
    write_wav(folder / "reel one.wav", Sound(reel, RATE), "PCM_24")
    (folder / "reel one.txt").write_text(f"{BOX_LINES[0]} {BOX_LINES[1]}", "utf-8")

    hum = 0.02 * np.sin(2 * np.pi * 50 * np.arange(60 * RATE) / RATE)
    hum += 0.01 * np.sin(2 * np.pi * 150 * np.arange(60 * RATE) / RATE)
    third = tape([box_lines[2]])
    dead = quiet(len(third) / RATE + 1, 1e-5)[: len(third)]
    pair = np.stack([third + hum[: len(third)].astype(np.float32), dead], 1)
    soundfile.write(folder / "reel two.flac", pair, RATE)
    (folder / "reel two.txt").write_text(
        "Something else altogether was written on this box", "utf-8"
    )

    copy = resample(Sound(0.5 * tape([box_lines[0]]), RATE), 8_000)
    write_wav(folder / "telephone.wav", copy, "PCM_16")
    write_wav(folder / "organ.wav", Sound(organ(6), RATE), "PCM_16")
    loud = np.clip(30 * tape([box_lines[1]]), -0.9, 0.9)
    write_wav(folder / "hot.wav", Sound(loud, RATE), "PCM_16")
    (folder / "broken.wav").write_bytes(b"RIFF" + bytes(60))
    shutil.copy(folder / "organ.wav", folder / "organ again.wav")
    return folder


@pytest.fixture(scope="module")
def made(box: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "anna"
    made = make_dataset([box], out, Settings(licence="family", consent_id="c-1", name="Anna"))
    assert made.folder == out
    return out


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def dropped(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with (folder / "dropped.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["source"], []).append(row["reason"])
    return found


def test_the_wanted_clips_are_there_with_their_words(made: Path, box: Path) -> None:
    rows = manifest(made)
    assert [(r["id"], r["source"]) for r in rows] == [
        ("reel-one_0001", "reel one.wav"),
        ("reel-one_0002", "reel one.wav"),
        ("reel-two_0001", "reel two.flac"),
    ]
    assert [r["text"] for r in rows[:2]] == list(BOX_LINES[:2])
    assert [r["transcript"] for r in rows] == ["given", "given", "recognised"]
    assert "does not fit the sound (reel two.txt)" in rows[2]["note"]
    assert re.search(r"There were (11|eleven) houses, a chapel", rows[2]["text"])
    assert "There were eleven houses, a chapel" in rows[2]["spoken"]
    assert {r["licence"] for r in rows} == {"family"}
    assert rows[0]["source_sha256"] == sha256_of(box / "reel one.wav")
    assert all(r["grade"] in "ABC" and float(r["likeness"]) > 0.62 for r in rows)
    assert float(rows[0]["agreement"]) > 0.8
    assert float(rows[2]["agreement"]) < 0.35
    assert float(rows[0]["in_s"]) == pytest.approx(1.0, abs=0.3)


def test_everything_else_fell_out_with_its_reason(made: Path) -> None:
    reasons = dropped(made)
    assert reasons["reel one.wav"][0].startswith("another speaker")
    assert reasons["telephone.wav"][0].startswith("the same recording twice: also reel one.wav")
    assert reasons["organ again.wav"] == ["music or tones only: nobody speaks in it"]
    assert reasons["organ.wav"] == ["the same file twice: also organ again.wav"]
    assert reasons["hot.wav"] == ["clipped beyond repair"]
    assert reasons["broken.wav"][0].startswith("unreadable")


def test_what_was_mended_is_kept_untouched_beside_it(made: Path) -> None:
    rows = {r["id"]: r for r in manifest(made)}
    assert "dehum" in rows["reel-two_0001"]["repairs"]
    assert rows["reel-one_0001"]["repairs"] == ""
    assert [p.name for p in (made / "originals").iterdir()] == ["reel-two_0001.wav"]
    mended = read_sound(made / "wavs" / "reel-two_0001.wav")
    before = read_sound(made / "originals" / "reel-two_0001.wav")
    assert len(mended) == len(before)

    def at_50_hz(sound: Sound) -> float:
        time = np.arange(len(sound)) / sound.rate
        return float(abs(np.mean(sound.samples * np.exp(-2j * np.pi * 50 * time))))

    assert at_50_hz(mended) < 0.1 * at_50_hz(before)
    card = (made / "dataset.toml").read_text("utf-8")
    assert "the right channel is dead" in card
    assert 'consent_id = "c-1"' in card


def test_coqui_reads_it_unchanged(made: Path) -> None:
    from TTS.tts.datasets.formatters import ljspeech

    items = ljspeech(str(made), "metadata.csv")
    assert len(items) == 3
    for item in items:
        sound = read_sound(Path(item["audio_file"]))
        assert sound.rate == RATE
        assert 2 <= float(sound.duration_s) <= 12.3
    assert items[1]["text"].strip().startswith("My name is Mara")
    table = [line.split("|") for line in (made / "metadata.csv").read_text("utf-8").splitlines()]
    assert table == [[r["id"], r["text"], r["spoken"]] for r in manifest(made)]
    assert [item["text"].rstrip("\n") for item in items] == [spoken for _, _, spoken in table]


def test_what_is_trained_on_is_written_as_it_is_spoken() -> None:
    text = "There were 11 houses, Dr. Voss, on the 3rd of May!"
    spoken = "There were eleven houses, doctor Voss, on the third of May!"
    assert building._spoken(text, "en") == spoken
    assert building._spoken(text, "de") == text


def test_no_threads_below_the_lanes_and_as_many_as_before_afterwards() -> None:
    import torch
    from threadpoolctl import threadpool_info

    def work() -> None:
        with working._one_thread_each():
            assert torch.get_num_threads() == 1
            assert {p["num_threads"] for p in threadpool_info()} == {1}
            with working._Lane(Plan()) as lane:  # torch counts for each thread by itself
                assert lane._thread.submit(torch.get_num_threads).result() == 1
            raise MediaError("the recording went away")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    pools = [p["num_threads"] for p in threadpool_info()]
    try:
        with pytest.raises(MediaError):
            work()
        assert torch.get_num_threads() == 2
        assert [p["num_threads"] for p in threadpool_info()] == pools
    finally:
        torch.set_num_threads(before)


def test_what_was_kept_by_an_older_way_of_working_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = working.key_of("0" * 64, Settings(), None)
    assert now == working.key_of("0" * 64, Settings(licence="none", name="Anna"), None)
    for older in range(working._VERSION):
        monkeypatch.setattr(working, "_VERSION", older)
        assert working.key_of("0" * 64, Settings(), None) != now


def test_the_page_is_whole_in_itself(made: Path) -> None:
    page = (made / "report.html").read_text("utf-8")
    assert page.count("<svg") == 9
    assert "Anna" in page
    assert not re.search(r"(src|href)=\"(?!#)", page.replace('xlink:href="#', '"'))
    assert "the right channel is dead" in page
    assert "clipped beyond repair" in page


def test_a_second_run_works_nothing_twice(
    made: Path, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (made / "report.html").read_bytes()
    wav = (made / "wavs" / "reel-one_0001.wav").read_bytes()
    worked: list[str] = []
    real = working.ingest
    monkeypatch.setattr(
        "voice.ingest.build.ingest", lambda path, *a: worked.append(path.name) or real(path, *a)
    )
    make_dataset([box], made, Settings(licence="family", consent_id="c-1", name="Anna"))
    assert worked == ["broken.wav"]
    assert (made / "report.html").read_bytes() == page
    assert (made / "wavs" / "reel-one_0001.wav").read_bytes() == wav


def test_a_crash_loses_the_recording_in_hand_alone(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "box"
    small.mkdir()
    for name in ("organ.wav", "reel two.flac"):
        shutil.copy(box / name, small)
    real = working.ingest

    def crashing(path: Path, *rest: object) -> object:
        if path.name == "reel two.flac":
            raise KeyboardInterrupt
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("voice.ingest.build.ingest", crashing)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        make_dataset(small, out)
    assert not is_dataset(out)
    worked: list[str] = []
    monkeypatch.setattr(
        "voice.ingest.build.ingest", lambda path, *a: worked.append(path.name) or real(path, *a)
    )
    made = make_dataset(small, out)
    assert worked == ["reel two.flac"]
    assert [row.source for row in made.rows] == ["reel two.flac"]
    assert not [p for p in (out / ".ingest").iterdir() if p.name.startswith(".")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a finished recording without any speech."""
    place = tmp_path_factory.mktemp("kept")
    write_wav(place / "organ.wav", Sound(organ(3), RATE), "PCM_16")
    folder = place / ("0" * 24)
    working.ingest(place / "organ.wav", "organ.wav", folder, Settings(), None)
    return folder


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["prints.npz", "facts.json"])
@pytest.mark.parametrize("damage", ["empty", "cut", "other", "null"])
def test_damaged_work_is_done_again(kept: Path, tmp_path: Path, name: str, damage: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(kept, folder)
    assert working.stored(folder) is not None
    whole = (folder / name).read_bytes()
    other = {"empty": b"", "cut": whole[: len(whole) // 2], "other": b"[1]", "null": b"null"}
    (folder / name).write_bytes(other[damage])
    assert working.stored(folder) is None


def test_corrections_count_and_are_not_lost(made: Path, box: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    table = copy / "metadata.csv"
    lines = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([lines[0], "reel-two_0001|Corrected.|corrected"]), "utf-8")
    rows = read_dataset(copy).rows
    assert [(r.id, r.text) for r in rows[1:]] == [("reel-two_0001", "Corrected.")]
    with pytest.raises(OutputError, match="corrected by hand"):
        make_dataset([box], copy)
    (copy / "wavs" / "reel-one_0001.wav").unlink()
    with pytest.raises(ArchiveError, match="lacks 1 of its sounds"):
        read_dataset(copy)


def test_clips_changed_by_hand_are_not_lost_nor_taken_for_the_tapes(
    made: Path, box: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    assert all(p.stat().st_nlink == 1 for p in (made / "wavs").iterdir())
    wav = copy / "wavs" / "reel-one_0001.wav"
    whole = wav.read_bytes()
    with wav.open("r+b") as stream:  # as an editor that saves in place
        stream.seek(1000)
        stream.write(bytes(4000))
    with pytest.raises(OutputError, match=r"reel-one_0001\.wav' was corrected by hand"):
        make_dataset([box], copy)
    assert wav.read_bytes() != whole
    make_dataset([box], copy, again=True)
    assert wav.read_bytes() == whole


def test_kept_sound_that_was_changed_is_made_again(made: Path, tmp_path: Path) -> None:
    folders = [f for f in (made / ".ingest").iterdir() if (f / "00000.wav").is_file()]
    folder = tmp_path / "kept"
    shutil.copytree(folders[0], folder)
    assert working.stored(folder) is not None
    with (folder / "00000.wav").open("ab") as stream:
        stream.write(bytes(2))
    assert working.stored(folder) is None


def test_a_damaged_dataset_is_made_anew_when_told_so(made: Path, box: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    (copy / "dataset.toml").write_text("format = ", "utf-8")
    with pytest.raises(OutputError, match="--again"):
        make_dataset([box], copy)
    assert len(make_dataset([box], copy, again=True).rows) == 3


def test_what_is_kept_of_other_settings_goes(
    made: Path, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    kept = {p.name for p in (copy / ".ingest").iterdir()}
    others = {"f" * 24, f".draft-{'e' * 24}", "notes"}
    for name in others:
        (copy / ".ingest" / name).mkdir()

    def failing(path: Path) -> str:
        if path.name == "broken.wav":
            raise MediaError("cannot be read now")
        return sha256_of(path)

    with monkeypatch.context() as patch:  # what is kept of it has a name nobody knows
        patch.setattr("voice.ingest.build.sha256_of", failing)
        make_dataset([box], copy)
    assert {p.name for p in (copy / ".ingest").iterdir()} == kept | others
    make_dataset([box], copy)
    assert {p.name for p in (copy / ".ingest").iterdir()} == kept | {"notes"}


def test_a_manifest_of_before_is_still_read(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    rows = manifest(copy)
    names = [n for n in rows[0] if n not in ("agreement", "wav_sha256")]
    with (copy / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    found = read_dataset(copy).rows
    assert [(r.agreement, r.wav_sha256) for r in found] == [(None, "")] * 3


def test_names_that_are_no_utf_8_and_names_that_are_there_twice() -> None:
    odd = os.fsdecode(b"reel\xe9.wav")
    paths = [Path("/box") / folder / odd for folder in ("one", "two")]
    assert building._names(paths) == ["one/reel\\xe9.wav", "two/reel\\xe9.wav"]


@pytest.mark.parametrize("content", [b"RIFF" + bytes(60), b""], ids=["damaged", "empty"])
def test_why_a_recording_fell_out_can_be_written_whatever_its_name(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / os.fsdecode(b"bad\xe9.wav")
    try:
        path.write_bytes(content)
    except OSError:
        pytest.skip("this disk takes UTF-8 names alone")
    with pytest.raises(ArchiveError, match="1 x unreadable") as told:
        make_dataset([path], tmp_path / "out")
    assert "bad\\xe9.wav" in str(told.value).encode("utf-8").decode("utf-8")


@pytest.mark.parametrize("how", ["gone", "shorter", "no sound"])
def test_a_recording_that_changes_while_it_is_read_falls_out(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    tape = tmp_path / "reel.wav"
    shutil.copy(box / "reel one.wav", tape)
    real = working.survey

    def disturbed(*given: object) -> object:
        seen = real(*given)  # type: ignore[arg-type]
        if how == "gone":
            tape.unlink()
        elif how == "shorter":
            write_wav(tape, Sound(quiet(2.0), RATE))
        else:
            tape.write_bytes(b"RIFF" + bytes(60))
        return seen

    monkeypatch.setattr(working, "survey", disturbed)
    with pytest.raises(MediaError, match=r"reel\.wav") as refusal:
        working.ingest(tape, "reel.wav", tmp_path / "work", Settings(), None)
    assert not isinstance(refusal.value, OutputError)
    assert not (tmp_path / "work").exists()


def test_a_voice_is_fitted_to_it_as_it_is(made: Path) -> None:
    archive = read_archive(made)
    assert [c.text for c in archive.clips][:2] == list(BOX_LINES[:2])
    assert all(c.sound.rate == CLIP_RATE and c.grade in "ABC" for c in archive.clips)
    assert {s.sha256 for s in archive.sources} >= {r["source_sha256"] for r in manifest(made)}
    assert archive.speech_s > 10
    short = read_archive(made, limit_s=11.0)
    assert len(short.clips) <= len(archive.clips)


def test_another_speaker_is_chosen_by_a_reference(
    made: Path, box: Path, other_lines: list[Sound], tmp_path: Path
) -> None:
    reference = tmp_path / "him.wav"
    write_wav(reference, other_lines[1])
    out = tmp_path / "him"
    shutil.copytree(made / ".ingest", out / ".ingest")
    found = make_dataset([box], out, Settings(speaker=reference))
    assert [row.source for row in found.rows] == ["reel one.wav"]
    assert found.wanted == 1
    with pytest.raises(ArchiveError, match="nobody speaks in the reference"):
        make_dataset([box], out, Settings(speaker=box / "organ.wav"))


def test_nothing_usable_is_refused_in_one_line(box: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="music or tones only") as refusal:
        make_dataset([box / "organ.wav", box / "broken.wav"], tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert not is_dataset(tmp_path / "out")


def test_other_peoples_folders_are_left_alone(box: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(OutputError, match="holds other things"):
        make_dataset([box], tmp_path)
    with pytest.raises(OutputError, match="it is a file"):
        make_dataset([box], tmp_path / "thesis.doc")


def test_the_command(made: Path, box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from studio.cli import run

    assert run(["archive", str(box), "-o", str(made), "--licence", "family"]) == 0
    assert "3 clips" in capsys.readouterr().out
    assert run(["archive", str(box), "-o", str(made), "--repair", "polish"]) == 2
    assert "no repair" in capsys.readouterr().err
    kept = list((made / ".ingest").iterdir())
    assert all(json.loads((folder / "facts.json").read_text("utf-8")) for folder in kept)
