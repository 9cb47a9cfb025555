"""Train a voice with coqui-tts: consent first, the training in the ledger.

made = train(Path("dataset"), Path("voices/anna"), consent=Path("consent.toml"), engine="vits")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from media.errors import WildlineError
from studio._jobs import Progress, quiet
from studio._sources import made_folder
from studio.provenance import Papers

if TYPE_CHECKING:
    from voice.training.train import Trained

__all__ = ["train"]


def train(
    dataset: Path,
    out: Path,
    *,
    consent: Path | None,
    engine: str,
    person: str | None = None,
    project: str | None = None,
    start: Path | None = None,
    accept_licence: str | None = None,
    preset: str = "cpu",
    steps: int | None = None,
    seed: int = 0,
    papers: Papers | None = None,
    progress: Progress = quiet,
) -> Trained:
    """Train a voice on `dataset` and save it in the folder `out`; goes on where it was stopped.

    The arguments are those of `voice.training.train_voice`. That a training begins and what came
    of it are lines of the ledger. Raises `ConsentError`, what `train_voice` raises, and
    `ProvenanceError`.
    """
    from voice.training.train import train_voice

    with made_folder(out, "voice.toml"):
        papers = papers or Papers.beside(out)
        record = papers.check(consent, use="voice-fit", person=person, project=project)
        who = {"output": str(out), "person": record.person, "consent": record.id}
        facts = {**who, "project": record.project, "engine": engine, "seed": seed}
        papers.ledger.append("voice.training", **facts, dataset=str(dataset))
        try:
            made = train_voice(
                dataset,
                out,
                engine=engine,
                person=record.person,
                consent_id=record.id,
                start=start,
                accept_licence=accept_licence,
                preset=preset,
                steps=steps,
                seed=seed,
                progress=lambda share, what: progress(what, round(1000 * share), 1000),
            )
        except WildlineError as error:
            papers.ledger.append_refusal("voice.training.failed", error, **facts)
            raise
        papers.ledger.append(
            "voice.trained",
            **facts,
            steps=made.run.steps if made.run else 0,
            licence=made.licence,
            accepted=accept_licence or "",
            sources=[{"file": s.file, "sha256": s.sha256} for s in made.voice.sources],
            weights=[{"name": w.name, "sha256": w.sha256} for w in made.voice.weights],
        )
    return made
