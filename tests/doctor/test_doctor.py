from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from studio import doctor
from studio.doctor import Finding

WILDLINE = str(Path(sys.executable).with_name("wildline"))


def faults(found: list[Finding]) -> list[Finding]:
    return [f for f in found if f.state == "fault"]


def test_every_area_is_looked_at_and_this_machine_passes() -> None:
    found = list(doctor.examine())
    assert {f.area for f in found} == {
        *("Python", "packages", "codecs", "computer", "torch", "weights", "disk", "certificate")
    }
    assert faults(found) == []


def test_a_missing_and_an_old_package_are_named_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_version = importlib.metadata.version

    def version(name: str) -> str:
        if name == "praatio":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "torch" else true_version(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    wrong = faults(list(doctor._packages()))
    assert [f.what.split()[0] for f in wrong] == ["praatio", "torch"]
    assert wrong[0].remedy.startswith('run: pip install "praatio')
    assert "0.1 is installed, ==2.11.0 is needed" in wrong[1].what


def test_a_key_that_is_not_there_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WILDLINE_SIGN_CERT", str(tmp_path / "no.pem"))
    monkeypatch.setenv("WILDLINE_SIGN_KEY", str(tmp_path / "no.key"))
    (found,) = doctor._keys()
    assert found.state == "fault"
    assert "no.pem" in found.what


def test_looking_makes_no_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "home"))
    for name in ("WILDLINE_SIGN_CERT", "WILDLINE_SIGN_KEY"):
        monkeypatch.delenv(name, raising=False)
    (found,) = doctor._keys()
    assert found.state == "ok"
    assert not (tmp_path / "home").exists()


def test_a_nearly_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 100 * 1024**2})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    found = list(doctor._disks())
    assert all(f.state == "fault" for f in found)
    assert "WILDLINE_CACHE" in found[0].remedy


def test_the_command_fails_where_a_device_is_asked_for_that_is_absent() -> None:
    import os

    environment = {**os.environ, "WILDLINE_DEVICE": "cuda:99"}
    done = subprocess.run(
        [WILDLINE, "doctor"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "FAULT" in done.stdout
    assert "WILDLINE_DEVICE" in done.stdout
    assert "Traceback" not in done.stderr
