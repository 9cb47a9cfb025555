"""The wheel holds everything that a command needs, and works away from the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("align", "lipsync", "media", "studio", "voice", "weights")
BUILD = "import setuptools.build_meta as b; print(b.build_wheel('dist'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that nothing is left in the repository."""
    source = tmp_path_factory.mktemp("source")
    for name in (*ROOMS, "samples"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "dist").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as an installer does."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_every_file_of_the_packages_is_inside(wheel: Path, installed: Path) -> None:
    source = wheel.parent.parent
    for room in ROOMS:
        for file in (source / room).rglob("*"):
            if file.is_file():
                assert (installed / file.relative_to(source)).is_file(), file


def test_sample_material_is_inside_and_the_workshop_is_not(installed: Path) -> None:
    inside = installed / "studio" / "samples"
    names = {p.relative_to(inside).as_posix() for p in inside.rglob("*") if p.is_file()}
    assert {"presenter.mp4", "script.txt", "consent.toml", "release.txt"} <= names
    assert len([n for n in names if n.startswith("archive/") and n.endswith(".flac")]) == 3
    assert not [n for n in names if n.endswith((".py", ".npz"))]
    top = {p.name for p in installed.iterdir()}
    assert {n for n in top if not n.endswith(".dist-info")} == set(ROOMS)


def test_commands_run_from_it(installed: Path, tmp_path: Path) -> None:
    code = (
        "import studio; from studio.cli import run;"
        "from studio._demo_commands import samples_folder;"
        "print(studio.__file__); s = samples_folder(); print(s);"
        "print(run(['consent', 'show', str(s / 'consent.toml')]), run(['weights']))"
    )
    env = {**os.environ, "PYTHONPATH": str(installed), "WILDLINE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[0].startswith(str(installed))
    assert lines[1] == str(installed / "studio" / "samples")
    assert lines[-1] == "0 0"
