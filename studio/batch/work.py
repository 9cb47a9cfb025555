"""Doing a job: its steps in order, in whatever process it was given to.

Engines keep their models for as long as the process lives, so a worker loads each once. What
goes wrong is part of the outcome, never an exception: one bad cue must not stop the rest.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from media.errors import ConsentError, OutputError, ProvenanceError, WildlineError
from studio.batch.bench import Bench
from studio.batch.package import lay_out, make_check, make_package
from studio.batch.plan import WORK_OF, Job, Step
from studio.batch.shots import make_faces, make_shot
from studio.batch.speech import make_match, make_takes, make_timing, make_voice, takes_of
from studio.batch.states import CueState, Status
from studio.batch.store import StepStore
from studio.production import Production

__all__ = ["Outcome", "finished_state", "run_job"]

Maker = Callable[[Bench, Path], Mapping[str, Any]]
_MAKERS: Mapping[str, Maker] = {
    "voice": make_voice,
    "faces": make_faces,
    "takes": make_takes,
    "timing": make_timing,
    "match": make_match,
    "shot": make_shot,
    "check": make_check,
    "package": make_package,
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BREATH_S = 0.5  # before a step is tried again


Stop = Literal["", "records", "disk"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. `steps` are (name, seconds, units) of what was really done.

    With `stop` nothing more may be made: the "records" or the "disk" cannot take it.
    """

    job: str
    status: Status
    reason: str = ""
    steps: tuple[tuple[str, float, float], ...] = ()
    stop: Stop = ""


def run_job(production: Production, job: Job) -> Outcome:
    """Do all steps of a job that are not done. Returns its outcome; raises nothing but signals."""
    did: list[tuple[str, float, float]] = []
    again: list[str] = []
    state = CueState()
    try:
        if job.cue is not None:
            state = CueState.read(production, job.cue.id)
            state = state.became("running", steps=job.keys)
        status, reason, stop = _steps(production, job, state, did, again)
        for words in again:
            state = state.became("running", f"tried again: {words}")
        if job.cue is not None:
            _note_end(production, job, state, status, reason)
    except OutputError as error:  # the state itself cannot be written
        status, reason, stop = "failed", str(error), "disk"
    return Outcome(job.id, status, reason, tuple(did), stop)


def _steps(
    production: Production,
    job: Job,
    state: CueState,
    did: list[tuple[str, float, float]],
    again: list[str],
) -> tuple[Status, str, Stop]:
    """Every step until one does not succeed: (status, reason, whether to stop everything).

    `did` takes what was done, `again` why a step was tried once more.
    """
    store = StepStore(production)
    for step in job.steps:
        if store.done(step.folder):
            continue
        if job.cue is not None:
            _note(production, job, state, step.name)
        try:
            seconds = _with_retries(Bench(production, store, job, step), again)
        except ConsentError as error:
            return "refused", str(error), ""
        except ProvenanceError as error:
            return "failed", str(error), "records"
        except WildlineError as error:
            full: Stop = "disk" if _disk_is_full(error) else ""
            return "failed", f"{WORK_OF[step.name]}: {error}", full
        except Exception as error:
            full = "disk" if _disk_is_full(error) else ""
            return "failed", _unforeseen(production, job, step, error), full
        did.append((step.name, seconds, step.units))
    return "done", "", ""


def _with_retries(bench: Bench, again: list[str]) -> float:
    """Make one step; what may pass by itself (no refusal of ours) is tried again."""
    step, cue = bench.step, bench.job.cue
    publish = None
    if step.name == "package" and cue is not None:
        out = bench.production.out / cue.id
        publish = lambda folder: lay_out(folder, out)  # noqa: E731
    attempt = 0
    while True:
        try:
            return bench.store.make(
                step.folder,
                lambda folder: _MAKERS[step.name](bench, folder),
                records=step.name != "shot",  # a shot is recorded with its package
                publish=publish,
            )
        except (WildlineError, MemoryError):
            raise
        except Exception as error:
            attempt += 1
            if attempt > bench.production.delivery.retries or _disk_is_full(error):
                raise
            again.append(f"{WORK_OF[step.name]}: {_words(error)}")
            time.sleep(_BREATH_S * attempt)


def _disk_is_full(error: BaseException) -> bool:
    """Whether a full disk is behind an error: then every further cue would fail as well."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        seen = seen.__cause__
    return False


def _unforeseen(production: Production, job: Job, step: Step, error: Exception) -> str:
    """One line about an error that no room foresaw; where it happened goes to a file."""
    trace = production.work / "logs" / f"{job.id}.txt"
    with suppress(OSError):
        trace.parent.mkdir(parents=True, exist_ok=True)
        trace.write_text("".join(traceback.format_exception(error)), "utf-8")
    tries = production.delivery.retries + 1
    return f"{WORK_OF[step.name]}: {_words(error)} (tried {tries} times; details in {trace})"


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


# --- what is known of the cue ----------------------------------------------------------------


def _note(production: Production, job: Job, state: CueState, step: str) -> None:
    """Put the step at work on file."""
    assert job.cue is not None
    replace(state, step=step).write(production, job.cue)


def _note_end(
    production: Production, job: Job, before: CueState, status: Status, reason: str
) -> None:
    """Put the outcome on file; a cue that is done with everything that was made of it."""
    assert job.cue is not None
    if status != "done":
        before.became(status, reason, step="").write(production, job.cue)
        return
    store = StepStore(production)
    state = finished_state(store, job, before)
    out = production.out / job.cue.id
    package = job.known_step("package")
    if not all((production.folder / name).is_file() for name in state.delivered):
        lay_out(store.place(package.folder), out)
    for name in set(before.delivered) - set(state.delivered):  # of an earlier version
        with suppress(OSError):
            (production.folder / name).unlink()
    state.write(production, job.cue)


def finished_state(store: StepStore, job: Job, before: CueState) -> CueState:
    """The state of a cue all of whose steps are finished. Raises `MediaError` if they are not."""
    assert job.cue is not None
    takes = [
        row
        for step in job.steps
        if step.name == "takes"
        for row in takes_of(store.facts(step.folder), step.folder, step.settings["generation"])
    ]
    shot, timing = job.step("shot"), job.known_step("timing")
    check, package = job.known_step("check"), job.known_step("package")
    changes: dict[str, Any] = {"shot": None, "original": None}
    if shot is not None:
        facts = store.facts(shot.folder)
        changes["shot"] = f"work/steps/{shot.folder}/{facts['shot']}"
        changes["original"] = {
            "footage": _inside(store.production, Path(facts["footage"])),
            "first": facts["first"],
            "stop": facts["stop"],
        }
    files = store.facts(package.folder)["files"]
    return before.became(
        "done",
        step="",
        takes=tuple(takes),
        chosen=job.chosen,
        timing=f"work/steps/{timing.folder}/line.json",
        values=store.facts(check.folder)["values"],
        delivered=tuple(f"out/{job.cue.id}/{name}" for name in files),
        steps=job.keys,
        **changes,
    )


def _inside(production: Production, path: Path) -> str:
    """The path as state files name it: relative to the production where it lies inside."""
    try:
        return str(path.relative_to(production.folder))
    except ValueError:
        return str(path)
