"""Content Credentials (C2PA): a signed statement in the file about how it was made.

    sign(Path("line.wav"), Statement(kind="line", title="line.wav", consent="3f…", ...))
    read_credentials(Path("line.wav")).state        # "intact"

MP4, MOV and WAV carry the statement inside. Matroska cannot: its statement is a sidecar,
`out.mkv.credentials.json`, signed with the same certificate over the file's sha256.
Nothing here goes over the network. Terms follow C2PA 2.x and IPTC's digital source types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from media.errors import ProvenanceError

if TYPE_CHECKING:
    from studio.certificate import Identity

__all__ = [
    "LABEL",
    "SOURCE_TYPES",
    "Credentials",
    "Ingredient",
    "Statement",
    "read_credentials",
    "sidecar_of",
    "sign",
]

Kind = Literal["line", "mouth"]
State = Literal["intact", "altered", "absent", "unreadable"]
LABEL = "org.wildline.generation"
_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPES = {
    "line": _IPTC + "trainedAlgorithmicMedia",
    "mouth": _IPTC + "compositeWithTrainedAlgorithmicMedia",
}
_FORMATS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".m4a": "audio/mp4",
    ".mov": "video/quicktime",
    ".wav": "audio/wav",
    ".avi": "video/avi",
    ".mp3": "audio/mpeg",
}
_SIDECAR = ".credentials.json"
_HELD_MB, _HASHED_KB = 16, 1024


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A source that went into a file.

    `role` is "parent" (the footage that was altered), "component" (a part that is seen or
    heard) or "input" (what something was learned from). Its own credentials, where it has
    any, are carried along.
    """

    path: Path
    sha256: str
    role: Literal["parent", "component", "input"]


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about a file. `facts` are JSON values: tools, weights, settings, ledger line.

    `kind` "line" is speech made by a machine; "mouth" is real footage with a re-rendered
    mouth. `consent` is the record's id, None for a stock voice. Names of persons are left out:
    a file travels further than a consent record should.
    """

    kind: Kind
    title: str
    consent: str | None
    ingredients: Sequence[Ingredient] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was read back.

    `state` is "intact" (signature and content agree), "altered", "absent" or "unreadable";
    `trusted` says whether the signer is the identity used for reading. `problems` are the
    failing checks in the standard's own words. `generation` is Wildline's own assertion.
    """

    state: State
    trusted: bool = False
    signer: str = ""
    source_types: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    generation: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    sidecar: bool = False


def sidecar_of(path: Path) -> Path:
    """Where the statement of a file lies whose container cannot carry one."""
    return path.with_name(path.name + _SIDECAR)


def sign(
    path: Path, statement: Statement, identity: Identity | None = None, *, name: str | None = None
) -> Path | None:
    """Sign the file at `path` in place; returns the sidecar where one was needed.

    `identity` defaults to `studio.certificate.load_identity()`. `name` is the file's final
    name when `path` is still a temporary one. Raises `ProvenanceError` when it cannot be
    signed; the file is then as it was.
    """
    from studio.certificate import load_identity

    identity = identity or load_identity()
    media_type = _FORMATS.get(path.suffix.lower())
    if media_type is None:
        return _sign_sidecar(path, statement, identity, name or path.name)
    import c2pa

    signed = path.with_name(f".signed-{path.name}")
    try:
        with _context(identity) as context, _signer(identity) as signer:
            builder = c2pa.Builder(_manifest(statement), context=context)
            _add_ingredients(builder, statement.ingredients)
            with path.open("rb") as source, signed.open("w+b") as target:
                builder.sign(signer, media_type, source, target)
        signed.replace(path)
    except (c2pa.C2paError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ProvenanceError(
            f"Content Credentials cannot be written into '{statement.title}': "
            f"{' '.join(str(why).split())}"
        ) from error
    finally:
        signed.unlink(missing_ok=True)
    return None


def read_credentials(path: Path, identity: Identity | None = None) -> Credentials:
    """Read a file's credentials back, from inside or from its sidecar, and check them.

    `identity` is whom to trust (default: the configured or local one, if there is any).
    Raises `ProvenanceError` when the file itself cannot be read.
    """
    import c2pa

    identity = identity or _own_identity()
    media_type = _FORMATS.get(path.suffix.lower())
    try:
        if sidecar_of(path).is_file():
            return _read_sidecar(path, identity)
        with path.open("rb") as file, _context(identity) as context:
            reader = c2pa.Reader.try_create(media_type, file, context=context)
            return Credentials("absent") if reader is None else _credentials(reader)
    except OSError as error:
        raise ProvenanceError(
            f"'{path}' cannot be read ({error.strerror}); check the path"
        ) from error
    except c2pa.C2paError as error:
        why = " ".join(str(error).split())
        # A container that cannot hold credentials has none; a damaged store is another matter.
        if media_type is None or "NotSupported" in type(error).__name__ or "Unsupported" in why:
            return Credentials("absent")
        return Credentials("unreadable", problems=(why,))


def _own_identity() -> Identity | None:
    from studio.certificate import load_identity

    try:
        return load_identity()
    except ProvenanceError:
        return None


@contextmanager
def _context(identity: Identity | None) -> Iterator[Any]:
    """The library set to: no network, no thumbnails, this identity's authority trusted."""
    import c2pa

    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
        # Hashed and stored in parts; else a film is held in memory, twice when it is signed.
        "core": {
            "backing_store_memory_threshold_in_mb": _HELD_MB,
            "merkle_tree_chunk_size_in_kb": _HASHED_KB,
            "merkle_tree_max_proofs": 0,  # every part's hash in the manifest, none in boxes behind
        },
    }
    if identity is not None:
        settings["trust"] = {"trust_anchors": identity.authority}
    with c2pa.Context.from_dict(settings) as context:
        yield context


