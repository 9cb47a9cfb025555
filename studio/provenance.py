"""Delivering a file: signed, disclosed and in the ledger before it appears under its name.

    papers = Papers.beside(Path("out.mp4"))
    with delivery(Path("out.mp4")) as stage:        # a hidden folder on the same disk
        write(stage / "out.mp4")
        publish(stage, Path("out.mp4"), statement, disclosure, papers)

The order is the point: an output that cannot be recorded is never seen, and work that fails
leaves no half-written file. Names swap at the very end.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import OutputError
from media.files import output_error, sha256_of
from studio import disclosure, ledger
from studio.credentials import Statement, sidecar_of, sign
from studio.ledger import Entry, Ledger

if TYPE_CHECKING:
    from studio.certificate import Identity

__all__ = ["Disclosure", "Papers", "delivery", "publish", "weights_used"]


@dataclass(frozen=True, slots=True)
class Papers:
    """Where records go, and who signs (None: the configured or the local identity)."""

    ledger: Ledger
    sheet: Path
    identity: Identity | None = None

    @classmethod
    def beside(
        cls, output: Path, ledger_path: Path | None = None, sheet: Path | None = None
    ) -> Papers:
        """Ledger and sheet as given, else both in the folder of `output`."""
        return cls(
            Ledger(ledger_path) if ledger_path else Ledger.beside(output),
            sheet or output.parent / disclosure.DEFAULT_NAME,
        )


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the disclosure row says beyond what the statement knows."""

    project: str
    generated: str
    text: str
    timecode_in: str = ""
    timecode_out: str = ""
    tools: Sequence[str] = ()
    weights: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def weights_used(names: Sequence[str]) -> list[dict[str, str]]:
    """Name, licence and sha256 of registered weights, for statements and reports."""
    from weights.registry import describe

    rows = map(describe, names)
    return [{"name": w.name, "licence": w.licence, "sha256": w.sha256} for w in rows]


@contextmanager
def delivery(target: Path) -> Iterator[Path]:
    """A hidden working folder beside `target`, removed in the end whatever happens.

    Raises `OutputError` at once when `target` cannot be written there, before any work, and
    for every lost disk or right on the way.
    """
    if target.is_dir():
        raise OutputError(f"cannot write '{target}': it is a folder; name a file inside it")
    try:
        if not target.parent.is_dir():
            raise OSError(errno.ENOENT, "no such folder")
        stage = Path(tempfile.mkdtemp(prefix=".wildline-", dir=target.parent))
    except OSError as error:
        raise output_error(target, error) from error
    try:
        yield stage
    except FileNotFoundError as error:
        raise error if _is_elsewhere(error, target) else output_error(target, error) from error
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


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
) -> Entry:
    """Sign `stage / target.name`, record it, then move it and its companions into place.

    `companions` are names of other files in `stage` that go to the same folder. Returns the
    ledger line. Raises `ProvenanceError` or `OutputError`; nothing has appeared then.
    """
    made = stage / target.name
    sidecar = sign(made, statement, papers.identity)
    digest = sha256_of(made)
    sources = [{"file": str(g.path), "sha256": g.sha256} for g in statement.ingredients]
    entry = papers.ledger.append(
        f"{statement.kind}.delivered",
        output=str(target),
        sha256=digest,
        consent=statement.consent,
        project=said.project,
        text=said.text,
        sources=sources,
        **said.extra,
    )
    disclosure.append_row(papers.sheet, _row(target, digest, statement, said, entry))
    names = [*companions, *([sidecar.name] if sidecar else []), target.name]
    if sidecar is None:
        sidecar_of(target).unlink(missing_ok=True)  # an older file's
    for name in names:
        (stage / name).replace(target.with_name(name))
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
    )
