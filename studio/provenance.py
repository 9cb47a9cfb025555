"""Delivering a file: signed, disclosed and in the ledger before it appears under its name.

    papers = Papers.beside(Path("out.mp4"))
    with delivery(Path("out.mp4")) as stage:        # a hidden folder on the same disk
        write(stage / "out.mp4")
        publish(stage, Path("out.mp4"), statement, disclosure, papers)

The order is the point. A ledger line says what was made; the credentials name that line and
are signed; the disclosure row and the line "delivered" follow; names swap at the very end. An
output that cannot be recorded is never seen. What fails on the way takes its disclosure row
back and leaves a line that says so, and no half-written file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import ConsentError, OutputError, ProvenanceError, WildlineError
from media.files import output_error, sha256_of
from studio import disclosure, ledger
from studio._stage import staging
from studio.credentials import SOURCE_TYPES, Statement, sidecar_of, sign
from studio.ledger import Entry, Ledger

if TYPE_CHECKING:
    from studio.certificate import Identity
    from studio.consent import Consent, Use

__all__ = [
    "Disclosure",
    "Papers",
    "approve",
    "delivery",
    "publish",
    "record_export",
    "weights_used",
]


@dataclass(frozen=True, slots=True)
class Papers:
    """Where records go, and who signs (None: the configured or the local identity).

    `territories` and `media` are where and in what the production will be shown; consent is
    held to them wherever `check` asks for it. `cue` is the number of the cue that is worked
    on, for records that do not name one themselves.
    """

    ledger: Ledger
    sheet: Path
    identity: Identity | None = None
    territories: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    cue: str = ""

    @classmethod
    def beside(
        cls, output: Path, ledger_path: Path | None = None, sheet: Path | None = None
    ) -> Papers:
        """Ledger and sheet as given, else both in the folder of `output`."""
        return cls(
            Ledger(ledger_path) if ledger_path else Ledger.beside(output),
            sheet or output.parent / disclosure.DEFAULT_NAME,
        )

    def check(
        self,
        record: Path | Consent | None,
        *,
        use: Use,
        person: str | None = None,
        project: str | None = None,
        line: str | None = None,
        language: str | None = None,
        today: date | None = None,
    ) -> Consent:
        """`studio.consent.check` with this ledger, these territories and these media."""
        from studio import consent

        return consent.check(
            record,
            use=use,
            ledger=self.ledger,
            person=person,
            project=project,
            line=line,
            language=language,
            territories=self.territories,
            media=self.media,
            today=today,
        )


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the disclosure row says beyond what the statement knows.

    `extra` are JSON values for the ledger line; `cue` is the cue's number, if there is one.
    """

    project: str
    generated: str
    text: str
    timecode_in: str = ""
    timecode_out: str = ""
    tools: Sequence[str] = ()
    weights: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    cue: str = ""


def weights_used(names: Sequence[str]) -> list[dict[str, str]]:
    """Name, licence and sha256 of registered weights, for statements and reports."""
    from weights.registry import describe

    rows = map(describe, names)
    return [{"name": w.name, "licence": w.licence, "sha256": w.sha256} for w in rows]


@contextmanager
def delivery(target: Path, papers: Papers | None = None) -> Iterator[Path]:
    """A hidden working folder beside `target`, removed in the end whatever happens.

    With `papers`, a refusal inside the block (consent, mark, certificate) that is not in the
    ledger yet gets its line. Raises `OutputError` at once when `target` cannot be written
    there, before any work, and for every lost disk or right on the way.
    """
    if target.is_dir():
        raise OutputError(f"cannot write '{target}': it is a folder; name a file inside it")
    try:
        if not target.parent.is_dir():
            raise OSError(errno.ENOENT, "no such folder")
        with staging(target.parent) as stage:
            yield stage
    except FileNotFoundError as error:
        raise error if _is_elsewhere(error, target) else output_error(target, error) from error
    except OSError as error:
        raise output_error(target, error) from error
    except (ConsentError, ProvenanceError) as error:
        if papers is not None:
            with suppress(ProvenanceError):  # the ledger itself may be what refused
                papers.ledger.append_refusal("output.refused", error, output=str(target))
        raise


def _is_elsewhere(error: FileNotFoundError, target: Path) -> bool:
    """A missing file that is an input's trouble, not the output's."""
    named = error.filename
    return named is not None and target.parent not in Path(os.fsdecode(named)).parents


