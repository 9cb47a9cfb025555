"""`wildline demo`: a line that was never recorded, said by the fictional presenter.

Her film and recordings lie in `samples/` of the repository and travel in the wheel, so the
command runs wherever Wildline is installed. `make demo` is the same with `out/demo` as folder.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from media.errors import MediaError

__all__ = ["demo", "demonstrate", "samples_folder"]

_FILM, _LINE = "presenter.mp4", "script.txt"


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write to.")] = Path(
        "wildline-demo"
    ),
) -> None:
    """Redub the fictional presenter: voice, line, lips and marks, in minutes; needs no files."""
    demonstrate(samples_folder(), out)


def samples_folder() -> Path:
    """Where the presenter's film, recordings, line and consent record are.

    In an installed wheel they lie in the package, in a checkout beside it. Raises
    `MediaError` when neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "samples", package.parent / "samples"):
        if (folder / _FILM).is_file():
            return folder
    raise MediaError(
        f"the sample film '{package / 'samples' / _FILM}' is missing; install Wildline again"
    )


def demonstrate(samples: Path, out: Path) -> None:
    """Fit her voice, speak the line, make her face say it, and read the marks back.

    Prints each step as it happens. `out` is made where it is missing and receives the voice,
    the line, the clip, the ledger and the disclosure sheet. Raises what `fit` and `redub` raise.
    """
    from media.files import output_error
    from studio._display import out as show
    from studio._display import scores_text
    from studio.redub import fit, redub, summary
    from studio.verify import verify_file

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(out, error) from error
    began = time.monotonic()
    line = (samples / _LINE).read_text("utf-8").strip()
    clip, consent = out / "presenter-redub.mp4", samples / "consent.toml"
    show(f"== consent: {consent}; Mara Voss is fictional, a real person has to sign")
    show("== voice: fitting to three short recordings in samples/archive (2-4 minutes)")
    voice = fit(samples / "archive", out / "voice", consent=consent, progress=_Steps())
    show(f'== line: speaking "{line}"')
    show(f"== lips: finding the face in samples/{_FILM} and making it say the line")
    made = redub(
        samples / _FILM,
        line,
        clip,
        voice=str(out / "voice"),
        consent=consent,
        at_s=0.5,
        progress=_Steps(),
    )
    show("== marks: what anyone can read back from the clip")
    for sentence in verify_file(clip).sentences():
        show(f"   {sentence}")
    show(f"\nclip    {clip}")
    show(f"voice   {scores_text(voice.scores)}")
    show(f"line    {scores_text(made.line.take.scores)}")
    show(f"lips    {summary(made.clip)}")
    show(f"time    {(time.monotonic() - began) / 60:.1f} minutes")


class _Steps:
    """A progress callback for any terminal or log: one line a step, with its time."""

    def __init__(self) -> None:
        self._what, self._began = "", time.monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Say when a new step begins; `done` of `total` is left to real progress bars."""
        import sys

        from studio._display import out as show

        del done, total
        if what != self._what:
            show(f"   {time.monotonic() - self._began:6.1f} s  {what}")
            sys.stdout.flush()  # also into a pipe, as it happens
            self._what = what
