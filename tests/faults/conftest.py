"""Commands in forks of the tests' own process, and what must hold however they end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: it has a voice.py and an align.py, too

from fault_checks import faults_of  # noqa: E402
from fault_server import Ended, forked, preload  # noqa: E402

Answered = Callable[..., Ended]


@pytest.fixture(scope="session")
def warm() -> None:
    """Import once what the light commands would import each time."""
    preload(heavy=False)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for a command, with certificates and cache beside it."""
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    run.mkdir()
    return run


@pytest.fixture
def answered(run_folder: Path, warm: None) -> Answered:
    """Runs a command and asserts that nothing is wrong with how it ended and what it left.

    `leaves` are the names that may be new in the folder.
    """
    del warm

    def run(*arguments: object, leaves: tuple[str, ...] = (), **how: object) -> Ended:
        before = {p.name for p in run_folder.iterdir()}
        ended = forked([str(a) for a in arguments], run_folder, **how)  # type: ignore[arg-type]
        assert not faults_of(ended, run_folder, before | set(leaves)), ended
        return ended

    return run


@pytest.fixture
def refused(answered: Answered) -> Callable[..., str]:
    """As `answered`, for what must be refused: returns the one line."""

    def run(*arguments: object, leaves: tuple[str, ...] = ()) -> str:
        ended = answered(*arguments, leaves=leaves)
        assert ended.code == 2, ended
        return ended.error.removeprefix("error: ").strip()

    return run


@pytest.fixture
def fresh(run_folder: Path) -> Callable[[], Path]:
    """Empties the folder of the run between cases."""

    def empty() -> Path:
        shutil.rmtree(run_folder)
        run_folder.mkdir()
        return run_folder

    return empty
