"""`wildline train-voice`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from studio._options import Consent, LedgerFile, Project, Seed

if TYPE_CHECKING:
    from voice.training.train import Trained

__all__ = ["train_voice"]


def train_voice(
    dataset: Annotated[
        Path, typer.Argument(help="metadata.csv and wavs/, or a folder of recordings.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The voice's folder.")],
    engine: Annotated[
        Literal["vits", "xtts"], typer.Option("--engine", help="Which of coqui-tts's models.")
    ] = "vits",
    consent: Consent = None,
    person: Annotated[
        str | None, typer.Option("--person", help="Whose voice; default: the consent's.")
    ] = None,
    project: Project = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="A checkpoint's folder to go on from, or hub:xtts-v2."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=0, help="In all; xtts: 0 (default) only takes references."),
    ] = None,
    preset: Annotated[
        Literal["gpu", "cpu", "tiny"], typer.Option("--preset", help="Size of model and batch.")
    ] = "cpu",
    accept_licence: Annotated[
        str | None,
        typer.Option("--accept-licence", help="Of the checkpoint, by its short name: cpml"),
    ] = None,
    seed: Seed = 0,
    ledger: LedgerFile = None,
) -> None:
    """Train a voice with coqui-tts (VITS or XTTS); run again to go on after a stop."""
    from studio._display import progress_bars
    from studio.provenance import Papers
    from studio.training import train

    with progress_bars() as progress:
        made = train(
            dataset,
            out,
            consent=consent,
            engine=engine,
            person=person,
            project=project,
            start=Path(start) if start else None,
            accept_licence=accept_licence,
            preset=preset,
            steps=steps,
            seed=seed,
            papers=Papers.beside(out, ledger, None),
            progress=progress,
        )
    _report(out, made)


def _report(out: Path, made: Trained) -> None:
    from studio._display import out as show
    from studio._display import scores_text

    clips, run = made.clips, made.run
    show(
        f"{len(clips.trained)} clips, {clips.trained_s / 60:.1f} min to train on; "
        f"{len(clips.held_out)} held out; {len(clips.dropped)} dropped"
    )
    if run is not None:
        went = f", gone on from step {run.resumed_from}" if run.resumed_from else ""
        show(f"{run.made} steps in {run.seconds:.0f} s (step {run.steps} in all{went})")
        for name, (first, last) in run.losses.items():
            show(f"  {name} {first:.3f} -> {last:.3f}")
        show(f"logs: tensorboard --logdir {run.folder}")
    if made.licence != "own":
        show(f"licence of the checkpoint, and so of this voice: {made.licence}")
    show(f"voice {out}: {scores_text(made.voice.scores)}")
