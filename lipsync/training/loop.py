"""The training loop: steps in a fixed order, checkpoints, and the best by a held-out score.

What step i does depends on the seed and on i alone, so a run that was stopped goes on where its
last checkpoint was and ends with the same numbers: on the CPU, with the preset's steps or a given
number of them. On CUDA the gradients of a moved picture are summed in no fixed order, and
minutes go by the clock.
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsync.engines._mouthnet_input import MAPS, SHAPE
from lipsync.engines._mouthnet_net import MouthNet, NetShape, assemble, compose
from lipsync.training.judge import Judge
from lipsync.training.losses import Critic, Drawn, critic_loss, mouth_losses, total
from media.errors import WeightsError
from media.files import atomic_path

if TYPE_CHECKING:
    from lipsync.engines import Progress
    from lipsync.training.data import Examples
    from lipsync.training.presets import Preset

__all__ = ["CHECKPOINT", "HeldOut", "Trainer"]

Ints = NDArray[np.intp]
Pixels = NDArray[np.uint8]

CHECKPOINT = "checkpoint.pt"
_WARM = 10
_SLOWEST = 0.02  # share of the learning rate that is left at the end
_KEEP_EVERY_S = 60.0
_CLIP = 1.0
_CRITIC_RATE = 2e-4
# What a file that is no checkpoint of this network ends in.
_UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError)
# Pictures may fill so much of a card's free memory.
_ON_DEVICE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Held-out frames: real, as the reference has them, as drawn; uint8[n, S, S, 3].

    `error` is the score that decides (pixels, edges and features; lower is better), `copied`
    the same of copying the reference; `lips` and `copied_lips` the judge's error of the opening in
    eye distances.
    """

    real: Pixels
    reference: Pixels
    drawn: Pixels
    error: float
    copied: float
    lips: float
    copied_lips: float


@dataclass(slots=True)
class _State:
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    best_error: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)


