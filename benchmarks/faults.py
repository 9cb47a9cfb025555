"""Does every fault end in one clear line, with nothing half-written and no finished work lost?

    python benchmarks/faults.py [--parts mutants,kills] [--scale 0.1] [--seed 0]
                                [--json FILE] [--report docs/benchmarks/faults.md] [--keep FOLDER]

The parts, each of them the real commands:

- mutants: files of every kind, damaged in nine ways, given to the commands that read them;
- weights: the ONNX files and face tracks that are kept in the user's cache, damaged;
- absurd: heads that say 0 x 0, 100000 x 100000, 0 frames a second, 2^31 samples ...;
- tricks: names, `..`, links, pipes and devices;
- bombs: workbooks that unpack to gigabytes, XML that grows, pickles for weights;
- disks: a disk that fills up (a true one, and a limit on the size of files), a read-only folder;
- boundaries: every call to the disk made to fail in turn (EIO, ENOSPC, EACCES, EROFS, EMFILE);
- kills: SIGKILL at random moments, and everything begun again.

A run is wrong when it hangs, shows a trace, dies of a signal, takes more than 4 GB, leaves
anything but whole results, loses what was finished, or says other than one line when it refuses.
Commands are forked from a process that has imported the libraries, which saves their start; one
mutant in 36, and the kills of the true batch, go through the installed `wildline`. What is
random comes from --seed, and each run has a generator of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fault_kills as fatal
from fault_absurd import Trial, absurd, bombs, tricks
from fault_boundaries import ERRORS, Shim
from fault_checks import Tally, faults_of
from fault_material import Kind, damaged, kinds, make_specimens
from fault_server import Ended, forked, installed, preload

PARTS = ("mutants", "kills", "tricks", "absurd", "bombs", "boundaries", "disks", "weights")
EVERY = 36  # of so many mutants one goes through the installed command


@dataclass(frozen=True)
class Stand:
    """What the parts share."""

    place: Path
    specimens: dict[str, Path]
    kinds: list[Kind]
    seed: int
    scale: float
    tally: Tally

    def rng(self, part: str, number: int) -> random.Random:
        """The generator of one run: it can be repeated by itself."""
        return random.Random(f"{self.seed}:{part}:{number}")

    def count(self, whole: int) -> int:
        """So many runs, on this scale."""
        return max(1, round(whole * self.scale))

    def fresh(self, name: str = "run") -> Path:
        """An empty folder for a run."""
        run = self.place / name
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        return run


# --- damaged files -----------------------------------------------------------------------------


def mutants(stand: Stand) -> None:
    """Files of every kind, damaged."""
    for number in stand.tally.turns("mutants", stand.count(504)):
        kind = stand.kinds[number % len(stand.kinds)]
        turn = number // len(stand.kinds)
        how, content = damaged(kind.specimen.read_bytes(), stand.rng("mutant", number))
        run = stand.fresh()
        path = run / kind.specimen.name
        path.write_bytes(content)
        arguments = kind.commands[turn % len(kind.commands)](path, run)
        ended = (installed if number % EVERY == 5 else forked)(arguments, run)
        faults = faults_of(ended, run, {path.name, *kind.outputs})
        stand.tally.add(f"{kind.name}, damaged", f"#{number} {how}, {arguments[0]}", ended, faults)


def weights(stand: Stand) -> None:
    """What lies in the user's cache, damaged: it is made again, or refused."""
    cache = Path(os.environ["WILDLINE_CACHE"])
    wav, film, grid = (str(stand.specimens[name]) for name in ("wav", "mp4", "textgrid"))
    consent = ("--consent", str(stand.specimens["consent.toml"]), "--person", "Mara Voss")
    say = ("say", "Yes.", "--voice", "stock:mara", "--takes", "1", "-o", "out.wav")
    resync = ("resync", film, wav, "--timing", grid, *consent, "-o", "out.mp4")
    run = stand.fresh()
    forked(say, run)
    sound = samples_of(run / "out.wav")
    cases = (("ONNX", "**/*.onnx", say, 12), ("face track", "lipsync/*.npz", resync, 4))
    for kind, pattern, arguments, count in cases:
        forked(arguments, stand.fresh())
        for number in stand.tally.turns(kind, stand.count(count)):
            rng = stand.rng(kind, number)
            path = rng.choice(sorted(cache.glob(pattern)))
            how, content = damaged(path.read_bytes(), rng)
            path.write_bytes(content)
            run = stand.fresh()
            ended = forked(arguments, run)
            faults = faults_of(ended, run, {"out.wav", "out.json", "out.mp4", "out.report.json"})
            if kind == "ONNX" and ended.code == 0:
                same = samples_of(run / "out.wav") == sound
                faults += [] if same else [("other", "the line sounds other than before")]
            what = f"#{number} {path.name} {how}"
            stand.tally.add(f"{kind} in the cache, damaged", what, ended, faults)


