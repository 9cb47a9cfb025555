"""The `wildline` command: a thin layer over `studio`, whose jobs do the work."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from media.errors import WildlineError
from studio import (
    _align_commands,
    _archive_commands,
    _consent_commands,
    _demo_commands,
    _doctor_commands,
    _face_commands,
    _lipsync_commands,
    _production_commands,
    _screening_commands,
    _train_commands,
    _voice_commands,
)
from studio._arguments import check_arguments
from studio._options import (
    Consent,
    Deliver,
    Duration,
    LedgerFile,
    Project,
    SaidText,
    SaidTiming,
    Seed,
    Sheet,
    Takes,
    WhichFace,
)

if TYPE_CHECKING:
    from studio.provenance import Papers

__all__ = ["app", "main"]

app = typer.Typer(
    name="wildline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help drawn by Rich takes 0.4 s to import
    help="Speak a line that was never recorded, in a consenting person's voice, and make the "
    "face in the footage say it.",
)
consent_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Write, show and check consent records."
)
app.add_typer(consent_app, name="consent")
ledger_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Check and list the ledger."
)
app.add_typer(ledger_app, name="ledger")

Person = Annotated[
    str | None, typer.Option("--person", help="Whose voice or face; default: the consent's.")
]
Codec = Annotated[Literal["h264", "prores"], typer.Option("--codec", help="Of the picture.")]
At = Annotated[float, typer.Option("--at", help="Second of the footage at which the line starts.")]
ArchiveOnly = Annotated[
    bool, typer.Option("--archive-only", help="Take no mouth from the scene itself.")
]


@app.command()
def fit(
    recordings: Annotated[Path, typer.Argument(help="A folder of recordings, or one file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The voice's folder.")],
    consent: Consent = None,
    person: Person = None,
    project: Project = None,
    seed: Seed = 0,
    ledger: LedgerFile = None,
) -> None:
    """Fit a voice to a person's recordings."""
    import studio.redub as jobs
    from studio._display import out as show
    from studio._display import progress_bars, scores_text

    with progress_bars() as progress:
        voice = jobs.fit(
            recordings,
            out,
            consent=consent,
            person=person,
            project=project,
            papers=_papers(out, ledger, None),
            seed=seed,
            progress=progress,
        )
    show(f"voice {out}: {scores_text(voice.scores)}")
    for name, manner in voice.manners.items():
        show(f"--delivery {name}: as on {manner.clips} clips, {manner.speech_s:.0f} s of speech")


@app.command()
def resync(
    footage: Annotated[Path, typer.Argument(help="The scene.")],
    sound: Annotated[Path, typer.Argument(help="What the face shall say.")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".mp4, .mov or .mkv")],
    consent: Consent = None,
    person: Person = None,
    project: Project = None,
    text: SaidText = None,
    timing: SaidTiming = None,
    archive: Annotated[
        list[Path] | None, typer.Option("--archive", help="More footage of the person.")
    ] = None,
    archive_only: ArchiveOnly = False,
    engine: Annotated[
        str, typer.Option("--engine", help="mouthbank, mouthnet or wav2lip.")
    ] = "mouthbank",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="The engine's checkpoint (wav2lip).")
    ] = None,
    face_model: Annotated[
        Path | None, typer.Option("--face-model", help="A trained face's folder (mouthnet).")
    ] = None,
    at: At = 0.0,
    codec: Codec = "h264",
    face: WhichFace = None,
    deliver: Deliver = "picture",
    ledger: LedgerFile = None,
    disclosure: Sheet = None,
) -> None:
    """Make the face in a scene say a given sound."""
    import studio.redub as jobs
    from studio._display import out as show
    from studio._display import progress_bars
    from studio._lipsync_commands import engine_spec

    spec = engine_spec(engine, weights, face_model)
    with progress_bars() as progress:
        made = jobs.resync(
            footage,
            sound,
            out,
            consent=consent,
            person=person,
            project=project,
            text=text,
            timing=timing,
            archive=archive or (),
            archive_only=archive_only,
            engine=spec,
            at_s=at,
            codec=codec,
            face=face,
            deliver=deliver,
            papers=_papers(out, ledger, disclosure),
            progress=progress,
        )
    for line in jobs.kept_mouths(made):
        show(line)
    show(f"{made.path}: {jobs.summary(made)}")


