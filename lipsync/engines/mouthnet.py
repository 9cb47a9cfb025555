"""The mouthnet: the mouthbank's path, drawn by a network that was trained on this very person.

    wildline train-face interview.mov -o faces/anna --consent anna.toml
    wildline resync scene.mov line.wav -o out.mp4 --engine mouthnet --face-model faces/anna

The mouthbank chooses for every frame what to show and a second, quite different path through
the same footage; both are bent to the wanted lips, and the network says at every pixel
how to move, mix and light them (`lipsync.engines._mouthnet_net`). It hears nothing: phonemes and
lip shapes drive it, so it does not care whose voice speaks. Where the timing says that lips are
shut the network may light them, but not draw between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.engines import MouthPatch
from lipsync.engines._mouthnet_input import ReferenceArtist, phoneme_context, sample, window
from lipsync.engines._plan import Weights, bank_of, wanted
from lipsync.engines._select import Bank, PathFinder, Wanted
from lipsync.engines.mouthbank import MouthBankRenderer, first_face
from lipsync.motion import one_thread
from media.errors import WeightsError

if TYPE_CHECKING:
    from lipsync.engines import Progress, RenderJob
    from lipsync.engines._mouthnet_model import FaceCard
    from lipsync.engines._plan import Learnt

__all__ = ["MouthNetRenderer", "alternatives", "near", "other_paths"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]

_BATCH_CPU, _BATCH_GPU = 4, 64
# What a mouth costs another path when one before it shows it, or its neighbour in time.
_TAKEN = 60.0
_NEAR = 3
# Width of the ramp at the edge of the window, and of what may change on shut lips (of its side).
_RAMP, _SHUT_BLUR = 0.04, 0.06


class MouthNetRenderer(MouthBankRenderer):
    """`lipsync.engines.MouthRenderer` with the trained face in the folder `face`.

    `device` "cpu", "cuda" or "mps" (None: the fastest here); bfloat16 on a CUDA card.
    Raises `WeightsError` when the folder holds no whole trained face.
    """

    name = "mouthnet"

    def __init__(
        self,
        face: Path,
        *,
        articulation: float = 1.0,
        device: str | None = None,
        batch: int | None = None,
    ) -> None:
        import torch

        from lipsync.engines._mouthnet_model import load_face
        from weights.device import best_device

        super().__init__(articulation=articulation)
        model = load_face(Path(face))
        self.card: FaceCard = model.card
        self._device = device or best_device()
        self._on_gpu = self._device.startswith("cuda")
        self._network = model.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        #: Mouths drawn at once; halved when the GPU has no room for them.
        self.batch = batch or (_BATCH_GPU if self._on_gpu else _BATCH_CPU)
        self._drawer: ReferenceArtist | None = None
        self._others: Ints = np.zeros((0, 0), np.intp)
        self._wanted: Floats = np.zeros((0, 0), np.float32)
        self._tight: Flags = np.zeros(0, np.bool_)

    @property
    def fingerprint(self) -> str:
        """See `RepeatableRenderer`; with a digest of the second path, too."""
        others = hashlib.sha256(self._others.tobytes()).hexdigest()
        return f"{super().fingerprint} {others} {self.card.sha256} {self._device}"

    def prepare(self, job: RenderJob, progress: Progress | None = None) -> None:
        """As the mouthbank's, and a second path, phonemes and closures for the network."""
        before = self._learnt
        super().prepare(job, progress)
        learnt, plan = self._ready()
        if learnt is not before or self._drawer is None:
            self._drawer = ReferenceArtist(learnt.mouths)
        self._drawer.begin(first_face(job, plan))
        shapes = self.shapes
        count = self._network.shape.references - 1
        with one_thread():
            self._others = alternatives(job, learnt, plan.path, shapes, count)
        n, rate = len(job.target), job.target.rate
        context = phoneme_context(job.timing, rate, np.arange(n))
        self._wanted = np.concatenate([np.nan_to_num(shapes), context], axis=1)
        self._tight = learnt.model.tight(job.timing, rate, n)

    def render(self, indices: Sequence[int], crops: Pixels, landmarks: Floats) -> list[MouthPatch]:
        """Mouths for target frames `indices`; see `MouthRenderer`."""
        from lipsync.blend import mouth_mask

        learnt, plan = self._ready()
        assert self._drawer is not None
        patches: list[MouthPatch] = []
        rows, samples, pictures = [], [], []
        for k, i in enumerate(indices):
            if plan.path[i] < 0:
                patches.append(MouthPatch(crops[k], landmarks[k, :, :2].astype(np.float32)))
                continue
            points, old = self._drawer.place(plan.parts[i], plan.change[i], landmarks[k])
            others = self._others[i].tolist()
            drawn = self._drawer.references(plan.parts[i], others, points, old, crops[k])
            mask = mouth_mask(old, points, crops.shape[1])
            samples.append(sample(crops[k], mask, points, drawn, self._network.shape.size))
            pictures.append(np.stack(drawn))
            rows.append(len(patches))
            patches.append(MouthPatch(drawn[0], points))
        learnt.mouths.let_go()
        frames = [indices[r] for r in rows]
        made = self._draw(frames, samples, pictures)
        for row, i, mouth in zip(rows, frames, made, strict=True):
            patches[row] = _laid(patches[row], mouth, shut=bool(self._tight[i]))
        return patches

    def _draw(
        self, frames: Sequence[int], samples: Sequence[Pixels], pictures: Sequence[Pixels]
    ) -> list[Floats]:
        """The network's windows float32[H, H, 3] in 0..255, in batches that fit."""
        import torch

        made: list[Floats] = []
        while len(made) < len(frames):
            part = slice(len(made), len(made) + self.batch)
            try:
                made += self._forward(frames[part], samples[part], pictures[part])
            except torch.OutOfMemoryError as error:
                if self.batch == 1:
                    raise WeightsError(
                        "the GPU has no room to draw a single mouth; close what else uses it, or "
                        "set WILDLINE_DEVICE=cpu"
                    ) from error
                self.batch //= 2
                if self._on_gpu:
                    torch.cuda.empty_cache()
        return made

    def _forward(
        self, frames: Sequence[int], samples: Sequence[Pixels], pictures: Sequence[Pixels]
    ) -> list[Floats]:
        import torch

        from lipsync.engines._mouthnet_net import assemble, compose

        part = window(pictures[0].shape[1])
        large = np.stack([p[:, part, part] for p in pictures]).transpose(0, 1, 4, 2, 3)
        with (
            torch.inference_mode(),
            torch.autocast("cuda", torch.bfloat16, enabled=self._on_gpu),
        ):
            stored = torch.from_numpy(np.stack(samples)).to(self._device)
            inputs, _, _ = assemble(stored)
            wanted = torch.from_numpy(self._wanted[list(frames)]).to(self._device)
            fields = self._network(inputs, wanted)
            references = torch.from_numpy(np.ascontiguousarray(large)).to(self._device)
            done = 255 * compose(references.float() / 255, fields)
            return list(done.permute(0, 2, 3, 1).cpu().numpy())


