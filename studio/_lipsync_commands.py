"""`wildline score` and `wildline preview`, and how `resync` names its engine."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from media.errors import EngineMissingError, NoSoundError
from studio._options import Consent, SaidText, SaidTiming, WhichFace

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.assessment import Verdict
    from lipsync.preview import PreviewShot
    from media.audio import Sound
    from studio._jobs import Progress

__all__ = ["engine_spec", "preview", "score"]


def engine_spec(engine: str, weights: Path | None, face_model: Path | None = None) -> str:
    """The engine as the jobs take it: its name, with checkpoint or trained face after a colon.

    Prints what the terms of the weights are. Raises `EngineMissingError`, `WeightsError`.
    """
    from lipsync.engines import engine_names

    if engine not in engine_names():
        raise EngineMissingError(
            f"there is no lip-sync engine '{engine}'; choose one of {', '.join(engine_names())}"
        )
    if engine == "mouthnet":
        from studio._face_commands import face_spec

        return face_spec(weights, face_model)
    if face_model is not None:
        raise EngineMissingError(f"{engine} takes no trained face; leave --face-model out")
    if engine != "wav2lip":
        if weights is not None:
            raise EngineMissingError(f"{engine} takes no checkpoint; leave --weights out")
        return engine
    from lipsync.engines.wav2lip import LICENCE_NOTE

    if weights is None:
        raise EngineMissingError(
            "wav2lip needs the public checkpoint, which does not come with Wildline; get "
            "wav2lip.pth or wav2lip_gan.pth from its authors and name it with --weights FILE"
        )
    typer.echo(LICENCE_NOTE, err=True)
    return f"{engine}:{weights}"


def score(
    video: Annotated[Path, typer.Argument(help="A finished scene, whoever made it.")],
    text: Annotated[
        str | None, typer.Option("--text", help="What is said; recognised when absent.")
    ] = None,
    timing: Annotated[
        Path | None, typer.Option("--timing", help="Its words and phones, if you have them.")
    ] = None,
    before: Annotated[
        Path | None, typer.Option("--before", help="The footage it was made from.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the numbers here as well.")
    ] = None,
) -> None:
    """Measure lips and picture of a video, the source's numbers beside the result's."""
    from lipsync.assessment import assess
    from media.audio import read_sound
    from media.files import user_cache_dir
    from studio._display import out as show
    from studio._display import progress_bars
    from studio._sources import line_timing

    with progress_bars() as progress:
        sound = read_sound(video)
        times = line_timing(video, sound, text, timing)
        verdict = assess(
            video,
            times,
            sound=sound,
            before=before,
            before_timing=None if before is None else _own_timing(before),
            cache=user_cache_dir() / "lipsync",
            progress=progress,
        )
    show(verdict.table())
    if verdict.expert is not None:
        show(verdict.expert.words)
    if before is None:
        show("no source given: name it with --before, or these numbers stand alone")
    if json_file is not None:
        _write_json(verdict, json_file)


def _own_timing(footage: Path) -> Timing | None:
    """What the source's own sound says; None where there is none or nothing is understood."""
    from align.transcription import align_sound
    from media.audio import read_sound
    from media.errors import AlignError, NoSpeechError, TextError

    try:
        return align_sound(read_sound(footage), None)
    except (NoSoundError, NoSpeechError, AlignError, TextError):
        return None


def _write_json(verdict: Verdict, target: Path) -> None:
    from media.files import atomic_path

    rows: dict[str, Any] = {"result": asdict(verdict.result)}
    if verdict.source is not None:
        rows["source"] = asdict(verdict.source)
    clean = {
        row: {k: None if math.isnan(v) else round(v, 4) for k, v in values.items()}
        for row, values in rows.items()
    }
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(clean, indent=2) + "\n", "utf-8")


def preview(
    footage: Annotated[Path, typer.Argument(help="The scene.")],
    sound: Annotated[Path, typer.Argument(help="The line; read again at every reload.")],
    consent: Consent = None,
    text: SaidText = None,
    timing: SaidTiming = None,
    at: Annotated[
        float, typer.Option("--at", help="Second of the footage at which the line starts.")
    ] = 0.0,
    face: WhichFace = None,
    lead: Annotated[float, typer.Option("--lead", help="Seconds shown around the line.")] = 1.0,
    port: Annotated[int, typer.Option("--port", help="0: any free one.")] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
) -> None:
    """See a line in a face's mouth while it renders, in the browser of this machine.

    Reload the page after changing the line. Ctrl-C ends it. Nothing is delivered: no file is
    written, and only this machine can reach the page.
    """
    from studio import consent as consents
    from studio._display import out as show
    from studio._display import progress_bars
    from studio._preview_server import serve
    from studio.ledger import Ledger

    consents.check(consent, use="face-alter", ledger=Ledger.beside(consent or footage))
    with progress_bars() as progress:
        source = _Line(sound, text, timing)
        _, times = source.read()
        shot = _open(footage, at, times, lead, face, progress)

    def render(sink: Any) -> int:
        line, words = source.read()
        return shot.render(line, words, sink, start_s=at)

    serve(render, title=footage.name, port=port, show=show, open_browser=open_browser)


class _Line:
    """The line's files, read again whenever they are needed."""

    def __init__(self, sound: Path, text: str | None, timing: Path | None) -> None:
        self._sound, self._text, self._timing = sound, text, timing

    def read(self) -> tuple[Sound, Timing]:
        """The sound and its timing as they are now."""
        from media.audio import read_sound
        from studio._sources import line_timing

        heard = read_sound(self._sound)
        return heard, line_timing(self._sound, heard, self._text, self._timing)


def _open(
    footage: Path, at: float, times: Timing, lead: float, face: str | None, progress: Progress
) -> PreviewShot:
    """The stretch of the footage that shows the line, ready to render."""
    from lipsync.preview import PreviewShot
    from media.errors import TextError
    from media.video import probe
    from studio._jobs import chosen_face, speech_span
    from studio.scene import refuse_before

    refuse_before(at)
    info = probe(footage)
    begin, end = (at + s for s in speech_span(times))
    if begin - lead >= info.duration_s:
        raise TextError(
            f"the line starts at {begin:.2f} s and the footage '{footage}' ends at "
            f"{float(info.duration_s):.2f} s; start it earlier"
        )
    around = (begin - lead, end + lead)
    choice = chosen_face(face, (begin, end))
    return PreviewShot.open(footage, face=choice, seconds=around, progress=progress)
