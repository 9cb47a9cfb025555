"""Does every fault end in one clear line, with nothing half-written and no finished work lost?

    python benchmarks/faults.py [--mutants 500] [--full 40] [--kills 200] [--seed 0] [--keep FOLDER]

Three parts, each the real commands in a process of their own:

- mutants: files of every kind, damaged in eight ways, given to the command that reads them;
- full: the same commands on whole files, on a disk that fills up at a random byte;
- kills: a batch killed (SIGKILL to the whole group) at random moments and started again.

A run fails when it hangs, shows a trace, dies of a signal, takes more than 4 GB, leaves
anything but whole results, or says other than one line when it refuses. Commands of the first
two parts are forked from a process that has imported the libraries, which saves their start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fault_material import CUES, PRODUCTION, Kind, damaged, kinds, make_specimens

WILDLINE = str(Path(sys.executable).with_name("wildline"))
LIMIT_S = 120.0
MOST_MB = 4096
ALWAYS = {"wildline-ledger.jsonl", "wildline-disclosure.csv"}


@dataclass
class Ended:
    """How one command ended."""

    code: int | None  # None: it hung
    error: str
    peak_mb: float
    seconds: float


@dataclass
class Tally:
    """What was run and what went wrong."""

    runs: Counter[str] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    peak_mb: float = 0.0
    slowest_s: float = 0.0

    def add(self, part: str, ended: Ended, faults: list[str], how: str) -> None:
        """Count one run."""
        self.runs[part] += 1
        self.codes[part, str(ended.code)] += 1
        self.peak_mb = max(self.peak_mb, ended.peak_mb)
        self.slowest_s = max(self.slowest_s, ended.seconds)
        for fault in faults:
            self.wrong.append(f"{part}: {how}: {fault}")
            print(f"  WRONG {self.wrong[-1]}", flush=True)


def forked(arguments: list[str], folder: Path, room: int | None = None) -> Ended:
    """Run a command in a fork of this process, in `folder`; `room`: bytes a file may have."""
    error = folder.parent / "stderr.txt"
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(arguments, folder, error, room)
    used = _wait(child, began)
    seconds = time.monotonic() - began
    text = error.read_text("utf-8", "replace") if error.exists() else ""
    if used is None:
        return Ended(None, text, 0.0, seconds)
    status, usage = used
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, text, usage.ru_maxrss / 1024, seconds)


def _become(arguments: list[str], folder: Path, error: Path, room: int | None) -> None:
    """The child: never returns."""
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for name, number in (("/dev/null", 1), (str(error), 2)):
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(handle, number)
        if room is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        from studio.cli import run

        try:
            code = run(arguments)
        except BaseException:
            import traceback

            traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, began: float) -> tuple[int, resource.struct_rusage] | None:
    while time.monotonic() - began < LIMIT_S:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return status, usage
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.wait4(child, 0)
    return None


def faults_of(ended: Ended, folder: Path, allowed: set[str]) -> list[str]:
    """What is wrong with how a command ended, and with what it left."""
    found = []
    lines = [line for line in ended.error.splitlines() if line.strip()]
    if ended.code is None:
        found.append(f"hung for {LIMIT_S:.0f} s")
    elif ended.code < 0:
        found.append(f"died of signal {-ended.code}")
    elif ended.code not in (0, 1, 2):
        found.append(f"exit code {ended.code}")
    if "Traceback" in ended.error:
        found.append(f"trace: {lines[-1][:200]}")
    elif ended.code == 2 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        found.append(f"{len(lines)} lines: {' | '.join(lines)[:200]}")
    if ended.peak_mb > MOST_MB:
        found.append(f"{ended.peak_mb:.0f} MB")
    left = {p.name for p in folder.iterdir()} - allowed - ALWAYS
    if left:
        found.append(f"left behind: {', '.join(sorted(left))}")
    return found + [f"not whole: {name}" for name in not_whole(folder)]


def not_whole(folder: Path) -> Iterator[str]:
    """Results that cannot be read back."""
    from align.formats import read_timing
    from media.audio import read_sound
    from media.errors import WildlineError
    from media.video import probe

    readers = {".mp4": probe, ".wav": read_sound, ".TextGrid": read_timing}
    for path in folder.glob("out.*"):
        reader = readers.get(path.suffix)
        try:
            if reader is not None:
                reader(path)
        except WildlineError as error:
            yield f"{path.name} ({error})"


def mutants(count: int, every: list[Kind], place: Path, rng: random.Random, tally: Tally) -> None:
    """Part one."""
    for number in range(count):
        kind = every[number % len(every)]
        how, content = damaged(kind.specimen.read_bytes(), rng)
        run = place / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        path = run / kind.specimen.name
        path.write_bytes(content)
        ended = forked(kind.command(path, run), run)
        faults = faults_of(ended, run, {path.name, *kind.outputs})
        tally.add(f"mutant {kind.name}", ended, faults, f"#{number} {how}")


def full_disks(
    count: int, every: list[Kind], place: Path, rng: random.Random, tally: Tally
) -> None:
    """Part two."""
    writers = [
        kind for kind in every if kind.outputs and kind.name in ("mp4", "TextGrid", "voice.toml")
    ]
    for number in range(count):
        kind = writers[number % len(writers)]
        run = place / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        path = shutil.copy(kind.specimen, run / kind.specimen.name)
        room = int(10 ** rng.uniform(0, 5.5))
        ended = forked(kind.command(path, run), run, room)
        faults = faults_of(ended, run, {path.name, *kind.outputs})
        tally.add(f"full disk {kind.name}", ended, faults, f"#{number} {room} bytes")


def kills(count: int, place: Path, rng: random.Random, tally: Tally) -> None:
    """Part three: kill until `count` kills have hit, finishing the production in between."""
    done = 0
    while done < count:
        folder = place / f"production-{done}"
        folder.mkdir()
        (folder / "cues.csv").write_text(CUES, encoding="utf-8")
        text = PRODUCTION.format(sheet="cues.csv")
        (folder / "production.toml").write_text(text, encoding="utf-8")
        steps: set[str] = set()
        for _ in range(40):
            ended = killed(folder, rng.uniform(0.2, 25.0))
            hit = ended.code == -signal.SIGKILL
            done += hit
            faults, steps = after_kill(folder, steps, finished=not hit)
            if not hit and ended.code != 0:
                faults.append(f"exit {ended.code}: {ended.error.strip()[-200:]}")
            tally.add("kill" if hit else "resumed to the end", ended, faults, f"kill {done}")
            if not hit or done >= count:
                break
        shutil.rmtree(folder)


def killed(folder: Path, after_s: float) -> Ended:
    """A batch, and SIGKILL to all its processes after so many seconds if it still runs."""
    began = time.monotonic()
    command = [WILDLINE, "batch", str(folder), "--jobs", "1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        error = process.communicate(timeout=after_s)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        error = process.communicate()[1]
    return Ended(process.returncode, error, 0.0, time.monotonic() - began)


def after_kill(folder: Path, before: set[str], *, finished: bool) -> tuple[list[str], set[str]]:
    """What is wrong after a kill, and the steps that are finished now."""
    from media.errors import WildlineError
    from studio.ledger import read_ledger, verify

    found = []
    place = folder / "work" / "steps"
    steps = {p.parent.name for p in place.glob("*/step.json")}
    if before - steps:
        found.append(f"finished steps lost: {sorted(before - steps)}")
    for record in place.glob("*/step.json"):
        try:
            json.loads(record.read_text("utf-8"))
        except ValueError:
            found.append(f"half-written: {record.parent.name}")
    ledger = folder / "wildline-ledger.jsonl"
    if ledger.exists():
        try:
            verify(ledger)
        except WildlineError as error:
            found.append(f"ledger: {error}")
        events = Counter(
            (e.event, str(e.facts.get("cue")))
            for e in read_ledger(ledger)
            if e.event.endswith(".delivered")
        )
        found += [f"{n} times in the ledger: {key}" for key, n in events.items() if n > 1]
    if finished:
        made = sorted(p.parent.name for p in (folder / "out").glob("*/*.wav"))
        if made != ["M1", "M2", "M3"]:
            found.append(f"delivered {made}")
        strays = [p.name for p in (folder / "out").rglob(".*")]
        found += [f"left behind: {name}" for name in strays]
    return found, steps


def main() -> None:
    """Run the parts and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=500)
    parser.add_argument("--full", type=int, default=40)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    rng, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.keep or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        os.environ["WILDLINE_HOME"] = str(place / "home")
        os.environ["OMP_NUM_THREADS"] = "1"
        _preload()
        specimens = make_specimens(place)
        every = kinds(place, specimens)
        for kind in every:  # a whole file must pass, or its mutants prove nothing
            _prove(kind, place)
        mutants(options.mutants, every, place, rng, tally)
        full_disks(options.full, every, place, rng, tally)
        kills(options.kills, place, rng, tally)
    print(f"\n{'part':28} {'runs':>5}  exit codes")
    for part in sorted(tally.runs):
        codes = {c: n for (p, c), n in sorted(tally.codes.items()) if p == part}
        print(f"{part:28} {tally.runs[part]:5d}  {codes}")
    print(f"highest memory {tally.peak_mb:.0f} MB, slowest {tally.slowest_s:.1f} s")
    print(f"{sum(tally.runs.values())} runs, {len(tally.wrong)} wrong")
    for line in tally.wrong:
        print(f"  {line}")
    sys.exit(bool(tally.wrong))


def _prove(kind: Kind, place: Path) -> None:
    run = place / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    path = shutil.copy(kind.specimen, run / kind.specimen.name)
    ended = forked(kind.command(path, run), run)
    if ended.code not in (0, 1):
        raise SystemExit(f"a whole {kind.name} is refused ({ended.code}): {ended.error.strip()}")


def _preload() -> None:
    """Import (not start) what the commands would import, once for all forks."""
    import av
    import cv2
    import mediapipe
    import numpy
    import onnxruntime
    import scipy.signal
    import torch
    import torchaudio

    import studio.cli

    torch.set_num_threads(1)
    del av, cv2, mediapipe, numpy, onnxruntime, scipy, torchaudio, studio


if __name__ == "__main__":
    main()
