"""coqui's own Trainer, kept in its place.

Left alone, coqui-tts-trainer reads the command line, prints every step, names its folder by
date and git commit, copies the calling script, saves over the only checkpoint in place, prints
a traceback and ends the process when anything fails, and deletes the run when it has no
checkpoint. `run_trainer` lets it do the training and nothing of that: logs and TensorBoard
events go into the run's folder, checkpoints appear whole, errors are raised, a stop saves first.
"""

from __future__ import annotations

import logging
import os
import random
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from media.audio import read_sound
from media.errors import OutputError, WeightsError
from media.files import atomic_path, output_error

__all__ = ["LOSSES_NAME", "Course", "TrainingRun", "last_checkpoint", "run_trainer"]

LOSSES_NAME = "losses.csv"
_NEVER = 1_000_000_000  # steps
_AVERAGED = 20  # steps at each end of a run, to say where the loss came from and went


@dataclass(frozen=True, slots=True)
class Course:
    """How far a run goes: `steps` in all, a checkpoint every `save_s` seconds, losses written
    every `log_steps`, batches of `batch`, epochs of `epoch_steps`; drawn from `seed`."""

    steps: int
    batch: int
    epoch_steps: int
    log_steps: int
    save_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A run as it went: steps done in all and in this call, seconds of this call.

    `losses` maps each loss to its means over the first and the last steps of this call (at
    most 20 of each). `resumed_from` is the step it went on from, 0 for a new run.
    """

    folder: Path
    steps: int
    made: int
    seconds: float
    losses: Mapping[str, tuple[float, float]]
    resumed_from: int = 0


class _Enough(Exception):  # noqa: N818 - no error: the run has got where it should
    pass


class _Watch:
    """Looks at every step: losses, checkpoints by the clock, the end."""

    def __init__(self, course: Course, folder: Path, progress: Callable[[int, int], None]) -> None:
        self._course, self._progress = course, progress
        self._table = folder / LOSSES_NAME
        self._saved = time.monotonic()
        self.made = 0
        self._first: list[dict[str, float]] = []
        self._last: deque[dict[str, float]] = deque(maxlen=_AVERAGED)

    def go_on_from(self, resumed: int) -> None:
        """Take rows out of the table that were written after the checkpoint gone on from."""
        if not self._table.is_file():
            return
        header, *rows = self._table.read_text("utf-8").splitlines() or [""]
        kept = [
            r for r in rows if r.partition(",")[0].isdigit() and int(r.split(",")[0]) <= resumed
        ]
        with atomic_path(self._table) as temporary:
            temporary.write_text("\n".join((header, *kept)) + "\n", "utf-8")

    def step(self, trainer: Any, losses: Mapping[str, Any] | None) -> None:
        done = int(trainer.total_steps_done)
        kept = {k: float(v) for k, v in (losses or {}).items() if k.startswith("loss")}
        self.made += 1
        self._last.append(kept)
        if len(self._first) < _AVERAGED:
            self._first.append(kept)
        if not all(np.isfinite(v) for v in kept.values()):
            raise WeightsError(
                f"the training lost its way at step {done} (a loss is not a number); go on from "
                "an earlier checkpoint, or look for damaged clips"
            )
        if done % self._course.log_steps == 0 or done == 1:
            self._write(done, kept)
        self._progress(done, self._course.steps)
        if done >= self._course.steps:
            raise _Enough
        if time.monotonic() - self._saved > self._course.save_s:
            save(trainer)
            self._saved = time.monotonic()

    def _write(self, done: int, losses: Mapping[str, float]) -> None:
        names = sorted(losses)
        new = not self._table.is_file()
        rows = [",".join(("step", *names))] if new else []
        rows.append(",".join((str(done), *(f"{losses[n]:.5f}" for n in names))))
        try:
            with self._table.open("a", encoding="utf-8") as table:
                table.write("\n".join(rows) + "\n")
        except OSError as error:
            raise output_error(self._table, error) from error

    def summary(self) -> dict[str, tuple[float, float]]:
        """Every loss: its mean over the first steps and over the last."""
        count = min(_AVERAGED, max(1, self.made // 3))
        found = {}
        for name in self._last[-1] if self._last else ():
            last = [s[name] for s in self._last if name in s][-count:]
            first = [s[name] for s in self._first if name in s][:count] or last
            found[name] = (float(np.mean(first)), float(np.mean(last)))
        return found


def save(trainer: Any) -> None:
    """A checkpoint that a later run goes on from at the very next step."""
    trainer.total_steps_done -= 1  # the trainer numbers a checkpoint by the step just made
    try:
        trainer.save_checkpoint()
    finally:
        trainer.total_steps_done += 1


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; damaged ones are removed. None when there is none."""

    def number(path: Path) -> int:
        digits = path.stem.rpartition("_")[2]
        return int(digits) if digits.isdigit() else -1

    for path in sorted(folder.glob("checkpoint_*.pth"), key=number, reverse=True):
        if zipfile.is_zipfile(path):
            return path
        path.unlink()  # cut off by a crash of the machine
    return None


