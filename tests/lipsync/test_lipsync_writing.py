"""Painting side by side: few pictures at once, and no thread left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lipsync_film import film, talking_marks, track_of
from lipsync_own import OwnMouth
from lipsync_talk import talk, voice

from lipsync.blend import Paster
from lipsync.crop import CropSpec
from lipsync.engines import MouthPatch, RenderJob
from lipsync.faces import usable_frames
from lipsync.writing import Written, changed_pictures
from media.errors import MediaError
from media.video import probe

N, BATCH = 80, 16


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RenderJob]:
    said = talk(3.2, seed=2)
    marks = talking_marks(said, N)
    path = film(tmp_path_factory.mktemp("writing") / "scene.mp4", marks)
    track = track_of(marks)
    return path, RenderJob(track, usable_frames(track), said, voice(said), [], CropSpec(128))


class Counted(OwnMouth):
    """Counts its mouths that somebody still holds."""

    batch = BATCH

    def __init__(self) -> None:
        super().__init__()
        self.held: list[weakref.ref[np.ndarray]] = []

    def render(
        self, indices: Sequence[int], crops: np.ndarray, landmarks: np.ndarray
    ) -> list[MouthPatch]:
        drawn = [
            MouthPatch(p.rgb.copy(), p.landmarks) for p in super().render(indices, crops, landmarks)
        ]
        self.held += [weakref.ref(p.rgb) for p in drawn]
        return drawn


def test_few_mouths_wait_for_a_slow_paster(
    scene: tuple[Path, RenderJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, job = scene
    engine, living = Counted(), [0]
    real = Paster.change

    def slow(self: Paster, *args: Any, **told: Any) -> Any:
        time.sleep(0.01)
        living.append(sum(ref() is not None for ref in engine.held))
        return real(self, *args, **told)

    monkeypatch.setattr(Paster, "change", slow)
    seen = [
        done.picture.index for done in changed_pictures(Written(probe(path), job, engine, path))
    ]
    assert seen == engine.asked == list(range(N))
    # A group that is drawn, half of the last one, and what hands hold.
    assert BATCH < max(living) <= BATCH + BATCH // 2 + 4


@pytest.mark.parametrize("where", ["engine", "paster"])
def test_no_thread_is_left_when_something_breaks(
    scene: tuple[Path, RenderJob], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class Breaks(OwnMouth):
        def render(self, *_: Any) -> list[MouthPatch]:
            raise MediaError("it broke; try another")

    def breaks(*_: Any, **_told: Any) -> None:
        raise MediaError("it broke; try another")

    path, job = scene
    if where == "paster":
        monkeypatch.setattr(Paster, "change", breaks)
    engine = Breaks() if where == "engine" else OwnMouth()
    gc.collect()
    before = set(threading.enumerate())
    with pytest.raises(MediaError, match="it broke"):
        list(changed_pictures(Written(probe(path), job, engine, path)))
    left = set(threading.enumerate()) - before
    assert not [t for t in left if t.name == "prefetch"]
