"""Training through coqui's Trainer: a few real steps, a stop, going on, and the voice speaks."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import logging
import os
import random
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from align.text import speakable
from media.audio import Sound, read_sound, write_wav
from media.errors import ArchiveError, ConsentError, MediaError, OutputError, WeightsError
from voice.engines import get_synthesizer
from voice.training import PRESETS, read_dataset, train_voice
from voice.training.dataset import dataset_sha256
from voice.training.loop import LOSSES_NAME, last_checkpoint
from voice.training.presets import preset_named
from voice.training.train import _Job
from voice.voice import load_voice

TEXTS = (
    "We chose to go.",
    "The river was high.",
    "She opened the window.",
    "Nobody was at home.",
    "It rained all day.",
    "He sold 12 horses.",
)
SMALL = dataclasses.replace(PRESETS["tiny"], log_steps=1, epoch_steps=2, evaluates=True)


@pytest.fixture(scope="module")
def dataset(engine, stock_voice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sentences as `wildline archive` lays them out, spoken by the default engine."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "wavs").mkdir()
    rows = []
    for number, text in enumerate(TEXTS):
        sound = engine.speak(speakable(text), stock_voice).sound
        write_wav(folder / "wavs" / f"clip{number}.wav", sound)
        rows.append(f"clip{number}|{text}|{text}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def train(dataset: Path, out: Path, **more):
    given = {"engine": "vits", "person": "Anna", "consent_id": "c-1", "preset": SMALL}
    return train_voice(dataset, out, **{"sentences": 0, **given, **more})


@pytest.fixture(scope="module")
def first(dataset: Path, tmp_path_factory: pytest.TempPathFactory):
    """(the voice's folder, what three steps made)."""
    import torch

    out = tmp_path_factory.mktemp("voices") / "anna"
    argv, threads = list(sys.argv), torch.get_num_threads()
    made = train(dataset, out, steps=3, sentences=1)
    assert sys.argv == argv
    assert torch.get_num_threads() == threads
    handlers = logging.getLogger("trainer").handlers
    assert not any(isinstance(h, logging.FileHandler) for h in handlers)
    return out, made


def test_a_few_steps_are_real_steps(first) -> None:
    out, made = first
    assert (made.run.steps, made.run.made, made.run.resumed_from) == (3, 3, 0)
    assert {"loss_0", "loss_1", "loss_mel", "loss_duration"} <= set(made.run.losses)
    rows = list(csv.DictReader((out / "training" / LOSSES_NAME).read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["loss_disc"]) > float(rows[2]["loss_disc"])  # it learns at once


def test_the_run_keeps_its_logs_and_nothing_else(first) -> None:
    out, _ = first
    run = out / "training"
    assert list(run.glob("events.out.tfevents.*"))
    log = (run / "trainer_0_log.txt").read_text()
    assert "GLOBAL_STEP" in log
    assert "EVALUATION" in log  # of the held-out clip, after an epoch of two steps
    assert [p.name for p in run.glob("*.pth")] == ["checkpoint_2.pth"]
    assert not [p for p in run.iterdir() if p.is_dir() and p.name != "clips"]
    assert not list(run.glob("*.py"))
    config = json.loads((run / "config.json").read_text())
    assert config["model"] == "vits"
    assert config["use_phonemes"] is False


def test_the_voice_is_a_voice_like_any_other(first, dataset: Path) -> None:
    out, made = first
    voice = load_voice(out)
    assert (voice.engine, voice.person, voice.consent_id) == ("vits", "Anna", "c-1")
    assert {s.file for s in voice.sources} <= {p.name for p in (dataset / "wavs").iterdir()}
    assert [w.licence for w in voice.weights] == ["own"]
    assert set(voice.embeddings) == {"ge2e", "embedder"}
    assert voice.f0_median > 60
    scores = voice.scores
    kept = {k: v for k, v in dataclasses.asdict(made.voice.scores).items() if v is not None}
    assert {k: v for k, v in dataclasses.asdict(scores).items() if v is not None} == {
        k: pytest.approx(v, abs=5e-5) for k, v in kept.items()
    }
    assert scores.similarity_ceiling > scores.similarity  # three steps make nobody's voice
    assert scores.wer > 0.5
    assert scores.dnsmos is not None
    config = (out / "model" / "config.json").read_text()
    assert str(out) not in config


def test_it_speaks_with_its_own_durations(first) -> None:
    voice = load_voice(first[0])
    said = get_synthesizer("vits").speak(speakable("We chose to go home."), voice)
    assert int(said.durations.sum()) * 256 == len(said.sound)
    assert [w.label for w in said.timing.words] == ["We", "chose", "to", "go", "home"]
    assert said.timing.engine == "exact"


def test_a_killed_run_goes_on_where_it_was(first, dataset: Path, tmp_path: Path) -> None:
    """The newest checkpoint was cut off by the kill: the one before it is taken."""
    out = tmp_path / "anna"
    shutil.copytree(first[0], out)
    (out / "training" / "checkpoint_9.pth").write_bytes(b"PK\x03\x04half")
    with (out / "training" / LOSSES_NAME).open("a") as table:
        table.write("9,1,1\n")
    asked = []
    made = train(dataset, out, steps=4, progress=lambda done, what: asked.append((done, what)))
    assert not (out / "training" / "checkpoint_9.pth").exists()
    assert (made.run.resumed_from, made.run.made, made.run.steps) == (3, 1, 4)
    assert last_checkpoint(out / "training").name == "checkpoint_3.pth"
    rows = (out / "training" / LOSSES_NAME).read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["step", "1", "2", "3", "4"]
    assert [done for done, _ in asked] == sorted(done for done, _ in asked)


def test_a_stop_saves_first(first, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "anna"
    shutil.copytree(first[0], out, ignore=shutil.ignore_patterns("model"))

    def stop(done: float, what: str) -> None:
        if what == "training" and done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, out, steps=6, progress=stop)
    assert last_checkpoint(out / "training").name == "checkpoint_3.pth"


def test_another_training_in_the_same_folder_is_refused(first, tmp_path: Path, dataset) -> None:
    out, _ = first
    with pytest.raises(ArchiveError, match="holds another training"):
        train(dataset, out, steps=3, seed=9)


def test_a_changed_dataset_is_not_gone_on_with(tmp_path: Path) -> None:
    """A recording that was withdrawn is neither trained on nor listed any more."""
    data, out = tmp_path / "dataset", tmp_path / "dataset" / "anna"
    (data / "wavs").mkdir(parents=True)
    for number in range(4):
        (data / "wavs" / f"c{number}.wav").write_bytes(bytes([number]))
    table = data / "metadata.csv"
    table.write_text("c0|one|one\n")

    def again(**other: object) -> bool:
        given = {"seed": 0, "language": "en", "who": ("Anna", "c-1"), **other}
        job = _Job(data, out, "vits", SMALL, report=lambda _share, _what: None, **given)
        return job._claim(None)

    before = dataset_sha256(data)
    assert again()
    (out / "clip.wav").write_bytes(b"made by the training itself, inside the dataset")
    assert not again()
    for other in ({"who": ("Bo", "c-1")}, {"who": ("Anna", "c-2")}, {"language": "de"}):
        with pytest.raises(ArchiveError, match="holds another training"):
            again(**other)
    (data / "wavs" / "c3.wav").unlink()
    with pytest.raises(ArchiveError, match="have changed since the training"):
        again()
    (data / "wavs" / "c3.wav").write_bytes(b"\3")
    assert dataset_sha256(data, without=(out,)) == before
    table.write_text("c0|won|won\n")
    with pytest.raises(ArchiveError, match="have changed since the training"):
        again()


def test_training_goes_on_from_a_checkpoint(first, dataset: Path, tmp_path: Path) -> None:
    """Its own licence has to be accepted, and its weights are where the new run starts."""
    start = first[0] / "model"
    with pytest.raises(WeightsError, match="--accept-licence unknown"):
        train(dataset, tmp_path / "bo", steps=1, start=start)
    assert not (tmp_path / "bo").exists()
    from voice.engines._coqui import open_checkpoint, read_state
    from voice.training.vits_setup import vits_to_train

    net, config = vits_to_train(SMALL, open_checkpoint(start, "vits"), tmp_path, seed=1)
    assert config.phonemizer == "misaki"
    state = read_state(start / "model.safetensors", "vits")
    own = net.state_dict()
    assert all(np.array_equal(own[n], t) for n, t in state.items())


def test_the_process_is_left_as_it_was(tmp_path: Path) -> None:
    import torch
    import trainer.trainer

    from voice.training.loop import _tamed

    before = (random.getstate(), torch.random.get_rng_state().tolist(), np.random.get_state()[2])
    home, remove = os.environ.get("PYTHONHASHSEED"), trainer.trainer.remove_experiment_folder
    with _tamed(tmp_path, (), 7):
        random.random(), np.random.rand(), torch.rand(1)
        os.environ["PYTHONHASHSEED"] = "3"
        assert trainer.trainer.remove_experiment_folder is not remove
    after = (random.getstate(), torch.random.get_rng_state().tolist(), np.random.get_state()[2])
    assert after == before
    assert os.environ.get("PYTHONHASHSEED") == home
    assert trainer.trainer.remove_experiment_folder is remove


# --- a full disk, a long run -----------------------------------------------------------------


@contextlib.contextmanager
def _small_files(size: int):
    """Writing fails beyond `size` bytes a file, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    import torch

    from voice.engines._coqui import save_state
    from voice.training.loop import _save_whole

    state = {"a": torch.zeros(100_000)}
    for write, name in ((_save_whole, "checkpoint_1.pth"), (save_state, "model.safetensors")):
        with _small_files(20_000), pytest.raises(OutputError, match="cannot write") as caught:
            write(state, tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="out of memory"):
        _save_whole(_Exhausted(), tmp_path / "x.pth")


class _Exhausted:
    def __reduce__(self):
        raise RuntimeError("CUDA out of memory")


def test_the_watch_keeps_the_ends_of_a_run_only(tmp_path: Path) -> None:
    from voice.training.loop import Course, _Watch, save

    course = Course(steps=500, batch=1, epoch_steps=10, log_steps=100, save_s=1e9, seed=0)
    watch = _Watch(course, tmp_path, lambda _done, _all: None)
    for step in range(1, 101):
        watch.step(SimpleNamespace(total_steps_done=step), {"loss": float(step), "lr": 1.0})
    assert watch.made == 100
    assert len(watch._first) == len(watch._last) == 20
    assert watch.summary() == {"loss": (10.5, 90.5)}

    class Full:
        total_steps_done = 7

        def save_checkpoint(self) -> None:
            raise OutputError("no room")

    trainer = Full()
    with pytest.raises(OutputError):
        save(trainer)
    assert trainer.total_steps_done == 7


# --- datasets ------------------------------------------------------------------------------


def test_a_dataset_is_read_once_and_divided(dataset: Path, tmp_path: Path) -> None:
    clips = read_dataset(dataset, tmp_path / "clips", rate=16_000)
    assert (len(clips.trained), len(clips.held_out), clips.dropped) == (5, 1, ())
    assert not {e.name for e in clips.trained} & {e.name for e in clips.held_out}
    sound = read_sound(clips.trained[0].path)
    assert sound.rate == 16_000
    before = clips.trained[0].path.stat().st_mtime_ns
    again = read_dataset(dataset, tmp_path / "clips", rate=16_000)
    assert again == clips
    assert clips.trained[0].path.stat().st_mtime_ns == before


def test_bad_clips_are_dropped_with_their_reasons(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    wavs = copy / "wavs"
    (wavs / "broken.wav").write_bytes(b"RIFF")
    write_wav(wavs / "silent.wav", Sound(np.zeros(48_000, np.float32), 24_000))
    write_wav(wavs / "short.wav", Sound(np.full(2400, 0.1, np.float32), 24_000))
    write_wav(wavs / "nobody.wav", Sound(np.full(48_000, 0.1, np.float32), 24_000))
    write_wav(wavs / "emoji.wav", Sound(np.full(48_000, 0.1, np.float32), 24_000))
    with (copy / "metadata.csv").open("a") as table:
        table.write("broken|a|a\nsilent|a|a\nshort|a|a\nemoji|🙂|🙂\ngone|a|a\n")
    clips = read_dataset(copy, tmp_path / "clips", rate=16_000)
    reasons = {name.partition(".")[0]: reason for name, reason in clips.dropped}
    assert len(clips.trained) + len(clips.held_out) == len(TEXTS)
    assert reasons["broken"].startswith("unreadable")
    assert reasons["silent"] == "silent"
    assert reasons["short"] == "shorter than 0.8 s"
    assert reasons["nobody"] == "metadata.csv has no words for it"
    assert reasons["emoji"] == "its words cannot be spoken"


def test_too_little_and_nothing_are_refused(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    for path in sorted((copy / "wavs").iterdir())[3:]:
        path.unlink()
    with pytest.raises(ArchiveError, match="has 3 usable clips; at least 4"):
        train(copy, tmp_path / "v", steps=1)
    assert not (tmp_path / "v" / "training").exists()
    with pytest.raises(MediaError, match="there is no dataset"):
        train(tmp_path / "nowhere", tmp_path / "v", steps=1)


def test_unknown_engines_presets_and_no_steps_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="choose one of: vits, xtts"):
        train(dataset, tmp_path / "v", engine="kokoro")
    with pytest.raises(WeightsError, match="choose one of: gpu, cpu, tiny"):
        preset_named("huge")
    with pytest.raises(WeightsError, match="0 steps train nothing"):
        train(dataset, tmp_path / "v", steps=0)


# --- the studio ------------------------------------------------------------------------------


def _consent(folder: Path) -> Path:
    from studio.consent import Consent, Document, RightsHolder, save_consent

    today = date.today()
    path = folder / "consent.toml"
    record = Consent(
        id="c-1",
        person="Anna",
        project="Reel",
        uses=("voice-fit", "voice-say"),
        description="narration",
        signed=today - timedelta(2),
        start=today - timedelta(1),
        expiry=today + timedelta(30),
        rights_holder=RightsHolder(name="Anna", relation="self"),
        document=Document(sha256="0" * 64),
    )
    save_consent(record, path)
    return path


def test_nothing_is_trained_without_consent(dataset: Path, tmp_path: Path) -> None:
    from studio.ledger import read_ledger
    from studio.training import train as train_job

    with pytest.raises(ConsentError):
        train_job(dataset, tmp_path / "anna", consent=None, engine="vits", preset="tiny")
    events = [e.event for e in read_ledger(tmp_path / "wildline-ledger.jsonl")]
    assert "voice.training" not in events
    assert not (tmp_path / "anna").exists()


def test_the_ledger_knows_of_the_training_and_say_speaks(
    first, dataset: Path, tmp_path: Path, monkeypatch
) -> None:
    """Through the studio: a run that has its steps, then a line with this voice."""
    from studio.ledger import read_ledger
    from studio.speaking import say
    from studio.training import train as train_job

    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("voice.training.train.preset_named", lambda _name: SMALL)
    out, consent = tmp_path / "anna", _consent(tmp_path)
    shutil.copytree(first[0], out)
    monkeypatch.setattr("voice.training.train.scored", lambda voice, *_: voice.scores)
    made = train_job(dataset, out, consent=consent, engine="vits", preset="tiny", steps=3)
    assert made.run.made == 0
    with pytest.raises(ConsentError):
        say("We went.", out, tmp_path / "line.wav")
    monkeypatch.setattr("voice.takes._TRIES", 1)
    # The mark rightly refuses to live in the hum that three steps make; see the tests of it.
    monkeypatch.setattr("studio.watermark.watermark", lambda sound: sound)
    result = say("We went home.", out, tmp_path / "line.wav", consent=consent, takes=1)
    facts = json.loads((tmp_path / "line.json").read_text())
    assert (facts["engine"], [w["label"] for w in facts["words"]]) == (
        "vits",
        ["We", "went", "home"],
    )
    assert result.path.is_file()
    entries = list(read_ledger(tmp_path / "wildline-ledger.jsonl"))
    trained = next(e for e in entries if e.event == "voice.trained")
    assert trained.facts["engine"] == "vits"
    assert len(trained.facts["sources"]) == len(TEXTS)
    assert any(e.facts.get("text") == "We went home." for e in entries)
