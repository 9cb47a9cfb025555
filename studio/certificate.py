"""The certificate that signs Content Credentials: the production's own, or a local one.

Set `WILDLINE_SIGN_CERT` (PEM chain, signer first) and `WILDLINE_SIGN_KEY` (PEM, not
encrypted) to sign with a real certificate. Without them a chain of two (a local authority
and a signer under it, ECDSA P-256) is made on first use in the user's data folder, keys
readable by their owner alone. A chain whose links do not hold (an altered certificate, a
missing issuer, one out of date) and a key that others can read are refused. A local chain
proves that a file was not changed since this production signed it; it does not prove to
strangers who the production is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from media.errors import ProvenanceError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PSS
    from cryptography.x509 import Certificate

__all__ = ["Identity", "chain_problem", "load_identity", "user_data_dir", "verifies"]

CERT_ENV, KEY_ENV, DATA_ENV = "WILDLINE_SIGN_CERT", "WILDLINE_SIGN_KEY", "WILDLINE_HOME"
_LIFE = timedelta(days=3650)
_CHAIN, _KEY = "signer-chain.pem", "signer-key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain (PEM, signer first), its key (PEM) and the algorithm ("es256", ...).

    `local` tells a chain made on this machine from one that was configured.
    """

    chain: str
    key: str
    algorithm: str
    local: bool

    def __repr__(self) -> str:
        return f"Identity({self.subject!r}, {self.algorithm}, local={self.local})"  # no key

    @property
    def authority(self) -> str:
        """The last certificate of the chain (PEM): the anchor its signatures lead to."""
        marker = "-----BEGIN CERTIFICATE-----"
        return marker + self.chain.rpartition(marker)[2]

    @property
    def subject(self) -> str:
        """The signer's name as the certificate gives it."""
        from cryptography import x509

        return x509.load_pem_x509_certificate(self.chain.encode()).subject.rfc4514_string()

    @property
    def fingerprint(self) -> str:
        """sha256 of the signer's certificate (DER), hexadecimal: who signed, for the ledger."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        return (
            x509.load_pem_x509_certificate(self.chain.encode()).fingerprint(hashes.SHA256()).hex()
        )

    def signature(self, content: bytes) -> bytes:
        """Sign `content` with the key, by the algorithm that C2PA has for it."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self.key.encode(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(content, ec.ECDSA(hashes.SHA256()))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(content, _pss(), hashes.SHA256())
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(content)
        raise ProvenanceError("the signing key is of an unknown kind; use ECDSA P-256")


def _pss() -> PSS:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS

    return PSS(MGF1(hashes.SHA256()), PSS.DIGEST_LENGTH)


def verifies(chain: str, signature: bytes, content: bytes) -> bool:
    """Whether the first certificate of `chain` (PEM) made this signature of `content`."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key = x509.load_pem_x509_certificate(chain.encode()).public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, _pss(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def chain_problem(chain: str) -> str | None:
    """What is wrong with a PEM chain (signer first), in words; None when every link holds.

    Each certificate must be signed by the next, and a last one that names itself as issuer by
    itself. Raises ValueError for text that is not PEM certificates.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    certificates = x509.load_pem_x509_certificates(chain.encode())
    last = certificates[-1]
    links = list(pairwise(certificates))
    if last.issuer == last.subject:
        links.append((last, last))
    for certificate, issuer in links:
        name = certificate.subject.rfc4514_string()
        try:
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            return f"the certificate of {name} was altered or is not followed by its issuer's"
    return None


def user_data_dir() -> Path:
    """The folder for what must be kept: `WILDLINE_HOME`, or the system's own. Not made here."""
    import platformdirs

    chosen = os.environ.get(DATA_ENV)
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("wildline"))


