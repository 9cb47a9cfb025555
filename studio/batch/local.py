"""Workers on this machine: a process pool, and what happens when one of them dies."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Protocol

from studio.batch.plan import Job
from studio.batch.work import Outcome, run_job
from studio.production import Production

__all__ = ["Crew", "LocalCrew", "Lost", "RunJob", "default_jobs"]

_WORKER_MEMORY = 3 << 30  # bytes that a worker with all its models may come to need


class RunJob(Protocol):
    """What workers do with a job."""

    def __call__(self, production: Production, job: Job) -> Outcome:
        """Do it; see `studio.batch.work.run_job`."""
        ...


@dataclass(frozen=True, slots=True)
class Lost:
    """A job whose worker died, and what is known of why.

    `with_others`: other jobs were lost in the same moment, and any of them may be the cause.
    """

    job: str
    reason: str
    with_others: bool = False


class Crew(Protocol):
    """Workers that take jobs: processes here, or actors on a cluster."""

    def free(self) -> int:
        """How many jobs could be begun now."""
        ...

    def begin(self, job: Job) -> None:
        """Give a job to a free worker."""
        ...

    def ended(self) -> list[Outcome | Lost]:
        """Wait until something ends; returns what did."""
        ...

    def dismiss(self) -> None:
        """Let all workers go, whatever they are doing."""
        ...


def default_jobs() -> int:
    """As many workers as there are cores and memory for; one where there is a GPU."""
    from weights.device import torch_threads

    if any(Path("/dev").glob("nvidia[0-9]*")):
        return 1
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        memory = _WORKER_MEMORY
    return max(1, min(torch_threads(), memory // _WORKER_MEMORY))


@dataclass(slots=True)
class LocalCrew:
    """`jobs` worker processes, each on its share of the cores."""

    production: Production
    jobs: int
    run: RunJob = run_job
    _pool: ProcessPoolExecutor | None = None
    _at_work: dict[Future[Outcome], str] = field(default_factory=dict)

    def free(self) -> int:
        """How many jobs could be begun now."""
        return self.jobs - len(self._at_work)

    def begin(self, job: Job) -> None:
        """Give a job to a worker; workers are started as they are needed."""
        try:
            self._submit(job)
        except BrokenProcessPool:  # an idle worker was killed: begin with new ones
            self.dismiss()
            self._submit(job)

    def _submit(self, job: Job) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.jobs, mp_context=get_context("spawn"), initializer=_start
            )
        with _share_of_cores(self.jobs):
            self._at_work[self._pool.submit(partial(self.run, self.production), job)] = job.id

    def ended(self) -> list[Outcome | Lost]:
        """Wait for a job to end. When a worker dies, all that were at work are lost with it."""
        done, _ = wait(self._at_work, return_when=FIRST_COMPLETED)
        results: list[Outcome | Lost] = []
        for future in done:
            name = self._at_work.pop(future)
            try:
                results.append(future.result())
            except BrokenProcessPool:
                names = (name, *self._at_work.values())
                results += [Lost(lost, _DIED, len(names) > 1) for lost in names]
                self._at_work.clear()
                self.dismiss()
                break
        return results

    def dismiss(self) -> None:
        """Send the workers home, or kill them where they are at work: only that step is lost."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if self._at_work:
            for process in list((pool._processes or {}).values()):
                process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        self._at_work.clear()


_DIED = "its worker process died (killed, or out of memory)"


@contextmanager
def _share_of_cores(jobs: int) -> Iterator[None]:
    """Workers started now compute with their share of the threads, unless told otherwise."""
    from weights.device import torch_threads

    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, torch_threads() // jobs))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


def _start() -> None:
    """In every new worker: quiet libraries, and an end when the batch itself is killed."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the batch, which ends its workers
    # The last thing a worker does: taking its models down in order would cost most of a second.
    atexit.register(os._exit, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose batch was killed must not go on: another batch may take its place."""
    mother = parent_process()
    if mother is not None:
        connection.wait([mother.sentinel])
        os._exit(1)
