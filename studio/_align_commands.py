"""`wildline align`: a recording, a folder of them, or a data set with its table of texts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from media.errors import AlignError, MediaError, OutputError, TextError, WildlineError
from media.time import FrameRate

if TYPE_CHECKING:
    from align.engines import Aligner
    from align.text import Script
    from align.timing import Timing
    from media.audio import Sound
    from studio._jobs import Progress
    from voice._sidecar import Transcripts

__all__ = ["align"]

_SOUNDS_TEXT = (
    ".wav .bwf .w64 .rf64 .aif .aiff .au .caf .flac .mp3 .ogg .oga .opus .m4a .aac .wma .mp4 .m4v "
    ".mov .mkv .avi .mxf .webm .mpg .mpeg .mts .ts"
)
_SOUNDS = frozenset(_SOUNDS_TEXT.split())
_MOST_NOTES = 20
_STOCK = "stock:"
_TABLE_ENDINGS = frozenset([".csv", ".tsv"])


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What is wanted for every file alike."""

    form: str | None
    engine: str | Aligner | None
    lexicon: Mapping[str, str]
    check: bool


def align(
    speech: Annotated[
        Path, typer.Argument(help="Sound, footage with sound, a folder, or its metadata.csv.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A file (.TextGrid, .json, .srt, ...) or a folder."),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="What is said; recognised when absent.")
    ] = None,
    text_file: Annotated[Path | None, typer.Option("--text-file", help="The same, in a file.")] = (
        None
    ),
    timing: Annotated[
        Path | None, typer.Option("--timing", help="A corrected timing of this sound; it wins.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="textgrid, textgrid-short, srt-words, ...")
    ] = None,
    lexicon: Annotated[
        Path | None, typer.Option("--lexicon", help="Pronunciations: a word and its phones a line.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="combined (as without it), sphinx, nnet, synth.")
    ] = None,
    voice: Annotated[
        str | None, typer.Option("--voice", help="Of --engine synth: stock:NAME.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="A picture (.png, .svg); of a folder: png or svg.")
    ] = None,
    curves: Annotated[
        Path | None, typer.Option("--curves", help="Lip curves and visemes a frame (.csv).")
    ] = None,
    rate: Annotated[str, typer.Option("--rate", help="Frames a second of --curves.")] = "24",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Listen whether the text is what is said.")
    ] = True,
) -> None:
    """Find every word and phone in a recording, or in every recording of a folder.

    In a folder a bad file is reported in one line and the rest goes on. Exit code: 0 when
    every file was timed, 1 when some were refused, 2 when none was or the call is wrong.
    """
    from align.formats import extension_of
    from align.lexicon import read_lexicon
    from studio._sources import read_text

    if form is not None:
        extension_of(form)
    aligner = _aligner(engine, voice)
    wishes = _Wishes(form, aligner, read_lexicon(lexicon) if lexicon else {}, check)
    words = read_text(text_file) if text_file is not None else text
    if speech.is_dir() or speech.suffix.lower() in _TABLE_ENDINGS:
        if words is not None or timing is not None or curves is not None:
            raise AlignError(
                f"'{speech}' is many recordings; put each text beside its recording (name.txt, or "
                "a row of metadata.csv), and give --timing and --curves with one recording"
            )
        _align_folder(speech, out, wishes, plot)
    else:
        _align_one(speech, _target(speech, out, form), words, timing, wishes, plot, curves, rate)


def _aligner(engine: str | None, voice: str | None) -> str | Aligner | None:
    """The engine's name; for "synth" the engine itself, which speaks the words in `voice`."""
    if engine != "synth":
        if voice is not None:
            raise AlignError("--voice goes with --engine synth, the only one that speaks; add that")
        return engine
    if voice is None or not voice.startswith(_STOCK):
        # A fitted voice may only say what its person's record allows; here any voice serves.
        raise AlignError(
            "--engine synth compares with the same words in a voice that is nobody's; name a stock "
            "voice, as in --voice stock:NAME"
        )
    from align.engines.synth import SynthAligner
    from voice.engines import get_synthesizer
    from voice.voice import load_voice

    chosen = load_voice(voice)
    synthesizer = get_synthesizer(chosen.engine)

    def speak(script: Script) -> tuple[Sound, Timing]:
        said = synthesizer.speak(script, chosen)
        return said.sound, said.timing

    return SynthAligner(speak)


def _target(speech: Path, out: Path | None, form: str | None) -> Path:
    """Where the timing of one recording goes: beside it unless told otherwise."""
    from align.formats import extension_of

    name = speech.with_suffix(extension_of(form or "textgrid")).name
    if out is None:
        return speech.with_name(name)
    return out / name if out.is_dir() and not out.suffix else out


def _align_one(
    speech: Path,
    target: Path,
    words: str | None,
    timing: Path | None,
    wishes: _Wishes,
    plot: Path | None,
    curves: Path | None,
    rate: str,
) -> None:
    from align.plot import require_picture
    from studio._display import out as show
    from studio._display import progress_bars
    from studio._sources import writable

    frames = FrameRate.parse(rate)
    if plot is not None:
        require_picture(plot)
    for place in (target, plot, curves):
        if place is not None:
            writable(place)
    with progress_bars() as progress:
        if timing is None:
            found = _timed(speech, words, wishes, progress)
        else:
            found = _corrected(speech, timing)
    _write(found, speech, target, wishes, plot)
    if curves is not None:
        from align.animation import write_curves

        write_curves(found, frames, curves)
    show(f"{target}: {_summary(found)}")
    for note in found.notes[:_MOST_NOTES]:
        show(f"  {note.start_s:.2f}-{note.end_s:.2f} s  {note.label}")
    if len(found.notes) > _MOST_NOTES:
        show(f"  and {len(found.notes) - _MOST_NOTES} more notes")


def _summary(timing: Timing) -> str:
    return f"{len(timing.words)} words, {len(timing.phones)} phones ({timing.engine})"


def _timed(speech: Path, words: str | None, wishes: _Wishes, progress: Progress) -> Timing:
    from align.transcription import align_file

    return align_file(
        speech,
        words,
        engine=wishes.engine,
        lexicon=wishes.lexicon,
        check=wishes.check,
        progress=lambda share: progress(speech.name, round(1000 * share), 1000),
    )


def _corrected(speech: Path, timing: Path) -> Timing:
    from media.audio import read_sound
    from studio._sources import line_timing

    return line_timing(speech, read_sound(speech), None, timing)


def _write(timing: Timing, speech: Path, target: Path, wishes: _Wishes, plot: Path | None) -> None:
    from align.formats import write_timing

    write_timing(timing, target, wishes.form)
    if plot is not None:
        from align.plot import LONGEST_S, draw_timing
        from align.recording import recording

        (sound,) = recording(speech).cuts([(0.0, LONGEST_S)])
        draw_timing(sound, timing, plot, title=speech.name)


def _recordings(place: Path) -> Iterator[Path]:
    """Sounds in a folder, or those that a table of texts names, sorted."""
    from studio._sources import files_in

    folder = place if place.is_dir() else place.parent
    listed = None if place.is_dir() else _names_in(place)
    for path in files_in(folder):
        if path.suffix.lower() in _SOUNDS and (listed is None or path.stem in listed):
            yield path


def _names_in(table: Path) -> frozenset[str]:
    """First cells of a table's rows, without endings. Raises `MediaError` when it is none."""
    from studio._sources import read_text

    rows = [row for row in read_text(table).splitlines() if row.strip()]
    names = {next(iter(row.replace("\t", "|").replace(",", "|").split("|"))) for row in rows}
    if not names:
        raise MediaError(f"'{table}' names no recordings; write name|text a row")
    return frozenset(Path(name.strip().strip('"')).stem for name in names)


def _align_folder(place: Path, out: Path | None, wishes: _Wishes, plot: Path | None) -> None:
    from align.formats import extension_of
    from studio._display import out as show
    from studio._display import progress_bars
    from voice._sidecar import Transcripts

    folder = place if place.is_dir() else place.parent
    ending = extension_of(wishes.form or "textgrid")
    picture = _picture_ending(plot)
    goal = _goal_folder(out or folder, place)
    recordings = list(_recordings(place))
    if not recordings:
        raise MediaError(f"there is no recording in '{place}'; name a folder of sounds or footage")
    texts = Transcripts()
    targets = _targets(recordings, folder, goal, ending)
    refused = 0
    with progress_bars() as progress:
        for number, speech in enumerate(recordings):
            progress("recordings", number, len(recordings))
            target = targets[speech]
            try:
                timing = _timed(speech, _text_beside(speech, texts), wishes, progress)
                target.parent.mkdir(parents=True, exist_ok=True)
                drawn = None if picture is None else target.with_suffix(picture)
                _write(timing, speech, target, wishes, drawn)
            except OutputError:
                raise  # a full disk is full for the rest, too
            except WildlineError as error:
                refused += 1
                sys.stderr.write(f"error: {_named(error, speech)}\n")
                continue
            notes = f", {len(timing.notes)} notes" if timing.notes else ""
            show(f"{target}: {_summary(timing)}{notes}")
        progress("recordings", len(recordings), len(recordings))
    show(f"{len(recordings) - refused} of {len(recordings)} recordings timed")
    if refused:
        raise typer.Exit(2 if refused == len(recordings) else 1)


def _text_beside(speech: Path, texts: Transcripts) -> str | None:
    """What is said in a recording of a folder; None where nothing tells.

    Raises `TextError` for a text beside it with nothing in it, and `MediaError` for one that is
    no text: to recognise the words instead would hide that.
    """
    from studio._sources import read_text

    found = texts.of(speech)
    for beside in (speech.with_suffix(ending) for ending in (".txt", ".lab")):
        if found is None and beside.is_file() and not read_text(beside).strip():
            raise TextError(
                f"'{beside}' is empty; write into it what '{speech.name}' says, or remove it"
            )
    return found


def _targets(recordings: Sequence[Path], folder: Path, goal: Path, ending: str) -> dict[Path, Path]:
    """Where each timing goes; a.wav and a.mov in one folder keep their endings."""
    plain = {p: (goal / p.relative_to(folder)).with_suffix(ending) for p in recordings}
    count = Counter(plain.values())
    return {p: t if count[t] == 1 else t.with_name(f"{p.name}{ending}") for p, t in plain.items()}


def _named(error: WildlineError, speech: Path) -> str:
    """The one line of a refusal, with the file it is about."""
    line = " ".join(str(error).split())
    return line if speech.name in line else f"'{speech}': {line}"


def _goal_folder(out: Path, place: Path) -> Path:
    if out.suffix and not out.is_dir():
        raise OutputError(f"'{place}' is many recordings and '{out}' one file; name a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        from media.files import output_error

        raise output_error(out, error) from error
    return out


def _picture_ending(plot: Path | None) -> str | None:
    from align.plot import ENDINGS

    if plot is None:
        return None
    ending = f".{plot.name.lstrip('.').lower()}"
    if ending not in ENDINGS:
        raise AlignError(f"for a folder say --plot png or --plot svg, not '{plot}'")
    return ending
