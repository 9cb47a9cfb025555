"""Put a mouth back into its frame so that nobody notices.

What happens, in this order and only inside a box around the lower face:

1. where the new jaw stands elsewhere than the old one, the frame's own jaw line and
   the skin around it are moved along, so that neither collar nor background is ever copied;
2. the new picture is bent to meet the old one at cheeks and nose;
3. its light is matched: a smooth gain per channel, measured on skin that both pictures show;
4. a feathered mask lays it in; lips of either picture lie fully inside;
5. grain that the new picture lacks is added.

Every pixel outside the mask and the moved jaw line keeps its bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync.crop import landmarks_in_crop
from lipsync.engines import MouthPatch
from lipsync.regions import (
    BORDER_LOWER,
    BORDER_UPPER,
    CHEEKS,
    FACE_OVAL,
    JAW,
    JAW_SHARE,
    OUTER_LIPS,
    displacement,
    inside_distance,
    outside_distance,
)
from media.picture import Change, Picture, as_fine

__all__ = ["Paster", "fade_weights", "mouth_mask", "paste"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# All as fractions of the crop's side (130 mm on the face).
_FEATHER = 0.075
_LIP_ROOM = 0.02
_BEND_WIDTH = 0.075
_BEND_LEAST = 0.1  # pixels: less is not seen
_JAW_WIDTH = 0.1
_JAW_REACH = 0.1
_JAW_LIMIT = 0.07
_JAW_SIDEWAYS = 0.35
_JAW_STILL = 0.006  # jaw shifts below this are tremble
_LIGHT_FINE = 0.06
_LIGHT_COARSE = 0.2
_GAIN_LIMIT = 1.4
_GAIN_KEEP = 0.6  # share of the last frame's gain kept while the light holds
_GAIN_JUMP = 0.05
_MAX_GRAIN = 8.0
# Crops reduced by more than this are low-passed before.
_REDUCED, _LOBES = 1.3, 3


def paste(
    frame: Pixels,
    patch: MouthPatch,
    landmarks: Floats,
    transform: Floats,
    *,
    weight: float = 1.0,
) -> Pixels:
    """A copy of `frame` uint8[H, W, 3] with `patch` laid in; one frame on its own.

    `landmarks` float32[478, 3]: the frame's own, pixels; `transform` float32[2, 3]: frame to crop
    (`crop_transform`); `weight` 0..1 fades the effect. For a sequence use `Paster`, which
    keeps the light steady from frame to frame.
    """
    return Paster().paste(frame, patch, landmarks, transform, weight=weight)


def fade_weights(usable: NDArray[np.bool_], shot: NDArray[np.int32], frames: int = 4) -> Floats:
    """Strength of the effect per frame, float32[n] in 0..1.

    0 where not `usable`; rises and falls over `frames` frames inside a usable stretch where
    it borders on an unusable frame of the same shot; full at cuts and at both ends of the clip.
    """
    n = len(usable)
    weights = usable.astype(np.float32)
    for i in np.flatnonzero(~usable):
        for away in range(1, frames + 1):
            for j in (i - away, i + away):
                if 0 <= j < n and shot[j] == shot[i]:
                    weights[j] = min(weights[j], away / (frames + 1))
    return weights


def mouth_mask(old: Floats, new: Floats, size: int) -> Floats:
    """Opacity of the new picture, float32[S, S] in 0..1.

    `old` and `new` float32[478, 2]: the frame's and the patch's points in crop pixels. Nothing
    above the nose's base, nothing beyond the new jaw; 1 on the lips of both.
    """
    half = size // 2  # smooth enough to be worked out at half the size
    border = np.concatenate([old[list(BORDER_UPPER)], new[list(BORDER_LOWER)]]) / 2
    mask = _smoothstep(inside_distance(border, half) / (_FEATHER * half))
    for points in (old, new):
        beyond = outside_distance(points[list(OUTER_LIPS)] / 2, half)
        reach = 1.0 - np.maximum(beyond - _LIP_ROOM * half, 0) / (0.5 * _FEATHER * half)
        mask = np.maximum(mask, _smoothstep(reach))
    return _enlarged(mask, size)


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """The part of the frame that is computed, and its map to the crop."""

    rows: slice
    columns: slice
    to_crop: NDArray[np.float64]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.columns.stop - self.columns.start, self.rows.stop - self.rows.start


class Paster:
    """Pastes a sequence of mouths; remembers the light between frames.

    Frames must come in order; call `reset` at a cut. `seed` fixes the grain. With `matte` the
    changes say as well how they lie over the picture, for a compositor. `light` is what another
    `Paster` remembered when it broke off.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        grain: bool = True,
        matte: bool = False,
        light: Floats | None = None,
    ) -> None:
        self._seed, self._grain, self._matte = seed, grain, matte
        self._gain = light

    @property
    def light(self) -> Floats | None:
        """The gain of the last frame, float32[S/4, S/4, 3]; None at the start of a shot."""
        return self._gain

    def reset(self) -> None:
        """Forget the light: a new shot starts."""
        self._gain = None

    def paste(
        self,
        frame: Pixels,
        patch: MouthPatch,
        landmarks: Floats,
        transform: Floats,
        *,
        weight: float = 1.0,
        index: int = 0,
        target_crop: Pixels | None = None,
    ) -> Pixels:
        """A copy of `frame` with `patch` laid in; see `paste`.

        `index` is the frame's number (for the grain); `target_crop` uint8[S, S, 3] the frame's own
        crop, if it is at hand.
        """
        out = frame.copy()
        change = self.change(
            frame,
            patch,
            landmarks,
            transform,
            weight=weight,
            index=index,
            target_crop=target_crop,
        )
        if change is not None:
            region = out[change.rows, change.columns]
            np.copyto(region, change.pixels, where=change.where[..., None])
        return out

    def change(
        self,
        frame: Pixels | Picture,
        patch: MouthPatch,
        landmarks: Floats,
        transform: Floats,
        *,
        weight: float = 1.0,
        index: int = 0,
        target_crop: Pixels | None = None,
    ) -> Change | None:
        """The pixels of `frame` that `paste` would change; None when there are none.

        Of a picture with more than 8 bits they are computed and given with 16.
        """
        from lipsync.crop import CropSpec, crop

        size = patch.rgb.shape[0]
        old = landmarks_in_crop(landmarks, transform)[:, :2]
        new = patch.landmarks.astype(np.float32)
        moved = _jaw_motion(old, new, size) * np.float32(weight)
        mask = mouth_mask(old, new, size) * np.float32(weight)
        deep = isinstance(frame, Picture) and frame.deep
        bent = _bend(patch.rgb.astype(np.float32) if deep else patch.rgb, old, new)
        own = crop(frame, transform, CropSpec(size)) if target_crop is None else target_crop
        gain = self._light(own, bent, old, new)
        touched = (mask > 0) | (moved[..., 0] != 0) | (moved[..., 1] != 0)
        box = _box(frame.shape, touched, transform)
        if box is None:
            return None
        alpha = _to_box(mask, box)
        shift = _shift_in_box(moved, box)
        part = _part(frame, box)
        under = _moved(part, shift)
        over = _lit(bent, gain, mask > 0, box)
        if self._grain:
            over += _missing_grain(under, over, alpha, (self._seed, index))[..., None]
        mixed = under + (over - under) * alpha[..., None]
        changed = alpha > 0
        if shift is not None:
            changed |= (shift[..., 0] != 0) | (shift[..., 1] != 0)
        place = box.rows.start, box.columns.start
        rgb = as_fine(mixed) if deep else _to_pixels(mixed)
        if not self._matte:
            return Change(*place, rgb, changed)
        return Change(*place, rgb, changed, *_over(part, mixed, alpha, shift))

    def _light(self, own: Pixels, bent: Pixels | Floats, old: Floats, new: Floats) -> Floats:
        """Gain float32[S, S, 3], steady in time unless the light really changes."""
        now = _gain_field(own, bent, old, new)
        last = self._gain
        if last is not None and last.shape == now.shape:
            keep = _GAIN_KEEP * float(np.abs(now - last).mean() < _GAIN_JUMP)
            now = now + np.float32(keep) * (last - now)
        self._gain = now
        return _enlarged(now, own.shape[0])


