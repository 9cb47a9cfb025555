"""Work for the crews that is light: real steps, records and states, but no engines.

What is tested with it is who does the work and what survives; what the work is, is tested with
the real voice elsewhere.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.batch.bench import Bench
from studio.batch.plan import Job
from studio.batch.states import CueState
from studio.batch.store import StepStore
from studio.batch.work import Outcome
from studio.production import Production, load_production


def light_work(production: Production, job: Job) -> Outcome:
    """Two files a step and, at the end, the cue's delivery; `work/slow` says how long it takes."""
    store = StepStore(production)
    assert job.cue is not None
    for step in job.steps:
        bench = Bench(production, store, job, step)

        def make(folder: Path, bench: Bench = bench) -> Mapping[str, Any]:
            (folder / "begun").write_text("")
            time.sleep(_pause(production))
            (folder / "done").write_text(bench.step.key)
            if bench.step.name == "package":
                ledger = bench.papers(folder).ledger
                ledger.append("line.made", text=job.id)
                ledger.append("cue.delivered", text=job.id, pid=os.getpid())
            return {"files": []}

        store.make(step.folder, make)
    CueState.read(production, job.id).became("done", steps=job.keys).write(production, job.cue)
    return Outcome(job.id, "done", steps=(("package", 0.01, 1.0),))


def _pause(production: Production) -> float:
    slow = production.work / "slow"
    return float(slow.read_text()) if slow.is_file() else 0.0


def deadly_work(production: Production, job: Job) -> Outcome:
    """As `light_work`, but cue K2 kills its worker each time and K3 the first time."""
    mark = production.work / f"{job.id}.tried"
    if job.id == "K2" or (job.id == "K3" and not mark.exists()):
        mark.touch()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    return light_work(production, job)


def main(folder: str) -> None:
    """Run a batch in this process, to be killed by whoever started it."""
    from studio.batch.local import LocalCrew
    from studio.batch.run import run_batch

    production = load_production(Path(folder))
    report = run_batch(production, crew=LocalCrew(production, 2, light_work))
    print(len(report.done), report.skipped)


if __name__ == "__main__":
    main(sys.argv[1])
