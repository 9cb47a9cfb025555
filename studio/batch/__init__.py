"""A whole production at once: every cue from its line to its delivered files.

    from studio.batch import cue_results, run_batch
    from studio.production import load_production

    production = load_production(Path("production.toml"))
    report = run_batch(production, jobs=2)          # makes what is missing; again: does nothing
    for result in cue_results(production): print(result.cue.id, result.status)

Each step of a cue (takes, timing, match, shot, check, package) is a folder in `work/steps`
named by the sha256 of all that goes into it. A killed batch goes on where it was; an edit
redoes only what hangs on it; every delivery is in the ledger exactly once.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "BatchReport": "run",
    "Check": "checks",
    "CueResult": "results",
    "TakeResult": "results",
    "cue_results": "results",
    "decide": "results",
    "request_take": "results",
    "run_batch": "run",
}

__all__ = [
    "BatchReport",
    "Check",
    "CueResult",
    "TakeResult",
    "cue_results",
    "decide",
    "request_take",
    "run_batch",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"studio.batch.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
