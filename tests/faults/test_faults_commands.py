"""The real commands, forked: absurd files, odd names, failing disks, SIGKILL."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_absurd import Trial, tricks
from fault_boundaries import ERRORS, Shim
from fault_checks import Tally, faults_of
from fault_kills import batch_kills, consent_kills, fit_kills, ledger_kills
from fault_server import Ended, forked
from synthetic import tone

from align.formats import write_timing
from align.timing import Span, Timing
from media.audio import write_wav

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
Refused = Callable[..., str]
Answered = Callable[..., Ended]


@pytest.fixture
def specimens(tmp_path: Path) -> dict[str, Path]:
    """A second of sound, its timing, a consent, a voice: what the cheap commands read."""
    from dataclasses import replace

    from voice.voice import load_voice

    place = tmp_path / "specimens"
    place.mkdir()
    write_wav(place / "line.wav", tone(1.0))
    write_timing(
        Timing((Span("yes", 0.1, 0.5),), (Span("Y", 0.1, 0.5),), 1.0), place / "line.TextGrid"
    )
    for name in ("consent.toml", "release.txt"):
        (place / name).write_bytes((SAMPLES / name).read_bytes())
    replace(load_voice("stock:mara"), person="Mara Voss").save(place / "voice")
    return {
        "wav": place / "line.wav",
        "textgrid": place / "line.TextGrid",
        "consent.toml": place / "consent.toml",
        "voice.toml": place / "voice" / "voice.toml",
        "mp4": place / "none.mp4",
    }


# --- files and names ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "kind", "value"),
    [(4, "<I", 0), (4, "<I", 1), (2, "<H", 0), (2, "<H", 65535), (14, "<H", 65535), (0, "<H", 85)],
)
def test_a_wav_with_an_absurd_head(
    answered: Answered,
    run_folder: Path,
    specimens: dict[str, Path],
    offset: int,
    kind: str,
    value: int,
) -> None:
    content = bytearray(specimens["wav"].read_bytes())
    struct.pack_into(kind, content, content.index(b"fmt ") + 8 + offset, value)
    (run_folder / "a.wav").write_bytes(content)
    grid = specimens["textgrid"]
    out = ("-o", "out.TextGrid", "--curves", "out.csv")
    answered("align", "a.wav", "--timing", grid, *out, leaves=("out.TextGrid", "out.csv"))


def test_odd_names_and_places(
    run_folder: Path, warm: None, specimens: dict[str, Path], fresh: Callable[[], Path]
) -> None:
    del warm
    chosen = [t for t in tricks(specimens) if "align" not in t.arguments or "-o" in t.arguments]
    for trial in random.Random(7).sample(chosen, 12):
        if trial.name != "output is the source":  # needs a film
            trial.begin(fresh())
            _check(trial, run_folder)


def _check(trial: Trial, run: Path) -> None:
    ended = forked(trial.arguments, run)
    assert not faults_of(ended, run, set(trial.outputs)), (trial.name, ended)
    assert ended.code in trial.codes, (trial.name, ended)
    assert trial.after is None or not trial.after(run), trial.name


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "ring", "caf\udce9.wav"])
def test_what_is_no_file_is_refused_at_once(refused: Refused, run_folder: Path, name: str) -> None:
    (run_folder / "ring").symlink_to("ring")
    os.mkfifo(run_folder / "pipe")
    (run_folder / "caf\udce9.wav").write_bytes(b"RIFF")
    assert refused("align", name)


def test_a_device_is_never_replaced_by_an_output(
    refused: Refused, specimens: dict[str, Path]
) -> None:
    line = refused("align", specimens["wav"], "--timing", specimens["textgrid"], "-o", "/dev/null")
    assert "device" in line
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("command", ["resync", "say"])
def test_an_output_never_replaces_its_own_source(
    refused: Refused, run_folder: Path, specimens: dict[str, Path], command: str
) -> None:
    scene = run_folder / "scene.wav"
    scene.write_bytes(specimens["wav"].read_bytes())
    (run_folder / "link.wav").hardlink_to(scene)
    arguments = {
        "resync": ("resync", "scene.wav", specimens["wav"], "-o", "./link.wav"),
        "say": ("say", "Yes.", "--voice", "stock:mara", "--guide", "scene.wav", "-o", "./link.wav"),
    }[command]
    assert "also an input" in refused(*arguments)
    assert scene.read_bytes() == specimens["wav"].read_bytes()


def test_an_output_that_cannot_be_printed(answered: Answered) -> None:
    def full() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    ended = answered("weights", before=full)
    assert ended.code == 2
    assert "no room left" in ended.error


def test_what_nobody_foresaw_is_one_line_and_kept(
    answered: Answered, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import weights.registry

    def broken() -> None:
        raise ZeroDivisionError("no\nsuch luck")

    monkeypatch.setattr(weights.registry, "all_weights", broken)
    ended = forked(["weights"], run_folder)
    assert ended.code == 70
    assert ended.error.count("\n") == 1
    assert "ZeroDivisionError: no such luck" in ended.error
    (kept,) = (run_folder.parent / "cache" / "faults").iterdir()
    assert "Traceback" in kept.read_text()


# --- disks -------------------------------------------------------------------------------------


NEW = (
    *("consent", "new", "-o", "out.toml", "--person", "A", "--project", "P", "--use"),
    *("voice-say", "--description", "d", "--signed", "2026-01-01", "--start", "2026-01-01"),
    *("--expiry", "2036-01-01", "--document-sha256", "0" * 64, "--force"),
)


@pytest.mark.parametrize("command", ["consent new", "align", "init"])
def test_every_call_to_the_disk_may_fail(
    run_folder: Path,
    warm: None,
    specimens: dict[str, Path],
    fresh: Callable[[], Path],
    command: str,
) -> None:
    del warm
    align = ("align", str(specimens["wav"]), "--timing", str(specimens["textgrid"]))
    arguments, names = {
        "consent new": (NEW, {"out.toml"}),
        "align": ((*align, "-o", "out.TextGrid"), {"out.TextGrid"}),
        "init": (("init", "out"), {"out"}),
    }[command]
    report = run_folder.parent / "count"
    rng = random.Random(command)
    forked(arguments, fresh(), before=Shim(run_folder.parent, 0, 0, report).install)
    total = int(report.read_text().split()[0])
    assert total > 5
    for at in sorted(rng.sample(range(1, total + 1), min(6, total))):
        number = rng.choice(sorted(ERRORS.values()))
        run = fresh()
        ended = forked(arguments, run, before=Shim(run.parent, at, number, report).install)
        failed = report.read_text().partition(" ")[2]
        if failed in ("unlink", "rmdir", "scandir", "listdir"):
            names = names | {p.name for p in run.iterdir() if p.name.startswith(".")}
        assert not faults_of(ended, run, names), (at, number, failed, ended)


# --- SIGKILL -----------------------------------------------------------------------------------


def test_killed_at_random_moments_nothing_is_lost(
    run_folder: Path, warm: None, specimens: dict[str, Path]
) -> None:
    del warm
    place, rng, tally = run_folder.parent, random.Random(3), Tally(3)
    ledger_kills(3, place, rng, tally)
    consent_kills(3, place, rng, tally)
    fit_kills(2, place, rng, tally, specimens)
    batch_kills(2, place, rng, tally, "here")
    assert not tally.wrong


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_holds_is_not(
    tmp_path: Path,
) -> None:
    from studio._stage import staging

    with staging(tmp_path) as living:
        (living / "out.mp4").write_text("half")
        dead = tmp_path / ".wildline-dead"
        dead.mkdir()
        (dead / ".lock").touch()
        (dead / "out.mp4").write_text("half")
        with staging(tmp_path) as other:
            assert other != living
            assert not dead.exists()
            assert (living / "out.mp4").exists()
    assert not list(tmp_path.iterdir())


def test_a_cached_stage_that_changed_is_not_used(tmp_path: Path) -> None:
    import hashlib

    from voice.engines.kokoro_graphs import _is_whole, _note_of

    stage = tmp_path / "text.onnx"
    stage.write_bytes(b"graph" * 100)
    assert not _is_whole(stage)
    _note_of(stage).write_text(hashlib.sha256(stage.read_bytes()).hexdigest())
    assert _is_whole(stage)
    stage.write_bytes(b"graph" * 99 + b"grapi")
    assert not _is_whole(stage)
