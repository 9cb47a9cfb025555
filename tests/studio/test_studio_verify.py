"""Reading the marks back, in words that claim no more than the marks can."""

from __future__ import annotations

from pathlib import Path

import pytest

from media.audio import Sound, resample, write_wav
from media.errors import MediaError
from studio.credentials import Statement
from studio.ledger import Ledger, read_ledger
from studio.provenance import Disclosure, Papers, delivery, publish
from studio.verify import verify_file
from studio.watermark import watermark


@pytest.fixture
def delivered(tone: Sound, tmp_path: Path) -> Path:
    """A marked, signed and recorded line."""
    target = tmp_path / "line.wav"
    statement = Statement("line", target.name, "c0ffee")
    with delivery(target) as stage:
        write_wav(stage / target.name, watermark(tone))
        said = Disclosure("P", "a line", "We went.")
        publish(stage, target, statement, said, Papers.beside(target))
    return target


def _said(path: Path) -> str:
    return "\n".join(verify_file(path).sentences())


def test_a_delivered_file_answers_for_itself(delivered: Path) -> None:
    assert verify_file(delivered).sound
    said = _said(delivered)
    assert "Content Credentials: intact, in the file" in said
    assert "speech made by a machine" in said
    assert "Consent record: c0ffee" in said
    assert "Watermark: found" in said
    assert "Ledger: line 2 of" in said
    assert "The credentials name its line 1" in said


def test_a_conversion_loses_the_signature_but_not_the_mark(delivered: Path, tmp_path: Path) -> None:
    from media.audio import read_sound

    copy = tmp_path / "copy.flac.wav"
    write_wav(copy, resample(read_sound(delivered), 44_100), subtype="PCM_16")
    assert not verify_file(copy).sound
    said = _said(copy)
    assert "Content Credentials: none" in said
    assert "Watermark: found" in said
    assert "records this file as it is now" in said


def test_tampering_is_named(delivered: Path) -> None:
    content = bytearray(delivered.read_bytes())
    content[5000] ^= 1
    delivered.write_bytes(content)
    ledger = delivered.parent / "wildline-ledger.jsonl"
    ledger.write_text(ledger.read_text("utf-8").replace("We went.", "We left."), "utf-8")
    said = _said(delivered)
    assert "Content Credentials: BROKEN" in said
    assert "Ledger: BROKEN. line 1 of" in said


def test_a_ledger_written_anew_is_not_the_one_the_credentials_name(delivered: Path) -> None:
    path = delivered.parent / "wildline-ledger.jsonl"
    facts = [(e.event, e.facts) for e in read_ledger(path)]
    path.unlink()
    for event, said in facts:
        Ledger(path).append(event, **(said | {"project": "Another"}))
    findings = verify_file(delivered)
    assert findings.ledger_problem is None  # the chain itself is whole
    assert findings.ledger_line == 2
    assert not findings.sound
    assert "was cut or written anew after the file was signed" in _said(delivered)


def test_a_ledger_cut_at_its_end_is_found(delivered: Path) -> None:
    path = delivered.parent / "wildline-ledger.jsonl"
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(first)  # the delivery itself is gone, the line before signing is not
    assert "The credentials name its line 1" in _said(delivered)
    assert "none of the 1 lines" in _said(delivered)
    path.write_bytes(b"")
    assert not verify_file(delivered).sound


def test_a_plain_recording_is_not_accused(tone: Sound, tmp_path: Path) -> None:
    path = tmp_path / "plain.wav"
    write_wav(path, tone)
    said = _said(path)
    assert "says nothing about how it was made" in said
    assert "Watermark: not found" in said
    assert "Ledger" not in said


def test_footage_without_sound(tmp_path: Path) -> None:
    from synthetic import synthetic_frames, synthetic_info

    from media.writer import FootageWriter

    path, info = tmp_path / "mute.mp4", synthetic_info()
    with FootageWriter(path, info) as writer:
        for frame in synthetic_frames(5, info):
            writer.write(frame)
    assert "no sound to look in" in _said(path)


def test_what_is_not_media_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for name in ("a.txt", "none.mp4"):
        with pytest.raises(MediaError):
            verify_file(tmp_path / name)