def _smoothstep(x: Floats) -> Floats:
    t = np.clip(x, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def _jaw_motion(old: Floats, new: Floats, size: int) -> Floats:
    """How far the frame's own pixels near the jaw line move, float32[S, S, 2] crop pixels."""
    shift = (new - old)[list(JAW)] * JAW_SHARE[:, None]
    # A jaw opens downwards; to the side it is mostly the two heads' turn that differs.
    shift[:, 0] *= _JAW_SIDEWAYS
    shift = _along(shift)
    length = np.linalg.norm(shift, axis=1, keepdims=True)
    wanted = np.clip(length - _JAW_STILL * size, 0, _JAW_LIMIT * size)
    shift = shift * wanted / np.maximum(length, 1e-6)
    if float(np.abs(shift).max()) == 0:
        return np.zeros((size, size, 2), np.float32)
    quarter = size // 4
    line = new[list(JAW)] / 4
    field = displacement(line, shift, quarter, _JAW_WIDTH * quarter, step=2)
    # Full along the line, nothing a chin's height away from it.
    far = outside_distance(np.concatenate([line, line[::-1]]), quarter)
    fade = _smoothstep(1.0 - far / (_JAW_REACH * quarter * 2))
    # Nothing may break off at the edge of the crop.
    edge = np.minimum(np.arange(quarter), np.arange(quarter)[::-1]).astype(np.float32)
    edge = _smoothstep((edge - 1) / (_JAW_REACH * quarter))
    field *= (fade * edge[:, None] * edge)[..., None]
    field[np.hypot(field[..., 0], field[..., 1]) < 0.05] = 0
    return _enlarged(field, size)


def _along(shift: Floats) -> Floats:
    """Shifts [k, 2] of neighbouring points of a line, evened out."""
    padded = np.pad(shift, ((2, 2), (0, 0)), mode="edge")
    k = len(shift)
    taps = np.array([1, 2, 3, 2, 1], np.float32) / 9
    return np.asarray(sum(tap * padded[i : i + k] for i, tap in enumerate(taps)), np.float32)


def _bend(rgb: Pixels | Floats, old: Floats, new: Floats) -> Pixels | Floats:
    """The patch bent so that cheeks and nose lie where the frame has them; mouth and jaw stay."""
    import cv2

    size = rgb.shape[0]
    held = (*OUTER_LIPS[::2], *JAW[2:-2])
    points = np.concatenate([new[list(CHEEKS)], new[list(held)]])
    shifts = np.concatenate([(old - new)[list(CHEEKS)], np.zeros((len(held), 2), np.float32)])
    if float(np.abs(shifts).max()) < _BEND_LEAST:
        return rgb
    field = displacement(points, shifts, size, _BEND_WIDTH * size)
    y, x = _grid(size, size)
    bent = cv2.remap(
        rgb, x - field[..., 0], y - field[..., 1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE
    )
    return np.asarray(bent, np.float32) if rgb.dtype == np.float32 else np.asarray(bent, np.uint8)


def _gain_field(own: Pixels, bent: Pixels | Floats, old: Floats, new: Floats) -> Floats:
    """Gain float32[S/4, S/4, 3] that gives `bent` the light of `own`, from skin in both."""
    import cv2

    size = own.shape[0]
    small = size // 4
    a, b = (
        cv2.resize(p, (small, small), interpolation=cv2.INTER_AREA).astype(np.float32) + 4.0
        for p in (own, bent)
    )
    weight = _skin(old / 4, small) * _skin(new / 4, small)
    ratio = np.log(a / b).mean(-1)
    sure = weight > 0.5
    if not sure.any():
        return np.ones((small, small, 3), np.float32)
    middle = float(np.median(ratio[sure]))
    spread = 1.5 * float(np.median(np.abs(ratio[sure] - middle))) + 0.03
    # A fold, a hair or a highlight in one picture alone is not light.
    weight = weight / (1.0 + ((ratio - middle) / (2.5 * spread)) ** 4)
    weight = weight[..., None].astype(np.float32)

    def spread_out(image: Floats, share: float) -> Floats:
        blurred = cv2.GaussianBlur(image, (0, 0), share * small)
        return np.asarray(blurred, np.float32).reshape(small, small, -1)

    top, low = (
        spread_out(p * weight, _LIGHT_FINE) + 0.1 * spread_out(p * weight, _LIGHT_COARSE)
        for p in (a, b)
    )
    overall_a, overall_b = ((p * weight).sum((0, 1)) for p in (a, b))
    # Where no skin is near, the picture's overall ratio holds.
    faint = 1e-4 * float(weight.sum())
    gain = (top + faint * overall_a / overall_a.mean()) / (
        low + faint * overall_b / overall_a.mean()
    )
    return np.asarray(np.clip(gain, 1 / _GAIN_LIMIT, _GAIN_LIMIT), np.float32)


def _skin(points: NDArray[np.floating[Any]], size: int) -> Floats:
    """1 on skin of the lower face, 0 on lips and outside, float32[S, S]."""
    inside = inside_distance(points[list(FACE_OVAL)], size)
    beyond = outside_distance(points[list(OUTER_LIPS)], size)
    return np.asarray(
        np.clip(inside / (0.03 * size) - 1.0, 0, 1) * np.clip(beyond / (0.02 * size) - 0.5, 0, 1),
        np.float32,
    )


def _enlarged(field: Floats, size: int) -> Floats:
    import cv2

    return np.asarray(cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _box(shape: tuple[int, ...], touched: NDArray[np.bool_], transform: Floats) -> _Box | None:
    """The part of the frame that `touched` pixels of the crop fall into."""
    import cv2

    ys, xs = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
    if not len(ys):
        return None
    x0, x1, y0, y1 = xs[0] - 2, xs[-1] + 2, ys[0] - 2, ys[-1] + 2
    corners = np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]], np.float64)
    reach = cv2.invertAffineTransform(transform.astype(np.float64)) @ corners
    left, top = np.maximum(np.floor(reach.min(1)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(reach.max(1)).astype(int) + 1, (shape[1], shape[0]))
    if right <= left or bottom <= top:
        return None
    to_crop = transform.astype(np.float64)
    to_crop[:, 2] += to_crop[:, :2] @ (float(left), float(top))
    return _Box(slice(int(top), int(bottom)), slice(int(left), int(right)), to_crop)


def _to_box(image: Floats, box: _Box) -> Floats:
    """An image of the crop, float32[S, S, ...], as the box sees it; 0 beyond the crop."""
    import cv2

    zoom = float(np.hypot(*box.to_crop[0, :2]))
    if image.ndim == 3:
        flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        if zoom > _REDUCED:
            taps = _lanczos(round(zoom, 2))
            image = cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REPLICATE)
    else:
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(
        image, box.to_crop, box.size, flags=flags | cv2.WARP_INVERSE_MAP, borderMode=border
    )
    return np.asarray(warped, np.float32)


