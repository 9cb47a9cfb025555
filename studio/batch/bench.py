"""What a step finds on its bench: the production, its job, other steps' folders, its papers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import ConsentError, TextError
from studio.batch.once import PENDING, SHEET, JobLedger
from studio.batch.plan import Job, Step
from studio.batch.store import StepStore
from studio.cues.cue import Cue
from studio.production import Person, Production
from studio.provenance import Papers

if TYPE_CHECKING:
    from studio.consent import Consent, Use
    from voice.voice import Voice

__all__ = ["Bench"]

_STOCK = "stock:"


@dataclass(frozen=True, slots=True)
class Bench:
    """One step at work."""

    production: Production
    store: StepStore
    job: Job
    step: Step

    @property
    def cue(self) -> Cue:
        """The job's cue; only steps of a cue ask for it."""
        assert self.job.cue is not None
        return self.job.cue

    @property
    def person(self) -> Person:
        """Who speaks."""
        return self.production.people[self.job.person]

    def setting(self, name: str) -> Any:
        """One of the step's settings."""
        return self.step.settings[name]

    def other(self, setting: str) -> Path:
        """The folder of the step that a setting names."""
        return self.store.place(str(self.setting(setting)))

    @property
    def record_name(self) -> str:
        """Under what this step's records are found; forced work counts anew."""
        nonce = self.job.nonce
        return f"{self.step.folder}.{nonce}" if nonce else self.step.folder

    def papers(self, folder: Path, out: Path | None = None) -> Papers:
        """Records of this step: asked and announced at once, delivered when it is finished."""
        production = self.production
        book = JobLedger(
            path=production.ledger,
            work=production.work,
            job=self.record_name,
            pending=folder / PENDING,
            cue=self.job.cue.id if self.job.cue is not None else "",
            out=out,
        )
        identity = None
        if production.certificate is not None:
            from studio.certificate import load_identity

            identity = load_identity(production.certificate, production.key)
        sheet = folder / SHEET
        return Papers(book, sheet, identity, production.territories, production.media)

    def permit(
        self,
        papers: Papers,
        use: Use,
        line: str | None,
        *,
        language: str | None = None,
        needed: bool,
    ) -> Consent | None:
        """The person's record, once it allows this use today.

        Not `needed` is what is nobody's likeness (a stock voice); yet a person who has a
        record in the production is always asked for. Raises `ConsentError`.
        """
        person = self.person
        if person.consent is None and not needed:
            return None
        if person.consent is None:
            why = f"{person.name} has no consent record; name one under people in production.toml"
            error = ConsentError(why)
            papers.ledger.append_refusal("consent.refused", error, use=use, person=person.name)
            raise error
        return papers.check(
            person.consent,
            use=use,
            person=person.name,
            project=self.production.project_name,
            line=line,
            language=language,
        )

    def owned(self, papers: Papers, voice: Voice) -> None:
        """Refuse a fitted voice that is not this person's: the record allows only theirs.

        Raises `ConsentError`, and the ledger says so.
        """
        if self.is_stock() or voice.person.casefold() == self.person.name.casefold():
            return
        whose = f"of {voice.person}" if voice.person else "of nobody that its card names"
        error = ConsentError(
            f"the voice '{voice.name}' is {whose}, not of {self.person.name}; mend "
            f"people.{self.job.person} in production.toml, or fit the voice again"
        )
        papers.ledger.append_refusal(
            "consent.refused", error, use="voice-say", person=self.person.name
        )
        raise error

    def voice(self) -> Voice:
        """The voice that the takes step names. Raises `WeightsError`, `TextError`."""
        from voice.voice import load_voice

        which = str(self.setting("voice"))
        if which.startswith("@"):
            voice = load_voice(self.store.place(which[1:]) / "voice")
        else:
            voice = load_voice(which if which.startswith(_STOCK) else Path(which))
        language = str(self.setting("language"))
        if language and language.casefold() != voice.language.casefold():
            raise TextError(
                f"the voice '{voice.name}' speaks {voice.language}, not {language}; name one "
                f"that does under people.{self.job.person}.voices"
            )
        return voice

    def is_stock(self) -> bool:
        """Whether the takes step speaks in a voice that is nobody's."""
        takes = self.job.step("takes")
        return takes is not None and str(takes.settings["voice"]).startswith(_STOCK)