def load_identity(cert: Path | None = None, key: Path | None = None) -> Identity:
    """The configured identity (arguments, then environment), or the local one.

    Raises `ProvenanceError` when certificate and key cannot be read, do not belong together,
    were altered, have expired, when others than the owner can read the key, or when the local
    ones cannot be made.
    """
    cert = cert or _from_environment(CERT_ENV)
    key = key or _from_environment(KEY_ENV)
    if (cert is None) != (key is None):
        raise ProvenanceError(
            f"a signing certificate needs its key and the other way round; set both {CERT_ENV} "
            f"and {KEY_ENV}"
        )
    if cert is not None and key is not None:
        return _read(cert, key, local=False)
    folder = user_data_dir() / "certificates"
    if not (folder / _CHAIN).exists():
        _make_local(folder)
    return _read(folder / _CHAIN, folder / _KEY, local=True)


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


def _read(cert: Path, key: Path, *, local: bool) -> Identity:
    """Read both files and see that they are a pair in date."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        chain, secret = cert.read_text("ascii"), key.read_text("ascii")
        first = x509.load_pem_x509_certificate(chain.encode())
        private = serialization.load_pem_private_key(secret.encode(), password=None)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a usable PEM file"
        raise ProvenanceError(
            f"the signing certificate {cert} with key {key} cannot be used ({reason}); "
            "restore both files or remove both to have local ones made anew"
        ) from error
    if first.public_key() != private.public_key():
        raise ProvenanceError(
            f"the signing key {key} does not belong to the certificate {cert}; restore the pair"
        )
    _check_privacy(key)
    _check_chain(chain, cert)
    return Identity(chain, secret, _algorithm(private, cert), local)


def _check_privacy(key: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise ProvenanceError(
            f"the signing key {key} can be read by others than its owner; if nobody did, run: "
            f"chmod 600 {key}"
        )


def _check_chain(chain: str, cert: Path) -> None:
    """Every link holds, and every certificate is in date."""
    from cryptography import x509

    if problem := chain_problem(chain):
        raise ProvenanceError(f"the signing certificate {cert} is refused: {problem}; restore it")
    now = datetime.now(UTC)
    for each in x509.load_pem_x509_certificates(chain.encode()):
        first, last = each.not_valid_before_utc, each.not_valid_after_utc
        if not first <= now <= last:
            raise ProvenanceError(
                f"the signing certificate {cert} is valid from {first:%Y-%m-%d} to "
                f"{last:%Y-%m-%d} only; renew it"
            )


def _algorithm(key: object, cert: Path) -> str:
    """The C2PA name of the algorithm that goes with a key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        by_size = {256: "es256", 384: "es384", 521: "es512"}
        if key.curve.key_size in by_size:
            return by_size[key.curve.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ProvenanceError(
        f"the key of {cert} is of a kind that Content Credentials do not know; use ECDSA P-256"
    )


# --- the local chain -------------------------------------------------------------------------


def _make_local(folder: Path) -> None:
    """Write a fresh chain and key. The authority's own key is not kept: it signs once."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key = ec.generate_private_key(ec.SECP256R1())
    signer_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    signer = _signer(signer_key, authority, authority_key)
    pem = serialization.Encoding.PEM
    secret = signer_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder / _KEY, secret, 0o600)
        _write(folder / _CHAIN, signer.public_bytes(pem) + authority.public_bytes(pem), 0o644)
    except OSError as error:
        raise ProvenanceError(
            f"the local signing certificate cannot be written to {folder} ({error.strerror}); "
            f"make the folder writable or set {DATA_ENV} to one that is"
        ) from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole, and with its permissions from the first byte on."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if stat.S_IMODE(path.stat().st_mode) & ~mode:
        path.chmod(mode)


def _authority(key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    usage = _usage(sign_certificates=True)
    return (
        _builder("Wildline local authority", key)
        .issuer_name(_name("Wildline local authority"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _signer(
    key: EllipticCurvePrivateKey, authority: Certificate, authority_key: EllipticCurvePrivateKey
) -> Certificate:
    """The certificate profile that C2PA 2.x asks of a signer (section 14.5)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder("Wildline local signer", key)
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(common_name: str, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Wildline (self-signed)"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
