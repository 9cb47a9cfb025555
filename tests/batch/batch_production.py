"""A small fictional production, made of the presenter in samples/, and a crew of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from studio.batch.local import Lost
from studio.batch.plan import Job
from studio.batch.work import Outcome, run_job
from studio.production import Production, load_production

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

HEAD = """\
title = "The Harbour"
rate = "24000/1001"
project = "The Harbour (Wildline demonstration)"

[delivery]
takes = 1
match = {match}

[objectives]
wer = 0.34
naturalness = 1.5

[people.mara]
name = "Mara Voss"
voice = "stock:mara"
{consent}

[people.keeper]
name = "The Keeper"
voice = "stock:mara"

[scenes.1]
start = "01:00:00:00"
{footage}

[[cues]]
file = "cues.csv"
"""


Row = tuple[str, ...]
ROWS: list[Row] = [
    ("M1", "MARA", "01:00:01:00", "01:00:03:12", "The tide is turning now.", "off"),
    ("M2", "MARA", "01:00:04:00", "01:00:06:00", "Nobody saw the light.", "off"),
    ("K1", "The Keeper", "01:00:08:00", "01:00:10:00", "Who goes there?", "off"),
]


def make_production(
    folder: Path,
    rows: Sequence[Row],
    *,
    consent: bool = False,
    footage: Path | None = None,
    match: bool = False,
    more: str = "",
) -> Production:
    folder.mkdir(exist_ok=True)
    for name in ("consent.toml", "release.txt"):
        shutil.copy(SAMPLES / name, folder)
    text = HEAD.format(
        consent='consent = "consent.toml"' if consent else "",
        footage=f"footage = {json.dumps(str(footage))}" if footage else "",
        match="true" if match else "false",
    )
    (folder / "production.toml").write_text(text + more, "utf-8")
    write_rows(folder, rows)
    return load_production(folder)


def write_rows(folder: Path, rows: Sequence[Row]) -> None:
    head = "Cue #,Scene,Character,TC In,TC Out,Dialogue,On/Off\n"
    lines = [f'{n},1,{who},{a},{b},"{line}",{on}' for n, who, a, b, line, on in rows]
    (folder / "cues.csv").write_text(head + "\n".join(lines) + "\n", "utf-8")


@dataclass
class Here:
    """A crew of one: this process, so that models are loaded once for all tests."""

    production: Production
    before: Callable[[Job], None] = lambda job: None
    jobs: list[Job] = field(default_factory=list)

    def free(self) -> int:
        return 0 if self.jobs else 1

    def begin(self, job: Job) -> None:
        self.jobs.append(job)

    def ended(self) -> list[Outcome | Lost]:
        job = self.jobs.pop()
        self.before(job)
        return [run_job(self.production, job)]

    def dismiss(self) -> None:
        self.jobs.clear()


def presenter_clip(path: Path, first: int, stop: int) -> Path:
    """Frames of the presenter at half size, with their sound and a start timecode."""
    from dataclasses import replace

    import cv2

    from media.audio import read_sound
    from media.reader import probe, read_frames
    from media.time import Timecode
    from media.writer import FootageWriter

    source = SAMPLES / "presenter.mp4"
    info = probe(source)
    small = (info.width // 2, info.height // 2)
    start = Timecode.parse("01:00:00:00", info.rate)
    like = replace(info, width=small[0], height=small[1], frames=None, start_timecode=start)
    sound = read_sound(source).cut(info.rate.time_of(first), info.rate.time_of(stop))
    with FootageWriter(path, like, sound=sound) as writer:
        for frame in read_frames(source, first, stop):
            rgb = cv2.resize(frame.rgb, small, interpolation=cv2.INTER_AREA)
            writer.write(replace(frame, rgb=rgb))
    return path
