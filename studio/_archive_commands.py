"""`wildline archive`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["archive"]


def archive(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, or folders of them.", metavar="IN...")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The dataset's folder.")],
    repair: Annotated[
        str,
        typer.Option("--repair", help="auto (by measured need), none, or declick,dehum,denoise."),
    ] = "auto",
    speaker: Annotated[
        Path | None,
        typer.Option("--speaker", help="A recording of the person; default: who speaks most."),
    ] = None,
    rate: Annotated[int, typer.Option("--rate", help="Of the dataset, in Hz.")] = 24_000,
    language: Annotated[
        str, typer.Option("--language", help="Other than en needs transcripts beside the files.")
    ] = "en",
    licence: Annotated[
        str, typer.Option("--licence", help="Noted beside every clip: whose, and what is allowed.")
    ] = "",
    consent: Annotated[
        Path | None,
        typer.Option("--consent", help="The person's consent record; its id is kept in the card."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Replace a dataset whose metadata.csv or wavs were corrected."
        ),
    ] = False,
) -> None:
    """Make a dataset of a box of recordings: cut, mended, written down, graded, one voice."""
    from studio._display import out as show
    from studio._display import progress_bars
    from studio.consent import load_consent
    from voice.ingest import Settings, make_dataset
    from voice.ingest.settings import parse_repairs

    settings = Settings(
        repair=parse_repairs(repair),
        rate=rate,
        language=language,
        speaker=speaker,
        licence=licence,
        consent_id="" if consent is None else load_consent(consent).id,
    )
    with progress_bars() as progress:
        made = make_dataset(recordings, out, settings, again=again, progress=progress)
    show(f"{out}: {made.report()}")
    show(f"to look at: {out / 'report.html'}")
