"""One request a line in, one answer a line out, and what each answer cost.

Every peer's own Python runs this, so it needs nothing but the standard library. A worker says
first what it is, then answers until its input ends:

    serve(answer, prepare=read_files, versions=("torch",))

`prepare` and `after` are not timed: reading files is not aligning.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import wave
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

Work = Callable[[dict[str, Any]], dict[str, Any]]


def serve(
    answer: Work,
    *,
    prepare: Work = lambda asked: asked,
    after: Callable[[], None] = lambda: None,
    versions: Sequence[str] = (),
    says: dict[str, Any] | None = None,
) -> None:
    """Answer the requests on standard input; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    known = {"python": sys.version.split()[0], **{name: version(name) for name in versions}}
    print(json.dumps({"versions": known, **(says or {})}), file=replies, flush=True)
    for line in sys.stdin:
        asked = prepare(json.loads(line))
        began, busy = time.perf_counter(), time.process_time()
        told = answer(asked)
        cost = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - busy}
        samples = told.pop("samples", None)
        if samples is not None:
            told["sound_s"] = len(samples) / told["rate"]
            write_wav(asked["out"], samples.tolist(), told["rate"])
        print(json.dumps({**told, **cost, "peak_mb": peak_mb()}), file=replies, flush=True)
        after()


def peak_mb() -> float:
    """The most memory that this program has held.

    `getrusage` counts what its parent held when it was started, too, so it is second choice.
    """
    with suppress(OSError), open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_wav(path: str, samples: Sequence[float], rate: int) -> None:
    """Mono, 16 bit; `samples` in -1..1."""
    held = array("h", (round(32767 * min(1.0, max(-1.0, float(x)))) for x in samples))
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(held.tobytes())


def read_wav(path: str) -> bytes:
    """The bytes of a mono WAV of 16 bit."""
    with wave.open(path, "rb") as stream:
        return stream.readframes(stream.getnframes())
