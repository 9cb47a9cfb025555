"""Content Credentials are written, read back, and broken by any change."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import subprocess
import sys
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


def _enlarge(path: Path, extra: int) -> None:
    """Let the media at the end of an MP4 be `extra` zeros longer."""
    at, content = 0, path.read_bytes()
    while True:
        size, kind = struct.unpack_from(">I4s", content, at)
        if at + size == len(content):
            break
        at += size
    assert kind == b"mdat"
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(struct.pack(">I", size + extra))
        stream.truncate(len(content) + extra)


def test_every_part_of_a_large_film_is_hashed(make_clip: Callable[[str], Path]) -> None:
    path = make_clip("a.mp4")
    _enlarge(path, 2_600_000)  # several parts, the last one not full
    sign(path, _statement())
    assert read_credentials(path).state == "intact"
    size = path.stat().st_size
    for back in (1, 300_000, 700_000, 1_500_000, 2_599_999):
        with path.open("r+b") as stream:
            stream.seek(size - back)
            stream.write(b"\x01")
            stream.flush()
            assert read_credentials(path).state == "altered", back
            stream.seek(size - back)
            stream.write(b"\x00")
    assert read_credentials(path).state == "intact"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_signing_a_film_does_not_hold_it(make_clip: Callable[[str], Path]) -> None:
    path = make_clip("a.mp4")
    _enlarge(path, 200 << 20)
    code = (
        "import sys; from pathlib import Path; from studio.credentials import *\n"
        "path = Path(sys.argv[1]); sign(path, Statement('line', 'a title', None))\n"
        "assert read_credentials(path).state == 'intact'\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150 << 10


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


@pytest.mark.parametrize("which", [0, 1])
def test_an_altered_certificate_in_the_chain_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """The key still fits, but a name inside was changed, so the issuer's signature does not."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path))
    load_identity()
    path = tmp_path / "certificates" / "signer-chain.pem"
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    der = chain[which].public_bytes(Encoding.DER).replace(b"Wildline local", b"Wildlife local")
    chain[which] = x509.load_der_x509_certificate(der)
    path.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in chain))
    with pytest.raises(ProvenanceError, match="was altered or is not followed by its issuer"):
        load_identity()


def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path))
    load_identity()
    (tmp_path / "certificates" / "signer-key.pem").chmod(0o640)
    with pytest.raises(ProvenanceError, match="chmod 600"):
        load_identity()


def _real_chain(folder: Path, kind: str) -> None:
    """A signer under an authority, as a certificate shop would make it."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as ser
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    from studio.certificate import _usage

    def named(name: str) -> x509.Name:
        parts = [(NameOID.ORGANIZATION_NAME, "A Studio"), (NameOID.COMMON_NAME, name)]
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])

    def builder(subject: str, key: object, *, ca: bool) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(named(subject)).issuer_name(named("Root"))
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())  # type: ignore[attr-defined]
        made = made.not_valid_before(now).not_valid_after(now + timedelta(days=9))
        constraints = x509.BasicConstraints(ca=ca, path_length=0 if ca else None)
        made = made.add_extension(constraints, critical=True)
        made = made.add_extension(_usage(sign_certificates=ca), critical=True)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        return made.add_extension(identifier, critical=False)

    root_key = ec.generate_private_key(ec.SECP384R1())
    keys = {
        "ps256": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }
    key = keys[kind]()
    root = builder("Root", root_key, ca=True).sign(root_key, hashes.SHA384())
    email = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    signer = builder("Signer", key, ca=False).add_extension(email, critical=False)
    chain = [signer.sign(root_key, hashes.SHA384()), root]
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(ser.Encoding.PEM) for c in chain))
    secret = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    (folder / "key.pem").chmod(0o600)


@pytest.mark.parametrize("kind", ["ps256", "ed25519", "es384"])
def test_certificates_of_every_kind_sign_files_and_sidecars(
    make_clip: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    _real_chain(tmp_path, kind)
    monkeypatch.setenv("WILDLINE_SIGN_CERT", str(tmp_path / "chain.pem"))
    monkeypatch.setenv("WILDLINE_SIGN_KEY", str(tmp_path / "key.pem"))
    assert load_identity().algorithm == kind
    for name in ("a.wav", "a.mkv"):
        path = make_clip(name)
        sign(path, _statement())
        read = read_credentials(path)
        assert (read.state, read.trusted, read.problems) == ("intact", True, ())
        assert "Signer" in read.signer


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
