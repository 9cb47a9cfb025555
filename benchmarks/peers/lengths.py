"""Footage of 1, 2, 5 and 10 minutes: the time should grow as the length does, the memory not.

The same clip, looped by its packets, re-synced by the installed `wildline resync` in a process of
its own with an empty cache, as `benchmarks/long.py` does it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.long import LINE, loop
from benchmarks.long import run as command
from benchmarks.peers.environments import ROOT
from benchmarks.peers.tables import Result, ratio, today

COLUMNS = {
    "minutes": "g",
    "picture": "",
    "frames": "d",
    "wall s": ".0f",
    "frames/s": ".1f",
    "CPU s/frame": ".3f",
    "peak MB": ".0f",
    "CPU a frame / shortest": ".2f",
    "peak / shortest": ".2f",
    "load": "",
    "date": "",
}
NOTE = """\
Tracking, listening, learning, rendering, encoding, marking and tracking the result again, of the
whole footage. Time in line with the length is a constant time a frame (a ratio of 1), flat memory
a ratio of peaks near 1. Lengths may have been run on different days, so load and date are given."""
_CONSENT = ("--person", "Mara Voss", "--project", "bench", "--description", "a measurement")
_DAYS = ("--signed", "2026-01-01", "--start", "2026-01-01", "--expiry", "2099-12-31")


def run(
    result: Result,
    scratch: Path,
    *,
    footage: Path | None,
    minutes: Sequence[float],
    earlier: Result | None,
) -> None:
    """Fill `result`.

    Rows of other lengths are kept that an earlier run of the same code wrote on the same machine
    of the same picture.
    """
    from media.video import probe

    wildline = str(Path(sys.executable).with_name("wildline"))
    clip = footage or ROOT / "samples" / "presenter.mp4"
    consent, line, paper = (scratch / n for n in ("consent.toml", "line.wav", "release.txt"))
    environment = {**os.environ, "WILDLINE_HOME": str(scratch / "home")}
    paper.write_text("A measurement.", "utf-8")
    new = [wildline, "consent", "new", "-o", str(consent), "--use", "face-alter"]
    command([*new, *_CONSENT, *_DAYS, "--document", str(paper)], environment)
    command([wildline, "say", LINE, "--voice", "stock:mezzo-1", "-o", str(line)], environment)
    picture = f"{(facts := probe(clip)).width}x{facts.height}"
    alike = earlier is not None and (earlier.machine, earlier.versions) == (
        result.machine,
        result.versions,
    )
    kept = [
        row
        for row in (earlier.rows if earlier is not None and alike else ())
        if row["minutes"] not in minutes and row["picture"] == picture
    ]
    fresh = []
    for length in minutes:
        scene = scratch / f"scene-{length:g}{clip.suffix}"
        loop(clip, scene, 60 * length)
        words = [wildline, "resync", str(scene), str(line), "-o", str(scratch / "out.mp4")]
        words += ["--consent", str(consent)]
        fresh.append(measured(length, words, scratch, environment))
        scene.unlink()
    rows = sorted([*kept, *fresh], key=lambda r: float(r["minutes"]))
    for row in rows:
        row["CPU a frame / shortest"] = ratio(row["CPU s/frame"], rows[0]["CPU s/frame"])
        row["peak / shortest"] = ratio(row["peak MB"], rows[0]["peak MB"])
    result.rows += rows
    result.notes.append(NOTE)


def measured(
    length: float, words: list[str], scratch: Path, environment: dict[str, str]
) -> dict[str, Any]:
    """One row."""
    from media.video import probe

    before = os.getloadavg()[0]
    cache = {**environment, "WILDLINE_CACHE": str(scratch / f"cache-{length:g}")}
    wall, busy, peak = command(words, cache)
    info = probe(scratch / "out.mp4")
    frames = info.frames or 1
    row = {
        **{"minutes": length, "picture": f"{info.width}x{info.height}", "frames": frames},
        **{"wall s": wall, "frames/s": frames / wall, "CPU s/frame": busy / frames},
        **{"peak MB": peak, "load": f"{before:.1f} to {os.getloadavg()[0]:.1f}", "date": today()},
    }
    print(f"{length:g} minutes: {frames / wall:.1f} frames/s, {peak:.0f} MB", flush=True)
    return row
