"""Content Credentials are written, read back, and broken by any change."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from media.errors import ProvenanceError
from studio.certificate import load_identity, user_data_dir
from studio.credentials import (
    LABEL,
    Ingredient,
    Statement,
    read_credentials,
    sidecar_of,
    sign,
)


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _statement(*ingredients: Ingredient, kind: str = "line") -> Statement:
    return Statement(kind, "a title", "c0ffee", ingredients, {"ledger": 7})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.wav", "a.mkv"])
def test_signed_files_verify_and_a_flipped_byte_does_not(
    make_clip: Callable[[str], Path], name: str
) -> None:
    path = make_clip(name)
    assert read_credentials(path).state == "absent"
    sign(path, _statement())
    read = read_credentials(path)
    assert (read.state, read.trusted, read.problems) == ("intact", True, ())
    assert read.source_types == ("trainedAlgorithmicMedia",)
    assert read.generation["consent"] == "c0ffee"
    assert read.generation["ledger"] == 7
    assert read.sidecar == (name == "a.mkv")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    damaged = read_credentials(path)
    assert damaged.state == "altered"
    assert damaged.problems


def test_the_mouth_is_an_edit_of_its_footage_and_carries_the_line(
    make_clip: Callable[[str], Path],
) -> None:
    scene, line, out = make_clip("scene.mp4"), make_clip("line.wav"), make_clip("out.mp4")
    sign(line, _statement())
    parts = (Ingredient(scene, _sha(scene), "parent"), Ingredient(line, _sha(line), "component"))
    sign(out, _statement(*parts, kind="mouth"))
    read = read_credentials(out)
    assert read.state == "intact"
    assert read.source_types == ("compositeWithTrainedAlgorithmicMedia",)
    assert read.ingredients == ("scene.mp4", "line.wav")
    assert [s["sha256"] for s in read.generation["sources"]] == [_sha(scene), _sha(line)]


def test_the_signed_file_still_plays(make_clip: Callable[[str], Path]) -> None:
    from media.audio import read_sound
    from media.reader import count_pictures

    path, wav = make_clip("a.mp4"), make_clip("b.wav")
    before = read_sound(wav).samples
    sign(path, _statement())
    sign(wav, _statement())
    assert count_pictures(path) == 10
    assert (read_sound(wav).samples == before).all()


def test_local_keys_are_made_once_and_are_private(make_clip: Callable[[str], Path]) -> None:
    first, second = load_identity(), load_identity()
    assert first == second
    assert first.local
    key = user_data_dir() / "certificates" / "signer-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert first.key not in repr(first)


def test_a_file_signed_elsewhere_is_intact_but_not_trusted(
    make_clip: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = make_clip("a.mp4"), make_clip("b.mkv")
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "elsewhere"))
    sign(path, _statement())
    sign(other, _statement())
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "here"))
    for file in (path, other):
        read = read_credentials(file)
        assert (read.state, read.trusted) == ("intact", False)


def test_a_configured_certificate_is_used(
    make_clip: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "studio"))
    load_identity()
    folder = tmp_path / "studio" / "certificates"
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "unused"))
    monkeypatch.setenv("WILDLINE_SIGN_CERT", str(folder / "signer-chain.pem"))
    with pytest.raises(ProvenanceError, match="set both"):
        load_identity()
    monkeypatch.setenv("WILDLINE_SIGN_KEY", str(folder / "signer-key.pem"))
    assert not load_identity().local
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("damage", ["key of another", "not PEM", "missing"])
def test_a_tampered_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / name))
        load_identity()
    key = tmp_path / "two" / "certificates" / "signer-key.pem"
    if damage == "key of another":
        key.write_bytes((tmp_path / "one" / "certificates" / "signer-key.pem").read_bytes())
    elif damage == "not PEM":
        key.write_text("rubbish")
    else:
        key.unlink()
    with pytest.raises(ProvenanceError) as caught:
        load_identity()
    assert "\n" not in str(caught.value)


def test_certificates_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "file"))
    with pytest.raises(ProvenanceError, match="cannot be written"):
        load_identity()


def test_what_cannot_be_signed_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"not a film")
    with pytest.raises(ProvenanceError, match="cannot be written into 'a title'"):
        sign(path, _statement())
    assert path.read_bytes() == b"not a film"
    assert [p.name for p in tmp_path.iterdir()] == ["broken.mp4"]


def test_a_forged_sidecar_is_found(make_clip: Callable[[str], Path]) -> None:
    path = make_clip("a.mkv")
    sign(path, _statement())
    record = json.loads(sidecar_of(path).read_text("utf-8"))
    record["claim"][LABEL]["consent"] = "another"
    sidecar_of(path).write_text(json.dumps(record), "utf-8")
    read = read_credentials(path)
    assert read.state == "altered"
    assert "signature does not match" in read.problems[0]
    sidecar_of(path).write_text("{", "utf-8")
    assert read_credentials(path).state == "unreadable"


def test_unreadable_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="cannot be read"):
        read_credentials(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["scene.mkv", "take.flac", "notes.bin", "scene.mxf"])
def test_any_file_can_be_an_ingredient(make_clip: Callable[[str], Path], name: str) -> None:
    out = make_clip("out.mp4")
    source = make_clip("scene.mkv") if name == "scene.mkv" else out.with_name(name)
    if name != "scene.mkv":
        source.write_bytes(b"something else entirely" * 9)
    sign(out, _statement(Ingredient(source, _sha(source), "parent"), kind="mouth"))
    read = read_credentials(out)
    assert read.state == "intact"
    assert read.ingredients == (name,)