@cache
def _lanczos(zoom: float) -> Floats:
    """A low-pass for a reduction by `zoom`, to be run along rows and columns, float32[taps].

    Lanczos with three lobes (C. Duchon, J. Appl. Meteor. 18, 1979): a Gaussian that lets as little
    through took a tenth of the sharpness with it.
    """
    reach = int(np.ceil(_LOBES * zoom))
    at = np.arange(-reach, reach + 1) / zoom
    taps = np.where(np.abs(at) < _LOBES, np.sinc(at) * np.sinc(at / _LOBES), 0.0)
    return np.asarray(taps / taps.sum(), np.float32)


def _lit(bent: Pixels | Floats, gain: Floats, shown: NDArray[np.bool_], box: _Box) -> Floats:
    """The patch in its new light as the box sees it, float32[h, w, 3]; right where `shown`."""
    ys, xs = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if not len(ys):
        return np.zeros((box.size[1], box.size[0], 3), np.float32)
    top, left = max(int(ys[0]) - 8, 0), max(int(xs[0]) - 8, 0)
    part = slice(top, int(ys[-1]) + 9), slice(left, int(xs[-1]) + 9)
    to_part = box.to_crop.copy()
    to_part[:, 2] -= (left, top)
    near = _Box(box.rows, box.columns, to_part)
    return _to_box(bent[part].astype(np.float32) * gain[part], near)


