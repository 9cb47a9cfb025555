"""`wildline consent new | show | check`, and `wildline ledger verify | show`."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from media.errors import ConsentError, OutputError

if TYPE_CHECKING:
    from studio.consent import Consent

__all__ = ["check", "ledger_show", "ledger_verify", "new", "show"]

_Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
_USES = "voice-fit, voice-say, voice-alter, face-fit, face-say, face-alter"


def new(
    out: Annotated[Path, typer.Option("-o", "--out", help="The record to write.")] = Path(
        "consent.toml"
    ),
    person: Annotated[str | None, typer.Option(help="Whose voice or face it is.")] = None,
    project: Annotated[str | None, typer.Option(help="The production.")] = None,
    use: Annotated[list[str] | None, typer.Option(help=f"Any of {_USES}; repeat.")] = None,
    description: Annotated[str | None, typer.Option(help="What was agreed.")] = None,
    line: Annotated[list[str] | None, typer.Option(help="An exact line; repeat.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Repeat; default en.")] = None,
    territory: Annotated[list[str] | None, typer.Option(help="Repeat; worldwide.")] = None,
    media: Annotated[list[str] | None, typer.Option(help="Repeat; default film.")] = None,
    signed: _Day = None,
    start: _Day = None,
    expiry: _Day = None,
    rights_holder: Annotated[str | None, typer.Option(help="Default: the person.")] = None,
    relation: Annotated[str | None, typer.Option(help="self, estate or guardian.")] = None,
    document: Annotated[Path | None, typer.Option(help="The signed paper.")] = None,
    document_sha256: Annotated[str | None, typer.Option(help="Its hash, if it is away.")] = None,
    contact: Annotated[str, typer.Option(help="Whom to ask.")] = "",
    compensation: Annotated[str, typer.Option(help="Reference of the pay agreement.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an older record.")] = False,
) -> None:
    """Write a consent record: from options, and by asking for what is missing."""
    from studio._display import out as say
    from studio.consent import new_id, parse_consent, save_consent

    if out.exists() and not force:
        raise OutputError(f"'{out}' exists already; name another file, or use --force")
    asked = _Answers()
    who = asked.text("--person", "Whose voice or face is it?", person)
    by = asked.text("--rights-holder", "Who signed?", rights_holder, default=who)
    first = asked.day("--start", "First day of work", start)
    values: dict[str, Any] = {
        "id": new_id(),
        "person": who,
        "project": asked.text("--project", "For which production?", project),
        "uses": use or asked.words("--use", f"For which uses ({_USES})?"),
        "description": asked.text("--description", "What was agreed?", description),
        "lines": line or [],
        "languages": language or ["en"],
        "territories": territory or ["worldwide"],
        "media": media or ["film"],
        "signed": asked.day("--signed", "Signed on", signed),
        "start": first,
        "expiry": asked.day("--expiry", "Last day of work", expiry),
        "contact": contact,
        "compensation": compensation,
        "rights_holder": {
            "name": by,
            "relation": relation or ("self" if by == who else asked.relation()),
        },
        "document": asked.document(document, document_sha256, out),
    }
    asked.refuse_if_missing()
    record = parse_consent(values, str(out))
    save_consent(record, out)
    say(f"{out}: consent {record.id} of {record.person} for '{record.project}'")


class _Answers:
    """Asks on a terminal; elsewhere collects what is missing, to name it all at once."""

    def __init__(self) -> None:
        self._asks = sys.stdin.isatty()
        self._missing: list[str] = []

    def text(self, option: str, question: str, given: str | None, default: str = "") -> str:
        if given is not None:
            return given
        if self._asks:
            return str(typer.prompt(question, default=default or None))
        if not default:
            self._missing.append(option)
        return default

    def words(self, option: str, question: str) -> list[str]:
        return self.text(option, question, None).replace(",", " ").split()

    def relation(self) -> str:
        return self.text("--relation", "Their relation (self, estate, guardian)?", None)

    def day(self, option: str, question: str, given: datetime | None) -> date | None:
        if given is not None:
            return given.date()
        answer = self.text(option, f"{question} (YYYY-MM-DD)?", None)
        try:
            return date.fromisoformat(answer) if answer else None
        except ValueError as error:
            raise ConsentError(f"'{answer}' is not a date; write YYYY-MM-DD") from error

    def document(self, path: Path | None, sha256: str | None, out: Path) -> dict[str, str]:
        """Path (relative to the record) and hash of the signed paper."""
        from studio.consent import sha256_of_document

        if path is None and sha256 is None:
            path = Path(self.text("--document", "Path of the signed paper?", None))
            if self._missing:
                return {}
        if path is None:
            return {"sha256": sha256 or ""}
        folder = out.resolve().parent
        inside = path.resolve().is_relative_to(folder)
        shown = path.resolve().relative_to(folder) if inside else path.resolve()
        return {"path": str(shown), "sha256": sha256_of_document(path)}

    def refuse_if_missing(self) -> None:
        if self._missing:
            raise ConsentError(
                f"a consent record also needs {', '.join(self._missing)}; give them as options "
                "or run this on a terminal to be asked"
            )


def show(record: Annotated[Path, typer.Argument(help="The record.")]) -> None:
    """Show what a record allows, and whether it is valid today."""
    from studio._display import out as say
    from studio.consent import load_consent

    consent = load_consent(record)
    for name, value in _described(consent):
        say(f"{name:>14}  {value}")
    why = consent.refusal(use=consent.uses[0], today=date.today())
    say(f"{'today':>14}  {'valid' if why is None else why}")


def _described(consent: Consent) -> list[tuple[str, str]]:
    holder = f"{consent.rights_holder.name} ({consent.rights_holder.relation})"
    rows = [
        ("id", consent.id),
        ("person", consent.person),
        ("rights holder", holder),
        ("project", consent.project),
        ("uses", ", ".join(consent.uses)),
        ("description", consent.description),
        ("lines", " | ".join(consent.lines)),
        ("languages", ", ".join(consent.languages)),
        ("territories", ", ".join(consent.territories)),
        ("media", ", ".join(consent.media)),
        ("signed", str(consent.signed)),
        ("valid", f"{consent.start} to {consent.expiry}"),
        ("revoked", str(consent.revoked or "")),
        ("contact", consent.contact),
        ("compensation", consent.compensation),
        ("document", f"{consent.document.path} sha256 {consent.document.sha256}".strip()),
    ]
    return [(name, value) for name, value in rows if value]


def check(
    record: Annotated[Path, typer.Argument(help="The record.")],
    use: Annotated[str, typer.Option("--use", help=f"One of {_USES}.")],
    person: Annotated[str | None, typer.Option("--person")] = None,
    project: Annotated[str | None, typer.Option("--project")] = None,
    line: Annotated[str | None, typer.Option("--line")] = None,
    language: Annotated[str | None, typer.Option("--language")] = None,
    territory: Annotated[
        list[str] | None, typer.Option("--territory", help="Where it will be shown; repeat.")
    ] = None,
    media: Annotated[
        list[str] | None, typer.Option("--media", help="In what it will be shown; repeat.")
    ] = None,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Default: today.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="Default: beside the record.")
    ] = None,
) -> None:
    """Ask whether a record covers a use; the answer goes to the ledger."""
    from studio import consent as consents
    from studio._display import out as say
    from studio.ledger import Ledger

    known = {name: name for name in consents.USES}
    if use not in known:
        raise ConsentError(f"'{use}' is not a use; choose one of {_USES}")
    book = Ledger(ledger) if ledger else Ledger.beside(record)
    granted = consents.check(
        record,
        use=known[use],
        ledger=book,
        person=person,
        project=project,
        line=line,
        language=language,
        territories=territory or (),
        media=media or (),
        today=on.date() if on else None,
    )
    say(f"granted: {use} of {granted.person} in '{granted.project}' (consent {granted.id})")


def ledger_verify(
    ledger: Annotated[
        Path, typer.Argument(help="The ledger, or the folder it lies in.", show_default=False)
    ] = Path(),
    holds: Annotated[
        str | None, typer.Option("--holds", help="A line's sha256 noted earlier; must be in it.")
    ] = None,
) -> None:
    """Check every line of a ledger; names the first that was altered, removed or inserted."""
    from studio._display import out as say
    from studio.ledger import inspect, located

    path = located(ledger)
    found = inspect(path, holds)
    say(f"{path}: {found.lines} lines, the chain is whole")
    if found.last is not None:
        say(f"last line {found.last.number} of {found.last.time}: {found.last.event}")
        say(f"sha256 {found.last.line_sha256} (keep it elsewhere: it shows a later cut or rewrite)")
    if holds is not None:
        say(f"the line {holds[:16]}… is line {found.held}")


def ledger_show(
    ledger: Annotated[
        Path, typer.Argument(help="The ledger, or the folder it lies in.", show_default=False)
    ] = Path(),
    last: Annotated[int, typer.Option("--last", min=1, help="So many lines from the end.")] = 20,
) -> None:
    """List what was allowed, made, delivered and refused."""
    from collections import deque

    from studio._display import table
    from studio.ledger import located, read_ledger, told

    entries = deque(read_ledger(located(ledger)), maxlen=last)
    rows: list[tuple[str, ...]] = []
    rows += ((str(e.number), e.time[:19], e.event, told(e)) for e in entries)
    table(("line", "time (UTC)", "event", "about"), rows)
