"""The commands that answer at once, through the installed script."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import tone

from media.audio import write_wav
from studio.ledger import read_ledger

Wildline = Callable[..., subprocess.CompletedProcess[str]]

_RECORD = (
    *("consent", "new", "--person", "Anna Example", "--project", "The Long Summer"),
    *("--use", "voice-fit", "--use", "voice-say", "--description", "one line in reel 3"),
    *("--signed", "2026-01-01", "--start", "2026-01-01", "--expiry", "2126-01-01"),
)


def test_help_names_every_command(wildline: Wildline) -> None:
    done = wildline("--help")
    assert done.returncode == 0
    for command in ("fit", "say", "align", "resync", "redub", "consent", "verify", "weights"):
        assert f"  {command} " in done.stdout
    assert "--archive-only" in wildline("resync", "--help").stdout


def test_nothing_is_told_to_the_makers_of_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from studio import cli

    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert cli.run(["--help"]) == 0
    assert os.environ.pop("ORT_DISABLE_TELEMETRY") == "1"


def test_threads_of_linear_algebra_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from studio import cli

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert cli.run(["--help"]) == 0
    assert os.environ.pop("OPENBLAS_NUM_THREADS") == "1"


def test_weights_are_listed_with_their_licences(wildline: Wildline) -> None:
    from weights.registry import all_weights

    done = wildline("weights")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert set(rows) == {w.name for w in all_weights()}
    assert all(w.licence in rows[w.name] for w in all_weights())


def test_a_record_is_written_shown_and_checked(wildline: Wildline, tmp_path: Path) -> None:
    (tmp_path / "release.pdf").write_bytes(b"%PDF signed")
    done = wildline(*_RECORD, "--document", "release.pdf", "-o", "anna.toml")
    assert (done.returncode, done.stderr) == (0, "")
    data = tomllib.loads((tmp_path / "anna.toml").read_text("utf-8"))
    assert data["rights_holder"] == {"name": "Anna Example", "relation": "self"}
    assert data["document"]["path"] == "release.pdf"
    shown = wildline("consent", "show", "anna.toml").stdout
    assert "voice-fit, voice-say" in shown
    assert "today  valid" in shown
    assert wildline("consent", "check", "anna.toml", "--use", "voice-say").returncode == 0
    refused = wildline("consent", "check", "anna.toml", "--use", "face-alter")
    assert refused.returncode == 2
    assert "not face-alter (altering the face in footage)" in refused.stderr
    late = wildline("consent", "check", "anna.toml", "--use", "voice-say", "--on", "2126-01-02")
    assert "expired on 2126-01-01" in late.stderr
    events = [e.event for e in read_ledger(tmp_path / "wildline-ledger.jsonl")]
    assert events == ["consent.granted", "consent.refused", "consent.refused"]


def test_an_older_record_is_not_overwritten(wildline: Wildline, tmp_path: Path) -> None:
    (tmp_path / "consent.toml").write_text("mine")
    command = (*_RECORD, "--document-sha256", "0" * 64)
    assert "exists already" in wildline(*command).stderr
    assert (tmp_path / "consent.toml").read_text() == "mine"
    assert wildline(*command, "--force").returncode == 0


def test_an_estate_names_who_signed(wildline: Wildline, tmp_path: Path) -> None:
    command = (*_RECORD, "--document-sha256", "0" * 64, "--rights-holder", "Ben Example")
    assert "--relation" in wildline(*command).stderr
    assert wildline(*command, "--relation", "estate").returncode == 0
    text = (tmp_path / "consent.toml").read_text("utf-8")
    assert tomllib.loads(text)["rights_holder"]["relation"] == "estate"


def test_verify_says_what_it_finds_and_fails_without_marks(
    wildline: Wildline, tmp_path: Path
) -> None:
    write_wav(tmp_path / "plain.wav", tone(1))
    done = wildline("verify", "plain.wav")
    assert (done.returncode, done.stderr) == (1, "")
    assert "Content Credentials: none" in done.stdout
    assert "Watermark: not found" in done.stdout


@pytest.mark.slow
def test_align_writes_what_the_ending_asks_for(
    wildline: Wildline, data_dir: Path, tmp_path: Path
) -> None:
    from align.formats import read_timing

    speech = data_dir / "speech" / "jfk" / "jfk.wav"
    text = (
        "And so my fellow Americans ask not what your country can do for you, ask what you can "
        "do for your country."
    )
    done = wildline("align", speech, "--text", text, "-o", "jfk.TextGrid")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_timing(tmp_path / "jfk.TextGrid").words) == 22