def _shift_in_box(moved: Floats, box: _Box) -> Floats | None:
    """`moved` as the box sees it, float32[h, w, 2] in pixels of the frame; None where still."""
    if not moved.any():
        return None
    x, y = (_to_box(np.ascontiguousarray(moved[..., i]), box) for i in (0, 1))
    # Crop pixels to frame pixels.
    back = np.linalg.inv(box.to_crop[:, :2]).astype(np.float32)
    return np.stack([back[0, 0] * x + back[0, 1] * y, back[1, 0] * x + back[1, 1] * y], -1)


def _part(frame: Pixels | Picture, box: _Box) -> Floats:
    """The box of the frame in code values, float32[h, w, 3]."""
    if isinstance(frame, Picture) and frame.deep:
        return frame.fine(box.rows, box.columns).astype(np.float32) / np.float32(256)
    return frame[box.rows, box.columns].astype(np.float32)


def _moved(part: Floats, shift: Floats | None) -> Floats:
    """The part of the frame with its jaw moved by `shift`, float32[h, w, 3]."""
    import cv2

    if shift is None:
        return part
    y, x = _grid(*part.shape[:2])
    taken = cv2.remap(
        part, x - shift[..., 0], y - shift[..., 1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE
    )
    return np.asarray(taken, np.float32)


def _over(
    part: Floats, mixed: Floats, alpha: Floats, shift: Floats | None
) -> tuple[Floats, Floats]:
    """(matte, fill) with `mixed` = `part` * (1 - matte) + fill * matte.

    Where the frame's own jaw was moved the patch covers it as well, softly at the ends. Colours
    need room: the matte is never so thin that its fill would have to leave 0..255.
    """
    change = mixed.clip(0, 255) - part
    room = np.where(change > 0, 255.0 - part, part)
    needed = (np.abs(change) / np.maximum(room, 1e-3)).max(-1)
    matte = np.maximum(alpha, np.minimum(needed, 1.0))
    if shift is not None:
        matte = np.maximum(matte, np.minimum(np.hypot(shift[..., 0], shift[..., 1]), 1.0))
    matte = matte.astype(np.float32)
    fill = part + change / np.maximum(matte, 1e-4)[..., None]
    return matte, np.asarray(fill.clip(0, 255), np.float32)


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Row and column of every pixel, broadcastable float32."""
    y = np.arange(height, dtype=np.float32)[:, None]
    return y, np.arange(width, dtype=np.float32)[None]


def _to_pixels(picture: Floats) -> Pixels:
    """Rounded and clipped to 8 bits."""
    import cv2

    return np.asarray(cv2.convertScaleAbs(np.maximum(picture, 0)), np.uint8)


def _missing_grain(under: Floats, over: Floats, alpha: Floats, seed: tuple[int, int]) -> Floats:
    """Noise float32[h, w] that brings `over` up to the grain of `under`."""
    here = alpha > 0.1
    if here.sum() < 200:
        return np.zeros(alpha.shape, np.float32)
    wanted, got = (_noise_level(picture, here) for picture in (under, over))
    strength = np.sqrt(max(wanted**2 - got**2, 0.0))
    if strength < 0.3:
        return np.zeros(alpha.shape, np.float32)
    random = np.random.default_rng(seed)
    noise = random.standard_normal(alpha.shape, dtype=np.float32)
    return np.asarray(noise * np.float32(min(strength, _MAX_GRAIN)), np.float32)


def _noise_level(picture: Floats, here: NDArray[np.bool_]) -> float:
    """Standard deviation of the grain (J. Immerkaer, CVIU 64(2), 1996; median, not mean)."""
    import cv2

    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT))
    return float(np.median(response[here])) / 0.6745 / 6.0
