"""Workers on many machines: Ray actors, one a GPU (or one a core where there is none).

    wildline batch production.toml --ray auto            # a cluster that is running here
    wildline batch production.toml --ray ray://head:10001

Every machine must see the production's folder under the same path and have Wildline
installed. Finished steps lie in that folder, so a lost machine costs the steps it had in
hand: its jobs go to the others. Ray places the actors and carries the jobs; nothing else
is queued anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from media.errors import EngineMissingError
from studio.batch.local import Lost, RunJob
from studio.batch.plan import Job
from studio.batch.work import Outcome, run_job
from studio.production import Production, ProductionError

__all__ = ["ClusterCrew"]

_LOCAL = "local"
_FAILED_STARTS = 5  # in a row, before the cluster is given up


class _Worker:
    """What an actor holds: the production, and for as long as it lives every model it loaded."""

    def __init__(self, production: Production, run: RunJob) -> None:
        self._production, self._run = production, run

    def ready(self) -> bool:
        """Answers as soon as the actor has been placed and started."""
        return True

    def work(self, job: Job) -> Outcome:
        """Do a job."""
        return self._run(self._production, job)


@dataclass(slots=True)
class ClusterCrew:
    """Actors on the Ray cluster at `address` ("auto", "HOST:PORT", "ray://...", or "local").

    `jobs` limits how many; None is one for each GPU, else one for each core, of the whole
    cluster. Raises `EngineMissingError` where Ray is not installed and `ProductionError`
    when the cluster does not answer.
    """

    production: Production
    address: str
    jobs: int | None = None
    run: RunJob = run_job
    _starting: dict[Any, Any] = field(default_factory=dict)  # answer to `ready` -> actor
    _idle: list[Any] = field(default_factory=list)
    _at_work: dict[Any, tuple[Any, str]] = field(default_factory=dict)  # answer -> actor, job
    _joined: bool = False
    _actor_class: Any = None
    _failures: int = 0

    def __post_init__(self) -> None:
        ray = _ray()
        if not ray.is_initialized():
            self._join()
        resources: Mapping[str, float] = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        self._actor_class = ray.remote(max_restarts=0, **needs)(_Worker)
        for _ in range(max(1, min(gpus or cores, self.jobs or 1_000_000))):
            self._start()

    def _join(self) -> None:
        ray = _ray()
        where = {} if self.address == _LOCAL else {"address": self.address}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False, **where)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            why = " ".join(str(error).split())[:160]
            raise ProductionError(
                f"no Ray cluster answers at '{self.address}' ({why}); start one with: ray start"
            ) from error
        self._joined = True

    def _start(self) -> None:
        """One more actor; it waits until the cluster has room for it."""
        actor = self._actor_class.remote(self.production, self.run)
        self._starting[actor.ready.remote()] = actor

    def free(self) -> int:
        """How many actors are up and idle; the first ones are waited for."""
        if not self._idle and not self._at_work:
            self._hear(block=True)
        return len(self._idle)

    def wait_for(self, workers: int) -> None:
        """Wait until so many actors are up. Raises `ProductionError` when they cannot start."""
        while len(self._idle) + len(self._at_work) < workers:
            self._hear(block=True)

    def begin(self, job: Job) -> None:
        """Give a job to an idle actor."""
        actor = self._idle.pop()
        self._at_work[actor.work.remote(job)] = (actor, job.id)

    def ended(self) -> list[Outcome | Lost]:
        """Wait until a job ends or an actor comes up; what ended, and what was lost."""
        return self._hear(block=True)

    def _hear(self, *, block: bool) -> list[Outcome | Lost]:
        ray = _ray()
        waiting = [*self._at_work, *self._starting]
        if not waiting:
            raise ProductionError("the Ray cluster has no workers left; start one: ray start")
        done, _ = ray.wait(waiting, num_returns=1, timeout=None if block else 0)
        results: list[Outcome | Lost] = []
        for answer in done:
            if answer in self._starting:
                self._came_up(answer)
            else:
                results.append(self._result(answer))
        return results

    def _came_up(self, answer: Any) -> None:
        ray = _ray()
        actor = self._starting.pop(answer)
        try:
            ray.get(answer)
        except ray.exceptions.RayError as error:
            self._failures += 1
            if self._failures > _FAILED_STARTS:
                why = " ".join(str(error).split())[-300:]
                raise ProductionError(
                    f"workers on the Ray cluster do not start ({why}); is Wildline installed on "
                    "every machine?"
                ) from error
            self._start()
            return
        self._failures = 0
        self._idle.append(actor)

    def _result(self, answer: Any) -> Outcome | Lost:
        ray = _ray()
        actor, job = self._at_work.pop(answer)
        try:
            outcome: Outcome = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            self._idle.append(actor)
            return Outcome(job, "failed", " ".join(str(error.cause or error).split())[:300])
        except ray.exceptions.RayError:
            self._start()
            return Lost(job, "the machine or process that worked on it was lost")
        self._idle.append(actor)
        return outcome

    def dismiss(self) -> None:
        """Let all actors go; the cluster itself stays, unless it was started here."""
        ray = _ray()
        busy = [actor for actor, _ in self._at_work.values()]
        for actor in (*self._idle, *busy, *self._starting.values()):
            ray.kill(actor)
        self._idle.clear()
        self._at_work.clear()
        self._starting.clear()
        if self._joined:
            ray.shutdown()
            self._joined = False


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise EngineMissingError(
            "working on a cluster needs Ray; install it with: pip install 'wildline[cluster]'"
        ) from error
    return ray
