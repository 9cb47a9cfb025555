"""The installed command in a process of its own, and what a refusal looks like."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from studio.consent import Consent, Document, RightsHolder, save_consent

WILDLINE = Path(sys.executable).parent / "wildline"
# Sets a limit on the size of files, then becomes the command: a disk that fills up.
_LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); os.execv(sys.argv[2], sys.argv[2:])"
)


@pytest.fixture(scope="session")
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the tests' own."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def wildline(tmp_path: Path, data_home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `wildline ARGUMENTS` in `tmp_path`; `room` limits what it may write, in bytes."""

    def run(*arguments: object, room: int | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(WILDLINE), *map(str, arguments)]
        if room is not None:
            command = [sys.executable, "-c", _LIMITED, str(room), *command]
        env = {**os.environ, "WILDLINE_HOME": str(data_home), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280
        )

    return run


@pytest.fixture
def refused(
    tmp_path: Path, wildline: Callable[..., subprocess.CompletedProcess[str]]
) -> Callable[..., str]:
    """Runs the command, asserts a proper refusal and returns its one line.

    Exit code 2, one line on standard error, nothing on standard output, and no file in
    `tmp_path` that was not there before, but for the ledger that noted the refusal.
    """

    def run(*arguments: object, room: int | None = None) -> str:
        before = _files(tmp_path)
        done = wildline(*arguments, room=room)
        assert done.stderr.startswith("error: "), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert (done.returncode, done.stdout) == (2, "")
        new = {p for p in _files(tmp_path) - before if p.name != "wildline-ledger.jsonl"}
        assert not new
        return done.stderr.removeprefix("error: ").rstrip("\n")

    return run


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def consent(tmp_path: Path) -> Callable[..., Path]:
    """Writes a valid record for Anna Example; keyword arguments change its fields."""

    def write(**changes: object) -> Path:
        today = date.today()
        record = Consent(
            id="c0ffee",
            person="Anna Example",
            project="The Long Summer",
            uses=("voice-fit", "voice-say", "face-alter"),
            description="two lines of narration",
            signed=today - timedelta(days=30),
            start=today - timedelta(days=20),
            expiry=today + timedelta(days=300),
            rights_holder=RightsHolder(name="Anna Example", relation="self"),
            document=Document(sha256=hashlib.sha256(b"paper").hexdigest()),
        ).model_copy(update=changes)
        path = tmp_path / "consent.toml"
        save_consent(record, path)
        return path

    return write


@pytest.fixture
def stock_voice() -> str:
    from voice.voice import stock_voices

    return f"stock:{stock_voices()[0]}"
