"""Workers that are killed, a batch that is killed, machines that are lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from batch_light import deadly_work, light_work

from media.errors import ProvenanceError
from studio.batch.local import LocalCrew
from studio.batch.once import append_once
from studio.batch.results import cue_results
from studio.batch.run import run_batch
from studio.batch.store import StepStore
from studio.ledger import Ledger, read_ledger, verify
from studio.production import Production, ProductionError

Produce = Callable[..., Production]
HERE = Path(__file__).resolve().parent


def rows(count: int) -> list[tuple[str, ...]]:
    return [
        (f"K{n}", "The Keeper", f"01:00:{n:02}:00", f"01:00:{n:02}:12", f"Line {n}.", "off")
        for n in range(1, count + 1)
    ]


def delivered(production: Production) -> Counter[str]:
    return Counter(
        str(e.facts["cue"]) for e in read_ledger(production.ledger) if e.event == "cue.delivered"
    )


def start(production: Production) -> subprocess.Popen[bytes]:
    """A batch of two workers in a process group of its own."""
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    with (production.folder / "out.txt").open("wb") as out:
        return subprocess.Popen(
            [sys.executable, str(HERE / "batch_light.py"), str(production.folder)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=out,
            stderr=subprocess.DEVNULL,
        )


def test_killed_again_and_again_it_resumes_and_records_each_cue_once(produce: Produce) -> None:
    production = produce(rows(8))
    production.work.mkdir()
    (production.work / "slow").write_text("0.02")
    dice = random.Random(7)
    for _ in range(3):
        process = start(production)
        deadline = time.monotonic() + 60
        begun = len(StepStore(production).names())
        while len(StepStore(production).names()) < begun + 3 and time.monotonic() < deadline:
            time.sleep(0.01)  # let it come to work, then kill it anywhere
        time.sleep(dice.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
    (production.work / "slow").unlink()
    last = start(production)
    assert last.wait(timeout=200) == 0
    done, skipped = map(int, (production.folder / "out.txt").read_text().split())
    assert done + skipped == 8
    assert skipped > 0  # what was finished before the kills was kept
    assert delivered(production) == {f"K{n}": 1 for n in range(1, 9)}
    verify(production.ledger)
    left = [p.name for p in StepStore(production).folder.iterdir() if p.name.startswith(".")]
    assert left == []


def test_a_batch_that_is_killed_takes_its_workers_with_it(produce: Produce) -> None:
    import psutil

    production = produce(rows(2))
    production.work.mkdir()
    (production.work / "slow").write_text("60")
    process = start(production)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        children = psutil.Process(process.pid).children(recursive=True)
        if any(p.name.startswith(".making-") for p in StepStore(production).folder.glob(".*")):
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert children
    assert alive == []


def test_a_cue_that_kills_its_worker_is_given_up_and_the_others_are_made(
    produce: Produce,
) -> None:
    production = produce(rows(5))
    report = run_batch(production, crew=LocalCrew(production, 2, deadly_work))
    assert set(report.done) == {"K1", "K3", "K4", "K5"}
    ((cue, reason),) = report.failed
    assert cue == "K2"
    assert "worker process died" in reason
    assert "3 times" in reason
    assert set(delivered(production)) == {"K1", "K3", "K4", "K5"}
    states = {r.cue.id: (r.status, r.reason) for r in cue_results(production)}
    assert states["K2"] == ("failed", reason)
    lost = next(r for r in cue_results(production) if r.cue.id == "K3").history
    assert any("tried again: its worker" in str(line["reason"]) for line in lost)


def test_two_batches_do_not_meet(produce: Produce) -> None:
    production = produce(rows(1))
    production.work.mkdir()
    (production.work / "slow").write_text("60")
    process = start(production)
    try:
        deadline = time.monotonic() + 90
        while not (production.work / "steps").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(ProductionError, match="another batch"):
            run_batch(production)
        assert run_batch(production, dry_run=True).planned  # a plan may be asked for any time
    finally:
        process.kill()
        process.wait()


def test_a_record_is_written_once_by_many_at_the_same_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    for n in range(40):
        ledger.append("other", job="b" * n)

    def write() -> None:
        for n in range(10):
            append_once(ledger, tmp_path, "cue.delivered", f"job-{n}", {"n": n})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(ledger.path) == 50
    first = append_once(ledger, tmp_path, "cue.delivered", "job-3", {})
    assert first.facts["n"] == 3
    assert append_once(ledger, tmp_path, "cue.other", "job-3", {}).number == 51
    with pytest.raises(ProvenanceError, match="cannot be"):
        append_once(Ledger(tmp_path), tmp_path, "x", "y", {})


@pytest.mark.slow
def test_a_lost_machine_costs_no_cue_and_records_none_twice(
    produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install wildline[cluster]")
    from ray.cluster_utils import Cluster

    from studio.batch.cluster import ClusterCrew

    # The nodes' workers must find the work that this test gives them.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE.parents[1]), str(HERE)]))
    production = produce(rows(14))
    production.work.mkdir()
    (production.work / "slow").write_text("0.15")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ended: list[str] = []

    def watch(what: str, done: float, total: float) -> None:
        del done, total
        ended.extend([what] if what else [])
        if len(ended) == 4:
            cluster.remove_node(other, allow_graceful=False)

    try:
        crew = ClusterCrew(production, cluster.address, None, light_work)
        crew.wait_for(2)
        report = run_batch(production, crew=crew, watch=watch)
    finally:
        cluster.shutdown()
    assert len(report.done) == 14, report
    assert delivered(production) == {f"K{n}": 1 for n in range(1, 15)}
    pids = {e.facts["pid"] for e in read_ledger(production.ledger) if e.event == "cue.delivered"}
    assert len(pids) >= 2  # both machines worked
