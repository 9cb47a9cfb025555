"""How fast footage is read, written and copied, and how much memory that takes.

    python benchmarks/footage.py [clip.mp4] [--frames 200]

Without a clip it makes 1280x720 footage of its own. Prints frames a second, CPU time a
frame (what counts on a busy machine) and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from media import FootageWriter, Frame, FrameRate, prefetch, probe, read_frames
from media.footage import FootageInfo


def make_clip(path: Path, frames: int) -> None:
    """A drifting gradient with grain, 1280x720 at 25 frames a second."""
    info = FootageInfo(path, FrameRate(Fraction(25)), 1280, 720, None, Fraction(0))
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 3, (720, 1280, 3))
    ramp = np.linspace(30, 220, 1280)[None, :, None]
    with FootageWriter(path, info) as writer:
        for index in range(frames):
            picture = np.roll(ramp, 4 * index, axis=1) + np.roll(grain, 37 * index, axis=0)
            rgb = np.broadcast_to(picture, (720, 1280, 3)).clip(0, 255).astype(np.uint8)
            writer.write(Frame(index, info.rate.time_of(index), rgb))


def timed(label: str, frames: int, work: Callable[[], object]) -> None:
    """Run `work` once and print its rate."""
    began, used = time.perf_counter(), time.process_time()
    work()
    rate = frames / (time.perf_counter() - began)
    cpu_ms = (time.process_time() - used) / frames * 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{label:26} {rate:7.1f} frames/s  {cpu_ms:6.1f} ms CPU a frame  peak {peak:5.0f} MB")


def copy(source: Path, target: Path, frames: int, codec: str, ahead: bool) -> None:
    """Decode, convert to RGB and back, encode."""
    pictures = read_frames(source, 0, frames)
    with FootageWriter(target, probe(source), codec=codec) as writer:  # type: ignore[arg-type]
        for frame in prefetch(pictures) if ahead else pictures:
            writer.write(frame)


def main() -> int:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        clip = options.clip or place / "made.mp4"
        if options.clip is None:
            make_clip(clip, options.frames)
        frames = min(options.frames, sum(1 for _ in read_frames(clip, 0, options.frames)))
        pictures = list(read_frames(clip, 0, min(frames, 50)))
        info = probe(clip)
        print(f"{info.width}x{info.height} {info.pix_fmt} at {info.rate}, {frames} frames")

        def encode() -> None:
            with FootageWriter(place / "encoded.mp4", info) as writer:
                for index in range(frames):
                    still = pictures[index % len(pictures)]
                    writer.write(Frame(index, info.rate.time_of(index), still.rgb))

        timed("read as RGB", frames, lambda: list(map(id, read_frames(clip, 0, frames))))
        timed("write h264", frames, encode)
        timed("copy h264", frames, lambda: copy(clip, place / "a.mp4", frames, "h264", False))
        timed(
            "copy h264, reading ahead",
            frames,
            lambda: copy(clip, place / "b.mp4", frames, "h264", True),
        )
        timed(
            "copy ProRes, reading ahead",
            frames,
            lambda: copy(clip, place / "c.mov", frames, "prores", True),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
