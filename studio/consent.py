"""Consent records: who allowed what, for which production, until when.

    record = load_consent(Path("consent.toml"))
    record.refusal(use="voice-say", person="Anna Example", today=date.today())  # None: granted
    check(Path("consent.toml"), use="voice-say", ledger=ledger)                 # or ConsentError

A record is one TOML file that people read and sign off. `check` is what every job calls
before it works; it writes each answer, granted or refused, to the ledger.
What a record has to say follows the contracts and laws named in docs/consent.md.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
import uuid
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from media.errors import ConsentError

if TYPE_CHECKING:
    from studio.ledger import Ledger

__all__ = [
    "USES",
    "Consent",
    "Document",
    "Relation",
    "RightsHolder",
    "Use",
    "check",
    "load_consent",
    "new_id",
    "same_name",
    "save_consent",
    "sha256_of_document",
]

Use = Literal["voice-fit", "voice-say", "voice-alter", "face-fit", "face-say", "face-alter"]
Relation = Literal["self", "estate", "guardian"]
USES: tuple[Use, ...] = get_args(Use)
_MEANING = {
    "voice-fit": "fitting a voice to the recordings",
    "voice-say": "speaking new lines in the voice",
    "voice-alter": "changing a recording of the voice",
    "face-fit": "learning a face from archive footage",
    "face-say": "showing the face saying lines it never said",
    "face-alter": "altering the face in footage",
}
_EVERYWHERE = frozenset({"all", "world", "worldwide", "all media", "all territories"})
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    """A misspelt key is an error, not a silently absent limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RightsHolder(_Strict):
    """Who signed, and by what right."""

    name: _Text
    relation: Relation