@app.command("redub")
def redub_command(
    footage: Annotated[Path, typer.Option("--footage", help="The scene.")],
    line: Annotated[str, typer.Option("--line", help="The new line.")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".mp4, .mov or .mkv")],
    archive: Annotated[
        list[Path] | None,
        typer.Option("--archive", help="The person's recordings, and films if there are any."),
    ] = None,
    voice: Annotated[
        str | None, typer.Option("--voice", help="A fitted voice, instead of fitting one.")
    ] = None,
    consent: Consent = None,
    project: Project = None,
    archive_only: ArchiveOnly = False,
    takes: Takes = 3,
    seed: Seed = 0,
    duration: Duration = None,
    at: At = 0.0,
    codec: Codec = "h264",
    face: WhichFace = None,
    deliver: Deliver = "picture",
    ledger: LedgerFile = None,
    disclosure: Sheet = None,
) -> None:
    """Speak a new line in the person's voice and make the face in the scene say it."""
    import studio.redub as jobs
    from studio._display import out as show
    from studio._display import progress_bars, scores_text

    with progress_bars() as progress:
        made = jobs.redub(
            footage,
            line,
            out,
            consent=consent,
            archive=archive or (),
            voice=voice,
            project=project,
            archive_only=archive_only,
            takes=takes,
            seed=seed,
            duration_s=duration,
            at_s=at,
            codec=codec,
            face=face,
            deliver=deliver,
            papers=_papers(out, ledger, disclosure),
            progress=progress,
        )
    show(f"voice: {scores_text(made.voice.scores)}")
    show(f"line: {made.line.path}: {scores_text(made.line.take.scores)}")
    for kept in jobs.kept_mouths(made.clip):
        show(kept)
    show(f"{made.clip.path}: {jobs.summary(made.clip)}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A delivered file, or any other.")],
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="Default: the one beside the file, if any.")
    ] = None,
) -> None:
    """Read watermark, Content Credentials and ledger back; exit code 1 if they do not hold."""
    from studio._display import out as show
    from studio.verify import verify_file

    findings = verify_file(file, ledger)
    for sentence in findings.sentences():
        show(sentence)
    if not findings.sound:
        raise typer.Exit(1)


@app.command()
def weights() -> None:
    """List every file of learned numbers with its licence."""
    from studio._display import table
    from weights.registry import all_weights

    rows: list[tuple[str, ...]] = [(w.name, w.licence, w.purpose, w.note) for w in all_weights()]
    table(("name", "licence", "purpose", "what it allows"), rows)


def _papers(out: Path, ledger: Path | None, sheet: Path | None) -> Papers:
    from studio.provenance import Papers

    return Papers.beside(out, ledger, sheet)


for _command in (
    _demo_commands.demo,
    _doctor_commands.doctor,
    _production_commands.init,
    _production_commands.batch,
    _production_commands.check,
    _align_commands.align,
    _screening_commands.screen,
    _screening_commands.report,
    _archive_commands.archive,
    _voice_commands.say,
    _voice_commands.delivery,
    _train_commands.train_voice,
    _lipsync_commands.score,
    _lipsync_commands.preview,
    _face_commands.train_face,
):
    app.command()(_command)
consent_app.command("new")(_consent_commands.new)
consent_app.command("show")(_consent_commands.show)
consent_app.command("check")(_consent_commands.check)
ledger_app.command("verify")(_consent_commands.ledger_verify)
ledger_app.command("show")(_consent_commands.ledger_show)


def main() -> None:
    """Run the command line and leave with its exit code."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:  # it was told; Python would tell it again, at length
        from studio._unforeseen import quiet_output

        quiet_output()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code and never lets a user's mistake end in a trace."""
    _quieten()
    try:
        check_arguments(arguments)
        code = int(app(arguments, prog_name="wildline", standalone_mode=False) or 0)
        sys.stdout.flush()  # a full disk or a closed pipe is told now, not when Python ends
        return code
    except KeyboardInterrupt:
        return _fail("stopped; finished steps are kept", 130)
    except WildlineError as error:
        return _fail(str(error), error.exit_code)
    except Exception as error:
        message = getattr(error, "format_message", None)  # how Typer words a wrong call
        if message is None:
            from studio._unforeseen import sentence_and_code

            return _fail(*sentence_and_code(error))
        if not arguments or "help" in type(error).__name__.lower():  # called without arguments
            sys.stderr.write(f"{message()}\n")
            return 2
        return _fail(f"{message()} (see wildline --help)", getattr(error, "exit_code", 2))


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return code


def _quieten() -> None:
    """Keep what libraries chatter off the user's one line, and off the network; and the threads of
    NumPy's linear algebra, which spin while they wait, off the processor that others want."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # ONNX Runtime's Linux builds send usage data to their maker unless told not to.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    for name in ("GLOG_minloglevel", "TF_CPP_MIN_LOG_LEVEL"):
        os.environ.setdefault(name, "3")


if __name__ == "__main__":
    main()
