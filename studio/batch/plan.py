"""What is to be made of each cue: its steps, each named by the sha256 of all that goes into it.

    planner = Planner(production)
    job = planner.job(cue)
    [step.folder for step in job.steps]      # takes-..., timing-..., shot-..., package-...

Keys hang on one another: another word in the line gives new takes and all that follows; another
threshold gives nothing new, because steps measure and `checks` judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from media.errors import TextError
from media.files import sha256_of
from studio._jobs import FACE_WEIGHTS, FIT_WEIGHTS, LIP_WEIGHTS, MARK_WEIGHTS, TIMING_WEIGHTS
from studio.batch.keys import HashBook, digest, weights_mark
from studio.batch.records import Decision, Request, read_decisions, read_requests
from studio.batch.states import write_json
from studio.cues.cue import Cue
from studio.cues.places import FootageBook
from studio.production import Person, Production, ProductionError

__all__ = ["Job", "Planner", "Step", "VERSION_OF", "WORK_OF"]

_STOCK = "stock:"
_SPEAK = (
    "kokoro-onnx",
    "kokoro-vocab",
    "kokoro-voices-ja",
    "whisper-tiny",
    "dnsmos",
    *TIMING_WEIGHTS,
    *MARK_WEIGHTS,
)
VERSION_OF: Mapping[str, int] = {
    "voice": 5,
    "faces": 1,
    "takes": 7,
    "timing": 1,
    "match": 2,
    "shot": 8,
    "check": 1,
    "package": 1,
}
"""To be raised where a step's code would now make something else of the same inputs; a test
watches over the code that each number stands for (`tests/batch/test_batch_code.py`)."""
WORK_OF: Mapping[str, str] = {
    "voice": "fitting the voice",
    "faces": "following the face",
    "takes": "speaking",
    "timing": "placing words and phones",
    "match": "matching the room",
    "shot": "rendering the mouth",
    "check": "measuring",
    "package": "signing and delivering",
}
"""What each step does, in words for people."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `settings` are JSON values for its maker; `units` scale its expected time
    (characters spoken, frames rendered, seconds of recordings, else 1)."""

    name: str
    key: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    units: float = 1.0

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.name}-{self.key}"


@dataclass(frozen=True, slots=True)
class Job:
    """All steps of one cue in order, or one step that cues share (`cue` is None then).

    `needs` are folders of shared steps that must be done before. `chosen` is the take that
    goes on, GENERATION.RANK. `nonce` numbers the times that a cue was forced.
    """

    id: str
    person: str
    steps: tuple[Step, ...]
    cue: Cue | None = None
    needs: tuple[str, ...] = ()
    chosen: str = ""
    nonce: int = 0

    def step(self, name: str) -> Step | None:
        """The last step of that name."""
        return next((s for s in reversed(self.steps) if s.name == name), None)

    def known_step(self, name: str) -> Step:
        """The last step of that name, of which every cue has one."""
        step = self.step(name)
        if step is None:
            raise KeyError(name)
        return step

    @property
    def keys(self) -> dict[str, str]:
        """Folder by step name; takes of a later generation as "takes.2"."""
        names: dict[str, str] = {}
        for step in self.steps:
            generation = step.settings.get("generation", 1)
            names[step.name if generation == 1 else f"{step.name}.{generation}"] = step.folder
        return names


@dataclass(slots=True)
class Planner:
    """Plans cues of one production as its files are now."""

    production: Production
    footage: FootageBook
    hashes: HashBook
    decisions: Mapping[str, tuple[Decision, ...]]
    requests: Mapping[str, tuple[Request, ...]]
    nonces: dict[str, int]
    shared: dict[str, Job] = field(default_factory=dict)
    _voices: dict[tuple[str, str], tuple[Any, str]] = field(default_factory=dict)
    _weights: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, production: Production, footage: FootageBook | None = None) -> Planner:
        """A planner for what lies on disk now."""
        return cls(
            production,
            footage or FootageBook(production),
            HashBook(production.work / "hashes.json"),
            read_decisions(production),
            read_requests(production),
            _read_nonces(production),
        )

    def job(self, cue: Cue) -> Job:
        """The cue's steps. Adds what it shares with others to `shared`.

        Raises what is wrong with its inputs: missing media, no voice in its language.
        """
        found = self.production.person_of(cue.character)
        if found is None:
            raise ProductionError(f"nobody in the production is '{cue.character}'")
        who, person = found
        spoken, needs = self._takes(cue, who, person)
        chosen = self._chosen(cue, spoken)
        timing = self._timing(cue, spoken, chosen)
        steps, sound = [*spoken, timing], timing
        picture = self._picture(cue)
        if picture is not None and self.production.delivery.match:
            sound = self._match(timing, picture)
            steps.append(sound)
        if picture is not None:
            shot, faces = self._shot(cue, who, person, timing, sound, picture)
            steps.append(shot)
            needs.append(faces)
        steps.append(self._check(cue, sound, steps))
        steps.append(self._package(cue, steps, chosen))
        nonce = self.nonces.get(cue.id, 0)
        return Job(cue.id, who, tuple(steps), cue, tuple(needs), chosen, nonce)

    # --- takes ---

    def _takes(self, cue: Cue, who: str, person: Person) -> tuple[list[Step], list[str]]:
        """The first takes, and those of every request that wants new sound."""
        voice, mark, needs = self._voice(cue, who, person)
        requests = [r for r in self.requests.get(cue.id, ()) if r.speaks]
        generations: list[tuple[str, int | None, str]] = [(cue.dialogue, cue.seed, "")]
        for request in requests:
            words = request.text or generations[-1][0]
            generations.append((words, request.seed, request.note))
        steps = []
        for number, (text, seed, note) in enumerate(generations, 1):
            settings = {
                "generation": number,
                "text": text,
                "language": cue.language,
                "takes": self.production.delivery.takes,
                "seed": self._seed(number) if seed is None else seed,
                "speed": cue.speed,
                "delivery": cue.delivery,
                "duration_s": cue.duration_s,
                "room_s": cue.length_s,
                "squeeze": self.production.delivery.squeeze,
            }
            key = digest(["takes", VERSION_OF["takes"], settings, mark, self._weight(_SPEAK)])
            more = {**settings, "voice": voice, "note": note}
            takes = float(self.production.delivery.takes)
            steps.append(Step("takes", key, more, units=takes * (10 + len(text))))
        return steps, needs

    def _seed(self, generation: int) -> int:
        return self.production.delivery.seed + 1000 * (generation - 1)

    def _voice(self, cue: Cue, who: str, person: Person) -> tuple[str, Any, list[str]]:
        """The voice (a name, a folder, or "@STEP"), what identifies it, and what it needs."""
        language = cue.language
        if language and language in person.voices:
            named: str | None = person.voices[language]
        elif language and language != "en" and person.voices:
            raise TextError(f"{person.name} has no voice for '{language}'; add it under voices")
        else:
            named = person.voice
        if named is None:
            fit = self._fit(who, person)
            return f"@{fit}", fit, [fit]
        if named.startswith(_STOCK):
            return named, named, []
        return named, dict(self.hashes.of_places(Path(named))), []

    def _fit(self, who: str, person: Person) -> str:
        """The folder of the shared step that fits this person's voice."""
        settings = {"person": person.name, "seed": self.production.delivery.seed}
        files = self.hashes.of_places(list(person.recordings))
        key = digest(["voice", VERSION_OF["voice"], settings, files, self._weight(FIT_WEIGHTS)])
        places = [str(p) for p in person.recordings]
        step = Step("voice", key, {**settings, "recordings": places}, units=float(len(files)))
        self.shared.setdefault(step.folder, Job(step.folder, who, (step,)))
        return step.folder

    def _weight(self, names: tuple[str, ...]) -> dict[str, str]:
        if names not in self._weights:
            self._weights[names] = weights_mark(names)
        return self._weights[names]

    def _chosen(self, cue: Cue, spoken: Sequence[Step]) -> str:
        """The circled take, if it still exists; else the best of the newest."""
        folders = {step.settings["generation"]: step.folder for step in spoken}
        chosen = f"{len(spoken)}.1"
        newest = ""
        asked = [r for r in self.requests.get(cue.id, ()) if r.speaks]
        if asked:
            newest = asked[-1].time
        circled: dict[str, Decision] = {}
        for decision in self.decisions.get(cue.id, ()):
            if decision.circled is not None:
                circled.pop(decision.take, None)
                if decision.circled:
                    circled[decision.take] = decision
        for take, decision in circled.items():
            generation = int(take.partition(".")[0]) if take[:1].isdigit() else 0
            # What was circled before a retake was asked for gives way to the retake.
            if folders.get(generation) == decision.step and decision.time >= newest:
                chosen = take
        return chosen

    # --- what follows ---

    def _timing(self, cue: Cue, spoken: Sequence[Step], chosen: str) -> Step:
        generation, _, rank = chosen.partition(".")
        takes = spoken[int(generation) - 1]
        moved = [r for r in self.requests.get(cue.id, ()) if r.timing is not None]
        override = next((r.timing for r in reversed(moved) if r.take in (chosen, None)), None)
        place = None if override is None else self.production.folder / override
        mark = None if place is None else sha256_of(place)
        key = digest(["timing", VERSION_OF["timing"], takes.folder, rank, mark])
        settings = {
            "takes": takes.folder,
            "rank": int(rank),
            "override": None if place is None else str(place),
        }
        return Step("timing", key, settings)

    def _picture(self, cue: Cue) -> dict[str, Any] | None:
        """Footage and frames of a cue that is to have a shot."""
        if cue.start is None or cue.end is None or cue.on_screen is False:
            return None
        place = self.footage.place_of(cue.scene)
        if place is None:
            return None
        first = cue.start.frames - place.start.frames
        return {
            "footage": str(place.footage),
            "frames": place.frames,
            "cue_first": first,
            "cue_stop": first + cue.end.frames - cue.start.frames,
        }

    def _match(self, timing: Step, picture: Mapping[str, Any]) -> Step:
        mark = {**picture, "footage": self.hashes.of(Path(picture["footage"]))}
        key = digest(["match", VERSION_OF["match"], timing.folder, mark])
        return Step("match", key, {**picture, "timing": timing.folder})

    def _shot(
        self,
        cue: Cue,
        who: str,
        person: Person,
        timing: Step,
        sound: Step,
        picture: dict[str, Any],
    ) -> tuple[Step, str]:
        """The step that renders the mouth, and the shared one that follows faces for it."""
        footage = Path(picture["footage"])
        sources = list(person.faces) or [footage]
        marks = dict(self.hashes.of_places(sources))
        own = self.hashes.of(footage)
        delivery = self.production.delivery
        settings = {
            "cue_first": picture["cue_first"],
            "cue_stop": picture["cue_stop"],
            "frames": picture["frames"],
            "handles": delivery.handles,
            "codec": delivery.picture,
            "seed": delivery.seed,
            "archive_only": not person.faces,
            "name": cue.id,
        }
        mark = [settings, timing.folder, sound.folder, own, marks, self._weight(LIP_WEIGHTS)]
        key = digest(["shot", VERSION_OF["shot"], mark])
        more = {
            **settings,
            "footage": str(footage),
            "archive": [str(p) for p in sources],
            "timing": timing.folder,
            "sound": sound.folder,
        }
        long = picture["cue_stop"] - picture["cue_first"] + 2 * delivery.handles
        return Step("shot", key, more, units=float(long)), self._faces(who, sources, marks)

    def _faces(self, who: str, sources: Sequence[Path], marks: Mapping[str, str]) -> str:
        key = digest(["faces", VERSION_OF["faces"], who, dict(marks), self._weight(FACE_WEIGHTS)])
        settings = {"archive": [str(p) for p in sources]}
        step = Step("faces", key, settings, units=float(len(sources)))
        self.shared.setdefault(step.folder, Job(step.folder, who, (step,)))
        return step.folder

    def _check(self, cue: Cue, sound: Step, steps: Sequence[Step]) -> Step:
        by_name = {s.name: s.folder for s in steps}
        settings = {
            "timing": by_name["timing"],
            "sound": sound.folder,
            "shot": by_name.get("shot"),
            "room_s": cue.duration_s or cue.length_s,
        }
        return Step("check", digest(["check", VERSION_OF["check"], settings]), settings)

    def _package(self, cue: Cue, steps: Sequence[Step], chosen: str) -> Step:
        by_name = {s.name: s.folder for s in steps}
        facts = asdict(cue)
        for name in ("variants", "where", "start", "end"):
            facts.pop(name)
        facts |= {"start": str(cue.start), "end": str(cue.end), "chosen": chosen}
        settings = {
            "check": by_name["check"],
            "timing": by_name["timing"],
            "sound": by_name.get("match", by_name["timing"]),
            "shot": by_name.get("shot"),
            "title": self.production.title,
            "project": self.production.project_name,
        }
        nonce = self.nonces.get(cue.id, 0)
        key = digest(["package", VERSION_OF["package"], settings, facts, nonce])
        return Step("package", key, settings)

    # --- forcing ---

    def force(self, cue_ids: Sequence[str]) -> None:
        """Number these cues anew, so that what they deliver is recorded as made again."""
        for cue_id in cue_ids:
            self.nonces[cue_id] = self.nonces.get(cue_id, 0) + 1
        write_json(_nonces_of(self.production), self.nonces)


def _nonces_of(production: Production) -> Path:
    return production.work / "forced.json"


def _read_nonces(production: Production) -> dict[str, int]:
    try:
        data = json.loads(_nonces_of(production).read_text("utf-8"))
        return {str(k): int(v) for k, v in dict(data).items()}
    except (OSError, ValueError, TypeError):
        return {}
