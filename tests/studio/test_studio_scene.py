"""What `resync` does once everything is rendered: it delivers."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from align.formats import write_timing
from align.timing import Span, Timing
from lipsync.recheck import track_again
from media.audio import Sound, write_wav
from media.colour import ColourTags
from media.errors import NoFaceError, ProvenanceError, WildlineError
from media.footage import FootageInfo, Frame
from media.reader import read_frames
from media.time import FrameRate
from media.writer import FootageWriter
from studio import scene
from studio._jobs import LIP_WEIGHTS, quiet
from studio.consent import Consent, save_consent
from studio.scene import _lip_scores

PRESENTER = Path(__file__).resolve().parents[2] / "samples" / "presenter.mp4"
COUNT = 6


def _write(path: Path, pictures: list[np.ndarray]) -> Path:
    height, width = pictures[0].shape[:2]
    info = FootageInfo(
        path=path,
        rate=FrameRate(Fraction(25)),
        width=width,
        height=height,
        frames=len(pictures),
        duration_s=Fraction(len(pictures), 25),
        pix_fmt="yuv420p",
        colour=ColourTags(),
        start_timecode=None,
        has_sound=False,
        rotation=0,
        sample_aspect=Fraction(1),
        variable_rate=False,
    )
    with FootageWriter(path, info, quality=10) as writer:
        for i, rgb in enumerate(pictures):
            writer.write(Frame(i, Fraction(i, 25), rgb))
    return path


def test_lips_among_lookalikes_are_measured_by_place_or_not_at_all(
    tone: Sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not PRESENTER.is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    from lipsync.faces import track_faces

    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    one = []
    for frame in read_frames(PRESENTER, 0, COUNT):
        height, width = frame.rgb.shape[:2]
        middle = frame.rgb[:, (width - height) // 2 : (width + height) // 2]
        one.append(cv2.resize(middle, (320, 320), interpolation=cv2.INTER_AREA))
    twins = _write(tmp_path / "twins.mp4", [np.hstack([rgb, rgb]) for rgb in one])
    times = Timing((), (Span("AA", 0.0, 0.2), Span("M", 0.2, 0.4)), 0.4)
    person = track_faces(twins, at=(0.75, 0.5))
    assert person.faces == 2
    found = track_again(twins, person)
    assert found.present.all()
    assert (found.landmarks[:, 4, 0] > 320).all()
    assert np.abs(found.landmarks - person.landmarks)[..., :2].mean() < 0.5
    wall = _write(tmp_path / "wall.mp4", [np.full((320, 640, 3), 90, np.uint8)] * 3)
    assert not track_again(wall, person).present.any()
    alone = _write(tmp_path / "alone.mp4", one)
    lips = _lip_scores(alone, alone, tone, times, None, quiet)
    assert lips is not None
    assert lips.frames == COUNT
    assert _lip_scores(alone, wall, tone, times, None, quiet) is None


@pytest.mark.parametrize(
    ("level", "face", "refusal"),
    [(0.0, None, ProvenanceError), (1.0, NoFaceError("no face; choose others"), NoFaceError)],
)
def test_nothing_is_delivered_when_the_line_or_the_face_is_refused(
    tone: Sound, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    level: float, face: WildlineError | None, refusal: type[WildlineError],
) -> None:  # fmt: skip
    def followed(*_: object, **_told: object) -> None:
        if face is not None:
            raise face

    monkeypatch.setattr(scene, "find_face", followed)
    line, times, record = (tmp_path / n for n in ("line.wav", "line.json", "consent.toml"))
    footage = _write(tmp_path / "a.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 30)
    save_consent(consent, record)
    write_wav(line, replace(tone.cut(0, 1.0), samples=level * tone.cut(0, 1.0).samples))
    write_timing(Timing((Span("a", 0.1, 0.9),), (Span("AA", 0.1, 0.9),), 1.0), times)
    before = set(tmp_path.iterdir())
    with pytest.raises(refusal):
        scene.resync(footage, line, tmp_path / "out.mp4", consent=record, timing=times)
    assert not [p for p in set(tmp_path.iterdir()) - before if p.name.startswith("out")]


@pytest.mark.slow
def test_what_is_painted_is_kept_until_it_is_delivered(
    tone: Sound, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not PRESENTER.is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    monkeypatch.setenv("WILDLINE_CACHE", str(tmp_path / "cache"))
    line, times, out = (tmp_path / n for n in ("line.wav", "line.json", "out.mp4"))
    footage = _write(tmp_path / "a.mp4", [f.rgb for f in read_frames(PRESENTER, 0, 12)])
    save_consent(consent, tmp_path / "consent.toml")
    write_wav(line, tone.cut(0, 0.4))
    phones = (Span("M", 0.0, 0.1), Span("AA", 0.1, 0.3), Span("M", 0.3, 0.4))
    write_timing(Timing((Span("mom", 0.0, 0.4),), phones, 0.4), times)
    painted: list[int] = []

    def made() -> None:
        scene.resync(
            footage, line, out, consent=tmp_path / "consent.toml", timing=times, score=False,
            progress=lambda what, n, _t: painted.append(n) if "writing" in what else None,
        )  # fmt: skip

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    unfinished = tmp_path / "cache" / "lipsync" / "unfinished"
    with monkeypatch.context() as patch:
        patch.setattr(scene, "publish", stopped)
        with pytest.raises(KeyboardInterrupt):
            made()
    assert not out.exists()
    assert list(unfinished.rglob("*.coded"))
    assert painted[-1] == 12
    painted.clear()
    made()
    assert not painted
    report = json.loads((tmp_path / "out.report.json").read_text("utf-8"))
    assert {w["name"] for w in report["weights"]} == set(LIP_WEIGHTS)
    assert len(list(read_frames(out))) == 12
    assert not list(unfinished.iterdir())