class Document(_Strict):
    """The signed paper: its sha256, and where it lies (relative to the record) if at hand."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", to_lower=True)]
    path: str = ""


class Consent(_Strict):
    """One person's consent to named uses in one production.

    Dates are calendar days: `start` and `expiry` are the first and last day of validity,
    `revoked` is the first day on which nothing is allowed any more. Empty `lines` mean
    that `description` says what may be spoken; otherwise only those lines may.
    """

    id: _Text
    person: _Text
    project: _Text
    uses: Annotated[tuple[Use, ...], Field(min_length=1)]
    description: _Text
    lines: tuple[str, ...] = ()
    languages: Annotated[tuple[str, ...], Field(min_length=1)] = ("en",)
    territories: Annotated[tuple[str, ...], Field(min_length=1)] = ("worldwide",)
    media: Annotated[tuple[str, ...], Field(min_length=1)] = ("film",)
    signed: date
    start: date
    expiry: date
    revoked: date | None = None
    contact: str = ""
    compensation: str = ""
    rights_holder: RightsHolder
    document: Document

    @model_validator(mode="after")
    def _in_order(self) -> Consent:
        if self.expiry < self.start:
            raise ValueError(f"expiry {self.expiry} is before start {self.start}")
        return self

    def refusal(
        self,
        *,
        use: Use,
        person: str | None = None,
        project: str | None = None,
        line: str | None = None,
        language: str | None = None,
        territories: Sequence[str] = (),
        media: Sequence[str] = (),
        today: date,
    ) -> str | None:
        """Why this record does not cover a use, as one finished sentence; None if it does.

        `person`, `project`, `line` and `language` are compared when given; names and lines
        regardless of case, spacing and (lines) punctuation. Every one of `territories` and
        `media` (where and in what the result will be shown) must be among the record's, or
        the record's must say "worldwide" or "all media".
        """
        whose = f"consent {self.id}"
        if person is not None and _name(person) != _name(self.person):
            return f"{whose} was given by {self.person}, not by {person}; name {person}'s record"
        if self.revoked is not None and today >= self.revoked:
            return f"{whose} was revoked on {self.revoked}; nothing more may be made under it"
        first = max(self.start, self.signed)
        if today < first:
            return f"{whose} is valid from {first} and today is {today}; wait or amend the record"
        if today > self.expiry:
            return f"{whose} expired on {self.expiry}; ask {self.rights_holder.name} to renew it"
        if use not in self.uses:
            return (
                f"{whose} covers {', '.join(self.uses)} but not {use} ({_MEANING[use]}); "
                f"ask {self.rights_holder.name} for it"
            )
        if project is not None and _name(project) != _name(self.project):
            return (
                f"{whose} is for the project '{self.project}', not '{project}'; each needs its own"
            )
        return self._line_refusal(whose, line, language) or self._reach_refusal(
            whose, territories, media
        )

    def _reach_refusal(
        self, whose: str, territories: Sequence[str], media: Sequence[str]
    ) -> str | None:
        for asked, granted, verb in (
            (territories, self.territories, "showing the result in"),
            (media, self.media, "use in"),
        ):
            if missing := _beyond(asked, granted):
                return (
                    f"{whose} covers {verb} {', '.join(granted)}, not in {', '.join(missing)}; "
                    f"ask {self.rights_holder.name} for it"
                )
        return None

    def _line_refusal(self, whose: str, line: str | None, language: str | None) -> str | None:
        if language is not None and language.casefold() not in map(str.casefold, self.languages):
            return f"{whose} covers lines in {', '.join(self.languages)}, not in {language}"
        if line is not None and self.lines and _words(line) not in map(_words, self.lines):
            return f"{whose} names the lines that may be spoken and '{line}' is not one of them"
        return None


def _name(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def same_name(one: str, other: str) -> bool:
    """Whether two names of people or projects are one, regardless of case and spacing."""
    return _name(one) == _name(other)


def _beyond(asked: Sequence[str], granted: Sequence[str]) -> list[str]:
    """Those places or media asked for that were not granted."""
    known = set(map(_name, granted))
    return [] if known & _EVERYWHERE else [a for a in asked if _name(a) not in known]


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+(?:'\w+)*", _name(text).replace("’", "'")))


def new_id() -> str:
    """A fresh record id, twelve hex digits."""
    return uuid.uuid4().hex[:12]


def sha256_of_document(path: Path) -> str:
    """Hash of the signed paper. Raises `ConsentError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConsentError(
            f"the signed document {path} cannot be read ({error.strerror}); check the path"
        ) from error


def load_consent(path: Path) -> Consent:
    """Read a record.

    Raises `ConsentError` when the file is missing, unreadable or incomplete, or when the
    signed document it points to no longer has the recorded sha256.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConsentError(
            f"there is no consent record {path}; make one with: wildline consent new -o {path}"
        ) from error
    except OSError as error:
        raise ConsentError(
            f"the consent record {path} cannot be read ({error.strerror}); check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ConsentError(f"the consent record {path} is not a TOML file: {why}") from error
    record = parse_consent(data, str(path))
    _check_document(record, path)
    return record


def parse_consent(data: object, where: str) -> Consent:
    """Validate the content of a record. Raises `ConsentError` naming `where` and the field."""
    try:
        return Consent.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "dates"
        why = str(first["msg"]).removeprefix("Value error, ")
        raise ConsentError(f"the consent record {where} is not valid: {field}: {why}") from error


def _check_document(record: Consent, path: Path) -> None:
    """The paper, where it is at hand, must be the one that was recorded."""
    if not record.document.path:
        return
    paper = path.parent / record.document.path
    if paper.is_file() and sha256_of_document(paper) != record.document.sha256:
        raise ConsentError(
            f"the signed document {paper} is not the one recorded in {path} (its sha256 "
            "differs); restore the document or record the consent anew"
        )


def save_consent(record: Consent, path: Path) -> None:
    """Write a record as commented TOML, whole or not at all.

    Raises `media.errors.OutputError` when the place cannot be written.
    """
    from media.files import atomic_path
    from studio._consent_toml import to_toml

    with atomic_path(path) as temporary:
        temporary.write_text(to_toml(record), "utf-8")


def check(
    record: Path | Consent | None,
    *,
    use: Use,
    ledger: Ledger,
    person: str | None = None,
    project: str | None = None,
    line: str | None = None,
    language: str | None = None,
    territories: Sequence[str] = (),
    media: Sequence[str] = (),
    today: date | None = None,
) -> Consent:
    """Grant or refuse one use; either way the answer is in the ledger before this returns.

    `record` is the file (or an already loaded record); None means that none was given.
    A grant notes its `basis`: a line that the record names, or its description.
    Returns the record. Raises `ConsentError` with one line, or `ProvenanceError` when
    the ledger cannot be written.
    """
    today = today or date.today()
    asked = {
        "use": use, "person": person, "project": project, "line": line, "language": language,
        "territories": list(territories), "media": list(media),
        "date": today.isoformat(), "record": str(record) if isinstance(record, Path) else None,
    }  # fmt: skip
    consent: Consent | None = None
    try:
        consent = _resolve(record, use)
        why = consent.refusal(
            use=use, person=person, project=project, line=line, language=language,
            territories=territories, media=media, today=today,
        )  # fmt: skip
        if why is not None:
            raise ConsentError(why)
    except ConsentError as error:
        asked["consent"] = consent.id if consent else None
        ledger.append_refusal("consent.refused", error, **asked)
        raise
    asked |= {"person": person or consent.person, "project": project or consent.project}
    basis = "a listed line" if line is not None and consent.lines else "the description"
    ledger.append(
        "consent.granted", **asked, basis=basis, consent=consent.id, sha256=_fingerprint(consent)
    )
    return consent


def _resolve(record: Path | Consent | None, use: Use) -> Consent:
    if record is None:
        raise ConsentError(
            f"{_MEANING[use]} needs the person's consent; name the record with --consent, or "
            "make one with: wildline consent new"
        )
    return load_consent(record) if isinstance(record, Path) else record


def _fingerprint(record: Consent) -> str:
    """sha256 of the record's content, independent of the file's layout."""
    return hashlib.sha256(record.model_dump_json().encode()).hexdigest()
