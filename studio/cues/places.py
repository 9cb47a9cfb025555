"""Where the film's pictures are: the timecode span of each scene's footage, looked up once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from media.errors import MediaError
from media.time import FrameRate, Timecode
from studio.production import Production, ProductionError

__all__ = ["FootageBook", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A scene's footage: its first frame's timecode and how many frames it has."""

    footage: Path
    start: Timecode
    frames: int

    @property
    def stop(self) -> Timecode:
        """The timecode after its last frame."""
        return self.start + self.frames


@dataclass(slots=True)
class FootageBook:
    """Facts of footage, kept in `work/footage.json` as long as the files stay as they were."""

    production: Production
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _places: dict[str, Place | ProductionError | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._facts = dict(json.loads(self._file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            self._facts = {}

    @property
    def _file(self) -> Path:
        return self.production.work / "footage.json"

    def place_of(self, scene: str) -> Place | None:
        """The place of a scene, None where it has no footage or is not known.

        Raises `ProductionError` when the footage is missing, unreadable or runs at another
        rate.
        """
        if scene not in self._places:
            try:
                self._places[scene] = self._look(scene)
            except ProductionError as error:
                self._places[scene] = error
        found = self._places[scene]
        if isinstance(found, ProductionError):
            raise found
        return found

    def _look(self, scene: str) -> Place | None:
        known = self.production.scenes.get(scene)
        if known is None or known.footage is None:
            return None
        facts = self._facts_of(known.footage, scene)
        production = self.production
        rate = FrameRate(Fraction(facts["rate"]))
        if rate != production.rate:
            raise ProductionError(
                f"scene {scene}: '{known.footage.name}' runs at {rate} and the production at "
                f"{production.rate}; conform it first"
            )
        if known.start is not None:
            start = production.timecode(known.start)
        else:
            start = Timecode(int(facts["start"] or 0), rate, production.drop_frame)
        return Place(known.footage, start, int(facts["frames"]))

    def _facts_of(self, footage: Path, scene: str) -> dict[str, Any]:
        try:
            stat = footage.stat()
        except OSError as error:
            raise ProductionError(
                f"scene {scene}: there is no footage '{footage}'; bring it there or mend "
                "production.toml"
            ) from error
        stamp = [stat.st_size, stat.st_mtime_ns]
        facts = self._facts.get(str(footage))
        if facts is None or facts.get("stamp") != stamp:
            facts = {"stamp": stamp, **_probed(footage, scene)}
            self._facts[str(footage)] = facts
            self._save()
        return facts

    def _save(self) -> None:
        """Keep the facts for the next run; without a place for them they are found anew."""
        from contextlib import suppress

        from media.errors import OutputError
        from studio.batch.states import write_json

        with suppress(OutputError):
            write_json(self._file, self._facts)


def _probed(footage: Path, scene: str) -> dict[str, Any]:
    from media.reader import probe

    try:
        info = probe(footage)
    except MediaError as error:
        raise ProductionError(f"scene {scene}: {error}") from error
    frames = info.frames
    if frames is None:
        frames = info.rate.frames_in(info.duration_s)
    start = None if info.start_timecode is None else info.start_timecode.frames
    return {"rate": str(info.rate.value), "frames": frames, "start": start}
