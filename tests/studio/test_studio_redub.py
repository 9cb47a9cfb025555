"""One real line through every room, on the first seconds of the sample presenter."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from media.audio import read_sound
from media.reader import probe, read_frames
from media.writer import FootageWriter
from studio.consent import Consent, save_consent
from studio.ledger import read_ledger, verify
from studio.verify import verify_file

PRESENTER = Path(__file__).resolve().parents[2] / "samples" / "presenter.mp4"
SECONDS = 4


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first four seconds of the presenter."""
    if not PRESENTER.is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    info = probe(PRESENTER)
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    with FootageWriter(path, info, sound=read_sound(PRESENTER)) as writer:
        for frame in islice(read_frames(PRESENTER), info.rate.frames_in(SECONDS)):
            writer.write(frame)
    return path


@pytest.mark.slow
def test_a_redub_keeps_the_picture_and_answers_for_itself(
    scene: Path, consent: Consent, tmp_path: Path
) -> None:
    from studio.redub import redub
    from voice.voice import load_voice, stock_voices

    stock = load_voice(f"stock:{stock_voices()[0]}")
    replace(stock, name="anna", person="Anna Example").save(tmp_path / "anna")
    save_consent(consent, tmp_path / "consent.toml")
    out = tmp_path / "out.mp4"
    made = redub(
        scene,
        "My mama came home.",
        out,
        voice=tmp_path / "anna",
        consent=tmp_path / "consent.toml",
        takes=1,
        at_s=0.25,
    )
    before, after = probe(scene), probe(out)
    assert made.clip.report.frames == sum(1 for _ in read_frames(out))
    assert (after.rate, after.width, after.height) == (before.rate, before.width, before.height)
    assert made.clip.report.frames == sum(1 for _ in read_frames(scene))
    assert made.clip.lips is not None
    assert made.clip.lips.closure_rate == 1.0
    report = json.loads(made.clip.report_path.read_text("utf-8"))
    assert (report["consent"], report["timing"]) == ("c0ffee", "exact")
    assert report["lips"]["closure_rate"] == 1.0
    findings = verify_file(out)
    assert findings.sound
    assert findings.watermark is not None
    assert findings.watermark.found
    assert findings.credentials.ingredients == ("scene.mp4", "out.line.wav")
    ledger = tmp_path / "wildline-ledger.jsonl"
    assert verify(ledger) == len(list(read_ledger(ledger)))
    assert [e.event for e in read_ledger(ledger)][-1] == "mouth.delivered"
    assert not list(tmp_path.glob(".wildline-*"))


@pytest.mark.slow
def test_a_line_longer_than_the_scene_is_refused_and_nothing_appears(
    scene: Path, consent: Consent, tmp_path: Path
) -> None:
    from media.errors import TextError
    from studio.scene import resync
    from studio.speaking import say
    from voice.voice import stock_voices

    save_consent(consent, tmp_path / "consent.toml")
    line = tmp_path / "line.wav"
    say("One, two, three, four, five.", f"stock:{stock_voices()[0]}", line, takes=1)
    out = tmp_path / "out.mp4"
    with pytest.raises(TextError, match="shorten the line or start it earlier"):
        resync(scene, line, out, consent=tmp_path / "consent.toml", at_s=3.5)
    assert not out.exists()
    assert not list(tmp_path.glob(".wildline-*"))
