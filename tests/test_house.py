"""The rooms of the house import downwards only, and importing them stays cheap."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("studio", "voice", "lipsync", "align", "media", "weights")
PACKAGES = sorted(
    ".".join(stub.parent.relative_to(ROOT).parts)
    for room in ROOMS
    for stub in (ROOT / room).rglob("__init__.pyi")
)
MAY_IMPORT = {
    "studio": {"voice", "lipsync", "align", "media", "weights"},
    "voice": {"align", "media", "weights"},
    "lipsync": {"align", "media", "weights"},
    "align": {"media", "weights"},
    "weights": {"media"},
    "media": set(),
}


def imported_rooms(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_downwards(room: str) -> None:
    for path in sorted((ROOT / room).rglob("*.py")):
        upward = imported_rooms(path) - MAY_IMPORT[room] - {room}
        assert not upward, f"{path.relative_to(ROOT)} imports {sorted(upward)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_face_is_declared_and_real(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__
    assert len(module.__doc__.splitlines()) >= 3
    assert sorted(module.__all__) == list(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_no_public_name_is_also_a_file(room: str) -> None:
    """Once the file is imported its name would stand for it, and no longer for the function."""
    module = __import__(room)
    files = {path.stem for path in (ROOT / room).iterdir()}
    assert not files & set(module.__all__)


def test_importing_every_room_loads_nothing_heavy() -> None:
    code = (
        f"import sys, {', '.join(ROOMS)}, studio.cli\n"
        "heavy = {'torch', 'cv2', 'mediapipe', 'onnxruntime', 'librosa', 'av', 'TTS'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
