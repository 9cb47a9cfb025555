"""Wav2Lip as an engine: for those who have its checkpoint and want to compare.

    wildline resync scene.mp4 line.wav -o out.mp4 --engine wav2lip --weights wav2lip_gan.pth

The published weights were trained on the BBC's LRS2 set and may be used for research and
personal purposes only; they do not come with Wildline. The network draws 96-pixel faces, so
mouths are soft in HD. It hears the sound alone and babbles in silence: where the timing says
that nobody speaks, the person's own mouth is bent shut instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lipsync.engines import MouthPatch
from lipsync.morph import CONTROL, FOLLOW, dissolve, reshape, spread_follow, warp
from lipsync.motion import silence
from lipsync.pose import Pose, fit_pose, to_face, to_frame
from media.errors import WeightsError
from media.files import sha256_of

if TYPE_CHECKING:
    from lipsync.engines import Progress, RenderJob
    from lipsync.engines._wav2lip_net import Wav2Lip

__all__ = ["LICENCE_NOTE", "Wav2LipRenderer"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

#: What whoever uses the public checkpoints must know.
LICENCE_NOTE = (
    "wav2lip weights: research and personal use only (trained on LRS2); ask their authors before "
    "any commercial use"
)

# The face as the network was trained to see it, in face coordinates (mm from between the
# eyes): from the upper forehead to just below the chin, from ear to ear.
_SIDE_MM, _TOP_MM, _BOTTOM_MM = 72.0, -52.0, 124.0
# Frames over which the mouth closes at the edge of a silence.
_EASE = 3
_BATCH_CPU, _BATCH_GPU = 8, 64


class Wav2LipRenderer:
    """`lipsync.engines.WholeFaceRenderer` on a public Wav2Lip checkpoint.

    `weights` is the file; `device` "cpu", "cuda" or "mps" (None: the fastest here). Half
    precision on a GPU. Raises `WeightsError` when the file does not fit.
    """

    name = "wav2lip"
    view_size = 96

    def __init__(self, weights: Path, *, device: str | None = None, batch: int | None = None):
        from lipsync.engines._wav2lip_net import load_checkpoint
        from weights.device import best_device

        self._device = device or best_device()
        self._network = load_checkpoint(Path(weights))
        self._weights = Path(weights)
        self._half = self._device.startswith("cuda")
        #: Faces drawn at once; halved when the GPU has no room for them.
        self.batch = batch or (_BATCH_GPU if self._half else _BATCH_CPU)
        self._network.to(self._device)
        if self._half:
            self._network.half()
        self._mel: Floats | None = None
        self._rate = 25.0
        self._shut: Floats = np.zeros(0, np.float32)

    @property
    def network(self) -> Wav2Lip:
        """The network itself."""
        return self._network

    @property
    def fingerprint(self) -> str:
        """See `RepeatableRenderer`."""
        return f"{self.name} {sha256_of(self._weights)} {self._device}"

    def prepare(self, job: RenderJob, progress: Progress | None = None) -> None:
        """Listen to the line, and mark where nothing is said."""
        from lipsync.engines._wav2lip_net import mel_spectrum

        if progress:
            progress("listening to the line", 0, None)
        self._mel = mel_spectrum(job.sound)
        self._rate = float(job.target.rate)
        self._shut = closing(silence(job.timing, job.target.rate, len(job.target)))

    def views(self, landmarks: Floats) -> Floats:
        """Maps float32[k, 2, 3] from the crop to the network's view; see `WholeFaceRenderer`."""
        pose = fit_pose(landmarks)
        middle = np.array([0.0, 0.5 * (_TOP_MM + _BOTTOM_MM), 0.0])
        centre = pose.place + pose.scale[:, None] * np.einsum("nij,j->ni", pose.rotation, middle)
        zoom = self.view_size / np.array([2 * _SIDE_MM, _BOTTOM_MM - _TOP_MM])
        maps = np.zeros((len(landmarks), 2, 3), np.float32)
        for axis in (0, 1):
            maps[:, axis, axis] = zoom[axis] / pose.scale
            maps[:, axis, 2] = (self.view_size - 1) / 2 - maps[:, axis, axis] * centre[:, axis]
        return maps

    def render(self, indices: Sequence[int], crops: Pixels, landmarks: Floats) -> list[MouthPatch]:
        """As `render_views` for those who have only the crop: its edge stands in for the rest."""
        import cv2

        size = (self.view_size, self.view_size)
        views = [
            cv2.warpAffine(c, m, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
            for c, m in zip(crops, self.views(landmarks), strict=True)
        ]
        return self.render_views(indices, crops, landmarks, np.stack(views))

    def render_views(
        self, indices: Sequence[int], crops: Pixels, landmarks: Floats, views: Pixels
    ) -> list[MouthPatch]:
        """Mouths for target frames `indices`; see `WholeFaceRenderer`."""
        if self._mel is None:
            raise RuntimeError("Wav2LipRenderer.prepare must run before render")
        drawn = self._draw(indices, views)
        patches = []
        for k, i in enumerate(indices):
            share = float(self._shut[i]) if i < len(self._shut) else 1.0
            made = _in_crop(drawn[k], self.views(landmarks[k : k + 1])[0], crops.shape[1])
            patch = MouthPatch(made, landmarks[k, :, :2].astype(np.float32))
            if share > 0:
                patch = _towards(patch, closed(crops[k], landmarks[k]), share)
            patches.append(patch)
        return patches

    def _draw(self, indices: Sequence[int], views: Pixels) -> Pixels:
        """The network's faces uint8[k, 96, 96, 3], in batches that fit."""
        import torch

        done: list[Pixels] = []
        while (at := sum(len(d) for d in done)) < len(indices):
            stop = min(at + self.batch, len(indices))
            try:
                done.append(self._forward(indices[at:stop], views[at:stop]))
            except torch.OutOfMemoryError as error:
                if self.batch == 1:
                    raise WeightsError(
                        "the GPU has no room to draw a single face; close what else uses it, or "
                        "set WILDLINE_DEVICE=cpu"
                    ) from error
                self.batch //= 2
                if self._device.startswith("cuda"):
                    torch.cuda.empty_cache()
        return np.concatenate(done)

    def _forward(self, indices: Sequence[int], views: Pixels) -> Pixels:
        import torch

        from lipsync.engines._wav2lip_net import window

        assert self._mel is not None
        kind = torch.float16 if self._half else torch.float32
        mel = np.stack([window(self._mel, i, self._rate) for i in indices])[:, None]
        with torch.inference_mode():
            # Blue, green, red in 0..1: first with the lower half black, then as it is.
            bgr = torch.from_numpy(np.ascontiguousarray(views[..., ::-1])).to(self._device)
            faces = bgr.permute(0, 3, 1, 2).to(kind) / 255
            hidden = faces.clone()
            hidden[:, :, self.view_size // 2 :] = 0
            heard = torch.from_numpy(mel).to(self._device, kind)
            made = self._network(heard, torch.cat([hidden, faces], dim=1))
            pixels: Any = (made.float() * 255).round().clamp(0, 255).to(torch.uint8)
            return np.asarray(pixels.permute(0, 2, 3, 1).cpu().numpy()[..., ::-1])


def closing(quiet: NDArray[np.bool_]) -> Floats:
    """How far the mouth is taken shut, float32[n] in 0..1: rising at both ends of a silence."""
    from scipy.ndimage import distance_transform_edt

    if quiet.all():
        return np.ones(len(quiet), np.float32)
    away = distance_transform_edt(quiet)
    return np.asarray(np.minimum(away / _EASE, 1.0), np.float32)


def closed(crop: Pixels, landmarks: Floats) -> MouthPatch:
    """The frame's own mouth, bent shut; `landmarks` float32[478, 3] in crop pixels."""
    pose = fit_pose(landmarks[None])
    face = reshape(to_face(landmarks[None], pose)[0], opening=-1.0)
    new = to_frame(face[None], Pose(pose.rotation, pose.scale, pose.place))[0, :, :2]
    old = landmarks[:, :2].astype(np.float32)
    to = old[CONTROL] + FOLLOW[:, None] * (new[CONTROL] - old[CONTROL])
    points = old + spread_follow(old)[:, None] * (new - old)
    points[CONTROL] = to
    return MouthPatch(warp(crop, old[CONTROL], to), points.astype(np.float32))


def _towards(patch: MouthPatch, other: MouthPatch, share: float) -> MouthPatch:
    """`share` of the way from one patch to another."""
    if share >= 1:
        return other
    rgb = dissolve([patch.rgb, other.rgb], [1 - share, share])
    marks = patch.landmarks + np.float32(share) * (other.landmarks - patch.landmarks)
    return MouthPatch(rgb, marks.astype(np.float32))


def _in_crop(face: Pixels, view: Floats, size: int) -> Pixels:
    """The network's face as the crop sees it, uint8[S, S, 3]."""
    import cv2

    laid: Pixels = cv2.warpAffine(
        np.ascontiguousarray(face), view.astype(np.float64), (size, size),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return laid
