"""What a batch costs beyond its work, what a second run costs, and what a lost machine costs.

    python benchmarks/batch.py overhead [--cues 100] [--jobs 2]
    python benchmarks/batch.py again [--cues 1000]
    python benchmarks/batch.py cluster [--cues 24]

`overhead` speaks short lines in one stock voice, one take each, with the real engines: the
seconds of all workers against the seconds that their steps took, and processor seconds
against the same lines spoken by `studio.speaking.say` in a plain loop. `again` fills a
production with finished steps (their content does not matter) and runs it twice more.
`cluster` starts two Ray nodes on this machine and kills one while they work.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from studio.batch.plan import Job
    from studio.batch.work import Outcome
    from studio.production import Production

_WHO = ("The tide", "A gull", "The harbour", "My brother", "Nobody", "The boat", "Old Tom")
_DID = ("is late", "went home", "was right", "came back", "knows why", "can wait", "has gone")
_WHEN = ("today", "again", "at last", "this time", "tonight", "since then", "by now")

_HEAD = """\
title = "The Harbour"
rate = "24000/1001"
[delivery]
takes = 1
[people.keeper]
name = "The Keeper"
voice = "stock:mara"
[[cues]]
file = "cues.csv"
"""


def lines(count: int) -> list[str]:
    """Different short lines."""
    return [
        f"{_WHO[n % 7]} {_DID[n // 7 % 7]} {_WHEN[n // 49 % 7]}." + f" {n // 343}" * (n >= 343)
        for n in range(count)
    ]


def production(folder: Path, count: int) -> Production:
    """A production of that many off-screen cues, a second each."""
    from media.time import FrameRate, Timecode
    from studio.production import load_production

    rate = FrameRate.parse("24000/1001")
    first = Timecode.parse("01:00:00:00", rate)
    rows = ["Cue,Character,TC In,TC Out,Dialogue,On/Off"]
    for n, line in enumerate(lines(count)):
        start = first + 60 * n
        rows.append(f"K{n + 1:04},The Keeper,{start},{start + 55},{line},off")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "production.toml").write_text(_HEAD, "utf-8")
    (folder / "cues.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return load_production(folder)


def cpu_s() -> float:
    """Processor seconds of this process and of its ended children."""
    mine, theirs = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def overhead(count: int, jobs: int, compare: bool) -> None:
    """The batch against the time in its steps, and against a plain loop."""
    from studio.batch.run import run_batch

    with tempfile.TemporaryDirectory() as place:
        made = production(Path(place) / "batch", count)
        before = cpu_s()
        report = run_batch(made, jobs=jobs)
        batch_cpu = cpu_s() - before
        began, before = time.monotonic(), cpu_s()
        again = run_batch(made, jobs=jobs)
        print(f"{count} one-line cues, {jobs} workers: {len(report.done)} made", end="")
        print(f", {len(report.failed)} failed" if report.failed else "")
        worked = report.step_seconds
        print(f"  wall {report.seconds:.1f} s, steps {worked:.1f} s over all workers")
        spent = report.seconds * jobs
        print(f"  beyond the steps: {100 * (spent - worked) / worked:.2f} % of them")
        print(f"  second run: {time.monotonic() - began:.2f} s, {again.skipped} unchanged")
        print(f"  processor seconds of the batch: {batch_cpu:.1f}", flush=True)
        if not compare:
            return
        plain = loop(Path(place) / "loop", count)
        print(f"  processor seconds of the same lines in a loop of say(): {plain:.1f}")
        print(f"  difference: {100 * (batch_cpu - plain) / plain:+.2f} %")


def loop(folder: Path, count: int) -> float:
    """Processor seconds of a fresh process that only calls `say` for every line."""
    import subprocess

    folder.mkdir()
    code = (
        "import sys; from pathlib import Path; from studio.speaking import say\n"
        "folder = Path(sys.argv[1])\n"
        "for n, line in enumerate(sys.stdin.read().splitlines()):\n"
        "    say(line, 'stock:mara', folder / f'{n}.wav', takes=1)\n"
    )
    before = cpu_s()
    subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        input="\n".join(lines(count)).encode(),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return cpu_s() - before


# --- a second run, and a lost machine --------------------------------------------------------


def stand_in(production: Production, job: Job, pause_s: float = 0.0) -> Outcome:
    """Every step and record of a cue, without its content; `pause_s` seconds are waited."""
    from studio.batch.bench import Bench
    from studio.batch.states import CueState
    from studio.batch.store import StepStore
    from studio.batch.work import Outcome

    assert job.cue is not None
    store, out = StepStore(production), production.out / job.id
    for step in job.steps:
        bench = Bench(production, store, job, step)

        def make(folder: Path, bench: Bench = bench) -> dict[str, Any]:
            (folder / "content").write_text(bench.step.key)
            if bench.step.name == "package":
                time.sleep(pause_s)
                bench.papers(folder).ledger.append("cue.delivered", text=job.id, pid=os.getpid())
            return {"files": []}

        store.make(step.folder, make)
    out.mkdir(parents=True, exist_ok=True)
    names = [f"out/{job.id}/{job.id}{ending}" for ending in (".TextGrid", ".json", ".wav")]
    for name in names:
        (production.folder / name).write_text("")
    state = CueState.read(production, job.id)
    done = state.became("done", steps=job.keys, delivered=tuple(names), values={"wer": 0.0})
    done.write(production, job.cue)
    return Outcome(job.id, "done")


def _stand_in() -> Any:
    """`stand_in`, long enough to be killed, by a name that other processes can import."""
    import importlib

    sys.path.insert(0, str(ROOT / "benchmarks"))
    return partial(importlib.import_module("batch").stand_in, pause_s=0.05)


def again(count: int) -> None:
    """The second run of a finished production, as the command and inside one process."""
    import subprocess

    from studio.batch.local import LocalCrew
    from studio.batch.run import run_batch

    with tempfile.TemporaryDirectory() as place:
        made = production(Path(place), count)
        run_batch(made, crew=LocalCrew(made, 2, stand_in))
        began = time.monotonic()
        report = run_batch(made)
        inside = time.monotonic() - began
        assert report.skipped == count, report
        began, before = time.monotonic(), cpu_s()
        command = [sys.executable, "-m", "studio.cli", "batch", place]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        took, cpu = time.monotonic() - began, cpu_s() - before
        print(
            f"second run of {count} cues: {took:.2f} s as a command ({cpu:.2f} s processor), ",
            end="",
        )
        print(f"{inside:.2f} s inside a process")


def cluster(count: int, real: bool) -> None:
    """Two Ray nodes, one of them killed after a quarter of the cues."""
    from ray.cluster_utils import Cluster

    from studio.batch.cluster import ClusterCrew
    from studio.batch.run import run_batch
    from studio.batch.work import run_job
    from studio.ledger import read_ledger, verify

    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    other = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    ended: list[str] = []

    def watch(what: str, done: float, total: float) -> None:
        del done, total
        ended.extend([what] if what else [])
        if len(ended) == count // 4:
            nodes.remove_node(other, allow_graceful=False)
            print(f"  killed one of two nodes after {len(ended)} cues", flush=True)

    with tempfile.TemporaryDirectory() as place:
        made = production(Path(place), count)
        crew = ClusterCrew(made, nodes.address, None, run_job if real else _stand_in())
        crew.wait_for(2)
        report = run_batch(made, crew=crew, watch=watch)
        nodes.shutdown()
        entries = [e for e in read_ledger(made.ledger) if e.event == "cue.delivered"]
        times = Counter(e.facts["cue"] for e in entries)
        print(f"  {len(report.done)} of {count} cues made in {report.seconds:.1f} s")
        print(f"  in the ledger: {len(times)} cues, at most {max(times.values())} times each")
        print(f"  the ledger's chain of {verify(made.ledger)} lines is whole")


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("overhead", "again", "cluster"))
    parser.add_argument("--cues", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-loop", action="store_true", help="overhead: without the loop")
    parser.add_argument("--stand-in", action="store_true", help="cluster: without the engines")
    given = parser.parse_args()
    if given.what == "overhead":
        overhead(given.cues or 100, given.jobs, not given.no_loop)
    elif given.what == "again":
        again(given.cues or 1000)
    else:
        cluster(given.cues or 24, not given.stand_in)


if __name__ == "__main__":
    main()
