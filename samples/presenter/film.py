"""The set behind the presenter, and the film she is shot on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

EXPOSURE = 1.18


def background(width: int, height: int, seed: int = 11) -> Array:
    """A study far out of focus: shelves, a lamp, a window at dusk. Linear light."""
    rng = np.random.default_rng(seed)
    w, h = width // 2, height // 2
    image = np.zeros((h, w, 3), np.float32)
    x, y = np.meshgrid(np.linspace(0, 1, w), np.linspace(0, 1, h))
    image += np.array([0.050, 0.046, 0.046], np.float32) * (1.25 - 0.6 * y)[..., None].astype(
        np.float32
    )
    shelf = h // 5
    for row in range(6):
        at = int(w * 0.50)
        while at < w:
            wide = int(rng.integers(5, 16))
            tall = int(shelf * rng.uniform(0.62, 0.92))
            tone = rng.choice(6)
            colour = np.array(
                [[.16, .07, .045], [.05, .075, .085], [.14, .115, .08], [.07, .045, .04],
                 [.045, .065, .05], [.20, .16, .11]]
            )[tone] * rng.uniform(0.5, 1.3)  # fmt: skip
            image[(row + 1) * shelf - tall : (row + 1) * shelf - 4, at : at + wide] = colour
            at += (
                wide
                + int(rng.integers(0, 3))
                + (int(rng.integers(8, 40)) if rng.random() < 0.06 else 0)
            )
        image[(row + 1) * shelf - 4 : (row + 1) * shelf + 2, int(w * 0.5) :] = (0.10, 0.065, 0.04)
    window = np.s_[int(h * 0.0) : int(h * 0.72), int(w * 0.05) : int(w * 0.27)]
    image[window] = np.array([0.26, 0.36, 0.48], np.float32) * (1.2 - 0.5 * y[window])[..., None]
    image[:, int(w * 0.155) : int(w * 0.165)] *= 0.35
    image[int(h * 0.34) : int(h * 0.36), int(w * 0.05) : int(w * 0.27)] *= 0.35
    image = cv2.GaussianBlur(image, (0, 0), 3)
    for cx, cy, r, colour in (
        (0.345, 0.58, 0.014, (1.5, 1.0, 0.6)),
        (0.395, 0.52, 0.010, (1.1, 0.8, 0.5)),
        (0.30, 0.66, 0.012, (0.9, 0.6, 0.35)),
    ):
        inside = ((x - cx) * w) ** 2 + ((y - cy) * h) ** 2 < (r * w) ** 2
        image[inside] += np.array(colour, np.float32)
    shade_ = (np.abs(x - 0.875) < 0.030 + 0.075 * (y - 0.30)) & (y > 0.30) & (y < 0.52)
    image[shade_] = (
        np.array([1.15, 0.62, 0.27], np.float32)
        * (0.7 + 1.6 * np.clip(y[shade_] - 0.32, 0, 1))[:, None]
    )
    pool = np.exp(-(((x - 0.875) / 0.12) ** 2) - ((y - 0.56) / 0.22) ** 2)
    image += pool[..., None].astype(np.float32) * np.array([0.20, 0.11, 0.05], np.float32)
    # A round aperture: disc blur, then a little softness.
    radius = max(int(h * 0.040), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2).astype(np.float32)
    image = cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)
    image = cv2.GaussianBlur(image, (0, 0), h * 0.007)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(image.clip(0), np.float32)


def develop(linear: Array) -> NDArray[np.uint8]:
    """Bloom, tone curve (Narkowicz's fit of ACES), darker corners: uint8 rgb."""
    glow = cv2.GaussianBlur(np.maximum(linear - 0.9, 0), (0, 0), linear.shape[0] / 60)
    x = (linear + 0.25 * glow) * EXPOSURE * 0.72
    x = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)
    x = np.clip(x, 0, 1) ** (1 / 2.2)
    h, w = x.shape[:2]
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    fall = 1 - 0.16 * (((xx / w - 0.5) * 1.5) ** 2 + ((yy / h - 0.5) * 1.2) ** 2)
    return np.asarray(np.clip(x * fall[..., None], 0, 1) * 255 + 0.5, np.uint8)


def grain(rgb: NDArray[np.uint8], index: int, strength: float = 1.2) -> NDArray[np.uint8]:
    """Film grain of about `strength` code values, strongest in the middle tones.

    Every picture has its own, drawn from its index.
    """
    h, w = rgb.shape[:2]
    rng = np.random.default_rng(1000 + index)
    noise = cv2.GaussianBlur(rng.standard_normal((h, w), np.float32), (0, 0), 0.62) * 1.75
    x = rgb.mean(-1, dtype=np.float32) / 255
    noise *= strength * (0.4 + 1.2 * np.sqrt(x * (1 - x)))
    return np.asarray(np.clip(rgb + noise[..., None] + 0.5, 0, 255), np.uint8)
