"""Train a face: from footage to a folder that `--engine mouthnet` takes.

The folder holds, while training, `training/` (examples, checkpoint); in the end the card, the
numbers, `preview.png` and `loss.png`. A run that was stopped goes on when it is started again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync.engines._mouthnet_model import (
    JUDGE_NAME,
    NUMBERS_NAME,
    FaceCard,
    FaceModel,
    Footage,
    load_face,
    load_into,
    load_tensors,
    save_face,
)
from media.errors import OutputError, WeightsError
from media.files import output_error, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from lipsync.engines import BankSource, Progress
    from lipsync.training.data import Examples
    from lipsync.training.judge import Judge
    from lipsync.training.loop import HeldOut, Trainer
    from lipsync.training.presets import Preset

__all__ = ["FOLDER", "train_face"]

#: Inside the face's folder, while it is being trained.
FOLDER = "training"
_KEY = "key.txt"
_CURVE_EVERY_S = 30.0

Say = Callable[[str], None]


def train_face(
    sources: Sequence[BankSource],
    out: Path,
    *,
    preset: str | Preset = "cpu",
    start_from: Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    person: str = "",
    consent_id: str = "",
    project: str = "",
    device: str | None = None,
    compiled: bool = False,
    progress: Progress | None = None,
    say: Say = lambda _: None,
    record: Callable[[FaceCard], object] | None = None,
) -> FaceModel:
    """Learn a face from `sources` and write it into the folder `out`.

    `start_from` is the folder of a face trained before with the same preset; `minutes` of
    training instead of the preset's steps, or exactly `steps`. Same sources, settings and
    seed give the same numbers on the CPU, unless it is minutes that are given (they go by the
    clock); on CUDA gradients are summed in no fixed order. `compiled` uses torch.compile. `say`
    gets sentences for people. `record` is shown the finished card before the face appears.

    Raises `ArchiveError` (too little to learn from), `WeightsError` (`start_from` does not fit, or
    the GPU is full) and `OutputError` (no room, or `out` holds another unfinished training).
    """
    from lipsync.training.loop import Trainer
    from lipsync.training.presets import preset_of
    from weights.device import best_device

    chosen = preset_of(preset) if isinstance(preset, str) else preset
    device = device or best_device()
    begun = _Begun.of(sources, chosen, start_from, minutes, steps, seed)
    work = begun.folder(out)
    examples, heard = _examples(sources, chosen, work, begun.key, seed, progress)
    judge, start = _start(examples, chosen, start_from, device, seed, progress, say, work)
    make = partial(Trainer, seed=seed, device=device, steps=steps, minutes=minutes)
    trainer = make(examples, judge, chosen, start=start, compiled=compiled)
    if trainer.go_on(work):
        say(f"going on at step {trainer.state.step} of {trainer.state.steps or 'some'}")
    elif start_from is not None:
        _say_what_is_saved(trainer, start_from, say)
    trainer.train(work, progress, _Shown(trainer, out))
    card = _card(trainer, chosen, begun, heard, person, seed)
    card = replace(card, device=device, consent_id=consent_id, project=project)
    return _finish(trainer, card, judge, out, work, say, record)


def _card(
    trainer: Trainer, preset: Preset, begun: _Begun, heard_s: float, person: str, seed: int
) -> FaceCard:
    """What is known of a trained face, but for who allowed it."""
    return FaceCard(
        person=person,
        seed=seed,
        preset=preset.name,
        steps=trainer.state.steps,
        minutes=round(heard_s / 60, 2),
        network=asdict(trainer.network.shape),
        started_from=begun.started_from,
        trained_s=round(trainer.state.seconds, 1),
        created=date.today().isoformat(),
        footage=begun.footage,
        curve=tuple(trainer.state.curve),
    )


class _Begun:
    """What a training is made of, so that it is known again when it is started again."""

    def __init__(self, footage: tuple[Footage, ...], key: str, started_from: str) -> None:
        self.footage, self.key, self.started_from = footage, key, started_from

    @classmethod
    def of(
        cls,
        sources: Sequence[BankSource],
        preset: Preset,
        start_from: Path | None,
        minutes: float | None,
        steps: int | None,
        seed: int,
    ) -> _Begun:
        """Fingerprint everything. Raises `MediaError` when footage cannot be read."""
        films = tuple(
            Footage(
                s.path.name,
                s.track.sha256 or sha256_of(s.path),
                round(len(s.track) / float(s.track.rate), 2),
            )
            for s in sources
        )
        start = "" if start_from is None else load_face(start_from).card.sha256
        # One film may show several people: it matters whose face is followed.
        faces = [hashlib.sha256(s.track.landmarks.tobytes()).hexdigest() for s in sources]
        facts = [asdict(preset), [f.sha256 for f in films], faces, start, minutes, steps, seed]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return cls(films, key, start)

    def folder(self, out: Path) -> Path:
        """The working folder in `out`. Raises `OutputError` when another training lies there."""
        work = out / FOLDER
        try:
            work.mkdir(parents=True, exist_ok=True)
            key = work / _KEY
            if key.is_file() and key.read_text("utf-8") != self.key:
                raise OutputError(
                    f"'{work}' holds an unfinished training of other footage or settings; finish "
                    "it, delete that folder, or choose another --out"
                )
            key.write_text(self.key, "utf-8")
        except OSError as error:
            raise output_error(work / _KEY, error) from error
        return work


def _examples(
    sources: Sequence[BankSource],
    preset: Preset,
    work: Path,
    key: str,
    seed: int,
    progress: Progress | None,
) -> tuple[Examples, float]:
    """What to learn from, and how many seconds of footage that is."""
    from lipsync.crop import CropSpec
    from lipsync.engines.mouthbank import learn
    from lipsync.training.data import build_examples, kept_examples

    examples = kept_examples(work, key)
    if examples is None:
        spec = CropSpec(preset.crop)
        learnt = learn(sources, spec, seed=seed, most=preset.frames, progress=progress)
        examples = build_examples(
            learnt, sources, preset, work, key=key, seed=seed, progress=progress
        )
    rates = sorted(float(s.track.rate) for s in sources)
    return examples, len(examples) / rates[len(rates) // 2]


def _start(
    examples: Examples,
    preset: Preset,
    start_from: Path | None,
    device: str,
    seed: int,
    progress: Progress | None,
    say: Say,
    work: Path,
) -> tuple[Judge, dict[str, Tensor] | None]:
    """A judge that can read these lips, and the numbers to start from (None: none)."""
    import torch

    from lipsync.training.judge import Judge, train_judge
    from lipsync.training.loop import CHECKPOINT

    torch.manual_seed(seed)
    judge = Judge(preset.size)
    start = None
    if start_from is not None:
        start = _other(start_from, preset)
        load_into(judge, load_tensors(start_from / JUDGE_NAME), start_from / JUDGE_NAME)
    if (work / CHECKPOINT).is_file():
        return judge.eval().requires_grad_(False), start  # the checkpoint holds its numbers
    steps = preset.judge_steps // (1 if start is None else 2)
    able = train_judge(judge, examples, steps, device=device, seed=seed, progress=progress)
    say(
        f"the judge reads the lips' opening to {able['lip_error']:.3f} eye distances and tells "
        f"right phonemes from wrong in {100 * able['sync']:.0f} % of held-out frames"
    )
    return judge, start


def _other(folder: Path, preset: Preset) -> dict[str, Tensor]:
    """The numbers of the face in `folder`. Raises `WeightsError` when its network is another."""
    model = load_face(folder)
    wanted = {n: getattr(preset, n) for n in ("size", "references", "width", "depth")}
    if dict(model.card.network) != wanted:
        raise WeightsError(
            f"the face in '{folder}' was trained with the preset '{model.card.preset}', whose "
            f"network is another than '{preset.name}' has; start from a face of the same preset"
        )
    return dict(load_tensors(folder / NUMBERS_NAME))


def _say_what_is_saved(trainer: Trainer, start_from: Path, say: Say) -> None:
    """Where a warm start begins, and how long the other face took to come as far."""
    seen = trainer.held_out()
    card = load_face(start_from).card
    gain = (seen.copied - seen.error) / max(seen.copied, 1e-9)
    begin = card.curve[0][2] if card.curve else float("nan")
    for step, seconds, error in card.curve:
        if gain > 0 and (begin - error) / begin >= gain:
            saved = f"which the other face had reached after {step} steps ({seconds / 60:.1f} min)"
            break
    else:
        saved = "more than the other face ever gained" if gain > 0 else "so nothing is saved"
    say(
        f"started from '{start_from}': held-out error {seen.error:.4f} before the first step, "
        f"{seen.copied:.4f} for copying the reference ({100 * gain:+.1f} %), {saved}"
    )


class _Shown:
    """Keeps preview and curve up to date while a face is trained; the curve not too often."""

    def __init__(self, trainer: Trainer, out: Path) -> None:
        self._trainer, self._out, self._drawn = trainer, out, -_CURVE_EVERY_S

    def __call__(self, seen: HeldOut, *, last: bool = False) -> None:
        from lipsync.training.show import draw_curve, draw_preview

        draw_preview(seen, self._out / "preview.png")
        if last or time.monotonic() - self._drawn > _CURVE_EVERY_S:
            state = self._trainer.state
            draw_curve(state.losses, state.curve, seen.copied, self._out / "loss.png")
            self._drawn = time.monotonic()


def _finish(
    trainer: Trainer,
    card: FaceCard,
    judge: Judge,
    out: Path,
    work: Path,
    say: Say,
    record: Callable[[FaceCard], object] | None,
) -> FaceModel:
    """Write the best network and what it can do; the working folder goes."""
    trainer.network.load_state_dict(trainer.state.best)
    seen = trainer.held_out()
    _Shown(trainer, out)(seen, last=True)
    card = replace(card, scores=_scores(seen))
    network = {k: v.cpu().contiguous() for k, v in trainer.network.state_dict().items()}
    card = save_face(out, card, network, judge.state_dict(), record=record)
    shutil.rmtree(work, ignore_errors=True)
    s = card.scores
    say(
        f"held-out mouths: {s['psnr']:.2f} dB (copying the reference {s['copy_psnr']:.2f}), SSIM "
        f"{s['ssim']:.3f} ({s['copy_ssim']:.3f}), sharpness x{s['sharpness']:.2f} "
        f"(x{s['copy_sharpness']:.2f}), lip error {s['lip_error']:.4f} ({s['copy_lip_error']:.4f})"
    )
    if seen.error >= seen.copied:
        say("the network is no better than the mouthbank here; use --engine mouthbank")
    return FaceModel(card, trainer.network.cpu().eval())


def _scores(seen: HeldOut) -> dict[str, float]:
    """PSNR, SSIM, sharpness and lip error of the drawn frames, and of the copied ones."""
    from lipsync.score import compare_pictures

    scores = {"error": seen.error, "copy_error": seen.copied}
    rows = (("", seen.drawn, seen.lips), ("copy_", seen.reference, seen.copied_lips))
    for prefix, pictures, lips in rows:
        found = compare_pictures(pictures, seen.real)
        scores |= {
            f"{prefix}psnr": found.psnr,
            f"{prefix}ssim": found.ssim,
            f"{prefix}sharpness": found.sharpness,
            f"{prefix}lip_error": lips,
        }
    return scores
