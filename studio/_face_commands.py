"""`wildline train-face`: a trained face for the mouthnet, from consent to ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from media.errors import ConsentError, EngineMissingError, NoFaceError
from studio._options import Consent, LedgerFile, Project, Seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lipsync.engines import BankSource
    from lipsync.engines._mouthnet_model import FaceModel
    from studio._jobs import Progress
    from studio.consent import Consent as Record

__all__ = ["face_spec", "face_weights", "same_person", "train", "train_face"]

_Footage = Annotated[list[Path], typer.Argument(help="Films of the person speaking, or folders.")]
_Preset = Annotated[
    str, typer.Option("--preset", help="cpu (a preview in 20 min), gpu, or tiny (to try out).")
]
_From = Annotated[
    Path | None, typer.Option("--from", help="Start from a face trained before (same preset).")
]
_Minutes = Annotated[
    float | None, typer.Option("--minutes", min=0.1, help="Train so long; default: the preset's.")
]
_Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Train exactly so many steps.")]
_Person = Annotated[
    str | None, typer.Option("--person", help="Whose face; default: the consent's.")
]


def train_face(
    footage: _Footage,
    out: Annotated[Path, typer.Option("-o", "--out", help="The face's folder.")],
    consent: Consent = None,
    person: _Person = None,
    project: Project = None,
    preset: _Preset = "cpu",
    start_from: _From = None,
    minutes: _Minutes = None,
    steps: _Steps = None,
    seed: Seed = 0,
    ledger: LedgerFile = None,
) -> None:
    """Learn a person's mouth from their own footage, for resync --engine mouthnet.

    Stopped, it goes on where it was when the same command is given again. Look at preview.png and
    loss.png in the folder while it works.
    """
    from studio._display import out as show
    from studio._display import progress_bars
    from studio.provenance import Papers

    papers = Papers.beside(out, ledger, None)
    with progress_bars() as progress:
        model = train(
            footage,
            out,
            consent=consent,
            person=person,
            project=project,
            preset=preset,
            start_from=start_from,
            minutes=minutes,
            steps=steps,
            seed=seed,
            papers=papers,
            progress=progress,
            say=show,
        )
    card = model.card
    show(f"face {out}: {card.person}, {card.minutes:.1f} min of footage, {card.steps} steps")
    show(card.licence)


def train(
    footage: Sequence[Path],
    out: Path,
    *,
    consent: Path | None,
    person: str | None,
    project: str | None,
    papers: Any,
    progress: Progress,
    start_from: Path | None = None,
    **how: Any,
) -> FaceModel:
    """Ask the consent record, learn, and write it all down; `how` goes to `train_face`.

    Raises `ConsentError`, `NoFaceError`, and what `lipsync.training.train_face` raises.
    """
    from lipsync.engines._mouthnet_model import read_card
    from lipsync.training import train_face as learn
    from lipsync.training.presets import preset_of
    from studio._sources import footage_in

    preset_of(str(how.get("preset", "cpu")))  # a misspelt one is refused before any work
    record = papers.check(consent, use="face-fit", person=person, project=project)
    if start_from is not None:
        read_card(start_from)
    sources = _sources(footage_in(footage), progress)
    model = learn(
        sources,
        out,
        person=record.person,
        consent_id=record.id,
        project=project or record.project,
        start_from=start_from,
        progress=progress,
        **how,
    )
    card = model.card
    papers.ledger.append(
        "face.trained",
        output=str(out),
        person=card.person,
        consent=record.id,
        project=card.project,
        sources=[{"file": f.file, "sha256": f.sha256} for f in card.footage],
        preset=card.preset,
        seed=card.seed,
        steps=card.steps,
        sha256=card.sha256,
        started_from=card.started_from,
        scores=dict(card.scores),
    )
    return model


def _sources(films: Sequence[Path], progress: Progress) -> list[BankSource]:
    """Every film with its track and its own words; those without a face are left out."""
    from lipsync.resync import archive_source
    from media.files import user_cache_dir

    found, cache = [], user_cache_dir() / "lipsync"
    for number, film in enumerate(films):
        progress("reading the footage", number, len(films))
        try:
            found.append(archive_source(film, cache, progress))
        except NoFaceError:
            continue
    if not found:
        raise NoFaceError(
            f"none of the {len(films)} films shows a face that can be followed; give footage in "
            "which the person's face is near enough and turned to the camera"
        )
    progress("reading the footage", len(films), len(films))
    return found


def face_spec(weights: Path | None, face: Path | None) -> str:
    """The engine "mouthnet" as the jobs take it, with the face's folder after a colon.

    Prints what a trained face may be used for. Raises `EngineMissingError` without a folder,
    `WeightsError` when there is no trained face in it.
    """
    from lipsync.engines._mouthnet_model import read_card

    if weights is not None:
        raise EngineMissingError("mouthnet takes a folder: name it with --face-model")
    if face is None:
        raise EngineMissingError(
            "mouthnet needs a trained face; train one with: wildline train-face FOOTAGE -o "
            "faces/NAME, and name that folder with --face-model"
        )
    card = read_card(face)
    typer.echo(f"face of {card.person}: {card.licence}", err=True)
    return f"mouthnet:{face}"


def same_person(engine: str, record: Record) -> None:
    """A trained face may draw nobody but the person it was learnt from.

    `engine` as `face_spec` words it (others pass). Raises `ConsentError`.
    """
    from lipsync.engines._mouthnet_model import read_card

    name, _, folder = engine.partition(":")
    if name != "mouthnet" or not folder:
        return
    card = read_card(Path(folder))
    if card.person and card.person.casefold().split() != record.person.casefold().split():
        raise ConsentError(
            f"the face in '{folder}' is {card.person}'s and the consent is {record.person}'s; "
            "train a face of this person"
        )


def face_weights(engine: str) -> dict[str, str]:
    """Name, licence and sha256 of the trained face that an engine draws with."""
    from lipsync.engines._mouthnet_model import read_card

    card = read_card(Path(engine.partition(":")[2]))
    return {"name": f"face of {card.person}", "licence": card.licence, "sha256": card.sha256}
