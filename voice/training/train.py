"""From a dataset to a voice: prepare, train (or go on), export, judge, write the card."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from media.errors import ArchiveError, WeightsError, WildlineError
from media.files import atomic_path, output_error
from voice.engines import get_synthesizer
from voice.engines._coqui import (
    WEIGHTS_NAME,
    Checkpoint,
    accepted_licence,
    file_sum,
    licence_of,
    open_checkpoint,
)
from voice.engines.vits import MODEL_FOLDER
from voice.training.dataset import Clips, dataset_sha256, read_dataset
from voice.training.loop import Course, TrainingRun, last_checkpoint, run_trainer
from voice.training.presets import Preset, preset_named
from voice.training.scoring import Heard, heard, scored
from voice.voice import STYLE_SIZE, Voice, WeightsUsed

__all__ = ["ENGINES", "RUN_FOLDER", "Trained", "train_voice"]

ENGINES = ("vits", "xtts")
RUN_FOLDER = "training"
"""Of a voice's folder: clips, checkpoints, logs. May be deleted once the voice is good."""
_SETTINGS_NAME = "training.json"
_XTTS_RATE = 22_050
_XTTS_STEPS = 0  # a voice is taken from references; training is on request
_OWN = "own"

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """The voice, the run that made it (None: no step was asked for), its clips, and the licence
    of the checkpoint it started from ("own" when it started from nothing)."""

    voice: Voice
    run: TrainingRun | None
    clips: Clips
    licence: str


def train_voice(
    dataset: Path,
    out: Path,
    *,
    engine: str,
    person: str,
    consent_id: str,
    name: str | None = None,
    start: Path | None = None,
    accept_licence: str | None = None,
    preset: str | Preset = "cpu",
    steps: int | None = None,
    seed: int = 0,
    language: str = "en",
    sentences: int = 8,
    progress: Progress | None = None,
) -> Trained:
    """Train a voice on `dataset` (see `read_dataset`) and save it in the folder `out`.

    `engine` is "vits" or "xtts"; `start` a checkpoint (folder or file) to go on from, which
    XTTS needs. `accept_licence` names its licence where that is not a free one. `steps` in all
    default to the preset's, and to 0 for XTTS: a voice from the recordings alone. A training
    that `out` holds already goes on. The card's scores come from at most `sentences` held-out
    ones. The same dataset, settings and seed give the same voice on the same CPU when the run
    was not interrupted.

    Raises `ArchiveError` (too few clips; another training in `out`, which it also is once a
    recording or its words were changed or taken away), `WeightsError` (the checkpoint: missing,
    another kind, damaged, a licence not accepted), `OutputError`.
    """
    report = progress or (lambda _share, _what: None)
    size = preset_named(preset) if isinstance(preset, str) else preset
    who = (person, consent_id)
    job = _Job(dataset, out, _known(engine), size, seed, language, who, report)
    origin, licence = _origin(job.engine, start, accept_licence)
    wanted = _steps(job, steps)
    clips = job.clips(origin)
    run = job.train(clips, origin, wanted)
    job.export(clips, origin, run)
    report(0.92, "listening to it")
    known = heard(clips)
    voice = _voice(job, clips, known, _weights(job, origin, licence), person, consent_id)
    voice = replace(voice, name=name or person)
    judged = scored(voice, clips, known, get_synthesizer(engine), sentences)
    voice = replace(voice, scores=judged)
    voice.save(out)
    report(1.0, "voice saved")
    return Trained(voice, run, clips, licence)


def _known(engine: str) -> str:
    if engine not in ENGINES:
        raise WeightsError(
            f"'{engine}' cannot be trained; choose one of: {', '.join(ENGINES)} (wildline fit "
            "makes voices of the engine kokoro)"
        )
    return engine


