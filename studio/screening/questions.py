"""What a test screening asks, and of which versions: `screening.toml` beside `production.toml`.

    title = "The Harbour"
    welcome = "You will see short clips twice. There are no right answers."

    [[questions]]
    key = "trust"
    ask = "Did you trust her?"
    kind = "scale"                    # 1..5, or "yes-no"

    [[pairs]]                         # default: the original against the chosen take
    cue = "MAR101"
    versions = ["1.1", "1.2"]

Without the file every cue with a chosen take and a picture is shown with the usual questions.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from studio.batch.results import CueResult
from studio.production import Production, ProductionError

__all__ = ["ORIGINAL", "Question", "Screening", "load_screening", "versions_of"]

ORIGINAL = "original"
_WELCOME = (
    "You will see short clips, each in two versions. Watch both as often as you like, then "
    "answer a few questions. There are no right answers."
)
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
_Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Strict):
    """A question of the production's own, asked for each version."""

    key: _Key
    ask: _Text
    kind: Literal["scale", "yes-no"] = "scale"


class Pair(_Strict):
    """Which two versions of a cue are compared: take ids, or "original"."""

    cue: _Text
    versions: tuple[_Text, _Text]

    @model_validator(mode="after")
    def _differ(self) -> Pair:
        if self.versions[0] == self.versions[1]:
            raise ValueError("a version cannot be compared with itself")
        return self


class Screening(_Strict):
    """A test screening. With `pairs` only those cues are shown, in that order."""

    title: str = ""
    welcome: _Text = _WELCOME
    questions: Annotated[tuple[Question, ...], Field(max_length=12)] = ()
    pairs: tuple[Pair, ...] = ()


def load_screening(production: Production) -> Screening:
    """Read `screening.toml`, or the usual one. Raises `ProductionError` naming the key at fault."""
    path: Path = production.folder / "screening.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Screening(title=production.title)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = " ".join(str(error).split())
        raise ProductionError(f"{path} cannot be read as TOML: {why}") from error
    try:
        return Screening.model_validate({"title": production.title, **data})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ProductionError(f"{path}: {where}: {first['msg']}") from error


def versions_of(screening: Screening, result: CueResult) -> tuple[str, str] | None:
    """The two versions of a cue that are compared; None when there is nothing to compare."""
    if result.cue.start is None:
        return None  # a wild line has no picture to compare with
    takes = {t.id for t in result.takes}
    pair = next((p for p in screening.pairs if p.cue == result.cue.id), None)
    if pair is not None:
        known = takes | {ORIGINAL}
        return pair.versions if known.issuperset(pair.versions) else None
    if screening.pairs or result.chosen is None or result.chosen not in takes:
        return None
    return ORIGINAL, result.chosen