def _laid(patch: MouthPatch, mouth: Floats, *, shut: bool) -> MouthPatch:
    """The network's window in the crop that it was drawn from; see the module about `shut`."""
    import cv2

    part = window(patch.rgb.shape[0])
    under = patch.rgb[part, part].astype(np.float32)
    change = mouth - under
    side = len(change)
    if shut:
        calm = cv2.GaussianBlur(change, (0, 0), _SHUT_BLUR * side)
        lips = _lips_and_near(patch.landmarks - part.start, side)[..., None]
        change += lips * (calm - change)
    ramp = np.minimum(np.arange(side) + 1, np.arange(side)[::-1] + 1) / (_RAMP * side)
    ramp = np.minimum(ramp, 1.0).astype(np.float32)
    change *= (ramp[:, None] * ramp)[..., None]
    rgb = patch.rgb.copy()
    rgb[part, part] = cv2.convertScaleAbs(np.maximum(under + change, 0))
    return MouthPatch(rgb, patch.landmarks)


def _lips_and_near(points: Floats, side: int) -> Floats:
    """1 on the lips, falling to 0 a little beyond, float32[side, side]."""
    from lipsync.regions import OUTER_LIPS, outside_distance

    beyond = outside_distance(points[list(OUTER_LIPS)], side)
    return np.asarray(np.clip(1.5 - beyond / (0.03 * side), 0, 1), np.float32)


def alternatives(job: RenderJob, learnt: Learnt, path: Ints, shapes: Floats, count: int) -> Ints:
    """Other mouths for every frame, intp[n, count]; -1 where `path` is.

    Each column is a cheapest path again, kept off the mouths that those before it show.
    `shapes` float32[n, 7] are the lips to be drawn.
    """
    rate = job.target.rate
    weights = Weights.of(learnt)
    rates = np.array([float(s.track.rate) for s in job.sources], np.float32)
    bank = bank_of(learnt, weights, rates, float(rate))
    aims = wanted(weights, job.timing, rate, np.arange(len(path)), shapes, job.target.pose)
    tight = learnt.model.tight(job.timing, rate, len(path))

    def search(finder: PathFinder) -> Ints:
        found = np.full(len(path), -1, np.intp)
        for frames in _stretches(path, job.target.shot):
            found[frames] = finder.cheapest(Wanted(aims[frames], tight[frames]))
        return found

    others = list(other_paths(bank, path, count, search))
    return np.stack(others, axis=1) if others else np.zeros((len(path), 0), np.intp)


def other_paths(
    bank: Bank, path: Ints, count: int, search: Callable[[PathFinder], Ints]
) -> Iterator[Ints]:
    """`count` more paths through `bank`, each kept off the mouths that those before it show.

    `path` (-1: nothing) and what `search` finds are mouths of `bank`.
    """
    taken = np.zeros(len(bank.frame), np.bool_)
    for _ in range(count):
        taken |= near(bank.source, bank.frame, path[path >= 0])
        dear = bank.penalty + _TAKEN * taken.astype(np.float32)
        path = search(PathFinder(replace(bank, penalty=dear)))
        yield path


def near(source: Ints, frame: Ints, shown: Ints) -> Flags:
    """Mouths at most a few frames of their own footage from one of those `shown`."""
    found = np.zeros(len(source), np.bool_)
    for owner in np.unique(source[shown]):
        rows = np.flatnonzero(source == owner)
        times = np.sort(frame[shown[source[shown] == owner]])
        after = np.searchsorted(times, frame[rows])
        ahead = np.abs(times[np.minimum(after, len(times) - 1)] - frame[rows])
        behind = np.abs(times[np.maximum(after - 1, 0)] - frame[rows])
        found[rows] = np.minimum(ahead, behind) <= _NEAR
    return found


def _stretches(path: Ints, shot: NDArray[np.int32]) -> Iterator[Ints]:
    """Runs of frames that show something, within one shot."""
    shown = np.flatnonzero(path >= 0)
    if len(shown):
        breaks = np.flatnonzero((np.diff(shown) > 1) | (np.diff(shot[shown]) != 0)) + 1
        yield from np.split(shown, breaks)
