"""Small real material: a consent record, a spoken sound, short clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.audio import Sound, write_wav
from media.colour import ColourTags
from media.footage import FootageInfo, Frame
from media.time import FrameRate
from media.writer import FootageWriter
from studio.consent import Consent, Document, RightsHolder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small networks gain nothing from threads, and lose much where others work too."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Certificates of the tests' own, never the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WILDLINE_HOME", str(tmp_path_factory.mktemp("data")))
    for name in ("WILDLINE_SIGN_CERT", "WILDLINE_SIGN_KEY"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture
def consent() -> Consent:
    return Consent(
        id="c0ffee",
        person="Anna Example",
        project="The Long Summer",
        uses=("voice-fit", "voice-say", "face-alter"),
        description="two lines of narration in reel 3",
        signed=date(2026, 1, 10),
        start=date(2026, 2, 1),
        expiry=date(2027, 1, 31),
        rights_holder=RightsHolder(name="Anna Example", relation="self"),
        document=Document(sha256=hashlib.sha256(b"paper").hexdigest()),
    )


@pytest.fixture
def tone() -> Sound:
    """Two seconds of a buzzing, gliding tone with noise above 16 kHz; 48 kHz."""
    rate, rng = 48_000, np.random.default_rng(0)
    t = np.arange(2 * rate) / rate
    wave = sum(np.sin(2 * np.pi * k * (110 + 10 * np.sin(3 * t)) * t) / k for k in range(1, 30))
    noise = rng.normal(0, 0.02, len(t))
    return Sound((0.1 * wave * (1 + np.sin(8 * t)) / 2 + noise).astype(np.float32), rate)


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[[str], Path]:
    """Writes ten small frames with a tone as .mp4, .mov or .mkv, or the tone as .wav."""

    def make(name: str) -> Path:
        path = tmp_path / name
        rate = 48_000
        t = np.arange(rate * 2 // 5) / rate
        sound = Sound((0.2 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), rate)
        if path.suffix == ".wav":
            write_wav(path, sound)
            return path
        frame_rate = FrameRate(Fraction(25))
        like = FootageInfo(
            path=path,
            rate=frame_rate,
            width=64,
            height=48,
            frames=10,
            duration_s=Fraction(2, 5),
            pix_fmt="yuv420p",
            colour=ColourTags(),
            start_timecode=None,
            has_sound=True,
            rotation=0,
            sample_aspect=Fraction(1),
            variable_rate=False,
        )
        rng = np.random.default_rng(1)
        with FootageWriter(path, like, sound=sound) as writer:
            for i in range(10):
                rgb = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
                writer.write(Frame(i, frame_rate.time_of(i), rgb))
        return path

    return make