def run_trainer(
    model: Any,
    config: Any,
    samples: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
    folder: Path,
    course: Course,
    *,
    readers: Sequence[ModuleType],
    progress: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Train `model` on `samples` with coqui's Trainer, in `folder`, from its last checkpoint.

    `model` and `config` are coqui's; `readers` the modules of coqui's whose `load_audio` reads
    the clips, which is replaced by our own loader. A run that has made its steps already
    returns at once. Interrupted, it saves a checkpoint and lets the interruption through.
    Raises `WeightsError` when a loss is no number, `OutputError` when the disk is full.
    """
    watch = _Watch(course, folder, progress or (lambda _done, _all: None))
    began = time.monotonic()
    with _tamed(folder, readers, course.seed):
        trainer, resumed = _trainer(model, config, samples, held_out, folder, course, watch)
        watch.go_on_from(resumed)
        if resumed < course.steps:
            _fitted(trainer)
        done = int(trainer.total_steps_done)
        trainer.dashboard_logger.finish()
    return TrainingRun(folder, done, watch.made, time.monotonic() - began, watch.summary(), resumed)


def _fitted(trainer: Any) -> None:
    """The training itself; `Trainer.fit` would end the process where this raises."""
    try:
        trainer._fit()
    except _Enough:
        save(trainer)
    except KeyboardInterrupt:
        if trainer.total_steps_done > 0:
            save(trainer)
        raise


def _trainer(
    model: Any,
    config: Any,
    samples: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
    folder: Path,
    course: Course,
    watch: _Watch,
) -> tuple[Any, int]:
    """(the trainer, the step that it goes on from)."""
    from trainer import Trainer, TrainerArgs

    class Watched(Trainer):
        """Tells `watch` of every step; copies no script and draws no plots before the first."""

        def save_training_script(self) -> None:
            pass

        def update_training_dashboard_logger(
            self, batch: dict[str, Any] | None = None, outputs: dict[str, Any] | None = None
        ) -> None:
            if self.total_steps_done > 0:
                super().update_training_dashboard_logger(batch, outputs)

        def train_step(self, *given: Any, **named: Any) -> Any:
            made = super().train_step(*given, **named)
            watch.step(self, made[1])
            return made

    config.epochs = config.save_step = config.save_best_after = config.test_delay_epochs = _NEVER
    whole = last_checkpoint(folder)
    arguments = TrainerArgs(continue_path=str(folder) if whole else "", gpu=_card())
    trainer = Watched(
        arguments,
        config,
        str(folder),
        model=model,
        train_samples=[dict(s) for s in samples],
        eval_samples=[dict(s) for s in held_out],
        parse_command_line_args=False,
    )
    resumed = int(trainer.total_steps_done)
    trainer.train_loader = _shuffled(model, config, samples, course, resumed)
    return trainer, resumed


def _card() -> int | None:
    """The GPU to train on: the one of `WILDLINE_DEVICE`, or the first."""
    from weights.device import best_device

    device = best_device()
    return int(device.partition(":")[2] or 0) if device.startswith("cuda") else None


def _shuffled(
    model: Any, config: Any, samples: Sequence[Mapping[str, Any]], course: Course, resumed: int
) -> Any:
    """The model's own batches, drawn anew in every epoch; it would repeat those of the first."""
    import torch
    from torch.utils.data import DataLoader, RandomSampler

    own = model.get_data_loader(
        config=config, is_eval=False, samples=[dict(s) for s in samples], verbose=False
    )
    dice = torch.Generator().manual_seed(course.seed + resumed)
    count = course.epoch_steps * course.batch
    return DataLoader(
        own.dataset,
        batch_size=course.batch,
        sampler=RandomSampler(own.dataset, num_samples=count, generator=dice),
        collate_fn=own.collate_fn,
        num_workers=config.num_loader_workers,
    )


def _load_audio(path: str, rate: int | None = None) -> Any:
    """What coqui's `load_audio` gives, by our loader: [1, n] float32, and the rate if not asked."""
    import torch

    sound = read_sound(Path(path), rate)
    wave = torch.from_numpy(np.clip(sound.samples, -1.0, 1.0))[None]
    return wave if rate is not None else (wave, sound.rate)


def _save_whole(state: Any, path: Any, **more: Any) -> None:
    """What the trainer's `save_fsspec` does, but the file is whole or not there.

    Raises `OutputError`, also where torch tells a failed write by a `RuntimeError`.
    """
    import torch

    with atomic_path(Path(path)) as temporary:
        try:
            torch.save(state, temporary, **more)
        except RuntimeError as error:
            # Its writer has lost the reason; that of all else (a card out of memory) is its own.
            known = ("inline_container", "PytorchStreamWriter", "iostream error")
            if not any(words in str(error) for words in known):
                raise
            raise OutputError(
                f"cannot write '{path}': writing stopped half-way; free some space or choose "
                "another disk"
            ) from error


@contextmanager
def _tamed(folder: Path, readers: Sequence[ModuleType], seed: int) -> Iterator[None]:
    """coqui's habits replaced, the process left as it was afterwards."""
    import torch
    import trainer.io
    import trainer.trainer
    from TTS.tts.datasets import dataset

    home, disk = trainer.trainer, trainer.io
    without_bars = SimpleNamespace(tqdm=lambda rows, *_, **__: rows)
    swaps: list[tuple[ModuleType, str, Any]] = [
        (home, "get_experiment_folder_path", lambda *_: folder),
        (home, "get_git_branch", lambda: ""),
        (home, "remove_experiment_folder", lambda _: None),
        (disk, "save_fsspec", _save_whole),
        (dataset, "tqdm", without_bars),
        *((reader, "load_audio", _load_audio) for reader in readers),
    ]
    environment = {n: os.environ.get(n) for n in ("CUDA_DEVICE_ORDER", "PYTHONHASHSEED")}
    numbers, threads = np.random.get_state(), torch.get_num_threads()
    dice = random.getstate()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(_logged_to_files())
        for module, name, ours in swaps:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, ours)
        stack.callback(torch.set_num_threads, threads)
        stack.callback(np.random.set_state, numbers)
        stack.callback(random.setstate, dice)
        stack.callback(_restore_environment, environment)
        torch.manual_seed(seed)
        yield


def _restore_environment(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _logged_to_files() -> Iterator[None]:
    """The trainer's log goes to the file in its folder and nowhere else."""
    logger = logging.getLogger("trainer")
    before, level = list(logger.handlers), logger.level
    logger.handlers, logger.propagate = [], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers = before
        logger.setLevel(level)