@contextmanager
def _signer(identity: Identity) -> Iterator[Any]:
    import c2pa

    info = c2pa.C2paSignerInfo(
        identity.algorithm, identity.chain.encode(), identity.key.encode(), None
    )
    with c2pa.Signer.from_info(info) as signer:
        yield signer


def _tool() -> dict[str, str]:
    return {"name": "Wildline", "version": version("wildline")}


def _manifest(statement: Statement) -> dict[str, Any]:
    """The manifest definition: the actions in the standard's words, and our own assertion."""
    made = {"digitalSourceType": SOURCE_TYPES[statement.kind], "softwareAgent": _tool()}
    names = {
        role: [_label(i) for i, g in enumerate(statement.ingredients) if g.role == role]
        for role in ("parent", "component", "input")
    }
    others = {"parameters": {"ingredientIds": names["component"] + names["input"]}}
    extra = others if names["component"] or names["input"] else {}
    actions: list[dict[str, Any]]
    if names["parent"]:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": names["parent"]}}
        actions = [opened, {"action": "c2pa.edited", **made, **extra}]
    else:
        actions = [{"action": "c2pa.created", **made, **extra}]
    return {
        "claim_generator_info": [_tool()],
        "title": statement.title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": LABEL, "data": _generation(statement)},
        ],
    }


def _generation(statement: Statement) -> dict[str, Any]:
    sources = [
        {"file": g.path.name, "sha256": g.sha256, "role": g.role} for g in statement.ingredients
    ]
    return {
        "kind": statement.kind,
        "consent": statement.consent,
        "sources": sources,
        **statement.facts,
    }


def _label(index: int) -> str:
    return f"ingredient-{index + 1}"


def _add_ingredients(builder: Any, ingredients: Sequence[Ingredient]) -> None:
    relation = {"parent": "parentOf", "component": "componentOf", "input": "inputTo"}
    for index, item in enumerate(ingredients):
        described = {
            "title": item.path.name,
            "relationship": relation[item.role],
            "label": _label(index),
            "instance_id": _label(index),
        }
        media_type = _FORMATS.get(item.path.suffix.lower(), "application/octet-stream")
        with item.path.open("rb") as file:
            builder.add_ingredient(described, media_type, file)


def _credentials(reader: Any) -> Credentials:
    """Boil the reader's report down."""
    with reader:
        report = json.loads(reader.json())
    manifest = report["manifests"][report["active_manifest"]]
    results = report.get("validation_results", {}).get("activeManifest", {})
    failures = [f for f in results.get("failure", []) if "signingCredential" not in f["code"]]
    assertions = {a["label"]: a["data"] for a in manifest.get("assertions", [])}
    actions = assertions.get("c2pa.actions.v2", {}).get("actions", [])
    signer = manifest.get("signature_info", {})
    state = report.get("validation_state", "Invalid")
    return Credentials(
        state="intact" if state in ("Valid", "Trusted") else "altered",
        trusted=state == "Trusted",
        signer=", ".join(filter(None, (signer.get("common_name"), signer.get("issuer")))),
        source_types=tuple(
            a["digitalSourceType"].rpartition("/")[2] for a in actions if "digitalSourceType" in a
        ),
        ingredients=tuple(i.get("title", "") for i in manifest.get("ingredients", [])),
        generation=assertions.get(LABEL, {}),
        problems=tuple(f"{f['code']}: {f.get('explanation', '')}" for f in failures),
    )


# --- the sidecar, for containers that C2PA cannot write into -----------------------------------


def _sign_sidecar(path: Path, statement: Statement, identity: Identity, name: str) -> Path:
    from media.files import sha256_of

    claim = {
        "file": name,
        "sha256": sha256_of(path),
        "digitalSourceType": SOURCE_TYPES[statement.kind],
        "title": statement.title,
        LABEL: _generation(statement),
    }
    record = {
        "claim": claim,
        "certificates": identity.chain,
        "signature": identity.signature(_bytes(claim)).hex(),
    }
    target = sidecar_of(path)
    target.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return target


def _bytes(claim: Mapping[str, Any]) -> bytes:
    return json.dumps(claim, sort_keys=True, separators=(",", ":")).encode()


def _read_sidecar(path: Path, identity: Identity | None) -> Credentials:
    from media.files import sha256_of

    try:
        record = json.loads(sidecar_of(path).read_text("utf-8"))
        claim, chain = record["claim"], record["certificates"]
        problems = _signature_problems(claim, chain, bytes.fromhex(record["signature"]))
        if claim["sha256"] != sha256_of(path):
            problems.append("the file is not the one that was signed (its sha256 differs)")
        trusted = identity is not None and chain == identity.chain and not problems
        return Credentials(
            state="altered" if problems else "intact",
            trusted=trusted,
            signer=_subject(chain),
            source_types=(claim["digitalSourceType"].rpartition("/")[2],),
            ingredients=tuple(source["file"] for source in claim[LABEL]["sources"]),
            generation=claim[LABEL],
            problems=tuple(problems),
            sidecar=True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Credentials("unreadable", problems=(f"sidecar: {error}",), sidecar=True)


def _signature_problems(claim: Mapping[str, Any], chain: str, signature: bytes) -> list[str]:
    from studio.certificate import chain_problem, verifies

    if problem := chain_problem(chain):
        return [problem]
    if not verifies(chain, signature, _bytes(claim)):
        return ["the signature does not match the statement"]
    return []


def _subject(chain: str) -> str:
    from cryptography import x509

    return x509.load_pem_x509_certificate(chain.encode()).subject.rfc4514_string()
