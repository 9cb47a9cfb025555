"""Read every mark back from a file, and say plainly what each can and cannot tell.

findings = verify_file(Path("out.mp4"))
for sentence in findings.sentences(): ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from media.errors import MediaError, NoSoundError, ProvenanceError
from studio import ledger as ledgers

if TYPE_CHECKING:
    from studio.credentials import Credentials
    from studio.watermark import Reading

__all__ = ["Findings", "verify_file"]

_RECORDS = (".delivered", ".exported")
_MEANS = {
    "trainedAlgorithmicMedia": "speech made by a machine",
    "compositeWithTrainedAlgorithmicMedia": "real footage with parts made by a machine",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one file.

    `watermark` is None when the file has no sound. `ledger_line` is the line that records
    these very bytes, `ledger_lines` how many the (intact) ledger has; None without a ledger.
    `ledger_problem` says where a ledger is broken; `witnessed` whether the ledger holds the line
    that the credentials name (None when they name none, or do not hold themselves). `altered`
    are stills that the file lists and that are missing or not what it says; `stills` how many it
    lists.
    """

    path: Path
    credentials: Credentials
    watermark: Reading | None
    ledger: Path | None = None
    ledger_line: int | None = None
    ledger_lines: int | None = None
    ledger_problem: str | None = None
    witnessed: bool | None = None
    stills: int = 0
    altered: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing contradicts the marks: credentials intact and the ledger whole."""
        return (
            self.credentials.state == "intact"
            and self.ledger_problem is None
            and self.witnessed is not False
            and not self.altered
        )

    def sentences(self) -> Iterator[str]:
        """The findings in plain words."""
        yield from self._about_credentials()
        yield from self._about_stills()
        yield from self._about_watermark()
        yield from self._about_ledger()

    def _about_credentials(self) -> Iterator[str]:
        found = self.credentials
        if found.state == "absent":
            yield (
                "Content Credentials: none. The file was not signed, or a re-encode removed "
                "them; this says nothing about how it was made."
            )
            return
        if found.state == "unreadable":
            yield f"Content Credentials: damaged beyond reading ({'; '.join(found.problems)})."
            return
        where = "in a sidecar beside the file" if found.sidecar else "in the file"
        if found.state == "altered":
            yield f"Content Credentials: BROKEN, {where}. The file was changed after signing."
            yield from (f"  {problem}" for problem in found.problems)
        else:
            known = (
                "this production's certificate"
                if found.trusted
                else (
                    "a certificate this machine does not know, so the name proves nothing by itself"
                )
            )
            yield f"Content Credentials: intact, {where}; signed by {found.signer} ({known})."
        yield from self._claims(found)

    def _about_stills(self) -> Iterator[str]:
        if self.altered:
            some = ", ".join(self.altered[:3]) + (" ..." if len(self.altered) > 3 else "")
            yield (
                f"Stills: {len(self.altered)} of {self.stills} are missing or were changed after "
                f"they were listed ({some})."
            )
        elif self.stills:
            yield f"Stills: all {self.stills} are as this list says; singly they carry no mark."

    @staticmethod
    def _claims(found: Credentials) -> Iterator[str]:
        kinds = [_MEANS.get(kind, kind) for kind in found.source_types]
        if kinds:
            yield f"  It says: {'; '.join(kinds)}."
        consent = found.generation.get("consent")
        if found.generation:
            yield f"  Consent record: {consent or 'none needed (stock voice)'}."
        for source in found.generation.get("sources", ()):
            digest, role = source["sha256"][:16], source["role"]
            yield f"  Made from: {source['file']} (sha256 {digest}…, {role})."

    def _about_watermark(self) -> Iterator[str]:
        if self.watermark is None:
            yield "Watermark: the file has no sound to look in."
        elif self.watermark.found:
            spans = ", ".join(f"{a:.0f}-{b:.0f} s" for a, b in self.watermark.spans)
            yield (
                f"Watermark: found (confidence {self.watermark.confidence:.2f}) around {spans}. "
                "A tool that marks machine-made media made this sound, or laid it under a picture."
            )
        else:
            yield (
                f"Watermark: not found (confidence {self.watermark.confidence:.2f}). The sound may "
                "be a recording, or the mark was lost to noise or a change of speed."
            )

    def _about_ledger(self) -> Iterator[str]:
        if self.ledger is None:
            return
        if self.ledger_problem is not None:
            yield f"Ledger: BROKEN. {self.ledger_problem}."
        elif self.ledger_line is not None:
            yield (
                f"Ledger: line {self.ledger_line} of {self.ledger} records exactly this file; "
                f"the chain of {self.ledger_lines} lines is whole."
            )
        else:
            yield (
                f"Ledger: none of the {self.ledger_lines} lines of {self.ledger} records this "
                "file as it is now; the chain is whole."
            )
        if self.witnessed:
            named = self.credentials.generation["ledger"]["line"]
            yield f"  The credentials name its line {named}, and it is there as it was."
        elif self.witnessed is False:
            yield (
                "  The credentials name a line that is not in this ledger: it was cut or written "
                "anew after the file was signed, or it is another ledger (name it with --ledger)."
            )


def verify_file(path: Path, ledger: Path | None = None) -> Findings:
    """Read credentials, watermark and (given, or beside the file) ledger.

    Raises `MediaError` when the file is missing or is neither sound nor picture nor signed beside.
    """
    from media.audio import read_sound
    from media.files import sha256_of
    from studio.credentials import read_credentials, sidecar_of
    from studio.watermark import detect

    digest = sha256_of(path)
    try:
        mark = detect(read_sound(path))
    except NoSoundError:
        mark = None
    except MediaError:
        if not sidecar_of(path).is_file():  # such as the signed list of a sequence of stills
            raise
        mark = None
    credentials = read_credentials(path)
    stills, altered = _stills(path)
    beside = path.parent / ledgers.DEFAULT_NAME
    ledger = ledger or (beside if beside.is_file() else None)
    if ledger is None:
        return Findings(path, credentials, mark, stills=stills, altered=altered)
    named = _named_line(credentials)
    line, lines, problem, witnessed = _look_up(ledger, digest, named)
    told = witnessed if named else None
    return Findings(path, credentials, mark, ledger, line, lines, problem, told, stills, altered)


def _stills(path: Path) -> tuple[int, tuple[str, ...]]:
    """(how many stills a signed list names, those that are not as it says)."""
    from media.files import sha256_of

    if path.suffix.lower() != ".json":
        return 0, ()
    try:
        facts = json.loads(path.read_text("utf-8"))
        folder, sums = path.with_name(Path(str(facts["folder"])).name), dict(facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0, ()
    wrong = []
    for name, digest in sums.items():
        still = folder / Path(str(name)).name  # never outside the folder
        if not still.is_file() or sha256_of(still) != digest:
            wrong.append(str(name))
    return len(sums), tuple(wrong)


def _named_line(credentials: Credentials) -> str | None:
    """The sha256 of the ledger line that intact credentials name."""
    named = credentials.generation.get("ledger")
    if credentials.state != "intact" or not isinstance(named, dict):
        return None
    return str(named.get("sha256") or "") or None


def _look_up(
    ledger: Path, digest: str, named: str | None
) -> tuple[int | None, int, str | None, bool]:
    """The last line recording `digest`, the count, what is wrong, and whether `named` is there."""
    found, count, witnessed = None, 0, False
    try:
        for entry in ledgers.read_ledger(ledger):
            count = entry.number
            witnessed |= entry.line_sha256 == named
            if entry.facts.get("sha256") == digest and entry.event.endswith(_RECORDS):
                found = entry.number
    except ProvenanceError as error:
        return found, count, str(error), witnessed
    return found, count, None, witnessed
