"""Patches and chosen faces, as a user asks for them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from align.formats import write_timing
from align.timing import Span, Timing
from media.audio import Sound, read_sound, write_wav
from media.errors import MediaError, OutputError
from media.reader import probe, read_pictures
from media.writer import FootageWriter
from studio.consent import Consent, save_consent
from studio.credentials import read_credentials, sidecar_of
from studio.disclosure import read_rows
from studio.ledger import read_ledger
from studio.scene import delivered_name, resync, summary
from studio.verify import verify_file

PRESENTER = Path(__file__).resolve().parents[2] / "samples" / "presenter.mp4"


def test_what_cannot_hold_a_patch_is_refused_before_any_work(tmp_path: Path) -> None:
    assert delivered_name(Path("a.mp4"), "picture") == Path("a.mp4")
    assert delivered_name(Path("a.mov"), "patch") == Path("a.mov")
    assert delivered_name(Path("a.png"), "patch") == Path("a.json")
    with pytest.raises(OutputError, match=r"name it \.mov or \.png"):
        delivered_name(Path("a.mp4"), "patch")
    with pytest.raises(OutputError, match="stills hold patches only"):
        delivered_name(Path("a.png"), "picture")
    (tmp_path / "mouth").mkdir()
    assert delivered_name(tmp_path / "mouth.png", "patch").name == "mouth.json"
    (tmp_path / "mouth" / "old.png").write_bytes(b"")
    with pytest.raises(OutputError, match="not empty"):
        delivered_name(tmp_path / "mouth.png", "patch")


def test_an_unknown_face_is_refused_in_one_line(
    tone: Sound, consent: Consent, tmp_path: Path
) -> None:
    from studio.redub import redub

    save_consent(consent, tmp_path / "consent.toml")
    scene = tmp_path / "scene.mov"
    with pytest.raises(MediaError, match="give a picture of the person"):
        redub(
            PRESENTER, "Hello.", scene, voice="stock:none", consent=tmp_path / "consent.toml",
            face="middle",
        )  # fmt: skip
    assert not scene.exists()


@pytest.mark.slow
def test_stills_are_signed_by_their_list_and_recorded(consent: Consent, tmp_path: Path) -> None:
    if not PRESENTER.is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    save_consent(consent, tmp_path / "consent.toml")
    scene, line, times = (tmp_path / n for n in ("scene.mp4", "line.wav", "line.timing.json"))
    info = probe(PRESENTER)
    sound = read_sound(PRESENTER).cut(0, 1.2)
    with FootageWriter(scene, info) as writer:
        for picture in islice(read_pictures(PRESENTER), 36):
            writer.write_changed(picture)
    write_wav(line, sound)
    phones = (Span("M", 0.3, 0.4), Span("AA", 0.4, 0.6), Span("M", 0.6, 0.7))
    timing = Timing((Span("mom", 0.3, 0.7),), phones, float(sound.duration_s))
    write_timing(timing, times)
    out = tmp_path / "mouth.png"
    made = resync(
        scene, line, out, consent=tmp_path / "consent.toml", timing=times, face="left",
        deliver="patch",
    )  # fmt: skip
    assert made.path == tmp_path / "mouth.json"
    assert made.face == "left"
    assert made.lips is None
    assert "36 frames" in summary(made)
    listing = json.loads(made.path.read_text("utf-8"))
    stills = sorted((tmp_path / "mouth").iterdir())
    assert [s.name for s in stills] == list(listing["sha256"])
    assert len(stills) == 36
    assert sidecar_of(made.path).is_file()
    credentials = read_credentials(made.path)
    assert credentials.state == "intact"
    assert credentials.generation["deliver"] == "patch"
    findings = verify_file(made.path)
    assert findings.sound
    assert findings.watermark is None
    assert [e.event for e in read_ledger(tmp_path / "wildline-ledger.jsonl")][-1] == (
        "mouth.delivered"
    )
    (row,) = read_rows(tmp_path / "wildline-disclosure.csv")
    assert "matte" in row.generated
    assert not list(tmp_path.glob(".wildline-*"))
    stills[7].write_bytes(stills[7].read_bytes()[:-1] + b"!")
    stills[9].unlink()
    findings = verify_file(made.path)
    assert not findings.sound
    assert findings.altered == (stills[7].name, stills[9].name)
    assert any("2 of 36 are missing or were changed" in s for s in findings.sentences())