def _origin(engine: str, start: Path | None, accepted: str | None) -> tuple[Checkpoint | None, str]:
    """(the checkpoint to start from, its licence), once that is accepted."""
    from voice.training.xtts_setup import HUB, fetched_xtts

    if start is None:
        if engine == "xtts":
            raise WeightsError(
                "XTTS is not trained from nothing; name the folder of a checkpoint with --from, "
                f"or fetch Coqui's with --from {HUB} --accept-licence cpml"
            )
        return None, _OWN
    if str(start) == HUB:
        from media.files import user_cache_dir

        accepted_licence("cpml", accepted, "XTTS v2")
        start = fetched_xtts(user_cache_dir() / "xtts-v2")
    found = open_checkpoint(start, engine)
    licence = licence_of(found.folder, engine)
    return found, accepted_licence(licence, accepted, f"the checkpoint in '{found.folder}'")


def _steps(job: _Job, steps: int | None) -> int:
    if steps is None:
        return _XTTS_STEPS if job.engine == "xtts" else job.preset.steps
    if steps < 0 or (steps == 0 and job.engine == "vits"):
        raise WeightsError(f"{steps} steps train nothing; ask for at least one")
    return steps


@dataclass(frozen=True, slots=True)
class _Job:
    """What all parts of one training share; `who` are the person and the consent's id."""

    dataset: Path
    out: Path
    engine: str
    preset: Preset
    seed: int
    language: str
    who: tuple[str, str]
    report: Progress

    @property
    def run_folder(self) -> Path:
        return self.out / RUN_FOLDER

    def rate(self, origin: Checkpoint | None) -> int:
        """Hz of the clips."""
        from voice.training.vits_setup import vits_rate

        return _XTTS_RATE if self.engine == "xtts" else vits_rate(self.preset, origin)

    def clips(self, origin: Checkpoint | None) -> Clips:
        """The dataset's clips, in the run's folder; that is not left behind without any."""
        new = self._claim(origin)
        try:
            return read_dataset(
                self.dataset,
                self.run_folder / "clips",
                rate=self.rate(origin),
                progress=lambda done, what: self.report(0.05 * done, what),
            )
        except WildlineError:
            if new:
                shutil.rmtree(self.run_folder, ignore_errors=True)
            raise

    def _claim(self, origin: Checkpoint | None) -> bool:
        """Note what is trained in `out`, True when nothing was; raises `ArchiveError` when that
        is something else."""
        settings = self._settings(origin)
        path = self.run_folder / _SETTINGS_NAME
        if path.is_file():
            self._compare(_json(path), settings)
            return False
        try:
            self.run_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.run_folder, error) from error
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1), "utf-8")
        return True

    def _settings(self, origin: Checkpoint | None) -> dict[str, object]:
        """All that must stay as it is for a training to go on."""
        return {
            "dataset": str(self.dataset.resolve()),
            "dataset_sha256": dataset_sha256(self.dataset, without=(self.out,)),
            "engine": self.engine,
            "preset": self.preset.name,
            "rate": self.rate(origin),
            "from": str(origin.weights.resolve()) if origin else "",
            "seed": self.seed,
            "language": self.language,
            "person": self.who[0],
            "consent": self.who[1],
        }

    def _compare(self, found: object, settings: dict[str, object]) -> None:
        """Raises `ArchiveError` when the training that was `found` is not this one."""
        if found == settings:
            return
        before = found if isinstance(found, dict) else {}
        differing = [key for key in settings if before.get(key) != settings[key]]
        if differing == ["dataset_sha256"]:
            raise ArchiveError(
                f"the recordings in '{self.dataset}' or their words have changed since the "
                f"training in '{self.run_folder}' began; give another folder, or delete that "
                "one, to train on what is there now"
            )
        raise ArchiveError(
            f"'{self.run_folder}' holds another training (its {_SETTINGS_NAME} differs in: "
            f"{', '.join(differing) or 'more than is known here'}); give another folder, or "
            "delete that one"
        )

    def train(self, clips: Clips, origin: Checkpoint | None, steps: int) -> TrainingRun | None:
        if steps == 0:
            return None
        net, config, samples, held, readers = self._subject(clips, origin)
        course = Course(
            steps=steps,
            batch=int(config.batch_size),
            epoch_steps=self.preset.epoch_steps,
            log_steps=self.preset.log_steps,
            save_s=self.preset.save_s,
            seed=self.seed,
        )
        return run_trainer(
            net,
            config,
            samples,
            held,
            self.run_folder,
            course,
            readers=readers,
            progress=lambda done, total: self.report(0.05 + 0.85 * done / total, "training"),
        )

    def _subject(
        self, clips: Clips, origin: Checkpoint | None
    ) -> tuple[Any, Any, Sequence[Any], Sequence[Any], Sequence[Any]]:
        """(model, configuration, clips to train on, clips to judge by, modules that load them)."""
        if self.engine == "vits":
            from voice.training.vits_setup import vits_samples, vits_to_train

            net, config = vits_to_train(self.preset, origin, self.run_folder, seed=self.seed)
            from TTS.tts.models import vits

            reads = {"use_phonemes": False, **_reading_of(config)}
            samples, held = (vits_samples(c, reads) for c in (clips.trained, clips.held_out))
            return net, config, samples, held, (vits,)
        from voice.training.xtts_setup import xtts_samples, xtts_to_train

        assert origin is not None
        net, config = xtts_to_train(self.preset, origin, self.run_folder, seed=self.seed)
        from TTS.tts.layers.xtts.trainer import dataset

        spoken, kept = (xtts_samples(c, self.language) for c in (clips.trained, clips.held_out))
        return net, config, spoken, kept, (dataset,)

    def export(self, clips: Clips, origin: Checkpoint | None, run: TrainingRun | None) -> None:
        """Write what the voice speaks with into its `model` folder."""
        self.report(0.9, "writing the model")
        folder = self.out / MODEL_FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        weights = last_checkpoint(self.run_folder) if run is not None else None
        if self.engine == "vits":
            from voice.training.vits_setup import export_vits

            assert weights is not None
            export_vits(self.run_folder, weights, folder)
            return
        from voice.training.xtts_setup import export_xtts

        assert origin is not None
        export_xtts(origin, weights, clips.trained, folder)


