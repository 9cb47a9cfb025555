"""Does a resync stay fast and its memory flat when the footage grows?

    python benchmarks/long.py CLIP [--minutes 1 10]

CLIP is looped by copying its packets until it is long enough, then re-synced to a stock voice's
line as by `wildline resync`, in a process of its own with an empty cache: tracking, alignment,
learning, rendering, encoding, measuring and signing are all in the time. Below each row stands
what the stages take of it (wall clock and processor, milliseconds a frame). Targets on two
processor cores at 1280x720: 20 frames/s, 2 GB, and the same memory for 1 and 10 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from media.video import probe  # noqa: E402

LINE = "We chose to go, and we went, before anybody could tell us that it was impossible."


def loop(clip: Path, out: Path, seconds: float) -> None:
    """Repeat the packets of `clip` into `out` (same container) until `seconds` are full."""
    with av.open(str(out), "w") as target:
        streams: dict[str, Any] = {}
        last: dict[str, int] = {}
        end = Fraction(0)
        while end < seconds:
            offset = end
            with av.open(str(clip)) as source:
                chosen = [s for s in source.streams if s.type in ("video", "audio")]
                for stream in chosen:
                    if stream.type not in streams:
                        streams[stream.type] = target.add_stream_from_template(stream)
                for packet in source.demux(chosen):
                    kind, base = packet.stream.type, packet.time_base
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(offset / base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    if packet.dts <= last.get(kind, packet.dts - 1):
                        continue  # the sound's lead-in of the next round
                    last[kind] = packet.dts
                    if kind == "video":
                        end = max(end, (packet.pts + (packet.duration or 0)) * base)
                    packet.stream = streams[kind]
                    target.mux(packet)


class Stages:
    """Wall-clock and processor seconds between the calls of one name and those of the next."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        # The process's processor time began with its imports, and so does the first stage.
        self._now, self._wall, self._busy = "starting", time.perf_counter(), 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Progress of `studio.scene.resync`."""
        if what != self._now:
            self.turn(what)
        if done == total:
            self.turn("between and after these")

    def turn(self, what: str) -> None:
        """Another stage begins."""
        wall, busy = time.perf_counter(), time.process_time()
        spent = self.spent.setdefault(self._now, [0.0, 0.0])
        spent[0] += wall - self._wall
        spent[1] += busy - self._busy
        self._now, self._wall, self._busy = what, wall, busy


def child(scene: Path, line: Path, out: Path, consent: Path, times: Path) -> None:
    """One run, its stages written to `times`."""
    stages = Stages()
    from studio.scene import resync

    resync(scene, line, out, consent=consent, progress=stages)
    stages.turn("")
    times.write_text(json.dumps(stages.spent))


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, peak megabytes) of one command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print one row a length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--child", type=Path, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.clip, *options.child)
        return
    wildline = str(Path(sys.executable).with_name("wildline"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        consent, line = place / "consent.toml", place / "line.wav"
        environment = {**os.environ, "WILDLINE_CACHE": str(place / "cache")}
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does
        paper = place / "release.txt"
        paper.write_text("A measurement.", encoding="utf-8")
        new = [wildline, "consent", "new", "-o", str(consent), "--person", "Bench"]
        new += ["--project", "bench", "--description", "a measurement", "--use", "face-alter"]
        new += ["--signed", "2026-01-01", "--start", "2026-01-01", "--expiry", "2099-12-31"]
        run([*new, "--document", str(paper)], environment)
        run([wildline, "say", LINE, "--voice", "stock:tenor-1", "-o", str(line)], environment)
        print("minutes  size        frames  frames/s  CPU s/frame  peak MB")
        for minutes in options.minutes:
            scene = place / f"scene-{minutes:g}{options.clip.suffix}"
            loop(options.clip, scene, 60 * minutes)
            out = place / f"out-{minutes:g}.mp4"
            times = place / "times.json"
            command = [sys.executable, __file__, str(scene), "--child"]
            command += map(str, (line, out, consent, times))
            wall, busy, peak = run(command, environment)
            info = probe(out)
            frames = info.frames or 0
            print(
                f"{minutes:7g}  {info.width}x{info.height:<6} {frames:7d} {frames / wall:9.1f} "
                f"{busy / max(frames, 1):12.3f} {peak:8.0f}",
                flush=True,
            )
            for stage, (took, worked) in json.loads(times.read_text()).items():
                each = 1000 / max(frames, 1)
                print(
                    f"  {stage:<36} {100 * took / wall:4.0f} % {took * each:7.1f} ms wall "
                    f"{worked * each:7.1f} ms processor",
                    flush=True,
                )


if __name__ == "__main__":
    main()