def samples_of(path: Path) -> bytes:
    """The sound alone: signatures differ from run to run."""
    from media.audio import read_sound

    return read_sound(path).samples.tobytes()


def trials(part: str, every: Iterator[Trial], stand: Stand) -> None:
    """Trials that are made by hand, each once."""
    listed = list(every)
    for number in stand.tally.turns(part, len(listed)):
        if stand.scale < 1 and stand.rng(part, number).random() > stand.scale:
            continue
        trial = listed[number]
        run = stand.fresh()
        trial.begin(run)
        ended = forked(trial.arguments, run)
        if ended.error.startswith("wav2lip weights:"):  # the terms of the weights, no refusal
            ended = type(ended)(**{**vars(ended), "error": ended.error.partition("\n")[2]})
        faults = faults_of(ended, run, set(trial.outputs))
        if ended.code not in trial.codes:
            faults.append(("other", f"exit code {ended.code}: {ended.error.strip()[-200:]}"))
        if trial.after is not None and (wrong := trial.after(run)):
            faults.append(("lost", wrong))
        stand.tally.add(part, trial.name, ended, faults)


# --- disks -------------------------------------------------------------------------------------


def disks(stand: Stand) -> None:
    """A limit on the size of files, a true disk that is full, and a read-only folder."""
    for number in stand.tally.turns("limit", stand.count(60)):
        rng = stand.rng("limit", number)
        room = int(10 ** rng.uniform(2.5, 5.8))  # what is said must fit
        run = stand.fresh()
        arguments, names = _writing(stand, run, number)
        ended = forked(arguments, run, before=lambda room=room: _limit(room))  # type: ignore[misc]
        faults = faults_of(ended, run, names)
        stand.tally.add("size of files limited", f"#{number} {room} bytes", ended, faults)
    mounted = stand.place / "small"
    for what, options in (("full disk", "size=16m"), ("read-only folder", "size=16m")):
        with _mount(mounted, options) as works:
            if not works:
                stand.tally.skip(what, "mounting is not allowed here")
                continue
            (_full if what == "full disk" else _read_only)(stand, mounted)


def _limit(room: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def _writing(stand: Stand, run: Path, number: int) -> tuple[list[str], set[str]]:
    """A command that writes, in turn, and the names it may leave."""
    wav, film, grid = (str(stand.specimens[name]) for name in ("wav", "mp4", "textgrid"))
    consent = ("--consent", str(stand.specimens["consent.toml"]), "--person", "Mara Voss")
    if number % 12 == 0:
        arguments = ["resync", film, wav, "--timing", grid, *consent, "-o", "out.mp4"]
        return arguments, {"out.mp4", "out.report.json"}
    if number % 4 == 1:
        arguments = ["say", "Yes.", "--voice", "stock:mara", "--takes", "1", "-o", "out.wav"]
        return arguments, {"out.wav", "out.json"}
    if number % 4 == 2:
        return ["align", wav, "--timing", grid, "-o", "out.TextGrid", "--curves", "out.csv"], {
            "out.TextGrid",
            "out.csv",
        }
    if number % 4 == 3:
        return ["init", str(run / "out")], {"out"}
    return [*_NEW_CONSENT, "-o", "out.toml"], {"out.toml"}


_NEW_CONSENT = (
    *("consent", "new", "--person", "A", "--project", "P", "--use", "voice-say", "--signed"),
    *("2026-01-01", "--start", "2026-01-01", "--expiry", "2036-01-01", "--description", "d"),
    *("--document-sha256", "0" * 64),
)


@contextmanager
def _mount(point: Path, options: str) -> Iterator[bool]:
    """A small disk of its own at `point`, where that is allowed."""
    point.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        yield False
        return
    if done.returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(point)], check=False)


