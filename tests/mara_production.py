"""A small production about nobody: Mara Voss's film, a cue sheet, and the results of a batch.

The results are written as a batch writes them, with pieces of the film's own sound as takes,
so that pages, reports and tests have something true to show without speaking a line.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from align.formats import read_timing
from align.timing import Span, Timing
from media.audio import Sound, read_sound, write_wav
from studio.batch.states import CueState
from studio.cues.reading import read_cues
from studio.production import Production, load_production

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
TITLE = "The Harbour"
_RATE = 24000 / 1001
_SECONDS = 10  # of a small film
_TOML = """\
title = "The Harbour"
rate = "24000/1001"

[objectives]
wer = 0.1
closure_rate = 0.9
audience = 3.5

[people.mara]
name = "Mara Voss"
voice = "stock:alto-1"
consent = "consent.toml"

[scenes.1]
footage = "footage/presenter.mp4"
objective = "She greets the town as if she had never been away."

[[cues]]
file = "cues.csv"
"""


@dataclass(frozen=True)
class Line:
    """A cue's words in the film: (first, last) word and what the sheet calls it."""

    number: str
    first: int
    last: int
    text: str


LINES = (
    Line("MAR101", 0, 4, "Good evening, I'm Mara Voss."),
    Line("MAR102", 5, 15, "For forty years the harbour below this hill kept no clock."),
    Line("MAR103", 16, 22, "The boats came home with the fog."),
)


def make_production(
    folder: Path, *, lines: Sequence[Line] = LINES, shots: bool = True, small: bool = False
) -> Production:
    """Write the production and its results; the last cue is waiting for its first batch.

    A `small` film is the first seconds at a quarter of the size, which is quick to work on.
    """
    (folder / "footage").mkdir(parents=True)
    if small:
        _small_film(SAMPLES / "presenter.mp4", folder / "footage" / "presenter.mp4")
    else:
        shutil.copy(SAMPLES / "presenter.mp4", folder / "footage")
    for name in ("consent.toml", "release.txt"):
        shutil.copy(SAMPLES / name, folder)
    (folder / "production.toml").write_text(_TOML, "utf-8")
    film = read_timing(SAMPLES / "presenter.json")
    _write_sheet(folder / "cues.csv", film, lines)
    production = load_production(folder)
    sound = read_sound(folder / "footage" / "presenter.mp4", 48_000)
    for cue, line in zip(read_cues(production).cues[:-1], lines, strict=False):
        _write_results(production, cue.id, line, film, sound, shots and line is lines[0])
    return production


def _small_film(source: Path, target: Path) -> None:
    from media.video import FootageWriter, probe, read_frames

    info = probe(source)
    like = replace(info, width=info.width // 4, height=info.height // 4)
    with FootageWriter(target, like, sound=read_sound(source, 48_000), quality=20) as writer:
        for frame in read_frames(source, 0, info.rate.frames_in(_SECONDS)):
            writer.write(replace(frame, rgb=frame.rgb[::4, ::4].copy()))


def _span(film: Timing, line: Line) -> tuple[float, float]:
    words = film.words[line.first : line.last + 1]
    return words[0].start_s - 0.1, words[-1].end_s + 0.1


def _label(seconds: float) -> str:
    frame = round(seconds * _RATE)
    second, frame = divmod(frame, 24)
    return f"00:00:{second:02}:{frame:02}"


def _write_sheet(path: Path, film: Timing, lines: Sequence[Line]) -> None:
    rows = ["Cue,Scene,Character,TC In,TC Out,Dialogue"]
    for line in lines:
        start, end = _span(film, line)
        rows.append(f'{line.number},1,Mara,{_label(start)},{_label(end)},"{line.text}"')
    path.write_text("\n".join(rows) + "\n", "utf-8")


def _write_results(
    production: Production, cue_id: str, line: Line, film: Timing, sound: Sound, shot: bool
) -> None:
    step = production.work / "steps" / f"takes-{cue_id}"
    step.mkdir(parents=True)
    start, end = _span(film, line)
    takes = []
    for rank in (1, 2):
        begin = start + 0.02 * (rank - 1)
        wav = step / f"take-{rank}.wav"
        write_wav(wav, sound.cut(begin, end))
        _write_timing(wav.with_suffix(".json"), film, line, begin, end - begin)
        takes.append(
            {
                "id": f"1.{rank}",
                "wav": str(wav.relative_to(production.folder)),
                "timing": str(wav.with_suffix(".json").relative_to(production.folder)),
                "scores": {"wer": 0.05 * rank, "heard": line.text, "dnsmos": 3.5 - 0.1 * rank},
                "seed": rank,
                "text": line.text,
                "step": step.name,
            }
        )
    state = CueState().became(
        "done",
        takes=tuple(takes),
        chosen="1.1",
        values={"wer": 0.05, "closure_rate": 1.0 if shot else 0.75, "loudness": -23.4},
    )
    if shot:
        handles = production.delivery.handles
        first = max(0, round(start * _RATE) - handles)
        stop = round(end * _RATE) + handles
        place = _write_shot(production, cue_id, first, stop)
        original = {"footage": "footage/presenter.mp4", "first": first, "stop": stop}
        where = str(place.relative_to(production.folder))
        state = replace(state, shot=where, original=original)
    cue = next(c for c in read_cues(production).cues if c.id == cue_id)
    state.write(production, cue)


def _write_timing(path: Path, film: Timing, line: Line, begin: float, duration: float) -> None:
    words = film.words[line.first : line.last + 1]

    def rows(spans: Sequence[Span]) -> list[dict[str, object]]:
        return [
            {"label": s.label, "start_s": s.start_s - begin, "end_s": s.end_s - begin}
            for s in spans
        ]

    phones = [p for word in words for p in film.phones_of(word)]
    facts = {"duration_s": duration, "words": rows(words), "phones": rows(phones)}
    path.write_text(json.dumps(facts), "utf-8")


def _write_shot(production: Production, cue_id: str, first: int, stop: int) -> Path:
    """Those frames, a shade darker so that they can be told from the original."""
    from media.video import FootageWriter, probe, read_frames

    source = production.folder / "footage" / "presenter.mp4"
    info = probe(source)
    path = production.work / "steps" / f"shot-{cue_id}" / "shot.mp4"
    path.parent.mkdir(parents=True)
    rate = info.rate
    sound = read_sound(source, 48_000).cut(rate.time_of(first), rate.time_of(stop))
    by = 2 if info.height > 400 else 1
    small = replace(info, width=info.width // by, height=info.height // by)
    with FootageWriter(path, small, sound=sound, quality=23) as writer:
        for frame in read_frames(source, first, stop):
            rgb = frame.rgb[::by, ::by] // 5 * 4
            writer.write(replace(frame, rgb=rgb))
    return path