def publish(
    stage: Path,
    target: Path,
    statement: Statement,
    said: Disclosure,
    papers: Papers,
    companions: Sequence[str] = (),
    *,
    exported: bool = False,
) -> Entry:
    """Sign `stage / target.name`, record it, then move it and its companions into place.

    `companions` are names of other files in `stage` that go to the same folder. The ledger
    gets `KIND.made` before and `KIND.delivered` (or `KIND.exported`, for another form of
    something delivered) after signing; the latter is returned. Raises `ProvenanceError` or
    `OutputError`; nothing has appeared then, and a line `KIND.withdrawn` says why.
    """
    from studio.certificate import load_identity

    said = said if said.cue else replace(said, cue=papers.cue)
    facts = _facts(target, statement, said)
    made, kind = stage / target.name, statement.kind
    allowed = papers.ledger.append(f"{kind}.made", **facts, content=sha256_of(made))
    try:
        identity = papers.identity or load_identity()
        witness = {"line": allowed.number, "sha256": allowed.line_sha256}
        known = replace(statement, facts={**statement.facts, "ledger": witness})
        sidecar = sign(made, known, identity)
        digest = sha256_of(made)
        row = _row(target, digest, statement, said, allowed)
        with disclosure.pending_row(papers.sheet, row):
            entry = papers.ledger.append(
                f"{kind}.{'exported' if exported else 'delivered'}",
                **facts,
                sha256=digest,
                made=allowed.number,
                signer=identity.fingerprint,
            )
            names = [*companions, *([sidecar.name] if sidecar else []), target.name]
            _appear(stage, target, names, keep_sidecar=sidecar is not None)
    except (OSError, WildlineError) as error:
        with suppress(ProvenanceError):
            papers.ledger.append_refusal(f"{kind}.withdrawn", error, **facts, made=allowed.number)
        raise
    return entry


def _facts(target: Path, statement: Statement, said: Disclosure) -> dict[str, Any]:
    """What both ledger lines of an output say."""
    sources = [{"file": str(g.path), "sha256": g.sha256} for g in statement.ingredients]
    return {
        "output": str(target),
        **({"cue": said.cue} if said.cue else {}),
        "consent": statement.consent,
        "project": said.project,
        "text": said.text,
        "sources": sources,
        **said.extra,
    }


def _appear(stage: Path, target: Path, names: Sequence[str], *, keep_sidecar: bool) -> None:
    if not keep_sidecar:
        sidecar_of(target).unlink(missing_ok=True)  # an older file's
    moved: list[str] = []
    try:
        for name in names:
            (stage / name).replace(target.with_name(name))
            moved.append(name)
    except OSError:
        # Pictures may be among the companions: none stays behind without its credentials.
        for name in reversed(moved):
            with suppress(OSError):
                target.with_name(name).replace(stage / name)
        raise


def record_export(
    ledger: Ledger, made: Path, output: Path, *, project: str = "", cue: str = "", **facts: Any
) -> Entry:
    """The ledger line of a file that carries no credentials: a cue sheet, an EDL, subtitles.

    Call it before `made` takes the name `output` (`facts` are JSON values). Raises `MediaError`
    when `made` cannot be read, `ProvenanceError` when the ledger cannot be written.
    """
    cues = {"cue": cue} if cue else {}
    return ledger.append(
        "file.exported",
        output=str(output),
        sha256=sha256_of(made),
        project=project,
        **cues,
        **facts,
    )


def approve(
    papers: Papers, outputs: Sequence[Path], *, by: str, cue: str = "", **facts: Any
) -> Entry:
    """Write who approved these delivered files to the ledger, then to the disclosure sheet.

    Raises `ProvenanceError` when either cannot be written, `MediaError` when a file is not there.
    """
    digests = [(str(path), sha256_of(path)) for path in outputs]
    files = [{"file": name, "sha256": digest} for name, digest in digests]
    entry = papers.ledger.append("output.approved", by=by, cue=cue, outputs=files, **facts)
    if papers.sheet.is_file():
        for _, digest in digests:
            disclosure.approve_rows(papers.sheet, digest, by, entry.time[:10])
    return entry


def _row(
    target: Path, digest: str, statement: Statement, said: Disclosure, entry: ledger.Entry
) -> disclosure.Row:
    return disclosure.Row(
        date=datetime.now(UTC).date().isoformat(),
        project=said.project,
        output=target.name,
        sha256=digest,
        timecode_in=said.timecode_in,
        timecode_out=said.timecode_out,
        generated=said.generated,
        text=said.text,
        tools="; ".join(said.tools),
        weights="; ".join(said.weights),
        sources="; ".join(f"{g.path.name} sha256:{g.sha256}" for g in statement.ingredients),
        consent=statement.consent or "",
        ledger_line=str(entry.number),
        cue=said.cue,
        source_type=SOURCE_TYPES[statement.kind].rpartition("/")[2],
    )
