"""What is known of a cue: `work/cues/<CUE-ID>.json`, written by the batch alone, whole or not.

Paths in it are relative to the production's folder, so that a production can be moved.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from media.errors import MediaError
from media.files import output_error
from media.time import Timecode
from studio.cues.cue import Cue, Variant
from studio.production import Production

__all__ = ["STATUSES", "CueState", "Status", "cue_from_json", "cue_to_json", "now", "write_json"]

Status = Literal["waiting", "running", "done", "failed", "refused"]
STATUSES: tuple[Status, ...] = get_args(Status)
_LONGEST_HISTORY = 200


def now() -> str:
    """UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_json(path: Path, document: object) -> None:
    """Write JSON under a temporary name, then rename. Raises `OutputError`.

    Not flushed to the disk: what is written here can be found out again from the steps.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise output_error(path, error) from error


@dataclass(frozen=True, slots=True)
class CueState:
    """The state file's content. `values` are what was measured of the chosen take and its shot.

    `steps` maps a step's name to its key, `step` is the one at work; `takes`, `shot`,
    `original`, `delivered` and `history` hold JSON values as they are in the file.
    """

    status: Status = "waiting"
    reason: str = ""
    step: str = ""
    takes: tuple[Mapping[str, Any], ...] = ()
    chosen: str | None = None
    shot: str | None = None
    original: Mapping[str, Any] | None = None
    timing: str | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    delivered: tuple[str, ...] = ()
    steps: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, production: Production, cue_id: str) -> CueState:
        """The state on disk; a waiting one where there is none or it cannot be read."""
        try:
            data = json.loads(_path(production, cue_id).read_text("utf-8"))
            known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
            for name in ("takes", "delivered", "history"):
                known[name] = tuple(known.get(name, ()))
            state = cls(**known)
        except (OSError, ValueError, TypeError, KeyError):
            return cls()
        return state if state.status in STATUSES else cls()

    def write(self, production: Production, cue: Cue) -> None:
        """Put this state, and the cue that it is of, on disk. Raises `OutputError`."""
        document = {"id": cue.id, "cue": cue_to_json(cue), **asdict(self)}
        write_json(_path(production, cue.id), document)

    def became(self, status: Status, reason: str = "", **changes: Any) -> CueState:
        """The state after something happened, with a line of history."""
        line = {"time": now(), "status": status, "reason": reason}
        history = (*self.history, line)[-_LONGEST_HISTORY:]
        return replace(self, status=status, reason=reason, history=history, **changes)


def _path(production: Production, cue_id: str) -> Path:
    return production.work / "cues" / f"{cue_id}.json"


def cue_to_json(cue: Cue) -> dict[str, Any]:
    """A cue as JSON values; timecodes as labels."""
    data = asdict(replace(cue, start=None, end=None))
    data["start"] = None if cue.start is None else str(cue.start)
    data["end"] = None if cue.end is None else str(cue.end)
    return data


def cue_from_json(data: Mapping[str, Any], production: Production) -> Cue:
    """The cue that `cue_to_json` wrote. Raises `MediaError` when it is not one."""
    try:
        values = {name: data[name] for name in Cue.__dataclass_fields__ if name in data}
        for name in ("start", "end"):
            label = values.get(name)
            values[name] = None if label is None else Timecode.parse(str(label), production.rate)
        values["variants"] = tuple(Variant(**v) for v in values.get("variants", ()))
        return Cue(**values)
    except (TypeError, KeyError) as error:
        raise MediaError(f"a cue cannot be read back: {error}") from error
