"""Does a resync stay fast and its memory flat when the footage grows?

    python benchmarks/long.py CLIP [--minutes 1 10] [--keep FOLDER]

CLIP is looped by copying its packets until it is long enough, then re-synced to a stock voice's
line by the installed `wildline resync`, in a process of its own with an empty cache: tracking,
alignment, learning, rendering and encoding are all in the time. Targets on two processor
cores at 1280x720: 10 frames/s, 2 GB, and the same memory for 1 and 10 minutes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from media.video import probe  # noqa: E402

LINE = "We chose to go, and we went, before anybody could tell us that it was impossible."


def loop(clip: Path, out: Path, seconds: float) -> None:
    """Repeat the packets of `clip` into `out` (same container) until `seconds` are full."""
    with av.open(str(out), "w") as target:
        streams, last, end = {}, {}, Fraction(0)
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
    options = parser.parse_args()
    wildline = str(Path(sys.executable).with_name("wildline"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        consent, line = place / "consent.toml", place / "line.wav"
        environment = {**os.environ, "WILDLINE_CACHE": str(place / "cache")}
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
            command = [wildline, "resync", str(scene), str(line), "-o", str(out)]
            command += ["--consent", str(consent)]
            wall, busy, peak = run(command, environment)
            info = probe(out)
            frames = info.frames or 0
            print(
                f"{minutes:7g}  {info.width}x{info.height:<6} {frames:7d} {frames / wall:9.1f} "
                f"{busy / max(frames, 1):12.3f} {peak:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
