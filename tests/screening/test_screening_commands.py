"""`wildline screen` and `wildline report`: what they print, and what is wrong in one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from studio.cli import run
from studio.production import Production


def _line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    return said


@pytest.mark.parametrize("command", ["screen", "report"])
def test_a_production_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run([command, str(tmp_path / "none.toml")]) == 2
    assert "there is no production file" in _line(capsys)
    (tmp_path / "production.toml").write_text("title = 3", "utf-8")
    assert run([command, str(tmp_path)]) == 2
    assert "production.toml: title" in _line(capsys)


def test_a_port_that_is_taken(production: Production, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(["screen", str(production.folder), "--port", port]) == 2
    assert f"port {port}" in _line(capsys)


def test_a_host_that_is_not_this_machine(
    production: Production, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["screen", str(production.folder), "--host", "192.0.2.1", "--port", "9"]) == 2
    assert "cannot listen at 192.0.2.1" in _line(capsys)


def test_a_report_is_written_and_told(
    production: Production, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert run(["report", str(production.folder), "-o", str(out)]) == 0
    assert "3 cues, 3 with drawings" in capsys.readouterr().out
    assert run(["report", str(production.folder), "-o", str(tmp_path / "no" / "r.html")]) == 2
    assert "does not exist" in _line(capsys)
