"""Lips: `wildline resync` and a plain per-frame loop, on the same footage and sound."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.long import LINE
from benchmarks.long import run as command
from benchmarks.peers.environments import HERE, ROOT
from benchmarks.peers.tables import Result, ratio
from benchmarks.voice import LINES, PARAGRAPH

COLUMNS = {
    "who": "",
    "frames": "d",
    "wall s": ".0f",
    "frames/s": ".2f",
    "CPU s/frame": ".3f",
    "peak MB": ".0f",
    "closure rate": ".3f",
    "silence shut": ".3f",
    "wall a frame / ours": ".2f",
    "CPU a frame / ours": ".2f",
}
NOTE = """\
The whole of each: ours tracks 478 points, times the sound, learns the mouths, renders, encodes,
marks, signs, and tracks the result again; the loop is `benchmarks/peers/workers/lips_per_frame.py`,
in the manner of Wav2Lip's inference with random weights, so that only its cost means anything.
*truth* is the footage with its own sound."""
COMPUTED = """\
The second row of the loop is computed: the first, with the seconds of the detector that the
original uses (S3FD, random weights, timed on {frames} frames) in the place of MediaPipe's."""
_CONSENT = ("--person", "Mara Voss", "--project", "bench", "--description", "a measurement")
_DAYS = ("--signed", "2026-01-01", "--start", "2026-01-01", "--expiry", "2099-12-31")


def run(result: Result, scratch: Path, *, footage: Path | None, s3fd: int, seconds: float) -> None:
    """Fill `result`."""
    from media.audio import read_sound

    wildline = str(Path(sys.executable).with_name("wildline"))
    own = footage is None
    scene = footage or ROOT / "samples" / "presenter.mp4"
    line, consent = scratch / "line.wav", scratch / "consent.toml"
    environment = {**os.environ, "WILDLINE_HOME": str(scratch / "home")}
    paper = scratch / "release.txt"
    paper.write_text("A measurement.", "utf-8")
    new = [wildline, "consent", "new", "-o", str(consent), "--use", "face-alter"]
    command([*new, *_CONSENT, *_DAYS, "--document", str(paper)], environment)
    text = f"{LINE} {LINES[2]}" if seconds else f"{PARAGRAPH} {LINE}"
    say = [wildline, "say", text, "--voice", "stock:mezzo-1", "--takes", "1", "-o", str(line)]
    command(say, environment)
    if own:  # no more of it than is spoken: the loop stops there, and ours passes the rest through
        length = float(read_sound(line).duration_s)
        scene = shortened(scene, min(seconds or length, length), scratch / "scene.mp4")
    environment["WILDLINE_CACHE"] = str(scratch / "cache")  # nothing about this footage is known
    if own:
        result.rows.append(truth(wildline, scene, scratch, environment))
    ours = resynced(wildline, scene, line, scratch, environment)
    rows = per_frame(scene, line, scratch, environment, s3fd)
    for row in rows:
        row["wall a frame / ours"] = ratio(ours["frames/s"], row["frames/s"])
        row["CPU a frame / ours"] = ratio(row["CPU s/frame"], ours["CPU s/frame"])
    result.rows += [ours, *rows]
    result.notes += [NOTE, COMPUTED.format(frames=s3fd)] if s3fd else [NOTE]


def shortened(scene: Path, seconds: float, out: Path) -> Path:
    """The first seconds of `scene`, and what is known of their timing beside them."""
    from align.formats import read_timing, write_timing
    from align.timing import Timing
    from media.audio import read_sound
    from media.video import FootageWriter, probe, read_frames

    info, known = probe(scene), read_timing(scene.with_suffix(".json"))
    stop = int(seconds * info.rate.value)
    end = float(info.rate.time_of(stop))
    with FootageWriter(out, info, sound=read_sound(scene, 48_000).cut(0, end)) as writer:
        for frame in read_frames(scene, 0, stop):
            writer.write(frame)
    words, phones = (tuple(s for s in t if s.end_s <= end) for t in (known.words, known.phones))
    write_timing(Timing(words, phones, end), out.with_suffix(".json"))
    return out


def truth(wildline: str, scene: Path, scratch: Path, environment: dict[str, str]) -> dict[str, Any]:
    """The real lips, measured as ours are."""
    told = scratch / "truth.json"
    score = [wildline, "score", str(scene), "--timing", str(scene.with_suffix(".json"))]
    elsewhere = {**environment, "WILDLINE_CACHE": str(scratch / "other")}
    command([*score, "--json", str(told)], elsewhere)
    marks = json.loads(told.read_text("utf-8"))["result"]
    return {
        "who": "truth",
        "frames": marks["frames"],
        "closure rate": marks["closure_rate"],
        "silence shut": marks["silence_shut"],
    }


def resynced(
    wildline: str, scene: Path, line: Path, scratch: Path, environment: dict[str, str]
) -> dict[str, Any]:
    """Our row."""
    out = scratch / "ours.mp4"
    words = [wildline, "resync", str(scene), str(line), "-o", str(out)]
    wall, busy, peak = command([*words, "--consent", str(scratch / "consent.toml")], environment)
    report = json.loads(out.with_suffix(".report.json").read_text("utf-8"))
    lips = report["lips"] or {}
    return {
        **{"who": "Wildline, engine mouthbank", "frames": report["frames"], "wall s": wall},
        **{"frames/s": report["frames"] / wall, "CPU s/frame": busy / report["frames"]},
        **{"peak MB": peak, "closure rate": lips.get("closure_rate")},
        "silence shut": lips.get("silence_shut"),
    }


def per_frame(
    scene: Path, line: Path, scratch: Path, environment: dict[str, str], s3fd: int
) -> list[dict[str, Any]]:
    """The loop's rows: as it is, and with the original's detector."""
    told, out = scratch / "loop.json", scratch / "loop.mp4"
    script = str(HERE / "workers" / "lips_per_frame.py")
    words = [sys.executable, script, str(scene), str(line), str(out), str(told)]
    command([*words, "--s3fd", str(s3fd)], environment)
    report = json.loads(told.read_text("utf-8"))
    stages, frames = report["stages"], report["frames"]
    wall, busy = (sum(s[k] for s in stages.values()) for k in ("wall_s", "cpu_s"))
    plain = {
        **{"who": "per-frame loop, MediaPipe's detector", "frames": frames, "wall s": wall},
        **{"frames/s": frames / wall, "CPU s/frame": busy / frames, "peak MB": report["peak_mb"]},
    }
    if not s3fd:
        return [plain]
    other = wall + frames * report["s3fd"]["wall_s"] - stages["faces"]["wall_s"]
    spent = busy + frames * report["s3fd"]["cpu_s"] - stages["faces"]["cpu_s"]
    named = {"who": "per-frame loop, S3FD (computed)", "frames": frames, "wall s": other}
    return [plain, {**named, "frames/s": frames / other, "CPU s/frame": spent / frames}]