def _json(path: Path) -> object:
    try:
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _reading_of(config: Any) -> dict[str, Any]:
    """Of a configuration what says how texts are read."""
    characters = config.characters.to_dict() if config.characters is not None else {}
    return {
        "phonemizer": config.phonemizer,
        "text_cleaner": config.text_cleaner,
        "characters": characters,
    }


def _voice(
    job: _Job,
    clips: Clips,
    known: Heard,
    weights: tuple[WeightsUsed, ...],
    person: str,
    consent_id: str,
) -> Voice:
    """The voice with all but its scores."""
    return Voice(
        name=person,
        style=np.zeros(STYLE_SIZE, np.float32),
        engine=job.engine,
        person=person,
        consent_id=consent_id,
        language=job.language,
        sources=clips.sources,
        weights=weights,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        f0_median=known.f0_median,
        f0_range=known.f0_range,
        seed=job.seed,
        embeddings=known.embeddings,
        folder=job.out,
    )


def _weights(job: _Job, origin: Checkpoint | None, licence: str) -> tuple[WeightsUsed, ...]:
    """What the voice speaks with, which a checkpoint's licence extends to, and that checkpoint."""
    from voice.engines.xtts import REFERENCE_NAME

    folder = job.out / MODEL_FOLDER
    own, reference = folder / WEIGHTS_NAME, folder / REFERENCE_NAME
    name = f"{job.engine} ({job.out.name})"
    rows = []
    if own.is_file():
        rows.append(WeightsUsed(name, file_sum(own), licence, "model"))
    if job.engine == "xtts":
        sha256 = file_sum(reference)
        rows.append(WeightsUsed(f"reference of {name}", sha256, licence, "reference"))
    if origin is not None:
        part = "" if own.is_file() else "model"
        base = f"{job.engine} ({origin.folder.name})"
        rows.append(WeightsUsed(base, file_sum(origin.weights), licence, part))
    return tuple(rows)
