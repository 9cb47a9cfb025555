"""`wildline train-face`: a trained face for the mouthnet, from consent to ledger."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from media.errors import ConsentError, EngineMissingError, ProvenanceError, WildlineError
from studio._options import Consent, LedgerFile, Project, Seed, WhichFace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lipsync.engines._mouthnet_model import FaceCard, FaceModel
    from studio._jobs import Progress
    from studio.consent import Consent as Record

__all__ = ["face_spec", "face_weights", "same_person", "train", "train_face"]

_Footage = Annotated[list[Path], typer.Argument(help="Films of the person speaking, or folders.")]
_Preset = Annotated[
    str, typer.Option("--preset", help="cpu (a preview in 20 min), gpu, or tiny (to try out).")
]
_From = Annotated[
    Path | None, typer.Option("--from", help="Start from a face of the same person (same preset).")
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
    face: WhichFace = None,
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
            face=face,
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
    face: str | None = None,
    start_from: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    **how: Any,
) -> FaceModel:
    """Ask the consent record, learn, and write it all down; `how` goes to `train_face`.

    `face` is whose of several faces is learnt, as `resync` takes it. That a training begins and
    what came of it are lines of the ledger; the face appears after its own. Raises
    `ConsentError`, `NoFaceError`, and what `lipsync.training.train_face` raises.
    """
    from lipsync.engines._mouthnet_model import CARD_NAME
    from lipsync.people import FaceChoice
    from lipsync.training import train_face as learn
    from lipsync.training.presets import preset_of
    from studio._face_footage import one_person
    from studio._sources import footage_in, made_folder

    preset_of(str(how.get("preset", "cpu")))  # a misspelt one is refused before any work
    choice = None if face is None else FaceChoice.parse(face)
    with made_folder(out, CARD_NAME):
        record = papers.check(consent, use="face-fit", person=person, project=project)
        if start_from is not None:
            _refuse_others(start_from, record)
        sources = one_person(footage_in(footage), choice, progress, say)
        who = {"output": str(out), "person": record.person, "consent": record.id}
        facts = {**who, "project": record.project, "face": face or ""}
        films = [{"file": s.path.name, "sha256": s.track.sha256} for s in sources]
        papers.ledger.append("face.training", **facts, sources=films)

        def trained(card: FaceCard) -> None:
            papers.ledger.append("face.trained", **facts, **_made(card))

        try:
            return learn(
                sources,
                out,
                person=record.person,
                consent_id=record.id,
                project=record.project,
                start_from=start_from,
                progress=progress,
                say=say,
                record=trained,
                **how,
            )
        except WildlineError as error:
            with suppress(ProvenanceError):  # the ledger itself may be what refused
                papers.ledger.append_refusal("face.training.failed", error, **facts)
            raise


def _made(card: FaceCard) -> dict[str, Any]:
    """What the ledger says of a trained face."""
    return {
        "sources": [{"file": f.file, "sha256": f.sha256} for f in card.footage],
        "preset": card.preset,
        "seed": card.seed,
        "steps": card.steps,
        "sha256": card.sha256,
        "started_from": card.started_from,
        "scores": dict(card.scores),
    }


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
    """A trained face may draw nobody but the person it was learnt from, in their project alone.

    `engine` as `face_spec` words it (others pass). Raises `ConsentError`.
    """
    name, _, folder = engine.partition(":")
    if name == "mouthnet" and folder:
        _refuse_others(Path(folder), record)


def _refuse_others(folder: Path, record: Record) -> None:
    """Hold the trained face in `folder` to the person and project of `record`."""
    from lipsync.engines._mouthnet_model import read_card
    from studio.consent import same_name

    card = read_card(folder)
    if not same_name(card.person, record.person):
        whose = f"{card.person}'s" if card.person.strip() else "nobody's by its card"
        raise ConsentError(
            f"the face in '{folder}' is {whose} and the consent is {record.person}'s; "
            "train a face of this person"
        )
    if not same_name(card.project, record.project):
        raise ConsentError(
            f"the face in '{folder}' was learnt for the project '{card.project}' and the consent "
            f"is for '{record.project}'; train a face for this project"
        )


def face_weights(engine: str) -> dict[str, str]:
    """Name, licence and sha256 of the trained face that an engine draws with."""
    from lipsync.engines._mouthnet_model import read_card

    card = read_card(Path(engine.partition(":")[2]))
    return {"name": f"face of {card.person}", "licence": card.licence, "sha256": card.sha256}
