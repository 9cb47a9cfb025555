"""Runs commands in forks of one warm process, and watches what becomes of them.

A command that starts anew imports for a second or three; a fork of a process that has imported
the libraries already begins at once. The child runs `studio.cli.run`, which is all that the
installed `wildline` does, in a session of its own with its output in files.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LIMIT_S", "MOST_MB", "WILDLINE", "Ended", "forked", "installed", "preload"]

WILDLINE = str(Path(sys.executable).with_name("wildline"))
LIMIT_S = 150.0  # on a busy machine; what computes for CPU_S seconds hangs as well
CPU_S = 60
MOST_MB = 4096
_PAGE_MB = resource.getpagesize() / (1 << 20)
_POLL_S = 0.01


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code` is negative for a signal; `killed` says that we sent it."""

    code: int
    error: str
    output: str
    peak_mb: float
    seconds: float
    hung: bool = False
    swollen: bool = False
    killed: bool = False
    cpu_s: float = 0.0


def forked(
    arguments: Sequence[str],
    folder: Path,
    *,
    before: Callable[[], None] | None = None,
    work: Callable[[], int] | None = None,
    kill_after_s: float | None = None,
) -> Ended:
    """Run a command in `folder`, in a fork of this process.

    `before` is called in the child first; `work` is done there instead of the command. With
    `kill_after_s` the child and all its children get SIGKILL then, if they still run.
    """
    error, output = (folder.parent / f"{folder.name}.{name}" for name in ("stderr", "stdout"))
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(arguments, folder, (error, output), before, work)
    return _watched(child, began, error, output, kill_after_s)


def installed(
    arguments: Sequence[str], folder: Path, *, kill_after_s: float | None = None
) -> Ended:
    """Run the `wildline` that is installed, from the start."""

    def become() -> int:
        os.execv(WILDLINE, [WILDLINE, *arguments])

    return forked((), folder, work=become, kill_after_s=kill_after_s)


def _become(
    arguments: Sequence[str],
    folder: Path,
    places: tuple[Path, Path],
    before: Callable[[], None] | None,
    work: Callable[[], int] | None,
) -> None:
    """The child; never returns."""
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for place, number in zip(places, (2, 1), strict=True):
            os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
        if before is not None:
            before()
        code = _command(arguments) if work is None else work()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stderr.flush()
        finally:  # never back into the harness, whatever fails here
            os._exit(code)


def _command(arguments: Sequence[str]) -> int:
    from studio.cli import run

    return run(list(arguments))


def _watched(
    child: int, began: float, error: Path, output: Path, kill_after_s: float | None
) -> Ended:
    peak, hung, swollen, killed = 0.0, False, False, False
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - began
        if done:
            break
        peak = max(peak, sum(map(_resident_mb, _family(child))))
        late = kill_after_s is not None and seconds >= kill_after_s
        hung, swollen = seconds > LIMIT_S, peak > 1.1 * MOST_MB
        if late or hung or swollen:
            killed = late and not hung
            _kill(child)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(_POLL_S)
    code = os.waitstatus_to_exitcode(status)
    peak = max(peak, usage.ru_maxrss / 1024)
    texts = [p.read_text("utf-8", "replace") if p.exists() else "" for p in (error, output)]
    hung = hung or code == -signal.SIGXCPU
    cpu_s = usage.ru_utime + usage.ru_stime
    return Ended(code, texts[0], texts[1], peak, seconds, hung, swollen, killed, cpu_s)


def _kill(child: int) -> None:
    """SIGKILL to the child and all that it started."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its session yet
        os.kill(child, signal.SIGKILL)


def _family(process: int) -> Iterator[int]:
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _resident_mb(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_MB
    except (OSError, IndexError):
        return 0.0


def preload(*, heavy: bool = True) -> None:
    """Import (not start) what the commands would import, once for all forks."""
    import importlib

    names = ["studio.cli", "studio.provenance", "studio.verify", "studio.batch.run", "tomlkit"]
    if heavy:
        names += ["av", "cv2", "mediapipe", "numpy", "onnxruntime", "scipy.signal", "soundfile"]
        names += ["torch", "torchaudio", "c2pa", "openpyxl", "opentimelineio", "pysubs2"]
        names += ["align.text", "align.formats", "lipsync.resync", "studio.redub", "voice.takes"]
        names += ["studio.watermark", "studio.cues.reading", "screenplain.parsers.fountain"]
        names += ["otio_cmx3600_adapter", "defusedxml.ElementTree", "cryptography.x509"]
    for name in names:
        importlib.import_module(name)
    if heavy:
        import torch

        from align.text import speakable

        torch.set_num_threads(1)
        speakable("this is real")  # the lexicon, read once