def _full(stand: Stand, disk: Path) -> None:
    for number in stand.tally.turns("full", stand.count(48)):
        run = disk / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        arguments, names = _writing(stand, run, number)
        room = int(10 ** stand.rng("full", number).uniform(3.5, 6.3))
        with suppress(OSError), (disk / "ballast").open("wb") as ballast:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            for _ in range(max(0, free - room) // 4096):
                ballast.write(bytes(4096))
        ended = forked(arguments, run)
        (disk / "ballast").unlink()
        faults = faults_of(ended, run, names)
        stand.tally.add("disk full", f"#{number} {room} bytes, {arguments[0]}", ended, faults)


def _read_only(stand: Stand, disk: Path) -> None:
    for number in stand.tally.turns("read-only", stand.count(24)):
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        run = disk / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        arguments, _ = _writing(stand, run, number)
        place = stand.fresh("beside")  # where the command is run from, and its words are kept
        arguments = [f"{run}/{a}" if a.startswith("out.") else a for a in arguments]
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = forked(arguments, place)
        faults = faults_of(ended, place, set()) + faults_of(ended, run, set())
        if ended.code != 2:
            faults.append(("other", f"exit code {ended.code}"))
        stand.tally.add("folder read-only", f"#{number} {arguments[0]}", ended, faults)


# --- boundaries --------------------------------------------------------------------------------


def boundaries(stand: Stand) -> None:
    """Every call to the disk fails once; the costly commands at some of them."""
    quick = (2, 3, 4)  # turns of `_writing`: a timing, a production, a record
    for turn in (*quick, 1, 0):
        run = stand.fresh()
        total = _shimmed(stand, run, turn, 0, 0)[1]
        most = stand.count({0: 4, 1: 12}.get(turn, 90))
        rng = stand.rng("boundary", turn)
        every = [(at, name) for at in range(1, total + 1) for name in ERRORS]
        chosen = sorted(rng.sample(every, min(most, len(every))))
        for number in stand.tally.turns(f"boundary {turn}", len(chosen)):
            _boundary(stand, turn, *chosen[number])


def _boundary(stand: Stand, turn: int, at: int, name: str) -> None:
    run = stand.fresh()
    older = {"out.TextGrid": "older", "out.toml": "older"}
    for path, text in older.items() if turn in (2, 4) else ():
        (run / path).write_text(text)
    ended, calls, failed, names = _shimmed(stand, run, turn, at, ERRORS[name])
    if failed in ("unlink", "rmdir", "scandir", "listdir"):  # what could not be tidied away
        names |= {p.name for p in run.iterdir() if p.name.startswith(".")}
    for path, text in older.items():
        if (run / path).exists() and (run / path).read_text("utf-8", "replace") == text:
            (run / path).unlink()  # as it was
    faults = faults_of(ended, run, names)
    what = f"{_COMMANDS[turn]}: call {at} of {calls} ({failed}) {name}"
    stand.tally.add("boundary fails", what, ended, faults)


_COMMANDS = ("resync", "say", "align", "init", "consent new")


def _shimmed(
    stand: Stand, run: Path, turn: int, at: int, number: int
) -> tuple[Ended, int, str, set[str]]:
    """How the command ended, its calls to the disk, which one failed, and what it may leave."""
    report = stand.place / "boundary.txt"
    report.unlink(missing_ok=True)
    arguments, names = _writing(stand, run, turn)
    if turn == 4:
        arguments = [*arguments, "--force"]
    shim = Shim(stand.place, at, number, report, lasting=number == ERRORS["ENOSPC"])
    ended = forked(arguments, run, before=shim.install)
    count, _, failed = report.read_text().partition(" ") if report.exists() else ("0", "", "")
    return ended, int(count), failed, names


# --- kills -------------------------------------------------------------------------------------


def kills(stand: Stand) -> None:
    """SIGKILL, some 220 times."""
    tally, place = stand.tally, stand.fresh("kills")

    def rng(name: str) -> random.Random:
        return stand.rng(name, 0)

    every: tuple[tuple[str, int, Callable[[int, random.Random], None]], ...] = (
        ("ledger", 30, lambda n, r: fatal.ledger_kills(n, place, r, tally)),
        ("consent", 40, lambda n, r: fatal.consent_kills(n, place, r, tally)),
        ("fit", 36, lambda n, r: fatal.fit_kills(n, place, r, tally, stand.specimens)),
        ("here", 100, lambda n, r: fatal.batch_kills(n, place, r, tally, "here")),
        ("pool", 6, lambda n, r: fatal.batch_kills(n, place, r, tally, "pool")),
        ("worker", 4, lambda n, r: fatal.worker_kills(n, place, r, tally)),
        ("resync", 4, lambda n, r: fatal.resync_kills(n, place, r, tally, stand.specimens)),
        ("real", 2, lambda n, r: fatal.batch_kills(n, place, r, tally, "real")),
    )
    for name, count, kill in every:
        for _ in tally.turns(f"kill {name}", 1):
            kill(stand.count(count), rng(name))
            print(f"  killed {name}", flush=True)


# --- the whole ---------------------------------------------------------------------------------


def run_parts(stand: Stand, names: list[str]) -> None:
    """Run the parts one after the other."""
    by_name: dict[str, Callable[[Stand], None]] = {
        "mutants": mutants,
        "weights": weights,
        "absurd": lambda s: trials("absurd heads", absurd(s.specimens), s),
        "tricks": lambda s: trials("names and places", tricks(s.specimens), s),
        "bombs": lambda s: trials("bombs and pickles", bombs(s.specimens), s),
        "disks": disks,
        "boundaries": boundaries,
        "kills": kills,
    }
    for name in names:
        began = time.monotonic()
        by_name[name](stand)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def prove(stand: Stand) -> None:
    """A whole file must pass, or its mutants prove nothing."""
    for kind in stand.kinds:
        run = stand.fresh()
        path = Path(shutil.copy(kind.specimen, run / kind.specimen.name))
        ended = forked(kind.commands[0](path, run), run)
        if ended.code not in (0, 1):
            said = ended.error.strip()
            raise SystemExit(f"a whole {kind.name} is refused ({ended.code}): {said}")


def written(tally: Tally, options: argparse.Namespace) -> None:
    """Print the table; keep it as JSON and Markdown where that is wanted."""
    lines = tally.table()
    print("\n".join(lines))
    print(f"{len(tally.wrong)} wrong")
    if options.report:
        text = Path(options.report).read_text("utf-8")
        head, tail = text.split("<!-- table -->")[0], text.split("<!-- end of table -->")[1]
        body = "\n".join(["<!-- table -->", *lines, "<!-- end of table -->"])
        Path(options.report).write_text(head + body + tail, "utf-8")


def main() -> None:
    """Run the parts and print what happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path, help="kept while running; goes on from it")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        place = (options.keep or Path(scratch)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        os.environ |= {"WILDLINE_HOME": str(place / "home"), "OMP_NUM_THREADS": "1"}
        os.environ["WILDLINE_CACHE"] = str(place / "cache")
        preload()
        specimens = make_specimens(place / "specimens")
        every = kinds(place / "specimens", specimens)
        tally = Tally(options.seed, keep=options.json)
        tally.read_json()
        stand = Stand(place, specimens, every, options.seed, options.scale, tally)
        if not tally.rows:
            prove(stand)
        run_parts(stand, [p for p in PARTS if p in options.parts.split(",")])
        written(stand.tally, options)
    sys.exit(bool(stand.tally.wrong))


if __name__ == "__main__":
    main()
