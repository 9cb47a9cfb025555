"""SIGKILL at random moments: what is finished stays finished, and nothing is half there.

Each `*_kills` function begins its command again and again, kills it and all its processes, looks
at what is left, and lets it end now and then.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fault_checks import LEDGER, Tally, faults_of
from fault_material import CUES, PRODUCTION
from fault_server import Ended, forked, installed

if TYPE_CHECKING:
    from studio.batch.local import Crew, Lost
    from studio.batch.plan import Job
    from studio.batch.work import Outcome
    from studio.production import Production

__all__ = [
    "batch_kills",
    "consent_kills",
    "fit_kills",
    "ledger_kills",
    "resync_kills",
    "worker_kills",
]

Fault = tuple[str, str]
LIGHT_CUES = 8
_AGAIN = 40  # kills of one production before it is begun anew


# --- batch -------------------------------------------------------------------------------------


def batch_kills(count: int, place: Path, rng: random.Random, tally: Tally, crew: str) -> None:
    """`crew`: "here" (light steps in one process), "pool" (light steps, spawned workers) or
    "real" (the installed command with the engines)."""
    kind = f"kill batch, {_CREWS[crew]}"
    cues = 3 if crew == "real" else LIGHT_CUES
    longest = _length(place / f"production-{crew}-0", crew, cues)
    done = number = 0
    while done < count:
        number += 1
        folder = place / f"production-{crew}-{number}"
        production_of(folder, cues)
        steps: set[str] = set()
        for _ in range(_AGAIN):
            last = done >= count
            ended = _batch(folder, crew, None if last else rng.uniform(0.05, longest))
            done += ended.killed
            finished = not ended.killed
            faults, steps = after_batch(folder, steps, cues, finished=finished)
            if finished and ended.code != 0:
                faults.append(("other", f"exit {ended.code}: {ended.error.strip()[-300:]}"))
            tally.add(kind, f"kill {done}", ended, faults)
            if finished:
                break
        shutil.rmtree(folder)


def _length(folder: Path, crew: str, cues: int) -> float:
    """How long a batch takes here and now when nobody kills it."""
    production_of(folder, cues)
    ended = _batch(folder, crew, None)
    shutil.rmtree(folder)
    return max(0.2, ended.seconds)


_CREWS = {"here": "light steps", "pool": "light steps in workers", "real": "engines"}


def production_of(folder: Path, cues: int) -> None:
    """A production of so many off-screen cues."""
    folder.mkdir(parents=True)
    if cues == 3:
        sheet = CUES
    else:
        rows = [f"K{n},1,MARA,01:00:{2 * n:02}:00,01:00:{2 * n + 1:02}:00,Yes.,off" for n in
                range(1, cues + 1)]  # fmt: skip
        sheet = "\n".join([CUES.splitlines()[0], *rows]) + "\n"
    (folder / "cues.csv").write_text(sheet, encoding="utf-8")
    text = PRODUCTION.format(sheet="cues.csv")
    (folder / "production.toml").write_text(text, encoding="utf-8")


def _batch(folder: Path, crew: str, kill_after_s: float | None) -> Ended:
    if crew == "real":
        arguments = ("batch", str(folder), "--jobs", "1")
        return installed(arguments, folder, kill_after_s=kill_after_s)
    return forked((), folder, work=lambda: _light_batch(folder, crew), kill_after_s=kill_after_s)


def _light_batch(folder: Path, crew: str) -> int:
    """In the child: a batch of true steps, states and records without engines."""
    from studio.batch.local import LocalCrew
    from studio.batch.run import run_batch
    from studio.production import load_production

    production = load_production(folder)
    hands: Crew = _Here(production) if crew == "here" else LocalCrew(production, 2, light_work)
    report = run_batch(production, crew=hands)
    return 1 if report.failed or report.refused else 0


def light_work(production: Production, job: Job) -> Outcome:
    """Every step and record of a cue without its sound: the store, the ledger and the states."""
    from studio.batch.bench import Bench
    from studio.batch.states import CueState
    from studio.batch.store import StepStore
    from studio.batch.work import Outcome

    assert job.cue is not None
    store, out = StepStore(production), production.out / job.id
    for step in job.steps:
        bench = Bench(production, store, job, step)

        def make(folder: Path, bench: Bench = bench) -> dict[str, object]:
            (folder / "begun").write_text(bench.step.key)
            time.sleep(0.01)
            if bench.step.name == "package":
                (folder / f"{job.id}.wav").write_text(bench.step.key)
                ledger = bench.papers(folder).ledger
                ledger.append("line.made", text=job.id)
                ledger.append("cue.delivered", text=job.id)
            return {"files": []}

        store.make(step.folder, make, publish=_publisher(out, job.id, step.name))
    state = CueState.read(production, job.id)
    state.became("done", steps=job.keys).write(production, job.cue)
    return Outcome(job.id, "done")


def _publisher(out: Path, cue: str, step: str) -> Callable[[Path], None] | None:
    """Puts a cue's file in its place as the true package step does: whole, by its name."""
    from media.files import atomic_path

    if step != "package":
        return None

    def publish(folder: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_path(out / f"{cue}.wav") as temporary:
            temporary.write_bytes((folder / f"{cue}.wav").read_bytes())

    return publish


class _Here:
    """A crew of one: this very process."""

    def __init__(self, production: Production) -> None:
        self.production = production
        self.made: list[Outcome] = []

    def free(self) -> int:
        return 1 - len(self.made)

    def begin(self, job: Job) -> None:
        self.made.append(light_work(self.production, job))

    def ended(self) -> list[Outcome | Lost]:
        made: list[Outcome | Lost] = [*self.made]
        self.made = []
        return made

    def dismiss(self) -> None:
        return None


def after_batch(
    folder: Path, before: set[str], cues: int, *, finished: bool
) -> tuple[list[Fault], set[str]]:
    """What is wrong after a kill, and the steps that are finished now."""
    found: list[Fault] = []
    place = folder / "work" / "steps"
    steps = {p.parent.name for p in place.glob("*/step.json") if not p.parent.name.startswith(".")}
    if before - steps:
        found.append(("lost", f"finished steps: {sorted(before - steps)}"))
    for record in [*place.glob("[!.]*/step.json"), *(folder / "work" / "cues").glob("[!.]*.json")]:
        try:
            json.loads(record.read_text("utf-8"))
        except ValueError:
            found.append(("half-written", f"{record.relative_to(folder)}"))
    found += _ledger_faults(folder / LEDGER, cues if finished else None)
    made = sorted(p.stem for p in (folder / "out").glob("*/[!.]*.wav"))
    if finished and len(made) != cues:
        found.append(("lost", f"delivered {made}"))
    return found, steps


def _ledger_faults(ledger: Path, deliveries: int | None) -> list[Fault]:
    from media.errors import WildlineError
    from studio.ledger import read_ledger

    if not ledger.exists():
        return []
    try:
        entries = list(read_ledger(ledger))
    except WildlineError as error:
        raw = ledger.read_bytes()
        if not raw.endswith(b"\n"):  # the line in flight; the next writer cuts it off
            return []
        return [("half-written", f"ledger: {error}")]
    told = Counter(
        (e.event, str(e.facts.get("cue")), str(e.facts.get("output", "")))
        for e in entries
        if e.event.endswith(".delivered")
    )
    found: list[Fault] = [
        ("other", f"{n} times in the ledger: {k}") for k, n in told.items() if n > 1
    ]
    each = {cue for event, cue, _ in told if event in ("cue.delivered", "line.delivered")}
    if deliveries is not None and len(each) != deliveries:
        found.append(("lost", f"{len(each)} of {deliveries} deliveries in the ledger"))
    return found


# --- single commands ---------------------------------------------------------------------------


def resync_kills(
    count: int, place: Path, rng: random.Random, tally: Tally, specimens: dict[str, Path]
) -> None:
    """A scene killed while it is made, always into the same folder; at last it is let end."""
    wav, film, grid = (str(specimens[name]) for name in ("wav", "mp4", "textgrid"))
    allowed = ("--consent", str(specimens["consent.toml"]), "--person", "Mara Voss")
    arguments = ("resync", film, wav, "--timing", grid, *allowed, "-o", "out.mp4")
    names = {"out.mp4", "out.report.json"}
    folder = place / "resync"
    folder.mkdir()
    whole = forked(arguments, folder)
    length = whole.seconds
    first = _pictures(folder / "out.mp4")
    _repeated("kill resync", count, folder, rng, tally, (arguments, length, names))
    if _pictures(folder / "out.mp4") != first:  # its credentials name another ledger line
        tally.wrong.append("kill resync: the picture differs after being begun again")
    if left := [p.name for p in folder.glob(".*")]:
        tally.wrong.append(f"kill resync: left behind at the end: {left}")


def _pictures(film: Path) -> str:
    """sha256 of the coded pictures."""
    import hashlib

    import av

    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for packet in container.demux(video=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


def _repeated(
    kind: str,
    count: int,
    folder: Path,
    rng: random.Random,
    tally: Tally,
    call: tuple[tuple[str, ...], float, set[str]],
) -> None:
    """Kill a command `count` times within its usual length, then let it end."""
    arguments, length, names = call
    done = 0
    while done <= count:
        moment = None if done == count else rng.uniform(0.0, length)
        older = {p.name for p in folder.glob(".*")}  # of runs that were killed before
        ended = forked(arguments, folder, kill_after_s=moment)
        faults = faults_of(ended, folder, names | older)
        if moment is None and ended.code != 0:
            faults.append(("lost", f"exit {ended.code} in the end: {ended.error[-200:]}"))
        tally.add(kind, f"{done} after {moment} s", ended, faults)
        done += 1


def consent_kills(count: int, place: Path, rng: random.Random, tally: Tally) -> None:
    """`consent new --force` over an older record, which must be there, old or new, at all times."""
    arguments = (
        *("consent", "new", "-o", "out.toml", "--person", "A", "--project", "P", "--use"),
        *("voice-say", "--description", "d", "--signed", "2026-01-01", "--start", "2026-01-01"),
        *("--expiry", "2036-01-01", "--document-sha256", "0" * 64, "--force"),
    )
    folder = place / "consent"
    folder.mkdir()
    length = forked(arguments, folder).seconds
    names = {"out.toml"}
    _repeated("kill consent new", count, folder, rng, tally, (arguments, 1.2 * length, names))
    if not (folder / "out.toml").exists():
        tally.wrong.append("kill consent new: the record is gone")


def ledger_kills(count: int, place: Path, rng: random.Random, tally: Tally) -> None:
    """Lines are written one after the other; those that were acknowledged must be there."""
    from studio.ledger import Ledger, verify

    folder = place / "ledger"
    folder.mkdir()
    ledger, acknowledged = folder / LEDGER, folder / "acknowledged"

    def work() -> int:
        book = Ledger(ledger)
        with acknowledged.open("w") as note:
            for number in range(2000):
                entry = book.append("line.made", text="x" * rng.randrange(5000), number_=number)
                note.seek(0)
                note.write(f"{entry.number}\n")
                note.flush()
        return 0

    for number in range(count):
        ended = forked((), folder, work=work, kill_after_s=rng.uniform(0.0, 0.5))
        told = int((acknowledged.read_text() if acknowledged.exists() else "").strip() or 0)
        faults: list[Fault] = []
        Ledger(ledger).append("resumed", after=number)  # cuts off a torn line
        lines = verify(ledger)
        if lines <= told:
            faults.append(("lost", f"{told} lines were acknowledged, {lines - 1} are there"))
        tally.add("kill ledger", f"#{number}", ended, faults)


def fit_kills(
    count: int, place: Path, rng: random.Random, tally: Tally, specimens: dict[str, Path]
) -> None:
    """A fit over an older voice, with a light stand-in for the search, killed at any moment.

    The voice in the folder must load at all times: the older one or the new one, never a mixture.
    """
    folder = place / "fit"
    folder.mkdir()
    recordings = folder / "recordings"
    recordings.mkdir()
    shutil.copy(specimens["wav"], recordings)
    shutil.copytree(specimens["voice.toml"].parent, folder / "out")
    consent = ("--consent", str(specimens["consent.toml"]), "--person", "Mara Voss")
    arguments = ["fit", "recordings", "-o", "out", *consent]
    names = {"recordings", "out"}
    length = forked(arguments, folder, before=_light_fit).seconds
    for number in range(count + 1):
        moment = None if number == count else rng.uniform(0.0, 1.1 * length)
        seeded = [*arguments, "--seed", str(number)]  # another voice every time
        ended = forked(seeded, folder, before=_light_fit, kill_after_s=moment)
        faults = faults_of(ended, folder, names)
        if moment is None and ended.code != 0:
            faults.append(("lost", f"exit {ended.code} in the end: {ended.error[-200:]}"))
        tally.add("kill fit", f"#{number} after {moment} s", ended, faults)


def _light_fit() -> None:
    """In the child: `fit` with the search replaced by a voice made of the seed."""
    import voice.fit
    from voice.voice import Voice, load_voice

    def stand_in(recordings: object, out: Path, *, seed: int, person: str, **_: object) -> Voice:
        from dataclasses import replace

        del recordings
        time.sleep(0.05)
        stock = load_voice("stock:mara")
        made = replace(stock, name=f"fit {seed}", person=person, style=stock.style + seed * 1e-4)
        made.save(out)
        return made

    voice.fit.fit_voice = stand_in  # type: ignore[assignment]


def worker_kills(count: int, place: Path, rng: random.Random, tally: Tally) -> None:
    """Only a worker of a batch is killed: the batch itself goes on and ends well."""
    for number in range(count):
        folder = place / f"workers-{number}"
        production_of(folder, LIGHT_CUES)
        killer = os.fork()
        if killer == 0:
            _kill_a_worker(os.getppid(), rng.uniform(0.5, 4.0))
        ended = _batch(folder, "pool", None)
        os.waitpid(killer, 0)
        faults, _ = after_batch(folder, set(), LIGHT_CUES, finished=True)
        if ended.code != 0:
            faults.append(("lost", f"exit {ended.code}: {ended.error.strip()[-300:]}"))
        tally.add("kill a worker", f"#{number}", ended, faults)
        shutil.rmtree(folder)


def _kill_a_worker(harness: int, after_s: float) -> None:
    """In a child of its own: SIGKILL to one grandchild of the harness, then an end."""
    import signal

    time.sleep(after_s)
    own = os.getpid()
    for batch in _children(harness):
        for worker in _children(batch) if batch != own else ():
            try:
                os.kill(worker, signal.SIGKILL)
            except OSError:
                continue
            break
    os._exit(0)


def _children(process: int) -> list[int]:
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]
