"""How `benchmarks/lipsync.py` times its clips and who judges their offsets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lipsync_talk import example

import align.transcription
from align.timing import Timing
from benchmarks import lipsync as bench
from lipsync.motion import MotionExample, MotionModel, in_sync
from lipsync.steps import own_lead
from media.audio import Sound
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


@dataclass(frozen=True)
class _Track:
    """Lip shapes in the place of landmarks."""

    landmarks: np.ndarray
    rate: FrameRate = R25


def test_offsets_that_are_not_told_do_not_count() -> None:
    row = bench.offsets("lips", [30.0, None, -10.0, None])
    assert "|offset|  20.0 ms" in row
    assert "of 2 told" in row
    assert "not told" in bench.offsets("lips", [None])


def test_clips_are_timed_by_the_products_aligner_and_kept_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, bool]] = []

    def aligned(sound: Sound, text: str | None, *, engine: Any, check: bool) -> Timing:
        asked.append((engine.name, text, check))
        return Timing((), (), 1.0)

    monkeypatch.setattr(align.transcription, "align_sound", aligned)
    monkeypatch.setattr(bench, "read_sound", lambda path, rate: Sound(np.zeros(9), rate))
    monkeypatch.setattr(bench, "track_faces", lambda path, cache: None)
    for text in ("place red at a one now", "place red at a one now", None):
        bench.load(tmp_path / ("told.mpg" if text else "heard.mov"), tmp_path / "kept", text)
    assert asked == [("combined", "place red at a one now", False), ("combined", None, True)]
    assert all("-combined-" in p.name for p in (tmp_path / "kept").iterdir())


def test_a_judge_has_not_seen_the_clip_and_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, taught = MotionModel.fit, dict[int, list[np.ndarray]]()

    def fit(examples: list[MotionExample], **options: Any) -> MotionModel:
        assert not options.get("hear")
        model = real(examples, quick=True, **options)
        taught[id(model)] = [e.shapes for e in examples]
        return model

    monkeypatch.setattr(bench, "lip_shape", lambda landmarks: landmarks)
    monkeypatch.setattr(bench, "in_step", lambda examples: examples)
    monkeypatch.setattr(bench.MotionModel, "fit", fit)
    made = [example(4, R25, seed=s) for s in range(8)]
    clips: list[Any] = [
        SimpleNamespace(
            path=Path(f"{i}.mpg"), track=_Track(e.shapes), timing=e.timing, sound=e.sound
        )
        for i, e in enumerate(made)
    ]
    judges = bench.judges_of(clips)
    assert sorted(judges) == [str(i) for i in range(8)]
    for i, one in enumerate(made):
        seen = taught[id(judges[str(i)])]
        assert len(seen) == 4
        assert not any(np.array_equal(one.shapes, s) for s in seen)
    found = own_lead(judges["1"], in_sync(made[1], -0.06))
    assert found == pytest.approx(0.06, abs=0.02)
