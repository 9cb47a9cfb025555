"""A batch: plan every cue, give what is undone to workers, and see that nothing stops the rest.

    report = run_batch(production, jobs=2, only=["MAR1*"])
    print(report.done, report.failed, report.seconds)

One batch at a time works on a production. The ledger that cannot be written, and the disk that
is full, end it; all else that goes wrong is one cue's own affair and told with its reason.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from media.errors import OutputError, ProvenanceError, WildlineError
from media.files import output_error
from studio.batch.estimate import Estimates
from studio.batch.local import Crew, LocalCrew, Lost, default_jobs
from studio.batch.plan import Job, Planner
from studio.batch.states import CueState
from studio.batch.store import StepStore
from studio.batch.work import Outcome
from studio.cues.cue import Cue, CueProblem
from studio.cues.places import FootageBook
from studio.cues.reading import read_cues
from studio.production import Production, ProductionError

__all__ = ["BatchReport", "Planned", "run_batch", "selected"]

_LOST_AT_MOST = 3  # times that a job may lose its worker before it is given up
_LOCK = ".batch.lock"

Watcher = Callable[[str, float, float], None]
"""Called with what happened last, the expected seconds of what is done, and of everything."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a batch would do of one cue: step names and expected seconds on one worker."""

    cue: str
    steps: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a batch did. Ids of cues; `problems` are rows that cannot be made.

    `planned` is what was undone, with its expected `work_s` seconds; `steps` counts the steps
    really done, `step_seconds` their time over all workers.
    """

    cues: int = 0
    done: tuple[str, ...] = ()
    skipped: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    problems: tuple[CueProblem, ...] = ()
    planned: tuple[Planned, ...] = ()
    steps: int = 0
    step_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def work_s(self) -> float:
        """Expected seconds of all that was planned, on one worker."""
        return sum(p.seconds for p in self.planned)


def run_batch(
    production: Production,
    *,
    jobs: int | None = None,
    only: Sequence[str] = (),
    force: bool = False,
    dry_run: bool = False,
    ray: str | None = None,
    watch: Watcher | None = None,
    crew: Crew | None = None,
) -> BatchReport:
    """Make what is missing of the production's cues.

    `only` takes cue ids, numbers or characters, with * and ?. `force` makes the selected
    cues anew; `dry_run` only plans. `ray` is a cluster's address, `crew` other workers.
    Raises `ProductionError` (nothing selected, another batch at work), `ProvenanceError`
    when the ledger cannot be written, `OutputError` when the disk is full.
    """
    began = time.monotonic()
    footage = FootageBook(production)
    with _alone(production, dry_run=dry_run):
        sheet = read_cues(production, footage=footage)
        cues = selected(sheet.cues, only)
        batch = _Batch(production, Planner.of(production, footage), list(cues), sheet.problems)
        if force and not dry_run:
            batch.force()
        batch.plan()
        if not dry_run:
            batch.work(lambda: crew or _crew(production, jobs, ray), watch)
            batch.export(sheet.cues)
    return batch.report(time.monotonic() - began)


def _crew(production: Production, jobs: int | None, ray: str | None) -> Crew:
    if ray is not None:
        from studio.batch.cluster import ClusterCrew

        return ClusterCrew(production, ray, jobs)
    return LocalCrew(production, jobs or default_jobs())


def selected(cues: Sequence[Cue], only: Sequence[str]) -> Sequence[Cue]:
    """The cues that any of the patterns names by id, number or character."""
    if not only:
        return cues
    wanted = [pattern.casefold() for pattern in only]

    def named(cue: Cue) -> bool:
        names = (cue.id.casefold(), cue.number.casefold(), cue.character.casefold())
        return any(fnmatchcase(name, pattern) for name in names for pattern in wanted)

    chosen = [cue for cue in cues if named(cue)]
    if not chosen:
        raise ProductionError(f"no cue is called {', '.join(only)}; the sheets have {len(cues)}")
    return chosen


@contextmanager
def _alone(production: Production, *, dry_run: bool) -> Iterator[None]:
    """Hold the production for this batch; a plan needs no such hold."""
    if dry_run:
        yield
        return
    path = production.work / _LOCK
    try:
        production.work.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ProductionError(
                f"another batch is at work on {production.file}; wait for it to end"
            ) from error
        yield
    finally:
        os.close(handle)


@dataclass(slots=True)
class _Batch:
    """One run."""

    production: Production
    planner: Planner
    cues: list[Cue]
    problems: tuple[CueProblem, ...]
    jobs: dict[str, Job] = field(default_factory=dict)
    planned: list[Planned] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    steps: int = 0
    step_seconds: float = 0.0
    _expected: dict[str, float] = field(default_factory=dict)
    _estimates: Estimates | None = None

    @property
    def estimates(self) -> Estimates:
        if self._estimates is None:
            self._estimates = Estimates(self.production.work / "timings.json")
        return self._estimates

    @property
    def store(self) -> StepStore:
        return StepStore(self.production)

    # --- planning ---

    def force(self) -> None:
        """Forget the steps of the selected cues (a voice, fitted for others too, stays)."""
        self.planner.force([cue.id for cue in self.cues])
        for cue in self.cues:
            for folder in CueState.read(self.production, cue.id).steps.values():
                self.store.forget(folder)

    def plan(self) -> None:
        """Find out what is undone; shared steps before the cues that need them."""
        done = self.store.names()
        mine: list[Job] = []
        for cue in self.cues:
            try:
                job = self.planner.job(cue)
            except WildlineError as error:
                self._fail(cue, error)
                continue
            if self._is_done(job, done):
                self.skipped += 1
            else:
                mine.append(job)
        self.planner.hashes.save()
        needed = {folder for job in mine for folder in job.needs} - done
        shared = [self.planner.shared[folder] for folder in sorted(needed)]
        for job in (*shared, *mine):
            steps = tuple(s.name for s in job.steps if s.folder not in done)
            seconds = self.estimates.of_job(job, done)
            self.jobs[job.id] = job
            self._expected[job.id] = seconds
            self.planned.append(Planned(job.id, steps, seconds))

    def _fail(self, cue: Cue, error: WildlineError) -> None:
        self.failed[cue.id] = str(error)
        before = CueState.read(self.production, cue.id)
        if before.reason != str(error):
            before.became("failed", str(error)).write(self.production, cue)

    def _is_done(self, job: Job, done: set[str]) -> bool:
        """Whether all of a cue is made, delivered and on file."""
        assert job.cue is not None
        if any(step.folder not in done for step in job.steps):
            return False
        state = CueState.read(self.production, job.cue.id)
        if state.status != "done" or dict(state.steps) != job.keys:
            return False
        return all((self.production.folder / name).is_file() for name in state.delivered)

    # --- working ---

    def work(self, crew_of: Callable[[], Crew], watch: Watcher | None) -> None:
        """Have everything made that is undone."""
        self.store.sweep()
        if not self.jobs:
            return
        self._announce()
        crew = crew_of()
        try:
            _Shift(self, crew, watch or _unwatched).run()
        finally:
            crew.dismiss()
            self._settle()
            self.estimates.save()

    def _announce(self) -> None:
        """Put on file that these cues are waiting."""
        for job in self.jobs.values():
            if job.cue is not None:
                state = CueState.read(self.production, job.cue.id)
                if state.status != "waiting" or not state.steps:
                    state.became("waiting", steps=job.keys).write(self.production, job.cue)

    def _settle(self) -> None:
        """Nothing is running any more: say so of cues whose worker did not come to it."""
        for job in self.jobs.values():
            if job.cue is None:
                continue
            state = CueState.read(self.production, job.cue.id)
            if job.id in self.failed and state.status in ("running", "waiting"):
                state.became("failed", self.failed[job.id], step="").write(self.production, job.cue)
            elif job.id in self.refused and state.status in ("running", "waiting"):
                why = self.refused[job.id]
                state.became("refused", why, step="").write(self.production, job.cue)
            elif state.status == "running":
                state.became("waiting", "the batch was stopped", step="").write(
                    self.production, job.cue
                )

    def ended(self, outcome: Outcome) -> None:
        """Take in how a job ended. Raises when nothing more may be made."""
        self.estimates.learn(outcome.steps)
        self.steps += len(outcome.steps)
        self.step_seconds += sum(seconds for _, seconds, _ in outcome.steps)
        if outcome.status == "done":
            if self.jobs[outcome.job].cue is not None:
                self.done.append(outcome.job)
        elif outcome.status == "refused":
            self.refused[outcome.job] = outcome.reason
        else:
            self.failed[outcome.job] = outcome.reason
        if outcome.stop:
            kind = ProvenanceError if outcome.stop == "records" else OutputError
            raise kind(f"stopped at {outcome.job}: {outcome.reason}")

    def note_loss(self, lost: Lost) -> None:
        """Put on file why a cue will be begun once more."""
        cue = self.jobs[lost.job].cue
        if cue is not None:
            state = CueState.read(self.production, cue.id)
            why = f"tried again: {lost.reason}"
            state.became("waiting", why, step="").write(self.production, cue)

    def expected(self, job: Job) -> float:
        """Seconds that a job was expected to take."""
        return self._expected[job.id]

    # --- afterwards ---

    def export(self, cues: Sequence[Cue]) -> None:
        """Timelines, subtitles and the ADR sheet of all that is done, where they changed."""
        from studio.batch.exports import write_exports

        write_exports(self.production, cues)

    def report(self, seconds: float) -> BatchReport:
        """What was done."""
        cue_ids = {cue.id for cue in self.cues}
        return BatchReport(
            cues=len(self.cues),
            done=tuple(self.done),
            skipped=self.skipped,
            failed=tuple((k, v) for k, v in self.failed.items() if k in cue_ids),
            refused=tuple((k, v) for k, v in self.refused.items() if k in cue_ids),
            problems=self.problems,
            planned=tuple(self.planned),
            steps=self.steps,
            step_seconds=self.step_seconds,
            seconds=seconds,
        )


def _unwatched(what: str, done: float, total: float) -> None:
    del what, done, total


@dataclass(slots=True)
class _Shift:
    """Jobs going out to a crew and coming back."""

    batch: _Batch
    crew: Crew
    watch: Watcher
    waiting: deque[str] = field(default_factory=deque)
    at_work: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)  # were at work when a worker died
    losses: dict[str, int] = field(default_factory=dict)
    finished: float = 0.0

    def run(self) -> None:
        """Until nothing is left."""
        self.waiting.extend(self.batch.jobs)
        total = sum(map(self.batch.expected, self.batch.jobs.values()))
        self.watch("", 0.0, total)
        while self.waiting or self.at_work:
            self._give_out()
            if not self.at_work:
                continue
            for result in self.crew.ended():
                if isinstance(result, Lost):
                    self._lost(result)
                else:
                    self._ended(result)
                self.watch(result.job, self.finished, total)

    def _give_out(self) -> None:
        """Begin as many jobs as there are free workers and as have all they need."""
        room = self.crew.free()
        for name in list(self.waiting):
            if room <= 0:
                return
            job = self.batch.jobs[name]
            why = self._unmet(job)
            if why is False:
                continue
            if isinstance(why, Outcome):
                self.waiting.remove(name)
                self._ended(why)
                continue
            # What may have killed a worker goes alone, so that it takes nobody with it.
            if (self.at_work & self.suspects) or (name in self.suspects and self.at_work):
                continue
            self.waiting.remove(name)
            self.at_work.add(name)
            self.crew.begin(job)
            room -= 1

    def _unmet(self, job: Job) -> bool | Outcome:
        """True: all it needs is there. False: not yet. An outcome: it never will be."""
        for need in job.needs:
            if need in self.batch.refused:
                return Outcome(job.id, "refused", self.batch.refused[need])
            if need in self.batch.failed:
                return Outcome(job.id, "failed", self.batch.failed[need])
            if need in self.waiting or need in self.at_work:
                return False
        return True

    def _ended(self, outcome: Outcome) -> None:
        self.at_work.discard(outcome.job)
        self.suspects.discard(outcome.job)
        self.finished += self.batch.expected(self.batch.jobs[outcome.job])
        self.batch.ended(outcome)

    def _lost(self, lost: Lost) -> None:
        self.at_work.discard(lost.job)
        if lost.with_others:
            self.suspects.add(lost.job)
        self.losses[lost.job] = self.losses.get(lost.job, 0) + 1
        if self.losses[lost.job] < _LOST_AT_MOST:
            self.batch.note_loss(lost)
            self.waiting.appendleft(lost.job)
            return
        times = self.losses[lost.job]
        self._ended(Outcome(lost.job, "failed", f"{lost.reason}, {times} times"))
