"""A disk that fills up while we write: one sentence, and nothing left behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import resource, sys
from pathlib import Path
import numpy as np
from fractions import Fraction
from media.errors import OutputError
from media.video import FootageInfo, FootageWriter, Frame
from media.audio import Sound, write_wav
from media.time import FrameRate
target, limit, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
info = FootageInfo(Path("x.mp4"), FrameRate.parse("25"), 320, 240, None, Fraction(0))
frames = [Frame(i, Fraction(i, 25), rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))
          for i in range(30)]
sound = Sound(rng.uniform(-1, 1, 60_000).astype(np.float32), 48_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if kind == "wav":
        write_wav(target, sound)
    else:
        with FootageWriter(target, info, codec=kind, sound=sound) as writer:
            for frame in frames:
                writer.write(frame)
except OutputError as error:
    print(error)
    sys.exit(2)
print(target.stat().st_size)
"""


def run(target: Path, limit: int, kind: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITER, str(target), str(limit), kind],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
@pytest.mark.parametrize(
    ("name", "kind", "limit"),
    [
        ("a.mp4", "h264", 0),
        ("a.mp4", "h264", 1_000),
        ("a.mp4", "h264", 200_000),
        ("a.mkv", "h264", 500_000),
        ("a.mov", "prores", 1_000_000),
        ("a.wav", "wav", 100_000),
    ],
)
def test_no_room(tmp_path: Path, name: str, kind: str, limit: int) -> None:
    (tmp_path / name).write_bytes(b"what was here before")
    done = run(tmp_path / name, limit, kind)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no room left" in done.stdout
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"what was here before"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_no_room_for_the_very_last_bytes(tmp_path: Path, name: str) -> None:
    """FFmpeg keeps quiet about a failure in its last buffer; the writer must not."""
    whole = run(tmp_path / f"whole{name}", 1 << 40, "h264")
    size = int(whole.stdout)
    done = run(tmp_path / name, size - 1, "h264")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no room left" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == [f"whole{name}"]
