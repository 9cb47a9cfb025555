"""What is known of one recording and of its clips: as it is kept in the dataset's work folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["ClipFacts", "Loss", "SourceFacts", "facts_of", "text_of"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch that no clip was made of: in and out in samples of its source, and why."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """One clip: where it lies (samples of its source), its words, and what was measured.

    `reason` says why it cannot be used, "" when it can as far as it is known by itself. `wav` and
    `original` are file names in the work folder, `wav_sha256` is of the first. `agreement` is the
    share of words that a transcript and what is heard have in common, None without a transcript.
    `snr_db` counts repairs as far as they help a voice, `snr_before_db` is the recording's.
    `f0_counts` are voiced frames a semitone from 50 Hz.
    """

    start: int
    end: int
    text: str = ""
    origin: str = "none"
    confidence: float = 0.0
    agreement: float | None = None
    note: str = ""
    reason: str = ""
    wav: str = ""
    wav_sha256: str = ""
    original: str = ""
    repairs: tuple[str, ...] = ()
    clicks: int = 0
    level_dbfs: float = -120.0
    snr_db: float = 0.0
    snr_before_db: float = 0.0
    clipped: float = 0.0
    bandwidth_hz: float = 0.0
    f0_hz: float = 0.0
    second_voice: float = 0.0
    f0_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One recording: how it was recorded, and its clips. `reason` why all of it fell out, or "".

    Times in seconds, levels in dBFS; `hum_hz` 0 is none; `rt60_s` and `direct_db` None where
    there was too little speech to hear the room.
    """

    file: str
    sha256: str
    rate: int
    channels: int = 1
    duration_s: float = 0.0
    speech_s: float = 0.0
    note: str = ""
    reason: str = ""
    noise_dbfs: float = -120.0
    speech_dbfs: float = -120.0
    hum_hz: float = 0.0
    hum_dbfs: float = -120.0
    clicks_min: float = 0.0
    clipped: float = 0.0
    rt60_s: float | None = None
    direct_db: float | None = None
    repairs: tuple[str, ...] = ()
    clips: tuple[ClipFacts, ...] = ()
    losses: tuple[Loss, ...] = field(default=())


def text_of(facts: SourceFacts) -> str:
    """As JSON."""
    return json.dumps(asdict(facts), ensure_ascii=False, indent=1)


def facts_of(text: str) -> SourceFacts:
    """From JSON. Raises `ValueError`, `KeyError` or `TypeError` when it is something else."""
    data = json.loads(text)
    clips = tuple(ClipFacts(**_tuples(c, ClipFacts)) for c in data.pop("clips"))
    losses = tuple(Loss(**c) for c in data.pop("losses"))
    return SourceFacts(**_tuples(data, SourceFacts), clips=clips, losses=losses)


def _tuples(data: Mapping[str, Any], kind: type[ClipFacts] | type[SourceFacts]) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known}