class Trainer:
    """Trains one network on `examples`; `judge` has learnt already.

    `steps` None takes the preset's, or as many as fit into `minutes` (decided after ten steps
    and kept in the checkpoint).
    """

    def __init__(
        self,
        examples: Examples,
        judge: Judge,
        preset: Preset,
        *,
        seed: int = 0,
        device: str = "cpu",
        steps: int | None = None,
        minutes: float | None = None,
        start: dict[str, Tensor] | None = None,
        compiled: bool = False,
    ) -> None:
        self.examples, self.judge, self.preset = examples, judge.to(device), preset
        self.device, self._seed, self._minutes = device, seed, minutes
        torch.manual_seed(seed)
        shape = NetShape(preset.size, preset.references, preset.width, preset.depth)
        self.network = MouthNet(shape)
        if start is not None:
            self.network.load_state_dict(start)
        self.network.shape_mean.copy_(judge.shape_mean)
        self.network.shape_spread.copy_(judge.shape_spread)
        self._on_gpu = device.startswith("cuda")
        if self._on_gpu:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.to(device)
        self._run_net: Any = torch.compile(self.network) if compiled else self.network
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), preset.rate, betas=(0.9, 0.98), weight_decay=1e-2
        )
        self._critics, self._critic_optimiser = self._make_critics()
        fixed = steps if steps is not None else 0 if minutes else preset.steps
        self.state = _State(steps=fixed)
        self._starts = examples.starts(preset.run, held_out=False)
        if not len(self._starts):
            raise ValueError(f"no {preset.run} examples follow each other")
        self._held = self._held_rows()
        self._stored = self._on_device()

    def _make_critics(
        self,
    ) -> tuple[tuple[Critic, Critic] | None, torch.optim.Optimizer | None]:
        if not self.preset.adversarial:
            return None, None
        width = max(16, self.preset.width)
        critics = (
            Critic(3, width).to(self.device),
            Critic(3 * self.preset.run, width).to(self.device),
        )
        own = [p for critic in critics for p in critic.parameters()]
        return critics, torch.optim.Adam(own, _CRITIC_RATE, betas=(0.0, 0.9))

    # --- examples ----------------------------------------------------------------------

    def _held_rows(self) -> Ints:
        held = np.flatnonzero(self.examples.held_out)
        most = self.preset.held_out
        return held if len(held) <= most else held[np.linspace(0, len(held) - 1, most).astype(int)]

    def _on_device(self) -> Tensor | None:
        """All pictures in the card's memory, if they fit well."""
        if not self._on_gpu:
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        if self.examples.pictures.nbytes > _ON_DEVICE * free:
            return None
        return torch.from_numpy(np.array(self.examples.pictures)).to(self.device)

    def _samples(self, rows: Ints) -> Tensor:
        if self._stored is not None:
            return self._stored[torch.from_numpy(rows).to(self.device)]
        return torch.from_numpy(np.asarray(self.examples.pictures[rows])).to(self.device)

    def _draw(self, rows: Ints, run: int) -> tuple[Drawn, Tensor]:
        """What the network makes of examples `rows`, and the references [b, K, 3, S, S]."""
        known = self.examples
        samples = self._samples(rows)
        inputs, references, mask = assemble(samples)
        if self._on_gpu:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        wanted = torch.from_numpy(known.wanted[rows]).to(self.device)
        with self._fast():
            fields = self._run_net(inputs, wanted)
        made = compose(references, fields)
        tight, spoken = (
            torch.from_numpy(f[rows].astype(np.float32)).to(self.device)
            for f in (known.tight, known.spoken)
        )
        numbers = samples[:, : MAPS - 1].float() / 255
        drawn = Drawn(made, numbers[:, :3], mask, numbers[:, 4:5], wanted, tight, spoken, run)
        return drawn, references

    def _fast(self) -> Any:
        return torch.autocast("cuda", torch.bfloat16) if self._on_gpu else nullcontext()

    # --- steps ---------------------------------------------------------------------------

    def train(
        self,
        folder: Path,
        progress: Progress | None = None,
        look: Callable[[HeldOut], None] | None = None,
    ) -> None:
        """Go on until all steps are done. `look` is shown the held-out frames now and then.

        A checkpoint is written into `folder` at every check, and once a minute.
        """
        state, kept = self.state, time.monotonic()
        if not state.curve:
            self._check(look)
            self.keep(folder)  # the judge is not taught twice
        while not state.steps or state.step < state.steps:
            began = time.monotonic()
            loss = self._step(state.step)
            state.step += 1
            self._count(time.monotonic() - began)
            if state.step % max(1, self.preset.check // 20) == 0:
                state.losses.append((state.step, loss))
            last = state.step == state.steps
            checked = last or state.step % self.preset.check == 0
            if checked:
                self._check(look)
            if checked or time.monotonic() - kept > _KEEP_EVERY_S:
                self.keep(folder)
                kept = time.monotonic()
            if progress:
                progress("training the face", state.step, state.steps or None)

    def _count(self, seconds: float) -> None:
        """Add to the time spent; settle on the number of steps once it can be told."""
        state = self.state
        state.seconds += seconds
        if not state.steps and state.step == _WARM:
            assert self._minutes is not None
            each = max(state.seconds / _WARM, 1e-4)
            state.steps = max(2 * _WARM, int(60 * self._minutes / each))

    def _rate(self, step: int) -> float:
        if step < _WARM or not self.state.steps:
            return self.preset.rate * (step + 1) / _WARM
        done = (step - _WARM) / max(1, self.state.steps - _WARM)
        return self.preset.rate * max(_SLOWEST, 0.5 * (1 + math.cos(math.pi * done)))

    def _step(self, step: int) -> float:
        rng = np.random.default_rng((self._seed, 3, step))
        run = self.preset.run
        first = rng.choice(self._starts, min(self.preset.runs, len(self._starts)), replace=False)
        rows = (first[:, None] + np.arange(run)).reshape(-1)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate(step)
        try:
            self.network.train()
            drawn, _ = self._draw(rows, run)
            self._teach_critics(drawn)
            loss = total(mouth_losses(drawn, self.judge, self._critics))
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
            self._optimiser.step()
        except torch.OutOfMemoryError as error:
            raise WeightsError(
                f"the GPU has no room for the preset '{self.preset.name}'; close what else uses "
                "it, or train with --preset cpu"
            ) from error
        value = float(loss.detach())
        if not math.isfinite(value):
            raise WeightsError(
                f"the training lost its way at step {step} (its loss is no number); run it again, "
                "which goes on from the last checkpoint, or give it another --seed"
            )
        return value

    def _teach_critics(self, drawn: Drawn) -> None:
        if self._critics is None or self._critic_optimiser is None:
            return
        self._critic_optimiser.zero_grad()
        critic_loss(drawn, self._critics).backward()  # type: ignore[no-untyped-call]
        self._critic_optimiser.step()

    # --- looking ---------------------------------------------------------------------------

    def _check(self, look: Callable[[HeldOut], None] | None) -> None:
        state, seen = self.state, self.held_out()
        state.curve.append((state.step, state.seconds, seen.error))
        if seen.error < state.best_error:
            state.best_error = seen.error
            state.best = {k: v.detach().cpu().clone() for k, v in self.network.state_dict().items()}
        if look is not None:
            look(seen)

    @torch.no_grad()
    def held_out(self) -> HeldOut:
        """The held-out frames as the network draws them now."""
        self.network.eval()
        pictures: list[tuple[Tensor, ...]] = []
        errors: list[NDArray[np.float64]] = []
        for rows in np.array_split(self._held, max(1, len(self._held) // 16)):
            drawn, references = self._draw(rows, 1)
            copy = Drawn(
                references[:, 0], drawn.truth, drawn.mask, drawn.lips, drawn.wanted,
                drawn.tight, drawn.spoken, 1,
            )  # fmt: skip
            pictures.append((drawn.truth, copy.shown, drawn.shown))
            errors.append(len(rows) * np.array([*self._errors(drawn), *self._errors(copy)]))
        real, reference, made = (_pixels(torch.cat(p)) for p in zip(*pictures, strict=True))
        error, lips, copied, copied_lips = (np.sum(errors, axis=0) / len(self._held)).tolist()
        return HeldOut(real, reference, made, error, copied, lips, copied_lips)

    def _errors(self, drawn: Drawn) -> tuple[float, float]:
        parts = mouth_losses(drawn, self.judge, None)
        error = total({n: parts[n] for n in ("pixel", "edges", "features")})
        shape = self.judge(drawn.shown).shape
        off = (shape - self.judge.spreads(drawn.wanted[:, :SHAPE])).abs() * self.judge.shape_spread
        return float(error), float(off[:, 0].mean())

    # --- keeping -----------------------------------------------------------------------------

    def keep(self, folder: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = self.state
        modules = self._modules()
        stored = {
            "state": {k: getattr(state, k) for k in _State.__dataclass_fields__},
            "modules": {name: module.state_dict() for name, module in modules.items()},
        }
        with atomic_path(folder / CHECKPOINT) as temporary:
            torch.save(stored, temporary)

    def go_on(self, folder: Path) -> bool:
        """Take up the checkpoint in `folder`; False when there is none that fits."""
        path = folder / CHECKPOINT
        try:
            stored = torch.load(path, map_location=self.device, weights_only=True)
            for name, module in self._modules().items():
                module.load_state_dict(stored["modules"][name])
            state = stored["state"]
            self.state = _State(**state)
        except FileNotFoundError:
            return False
        except (*_UNREADABLE, pickle.UnpicklingError) as error:
            raise WeightsError(
                f"the checkpoint '{path}' cannot be read; delete the folder '{folder}' to begin "
                "again"
            ) from error
        self.state.best = {k: v.cpu() for k, v in self.state.best.items()}
        return True

    def _modules(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "network": self.network,
            "judge": self.judge,
            "optimiser": self._optimiser,
        }
        if self._critics is not None:
            found |= {"still": self._critics[0], "moving": self._critics[1]}
            found["critic_optimiser"] = self._critic_optimiser
        return found


def _pixels(pictures: Tensor) -> Pixels:
    """[n, 3, S, S] in 0..1 as uint8[n, S, S, 3]."""
    rounded = (255 * pictures.float()).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(rounded.permute(0, 2, 3, 1).cpu().numpy())
