"""The production file: rate, delivery, people, scenes with their objectives, cue sheets.

    production = load_production(Path("harbour/production.toml"))
    production.rate, production.people["mara"].consent, production.thresholds_of("12").wer

One TOML file that people read and edit. Every path in it is relative to its own folder. A
misspelt key is an error, not a setting that is silently ignored. Work in progress goes to
`work/`, what is delivered to `out/`; ledger and disclosure sheet lie beside the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from media.errors import MediaError, WildlineError
from media.time import FrameRate, Timecode
from studio import disclosure, ledger

__all__ = [
    "CueSource",
    "Delivery",
    "Person",
    "Production",
    "ProductionError",
    "Scene",
    "Thresholds",
    "VariantRule",
    "load_production",
]

FILE_NAME = "production.toml"
_STOCK = "stock:"


class ProductionError(WildlineError):
    """The production file or a cue sheet cannot be used as it is."""


def _inside(path: Path, info: ValidationInfo) -> Path:
    """The path as the production means it: relative to the folder of its file."""
    folder = (info.context or {}).get("folder")
    return path if folder is None else Path(folder) / path


def _voice(which: str, info: ValidationInfo) -> str:
    return which if which.startswith(_STOCK) else str(_inside(Path(which), info))


def _rate(value: object) -> FrameRate:
    if isinstance(value, FrameRate):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Fraction)):
        raise ValueError("write 25, 23.976 or 24000/1001")
    try:
        return FrameRate.parse(value)
    except MediaError as error:
        raise ValueError(str(error)) from error


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Place = Annotated[Path, AfterValidator(_inside)]
_VoiceName = Annotated[str, AfterValidator(_voice)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Thresholds(_Strict):
    """What output is tested against; None is not tested.

    `wer` at most (a fraction); `similarity`, `naturalness` (DNSMOS), `closure_rate`,
    `silence_shut` at least; `loudness` LUFS, give or take `loudness_tolerance` LU; `length`
    at most so many seconds beyond the cue; `audience` at least this mean rating (1..5).
    """

    wer: Annotated[float, Field(ge=0)] | None = None
    similarity: _Share | None = None
    naturalness: Annotated[float, Field(ge=1, le=5)] | None = None
    closure_rate: _Share | None = None
    silence_shut: _Share | None = None
    loudness: Annotated[float, Field(ge=-70, le=0)] | None = None
    loudness_tolerance: Annotated[float, Field(gt=0)] | None = None
    length: Annotated[float, Field(ge=0)] | None = None
    audience: Annotated[float, Field(ge=1, le=5)] | None = None

    def over(self, general: Thresholds) -> Thresholds:
        """These, and where they are silent the general ones."""
        own = {k: v for k, v in self.model_dump().items() if v is not None}
        return general.model_copy(update=own)


class Delivery(_Strict):
    """How lines and shots are made and delivered.

    `takes` a line, ranked; `squeeze`: a line longer than its cue is spoken up to so much
    faster (1 never); `match`: brought to the room and level of the production sound;
    `handles` frames before and after the cue in a shot; `picture` codec; `retries` of a step
    that failed for a reason that may pass.
    """

    takes: Annotated[int, Field(ge=1, le=50)] = 3
    seed: int = 0
    squeeze: Annotated[float, Field(ge=1, le=2)] = 1.15
    match: bool = False
    handles: Annotated[int, Field(ge=0, le=250)] = 12
    picture: Literal["h264", "prores"] = "h264"
    retries: Annotated[int, Field(ge=0, le=10)] = 2


class Person(_Strict):
    """Whose voice and face it is, and the record that allows it.

    `characters` are the names cue sheets use (the person's key and `name` always count).
    `voice` is a fitted voice's folder or "stock:NAME"; without it a voice is fitted to
    `recordings`. `voices` names further ones by language. `faces` is footage to take mouths
    from (files or folders); without it the scene's own is used. A still among it says who it is.
    """

    name: _Text
    characters: tuple[_Text, ...] = ()
    voice: _VoiceName | None = None
    voices: dict[str, _VoiceName] = Field(default_factory=dict)
    recordings: tuple[_Place, ...] = ()
    faces: tuple[_Place, ...] = ()
    consent: _Place | None = None

    @model_validator(mode="after")
    def _has_voice(self) -> Person:
        if self.voice is None and not self.recordings:
            raise ValueError("give a voice, or recordings to fit one to")
        return self


class Scene(_Strict):
    """A scene: its footage, what it must achieve in words, and its own thresholds.

    `start` is the timecode of the footage's first frame, where the file does not say it
    or says it wrongly.
    """

    footage: _Place | None = None
    start: str | None = None
    objective: str = ""
    thresholds: Thresholds = Field(default_factory=Thresholds)


class CueSource(_Strict):
    """One cue sheet: CSV, TSV, XLSX, SRT, VTT, EDL, OTIO or Fountain.

    `columns` maps our names (number, reel, scene, character, start, end, dialogue,
    alternate, reason, on_screen, priority, notes, take, variant.NAME) to the sheet's
    headings; usual headings are known. `sheet` and `header` are an XLSX worksheet's name
    and the row of its headings (from 1). `scene`, `reel` and `character` stand in where
    the sheet has none; `only` keeps these characters. `origin` is the timecode at which
    subtitles count from zero.
    """

    file: _Place
    columns: dict[str, str] = Field(default_factory=dict)
    sheet: str | None = None
    header: Annotated[int, Field(ge=1)] | None = None
    scene: str | None = None
    character: str | None = None
    reel: str | None = None
    origin: str | None = None
    only: tuple[str, ...] = ()


class VariantRule(_Strict):
    """A further version of cues: another delivery, length or language.

    `delivery` is one of the manners on the card of the person's voice. `cues` are the numbers it
    is made for (none: all). The wording is the cue's own, or that of the sheet's column mapped
    as `variant.NAME`.
    """

    cues: tuple[str, ...] = ()
    language: str | None = None
    speed: Annotated[float, Field(ge=0.3, le=3)] | None = None
    duration_s: Annotated[float, Field(gt=0)] | None = None
    seed: int | None = None
    delivery: str | None = None


class Production(_Strict):
    """A production, as its `file` says; `folder` is where that lies.

    `project` is what consent records call it (default: the title); `territories` and
    `media` are where and in what it will be shown, which consent must cover.
    """

    folder: Path
    file: Path
    title: _Text
    rate: Annotated[FrameRate, BeforeValidator(_rate)]
    drop_frame: bool = False
    project: str = ""
    territories: tuple[_Text, ...] = ()
    media: tuple[_Text, ...] = ()
    delivery: Delivery = Field(default_factory=Delivery)
    objectives: Thresholds = Field(default_factory=Thresholds)
    people: dict[str, Person] = Field(default_factory=dict)
    scenes: dict[str, Scene] = Field(default_factory=dict)
    cues: tuple[CueSource, ...] = ()
    variants: dict[str, VariantRule] = Field(default_factory=dict)
    ledger: _Place = Path(ledger.DEFAULT_NAME)
    disclosure: _Place = Path(disclosure.DEFAULT_NAME)
    certificate: _Place | None = None
    key: _Place | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_places(cls, data: Any) -> Any:
        """Defaults are validated like what was written, so that they become absolute."""
        if isinstance(data, dict):
            data = {"ledger": ledger.DEFAULT_NAME, "disclosure": disclosure.DEFAULT_NAME, **data}
        return data

    @model_validator(mode="after")
    def _timecodes(self) -> Production:
        try:
            Timecode(0, self.rate, self.drop_frame)
            for scene in self.scenes.values():
                if scene.start is not None:
                    self.timecode(scene.start)
        except MediaError as error:
            raise ValueError(str(error)) from error
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or neither")
        return self

    @property
    def work(self) -> Path:
        """Folder of work in progress: steps, cue states, requests, decisions."""
        return self.folder / "work"

    @property
    def out(self) -> Path:
        """Folder of what is delivered."""
        return self.folder / "out"

    @property
    def project_name(self) -> str:
        """The project as consent records call it."""
        return self.project or self.title

    def thresholds_of(self, scene: str) -> Thresholds:
        """The scene's thresholds over the production's."""
        own = self.scenes.get(scene)
        return self.objectives if own is None else own.thresholds.over(self.objectives)

    def timecode(self, label: str) -> Timecode:
        """Read a label at this production's rate and way of counting.

        Raises `MediaError` for a malformed label, one that does not exist, or drop-frame
        in a non-drop production and the other way round.
        """
        timecode = Timecode.parse(label, self.rate)
        if timecode.drop != self.drop_frame and self.drop_frame:
            raise MediaError(
                f"timecode {label} is non-drop (':') and the production counts drop-frame; "
                "write ';' before the frames"
            )
        if timecode.drop != self.drop_frame:
            raise MediaError(
                f"timecode {label} is drop-frame (';') and the production counts non-drop; "
                "write ':' or set drop_frame = true"
            )
        return timecode

    def person_of(self, character: str) -> tuple[str, Person] | None:
        """Key and record of the person who is that character; None if nobody is."""
        wanted = _folded(character)
        for key, person in self.people.items():
            if wanted in map(_folded, (key, person.name, *person.characters)):
                return key, person
        return None


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def load_production(path: Path) -> Production:
    """Read `production.toml`, or the one in a folder.

    Raises `ProductionError` with one line that names the key at fault.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ProductionError(
            f"there is no production file {path}; make one with: wildline init {path.parent}"
        ) from error
    except OSError as error:
        raise ProductionError(
            f"the production file {path} cannot be read ({error.strerror}); check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ProductionError(f"the production file {path} is not TOML: {why}") from error
    return parse_production(data, path)


def parse_production(data: Mapping[str, Any], path: Path) -> Production:
    """Validate what a production file says. Raises `ProductionError` as `load_production`."""
    folder = path.resolve().parent
    for name in ("folder", "file"):
        if name in data:
            raise ProductionError(f"{path}: {name}: there is no such key; check its spelling")
    own = {"folder": folder, "file": path.resolve()}
    try:
        return Production.model_validate({**data, **own}, context={"folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        why = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            why = "there is no such key; check its spelling"
        raise ProductionError(f"{path}: {where}: {why}") from error
