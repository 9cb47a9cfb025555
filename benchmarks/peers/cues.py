"""Productions of 1 to 1,000 cues: what the house adds to each, and what a second run costs.

The house alone (planning, store, states, ledger, papers, report) is run with steps that make
nothing, up to 1,000 cues; with the real engines as many as are asked for, as 1,000 spoken lines
would be an hour of the engine's time and tell the same. The peer is a plain loop of `say`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.batch import cpu_s, loop, production, stand_in
from benchmarks.peers.tables import Result, ratio

COLUMNS = {
    "steps": "",
    "cues": "d",
    "wall s": ".2f",
    "wall ms/cue": ".0f",
    "CPU s/cue": ".3f",
    "beyond the steps": "",
    "second run s": ".2f",
    "CPU, loop / ours": ".2f",
    "load": ".1f",
}
JOBS = 2
NOTE = f"""\
One-line cues off screen in one stock voice, {JOBS} workers. *empty*: every step of the real graph,
its records, states and papers, without content. *real*: the engines, one take a line, conformed,
signed and packed. *beyond the steps*: what the workers' time was more than the time in their
steps, as a share of that. The loop calls `say` for the same lines in one process."""


def run(result: Result, scratch: Path, *, cues: Sequence[int], real: Sequence[int]) -> None:
    """Fill `result`."""
    for count in cues:
        result.rows.append(house(scratch / f"house-{count}", count))
    for count in real:
        result.rows.append(engines(scratch / f"real-{count}", count))
    if real:
        count = max(real)
        spent = loop(scratch / "loop", count) / count
        for row in result.rows:
            if row["cues"] == count and row["steps"] == "real":
                row["CPU, loop / ours"] = ratio(spent, row["CPU s/cue"])
        result.rows.append({"steps": "loop of say()", "cues": count, "CPU s/cue": spent})
    result.notes.append(NOTE)


def house(folder: Path, count: int) -> dict[str, Any]:
    """The whole batch with steps that make nothing, and once more."""
    from studio.batch.local import LocalCrew
    from studio.batch.run import run_batch

    made, load = production(folder, count), os.getloadavg()[0]
    began, before = time.monotonic(), cpu_s()
    report = run_batch(made, crew=LocalCrew(made, JOBS, stand_in))
    wall, spent = time.monotonic() - began, cpu_s() - before
    assert len(report.done) == count, report
    began = time.monotonic()
    again = run_batch(made)
    assert again.skipped == count, again
    second = time.monotonic() - began
    return {"steps": "empty", **_row(count, wall, spent, load), "second run s": second}


def engines(folder: Path, count: int) -> dict[str, Any]:
    """The whole batch as it is, and once more."""
    from studio.batch.run import run_batch

    made, load = production(folder, count), os.getloadavg()[0]
    before = cpu_s()
    report = run_batch(made, jobs=JOBS)
    spent = cpu_s() - before
    assert len(report.done) == count, report
    began = time.monotonic()
    assert run_batch(made, jobs=JOBS).skipped == count
    beyond = (report.seconds * min(JOBS, count) - report.step_seconds) / report.step_seconds
    row = _row(count, report.seconds, spent, load)
    second = time.monotonic() - began
    return {"steps": "real", **row, "beyond the steps": f"{beyond:.1%}", "second run s": second}


def _row(count: int, wall: float, spent: float, load: float) -> dict[str, Any]:
    each = {"wall ms/cue": 1000 * wall / count, "CPU s/cue": spent / count}
    return {"cues": count, "wall s": wall, **each, "load": load}
