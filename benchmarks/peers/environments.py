"""The environments of the other programs, and conversations with the workers in them.

    with Worker.peer("kokoro-onnx", "say_kokoro_onnx.py", model, voices) as worker:
        worker.ask({"phonemes": "..."})

Every peer has an environment of its own under the cache folder, made by uv from the pinned
versions in `pins/` when it is first needed. Nothing of it touches Wildline's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
_LIMIT_S = 900.0  # for one answer


class PeerError(Exception):
    """A peer cannot be had here, in one sentence; its rows are left out and the reason printed."""


def python_of(peer: str) -> Path:
    """The Python of `peer`'s environment, installed where it is not yet; raises `PeerError`."""
    from media.files import user_cache_dir

    pins = HERE / "pins" / f"{peer}.txt"
    mark = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    folder = user_cache_dir() / "peers" / f"{peer}-{mark}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    print(f"installing {peer} into {folder.name}", file=sys.stderr, flush=True)
    uv = _told(peer, [sys.executable, str(ROOT / "scripts" / "uv.py")]).strip()
    _told(peer, [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    _told(peer, [*install, "--requirement", str(pins)])
    (folder / "ready").touch()
    return python


def _told(peer: str, command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise PeerError(f"{peer} cannot be installed here: {last}")
    return done.stdout


class Worker:
    """A script of `workers/` in a process of its own, that answers one request at a time.

    `versions` are those it told. Raises `PeerError` when it ends, or takes over a quarter of an
    hour for one answer.
    """

    def __init__(self, python: Path, script: str, *arguments: object) -> None:
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        command = [str(python), str(HERE / "workers" / script), *map(str, arguments)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        )
        self.script = script
        self.says = self._read()
        self.versions: dict[str, str] = self.says["versions"]

    @classmethod
    def peer(cls, peer: str, script: str, *arguments: object) -> Worker:
        """A worker in `peer`'s own environment."""
        return cls(python_of(peer), script, *arguments)

    @classmethod
    def ours(cls, script: str, *arguments: object) -> Worker:
        """A worker in Wildline's environment, so that it pays for its process like the others."""
        return cls(Path(sys.executable), script, *arguments)

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer, with `wall_s`, `cpu_s` and `peak_mb`."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # an ended worker says why below
            print(json.dumps(asked), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watch = Timer(_LIMIT_S, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._words.seek(0)
        last = (self._words.read().strip().splitlines() or ["no word of why"])[-1]
        self.close()
        raise PeerError(f"{self.script} ended: {last}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._words.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._words.closed:
            self.close()
