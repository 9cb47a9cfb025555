"""How long steps take: what earlier ones took, and a guess where there were none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media.errors import OutputError
from studio.batch.plan import Job, Step
from studio.batch.states import write_json

__all__ = ["Estimates"]

# Seconds a unit on one core of a plain machine, until this one has been measured.
_GUESS: Mapping[str, float] = {
    "voice": 60.0,
    "faces": 30.0,
    "takes": 0.03,
    "timing": 0.02,
    "match": 1.0,
    "shot": 0.25,
    "check": 0.1,
    "package": 0.2,
}
_MEMORY = 0.95  # weight of what was known when something new is measured


@dataclass(slots=True)
class Estimates:
    """Seconds and units of earlier steps, kept in `work/timings.json`."""

    file: Path
    _sums: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            data: dict[str, Any] = dict(json.loads(self.file.read_text("utf-8")))
            self._sums = {k: [float(v[0]), float(v[1])] for k, v in data.items()}
        except (OSError, ValueError, TypeError, IndexError):
            self._sums = {}

    def learn(self, steps: Iterable[tuple[str, float, float]]) -> None:
        """Take in (name, seconds, units) of steps that were done."""
        for name, seconds, units in steps:
            old = self._sums.get(name, [0.0, 0.0])
            self._sums[name] = [_MEMORY * old[0] + seconds, _MEMORY * old[1] + units]

    def save(self) -> None:
        """Keep what was learnt; without a place for it the next run guesses again."""
        with suppress(OutputError):
            write_json(self.file, self._sums)

    def of(self, step: Step) -> float:
        """Seconds that a step should take on one worker."""
        seconds, units = self._sums.get(step.name, (0.0, 0.0))
        each = seconds / units if units else _GUESS[step.name]
        return each * step.units

    def of_job(self, job: Job, done: set[str]) -> float:
        """Seconds that the undone steps of a job should take."""
        return sum(self.of(step) for step in job.steps if step.folder not in done)
