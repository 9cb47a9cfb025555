"""`wildline say` and `wildline delivery`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from media.errors import MediaError
from studio._options import Consent, Duration, LedgerFile, Project, Seed, Sheet, Takes

if TYPE_CHECKING:
    from media.time import Timecode
    from studio.speaking import SayResult
    from voice.delivery import Delivery

__all__ = ["delivery", "say"]

_LONG_PIECES = 6  # a text of so many pieces (about 90 s) is written piece by piece
_Guide = Annotated[
    Path | None, typer.Option("--guide", help="An actor's reading of the line, to follow.")
]
_Match = Annotated[
    Path | None, typer.Option("--match", help="A scene or recording to sit in (sound or film).")
]
_MatchOnly = Annotated[
    str | None,
    typer.Option("--match-only", help="Of spectrum,room,noise,level; default all."),
]
_Timecode = Annotated[
    str | None,
    typer.Option("--timecode", help="Where the file starts: 01:00:10:12@23.976", metavar="TC@RATE"),
]
_Keep = Annotated[
    bool, typer.Option("--keep-takes/--best-only", help="Deliver the other takes too.")
]


def say(
    text: Annotated[str, typer.Argument(help="The line; may carry *stress* and [pause 0.4].")],
    voice: Annotated[str, typer.Option("--voice", help="A voice's folder, or stock:NAME.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The WAV file.")],
    text_file: Annotated[
        bool, typer.Option("--text-file", help="TEXT is the name of a text file.")
    ] = False,
    consent: Consent = None,
    project: Project = None,
    takes: Takes = 3,
    seed: Seed = 0,
    speed: Annotated[float, typer.Option("--speed", help="1 is the voice's own pace.")] = 1.0,
    manner: Annotated[
        str | None,
        typer.Option(
            "--delivery",
            metavar="NAME",
            help="Speak as on some of the person's tapes; the voice's card names them.",
        ),
    ] = None,
    duration: Duration = None,
    guide: _Guide = None,
    lexicon: Annotated[
        Path | None, typer.Option("--lexicon", help="Pronunciations: word and phones a line.")
    ] = None,
    match: _Match = None,
    match_only: _MatchOnly = None,
    timecode: _Timecode = None,
    scene: Annotated[str, typer.Option("--scene", help="Into the WAV's iXML.")] = "",
    take: Annotated[str, typer.Option("--take", help="Into the WAV's iXML.")] = "",
    note: Annotated[
        str, typer.Option("--note", help="Into the WAV's iXML; default: the line.")
    ] = "",
    circled: Annotated[bool, typer.Option("--circled", help="Mark the take as chosen.")] = False,
    keep_takes: _Keep = False,
    ledger: LedgerFile = None,
    disclosure: Sheet = None,
) -> None:
    """Speak a new line; writes a Broadcast WAV and beside it words, phones and scores as JSON."""
    from studio import speaking
    from studio._display import progress_bars
    from studio._sources import read_text
    from studio.provenance import Papers

    line = read_text(Path(text)) if text_file else text
    slate = speaking.Slate(_timecode(timecode), scene, take, note, circled)
    papers = Papers.beside(out, ledger, disclosure)
    plain = duration is None and guide is None and match is None and not keep_takes
    with progress_bars() as progress:
        if plain and _is_long(line):
            said = speaking.say_long(
                line,
                voice,
                out,
                consent=consent,
                project=project,
                takes=takes,
                seed=seed,
                manner=manner,
                speed=speed,
                lexicon=lexicon,
                slate=slate,
                papers=papers,
                progress=progress,
            )
        else:
            said = speaking.say(
                line,
                voice,
                out,
                consent=consent,
                project=project,
                takes=takes,
                seed=seed,
                manner=manner,
                speed=speed,
                duration_s=duration,
                guide=guide,
                lexicon=lexicon,
                match=match,
                match_only=None if match_only is None else match_only.split(","),
                slate=slate,
                keep_takes=keep_takes,
                papers=papers,
                progress=progress,
            )
    _report(said)


def _is_long(text: str) -> bool:
    """Whether a text is a matter of minutes: some 15 letters a second are spoken."""
    return len(text) > 15 * 15 * _LONG_PIECES


def _report(said: SayResult) -> None:
    from studio._display import out as show
    from studio._display import scores_text
    from voice.delivery import describe_delivery

    show(f"{said.path} (best of {said.takes}): {scores_text(said.take.scores)}")
    if said.match is not None:
        show(f"matched: {scores_text(said.match)}")
    if said.manner:
        show(f"against the guide: {describe_delivery(said.manner)}")
    for path in said.others:
        show(f"also {path}")


def _timecode(text: str | None) -> Timecode | None:
    """A timecode and its rate, "01:00:10:12@23.976"; `;` before the frames is drop-frame."""
    from media.time import FrameRate, Timecode

    if text is None:
        return None
    label, _, rate = text.partition("@")
    if not rate:
        raise MediaError(
            f"the timecode '{text}' needs its frame rate; write for example {label}@23.976"
        )
    return Timecode.parse(label, FrameRate.parse(rate))


def delivery(
    files: Annotated[list[Path], typer.Argument(help="Recordings, takes, or folders of them.")],
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="A guide, or the archive; repeat for more."),
    ] = None,
) -> None:
    """Measure how lines are delivered: pitch, range, pace, pauses, level; and how they differ."""
    from studio._display import out as show
    from studio._display import table
    from voice.delivery import compare_delivery, describe_delivery, mean_delivery

    measured = _measured(files)
    columns = ("file", "pitch Hz", "range st", "syll/s", "pauses", "pause s", "dBFS", "dynamics dB")
    table(columns, [_row(path, found) for path, found in measured])
    if not against:
        return
    archive = mean_delivery([found for _, found in _measured(against)])
    for path, found in measured:
        differences = compare_delivery(found, archive)
        show(f"{path}: {describe_delivery(differences)}")
        for difference in differences:
            show(f"  {difference.sentence}")


def _measured(places: list[Path]) -> list[tuple[Path, Delivery]]:
    """Every recording in the places with its delivery; files without speech are left out."""
    from media.audio import read_sound
    from media.errors import NoSpeechError
    from studio._sources import files_in
    from voice.delivery import measure_delivery

    found = []
    for path in files_in(places):
        try:
            found.append((path, measure_delivery(read_sound(path))))
        except (MediaError, NoSpeechError):
            if path in places:  # named itself, not found in a folder
                raise
    if not found:
        raise MediaError(f"there is no recording of speech in '{places[0]}'; check the path")
    return found


def _row(path: Path, found: Delivery) -> tuple[str, ...]:
    return (
        path.name,
        f"{found.f0_hz:.0f}",
        f"{found.range_st:.1f}",
        f"{found.syllables_s:.1f}",
        f"{100 * found.pause_share:.0f} %",
        f"{found.pause_s:.2f}",
        f"{found.level_dbfs:.1f}",
        f"{found.dynamics_db:.1f}",
    )
