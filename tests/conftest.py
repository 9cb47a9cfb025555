"""Fixtures for every room: the optional real data, and a little footage of our own making."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import synthetic_frames, synthetic_info, tone

from media.time import Timecode
from media.video import ColourTags, FootageWriter

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings beside the repository; skips where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def small_footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds (48 frames) of numbered 160x120 pictures at 24000/1001 with a 440 Hz tone.

    Tagged BT.709, start timecode 01:00:00:00.
    """
    path = tmp_path_factory.mktemp("footage") / "small.mp4"
    info = synthetic_info(colour=ColourTags(1, 1, 1, False))
    timecode = Timecode.parse("01:00:00:00", info.rate)
    info = synthetic_info(colour=info.colour, start_timecode=timecode)
    with FootageWriter(path, info, sound=tone(2.1)) as writer:
        for frame in synthetic_frames(48, info):
            writer.write(frame)
    return path
